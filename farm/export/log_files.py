"""The logs of segments that are not there yet as a source: lines of JSON, each with the items of its page."""

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from farm.export.line_files import entries_of
from farm.export.source import Head, StoredRecord, Wanted, item_of, rows_at, unreadable
from farm.export.stored_file import LocalFile
from farm.export.tables import decoded, head_of
from farm.model.errors import UsageError
from farm.model.record import ITEM_KEYS
from farm.sinks.log_items import without_items


class LogFiles:
    """The logs in this order; `name` is that of the segments, in messages.

    Make it before the segments are listed. One that is a segment by then is left out; one that becomes a segment
    later, which the list does not have, is read to the end nevertheless. Raises UsageError.
    """

    def __init__(self, name: str, folder: Path, logs: Sequence[Path]) -> None:
        self.name = name
        self.folder = folder
        self._logs: list[_OpenLog] = []
        self._share = 0.0
        for path in logs:
            try:
                self._logs.append(_OpenLog(path))
            except UsageError:
                if path.exists():
                    raise

    @property
    def share(self) -> float:
        """How much of the logs was read."""
        return self._share

    def heads(self) -> Iterator[Head]:
        """Yield the head of every line."""
        for log in self._logs:
            for row in self._rows_of(log):
                yield head_of(row, self.name)

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the records at these places. Raises UsageError where a log has changed since."""
        for row in rows_at(self._logs, (), wanted, self._rows_of, self.name):
            yield decoded(row, self.name)

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items of the pages in the logs."""
        for log in self._logs:
            yield from _items_of(log)

    def _rows_of(self, log: "_OpenLog") -> Iterator[StoredRecord]:
        self._share = self._logs.index(log) / len(self._logs)
        return (row for _, row in entries_of(log))


class _OpenLog:
    """A log that can be read until it is forgotten, also when it has no name any more. Satisfies `StoredFile`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = LocalFile(path).open()
        weakref.finalize(self, self._file.close)

    def __str__(self) -> str:
        return str(self._path)

    @property
    def name(self) -> str:
        return self._path.name

    def open(self) -> BinaryIO:
        file = os.fdopen(os.dup(self._file.fileno()), "rb")
        file.seek(0)
        return file


def _items_of(log: _OpenLog) -> Iterator[dict[str, Any]]:
    """Yield the items in a log. Raises UsageError."""
    try:
        with log.open() as lines:
            for line in lines:
                for item in without_items(line)[1]:
                    yield item_of({name: item[name] for name in ITEM_KEYS} | item)
    except KeyError as error:
        raise unreadable(log, f"an item has no {error}") from None
    except (OSError, TypeError, ValueError) as error:
        raise unreadable(log, getattr(error, "strerror", None) or str(error)) from None
