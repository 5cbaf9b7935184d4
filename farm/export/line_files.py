"""Files of lines or rows as a source: JSONL and CSV, packed or not, with the finished files of a rotation.

What a killed run has torn at the end of a file, or a run under way has not ended yet, is no record.
"""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from farm.export.source import NEEDED, Head, StoredRecord, Wanted, from_row, item_of, rows_at, unreadable
from farm.export.stored_file import StoredFile
from farm.model.errors import UsageError
from farm.model.record import COLUMNS
from farm.resources.installation import install_command

LONGEST_LINE = 1 << 28
"""The most bytes of a record: a page has a few megabytes."""
_TYPES = {column.name: column.type for column in COLUMNS}
_BOOLEANS = {"true": True, "false": False}
_OF_ITEMS = frozenset({"_id", "_page_id", "_url", "_fetched_at"})
Decode = Callable[[bytes], StoredRecord]
"""Returns the record of a line, or raises ValueError."""


class LineFiles:
    """The records of files in this order, and the items of others.

    If the only file has items, its pages are those that the items name.
    """

    def __init__(
        self, name: str, folder: Path, files: Sequence[StoredFile], items: Sequence[StoredFile] = ()
    ) -> None:
        self.name = name
        self.folder = folder
        self._files = files
        self._items = items
        self._numbers = {file: number for number, file in enumerate(files)}
        self._counts: list[int] = []
        self._reading: tuple[int, int, BinaryIO | None] = (0, 0, None)
        if not items and len(files) == 1 and is_of_items(files[0]):
            self._items = files

    @property
    def share(self) -> float:
        """How much of its files was read."""
        number, size_bytes, raw = self._reading
        if raw is None or raw.closed:
            return 0.0
        within = raw.tell() / max(1, size_bytes)
        return min(1.0, (number + within) / max(1, len(self._files)))

    def heads(self) -> Iterator[Head]:
        """Yield the head of every record."""
        self._counts = []
        for file in self._files:
            if self._items == self._files:
                yield from self._heads_of_items(file)
                continue
            number = 0
            for number, record in self._entries(file):
                head = Head.of(record)
                if head is None:
                    raise UsageError(f"{file}: line {number} is not a record of a page.")
                yield head
            self._counts.append(number)

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the records at these places. Raises UsageError where a file has changed since."""
        return rows_at(self._files, self._counts, wanted, self._objects, self.name)

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items."""
        for file in self._items:
            for number, item in self._entries(file):
                if not isinstance(item.get("_page_id"), str) or not isinstance(item.get("_id"), str):
                    raise UsageError(f"{file}: line {number} is not an item.")
                yield item

    def _heads_of_items(self, file: StoredFile) -> Iterator[Head]:
        for number, item in self._entries(file):
            of_page = {"id": "_page_id", "url": "_url", "fetched_at": "_fetched_at"}
            head = Head.of({name: item.get(key) for name, key in of_page.items()})
            if head is None:
                raise UsageError(f"{file}: line {number} is not an item.")
            yield head

    def _objects(self, file: StoredFile) -> Iterator[StoredRecord]:
        return (record for _, record in self._entries(file))

    def _entries(self, file: StoredFile) -> Iterator[tuple[int, StoredRecord]]:
        with _unpacked(file) as (raw, unpacked):
            size_bytes = raw.seek(0, os.SEEK_END)
            raw.seek(0)
            self._reading = (self._numbers.get(file, 0), size_bytes, raw)
            yield from _decoded(file, unpacked)


def entries_of(file: StoredFile) -> Iterator[tuple[int, StoredRecord]]:
    """Yield the objects of a file of lines with their numbers from 1, as far as they are whole."""
    with _unpacked(file) as (_, unpacked):
        yield from _decoded(file, unpacked)


def _decoded(file: StoredFile, unpacked: BinaryIO) -> Iterator[tuple[int, StoredRecord]]:
    read = _rows(file, unpacked) if _is_csv(file) else _lines(file, unpacked)
    for number, (line, decode) in enumerate(read, 1):
        try:
            record = decode(line)
        except ValueError:
            raise UsageError(f"{file}: line {number} is not a record of a page.") from None
        yield number, record


def is_of_items(file: StoredFile) -> bool:
    """Return whether the first line of a file is an item."""
    with _unpacked(file) as (_, unpacked):
        for line, decode in _rows(file, unpacked) if _is_csv(file) else _lines(file, unpacked):
            try:
                return "_page_id" in decode(line)
            except ValueError:
                return False
    return False


def _is_csv(file: StoredFile) -> bool:
    return ".csv" in Path(file.name).suffixes[-2:]


@contextmanager
def _unpacked(file: StoredFile) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file for reading; gives the file itself and what it is unpacked. Raises UsageError."""
    with file.open() as raw:
        yield raw, _opened(file, raw)


def _opened(file: StoredFile, raw: BinaryIO) -> Any:
    if file.name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)
    if not file.name.endswith(".zst"):
        return raw
    zstd = zstd_module()
    if zstd is None:
        raise UsageError(f"{file} needs a package; install it with {install_command('zstd')}.")
    return zstd.ZstdFile(raw)


def zstd_module() -> Any:
    """Return the library of Zstandard, or None if it is not installed."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore] # from Python 3.14 on
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            return None
    return zstd


def _whole_lines(file: StoredFile, unpacked: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that end, to the first torn one."""
    errors = (OSError, zlib.error, *([zstd.ZstdError] if (zstd := zstd_module()) else []))
    while True:
        try:
            line = unpacked.readline(LONGEST_LINE)
        except EOFError:
            # The last member or frame is torn.
            return
        except errors as error:
            raise unreadable(file, str(getattr(error, "strerror", None) or error)) from None
        if len(line) == LONGEST_LINE:
            raise unreadable(file, f"a line has more than {LONGEST_LINE:,} bytes")
        if not line.endswith(b"\n"):
            return
        yield line


def _lines(file: StoredFile, unpacked: BinaryIO) -> Iterator[tuple[bytes, Decode]]:
    for line in _whole_lines(file, unpacked):
        yield line, _object


def _object(line: bytes) -> StoredRecord:
    record = orjson.loads(line)
    if not isinstance(record, dict):
        raise ValueError("no object")  # noqa: TRY004 - as what is not JSON
    return record


def _rows(file: StoredFile, unpacked: BinaryIO) -> Iterator[tuple[bytes, Decode]]:
    """Yield the rows below the header, which may have newlines between quotes."""
    names: list[str] = []
    parts: list[bytes] = []
    quotes = size = 0
    for line in _whole_lines(file, unpacked):
        parts.append(line)
        quotes += line.count(b'"')
        size += len(line)
        if size > LONGEST_LINE:
            raise unreadable(file, f"a row has more than {LONGEST_LINE:,} bytes")
        if quotes % 2:
            continue
        row = b"".join(parts)
        parts, quotes, size = [], 0, 0
        if not names:
            names = _header(file, row)
            continue
        yield row, partial(_record, names)


def _header(file: StoredFile, row: bytes) -> list[str]:
    try:
        names = [text or "" for text in _cells(row.removeprefix(b"\xef\xbb\xbf"))]
    except ValueError:
        names = []
    if not set(names) >= NEEDED and not set(names) >= _OF_ITEMS:
        raise UsageError(f"{file} has no header with {', '.join(sorted(NEEDED))}; give another file.")
    return names


def _record(names: Sequence[str], line: bytes) -> StoredRecord:
    cells = _cells(line)
    if len(cells) != len(names):
        raise ValueError("another number of fields than the header")
    row = {name: _typed(cell, name) for name, cell in zip(names, cells, strict=True)}
    return item_of(row) if row.keys() >= _OF_ITEMS else from_row(row)


def _cells(row: bytes) -> list[str | None]:
    """Return the fields of a row; None for one that is empty without quotes."""
    text = row.decode("utf-8").removesuffix("\n").removesuffix("\r")
    cells: list[str | None] = []
    at = 0
    while True:
        if text.startswith('"', at):
            end = _closing_quote(text, at + 1)
            cells.append(text[at + 1 : end].replace('""', '"'))
            end += 1
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            cells.append(text[at:end] or None)
        if end == len(text):
            return cells
        if text[end] != ",":
            raise ValueError("a quote in the midst of a field")
        at = end + 1


def _closing_quote(text: str, at: int) -> int:
    """Return where a quoted field ends; two quotes are one of the text."""
    at = text.find('"', at)
    while text.startswith('""', at):
        at = text.find('"', at + 2)
    if at < 0:
        raise ValueError("a quote without an end")
    return at


def _typed(cell: str | None, name: str) -> Any:
    kind = _TYPES.get(name)
    if cell is None or kind not in {"integer", "boolean"}:
        return cell
    if kind == "integer":
        return int(cell)
    if cell not in _BOOLEANS:
        raise ValueError("neither true nor false")
    return _BOOLEANS[cell]
