"""A folder of Parquet files as a source, with the logs of its nodes that are not files yet."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from farm.export.line_files import entries_of
from farm.export.source import HEAD_COLUMNS, NEEDED, Head, StoredRecord, Wanted, item_of, unreadable
from farm.export.tables import ITEMS_AT_ONCE, decoded, head_of
from farm.model.errors import UsageError
from farm.model.record import COLUMNS, ITEM_KEYS
from farm.sinks.item_values import ITEMS
from farm.sinks.log_items import items_in

_HEADS_AT_ONCE = 10_000
_WHY_CHARS = 200
_AT_ONCE = 100
"""Rows that are Python objects at the same time: a few megabytes each at most."""


class ParquetFolder:
    """The files of a folder in the order of their names, and then the logs."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self.folder = folder.parent
        self._folder = folder
        self._files = sorted(folder.glob("*.parquet"))
        self._logs = sorted(folder.glob(".part-*.log"))
        self._share = 0.0

    @property
    def share(self) -> float:
        """The share of its files that was read."""
        return self._share

    def heads(self) -> Iterator[Head]:
        """Yield the head of every row."""
        for row in self._rows(HEAD_COLUMNS, _HEADS_AT_ONCE):
            yield head_of(row, self.name)

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the records at these places. Raises UsageError if the folder has changed since."""
        following = next(wanted, None)
        names = [column.name for column in COLUMNS]
        for place, row in enumerate(self._rows(names, _AT_ONCE)):
            if following is None:
                return
            if place == following[0]:
                if row["id"] != following[1]:
                    break
                yield decoded(row, self.name)
                following = next(wanted, None)
        if following is not None:
            raise UsageError(f"{self.name} was changed while it was read; do it again when that is over.")

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items; lists and objects are texts of JSON."""
        folder = self._folder / ITEMS
        for path in sorted(folder.glob("*.parquet")):
            for row in _rows_of(path, None, frozenset(ITEM_KEYS), ITEMS_AT_ONCE):
                yield item_of(row)
        for path in self._logs:
            # The items of pages that are in no file yet.
            if path.exists():
                yield from _items_of(path)

    def _rows(self, names: Sequence[str], at_once: int) -> Iterator[Mapping[str, Any]]:
        self._share = 0.0
        for number, path in enumerate(self._files, 1):
            yield from _rows_of(path, names, NEEDED, at_once)
            self._share = number / len(self._files)
        for path in self._logs:
            # That of a run under way may have become a file since.
            if path.exists():
                for _, row in entries_of(path):
                    yield row


def _items_of(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the items in a log. Raises UsageError."""
    try:
        for item in items_in(log):
            yield item_of({name: item[name] for name in ITEM_KEYS} | item)
    except KeyError as error:
        raise unreadable(log, f"an item has no {error}") from None
    except (OSError, TypeError, ValueError) as error:
        raise unreadable(log, getattr(error, "strerror", None) or str(error)) from None


def _rows_of(
    path: Path, names: Sequence[str] | None, needed: frozenset[str], at_once: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file; of all columns where `names` is None. Raises UsageError."""
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.names
            if not set(found) >= needed:
                raise UsageError(f"{path} has no columns {', '.join(sorted(needed))}; leave it out.")
            kept = [name for name in found if names is None or name in names]
            for batch in file.iter_batches(batch_size=at_once, columns=kept):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, " ".join(str(error).split())[:_WHY_CHARS]) from None
