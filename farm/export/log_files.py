"""The logs of segments that are not there yet as a source: lines of JSON, each with the items of its page."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from farm.export.line_files import entries_of
from farm.export.source import Head, StoredRecord, Wanted, item_of, rows_at, unreadable
from farm.export.stored_file import LocalFile
from farm.export.tables import decoded, head_of
from farm.model.record import ITEM_KEYS
from farm.sinks.log_items import items_in


class LogFiles:
    """The logs in this order; one that has become a segment meanwhile is left out.

    `name` is that of the segments, in messages.
    """

    def __init__(self, name: str, folder: Path, logs: Sequence[Path]) -> None:
        self.name = name
        self.folder = folder
        self._logs = logs
        self._share = 0.0

    @property
    def share(self) -> float:
        """How much of the logs was read."""
        return self._share

    def heads(self) -> Iterator[Head]:
        """Yield the head of every line."""
        for path in self._logs:
            for row in self._rows_of(path):
                yield head_of(row, self.name)

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the records at these places. Raises UsageError where a log has changed since."""
        for row in rows_at(self._logs, (), wanted, self._rows_of, self.name):
            yield decoded(row, self.name)

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items of the pages in the logs."""
        for path in self._logs:
            if path.exists():
                yield from _items_of(path)

    def _rows_of(self, path: Path) -> Iterator[StoredRecord]:
        self._share = self._logs.index(path) / len(self._logs)
        return (row for _, row in entries_of(LocalFile(path))) if path.exists() else iter(())


def _items_of(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the items in a log. Raises UsageError."""
    try:
        for item in items_in(log):
            yield item_of({name: item[name] for name in ITEM_KEYS} | item)
    except KeyError as error:
        raise unreadable(log, f"an item has no {error}") from None
    except (OSError, TypeError, ValueError) as error:
        raise unreadable(log, getattr(error, "strerror", None) or str(error)) from None
