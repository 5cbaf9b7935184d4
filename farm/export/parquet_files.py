"""Parquet files as a source: those of a folder, or of an object store."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from farm.export.source import (
    HEAD_COLUMNS,
    NEEDED,
    Head,
    StoredRecord,
    Wanted,
    item_of,
    rows_at,
    unreadable,
)
from farm.export.stored_file import LocalFile, StoredFile
from farm.export.tables import ITEMS_AT_ONCE, decoded, head_of
from farm.model.errors import UsageError
from farm.model.record import COLUMNS, ITEM_KEYS
from farm.sinks.item_values import ITEMS

_HEADS_AT_ONCE = 10_000
_WHY_CHARS = 200
_AT_ONCE = 100
_AT_ONCE_BYTES = 32 * 2**20
"""Rows that are in memory at once, and about their bytes: a page may have megabytes."""


class ParquetFiles:
    """The rows of files in this order, and the items of others."""

    def __init__(
        self, name: str, folder: Path, files: Sequence[StoredFile], items: Sequence[StoredFile] = ()
    ) -> None:
        self.name = name
        self.folder = folder
        self._files = files
        self._items = items
        self._numbers = {file: number for number, file in enumerate(files)}
        self._share = 0.0
        self._counts: list[int] = []

    @property
    def share(self) -> float:
        """How much of its files was read."""
        return self._share

    def heads(self) -> Iterator[Head]:
        """Yield the head of every row."""
        self._counts = []
        for file in self._files:
            count = 0
            for row in self._read(file, HEAD_COLUMNS, _HEADS_AT_ONCE):
                count += 1
                yield head_of(row, self.name)
            self._counts.append(count)

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the records at these places. Raises UsageError where a file has changed since."""
        names = [column.name for column in COLUMNS]
        for row in rows_at(
            self._files,
            self._counts,
            wanted,
            lambda file: self._read(file, names, _AT_ONCE),
            self.name,
        ):
            yield decoded(row, self.name)

    def _read(self, file: StoredFile, names: Sequence[str], at_once: int) -> Iterator[StoredRecord]:
        self._share = self._numbers[file] / len(self._files)
        return _rows_of(file, names, NEEDED, at_once)

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items; lists and objects are texts of JSON."""
        for file in self._items:
            for row in _rows_of(file, None, frozenset(ITEM_KEYS), ITEMS_AT_ONCE):
                yield item_of(row)


def files_in(folder: Path) -> ParquetFiles:
    """Return the files of a folder by their names, with the items in the folder `items` there."""
    files, items = (
        [LocalFile(path) for path in sorted(place.glob("*.parquet"))] for place in (folder, folder / ITEMS)
    )
    return ParquetFiles(str(folder), folder.parent, files, items)


def _rows_of(
    stored: StoredFile, names: Sequence[str] | None, needed: frozenset[str], at_once: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file; of all columns where `names` is None. Raises UsageError."""
    try:
        # What is read beforehand would be all of the file.
        with stored.open() as opened, pq.ParquetFile(opened, pre_buffer=False) as file:
            found = file.schema_arrow.names
            if not set(found) >= needed:
                raise UsageError(f"{stored} has no columns {', '.join(sorted(needed))}; leave it out.")
            kept = [name for name in found if names is None or name in names]
            if names != HEAD_COLUMNS:
                at_once = max(1, min(at_once, _AT_ONCE_BYTES // max(1, _row_bytes(file.metadata))))
            for batch in file.iter_batches(batch_size=at_once, columns=kept):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise unreadable(stored, " ".join(str(error).split())[:_WHY_CHARS]) from None


def _row_bytes(about: Any) -> int:
    """Return the bytes of a row, on average over the row group whose rows are the longest."""
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    return max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
