"""Files of lines or rows as a source: JSONL and CSV, packed or not, with the finished files of a rotation.

What a killed run has torn at the end of a file, or a run under way has not ended yet, is no record.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from farm.export.source import NEEDED, Head, StoredRecord, Wanted, from_row, item_of, unreadable
from farm.model.errors import UsageError
from farm.model.record import COLUMNS

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

    def __init__(self, name: str, files: Sequence[Path], items: Sequence[Path] = ()) -> None:
        self.name = name
        self.folder = files[0].parent
        self._files = files
        self._items = items
        self._reading: tuple[int, BinaryIO | None] = (0, None)
        if not items and len(files) == 1 and is_of_items(files[0]):
            self._items = files

    @property
    def share(self) -> float:
        """How much of its files was read."""
        number, raw = self._reading
        if raw is None or raw.closed:
            return 0.0
        within = raw.tell() / max(1, os.fstat(raw.fileno()).st_size)
        return min(1.0, (number + within) / max(1, len(self._files)))

    def heads(self) -> Iterator[Head]:
        """Yield the head of every record."""
        for path in self._files:
            if self._items == self._files:
                yield from self._heads_of_items(path)
                continue
            for number, record in self._entries(path):
                head = Head.of(record)
                if head is None:
                    raise UsageError(f"{path}: line {number} is not a record of a page.")
                yield head

    def records(self, wanted: Wanted) -> Iterator[StoredRecord]:
        """Yield the records at these places. Raises UsageError where a file has changed since."""
        place = -1
        following = next(wanted, None)
        for path in self._files:
            for _, record in self._entries(path):
                if following is None:
                    return
                place += 1
                if place == following[0]:
                    if record.get("id") != following[1]:
                        break
                    yield record
                    following = next(wanted, None)
        if following is not None:
            raise UsageError(f"{self.name} was changed while it was read; do it again when that is over.")

    def items(self) -> Iterator[StoredRecord]:
        """Yield the items."""
        for path in self._items:
            for number, item in self._entries(path):
                if not isinstance(item.get("_page_id"), str) or not isinstance(item.get("_id"), str):
                    raise UsageError(f"{path}: line {number} is not an item.")
                yield item

    def _heads_of_items(self, path: Path) -> Iterator[Head]:
        for number, item in self._entries(path):
            of_page = {"id": "_page_id", "url": "_url", "fetched_at": "_fetched_at"}
            head = Head.of({name: item.get(key) for name, key in of_page.items()})
            if head is None:
                raise UsageError(f"{path}: line {number} is not an item.")
            yield head

    def _entries(self, path: Path) -> Iterator[tuple[int, StoredRecord]]:
        with _unpacked(path) as (raw, file):
            self._reading = (self._files.index(path) if path in self._files else 0, raw)
            yield from _decoded(path, file)


def entries_of(path: Path) -> Iterator[tuple[int, StoredRecord]]:
    """Yield the objects of a file of lines with their numbers from 1, as far as they are whole."""
    with _unpacked(path) as (_, file):
        yield from _decoded(path, file)


def _decoded(path: Path, file: BinaryIO) -> Iterator[tuple[int, StoredRecord]]:
    read = _rows(path, file) if _is_csv(path) else _lines(path, file)
    for number, (line, decode) in enumerate(read, 1):
        try:
            record = decode(line)
        except ValueError:
            raise UsageError(f"{path}: line {number} is not a record of a page.") from None
        yield number, record


def is_of_items(path: Path) -> bool:
    """Return whether the first line of a file is an item."""
    with _unpacked(path) as (_, file):
        for line, decode in _rows(path, file) if _is_csv(path) else _lines(path, file):
            try:
                return "_page_id" in decode(line)
            except ValueError:
                return False
    return False


def _is_csv(path: Path) -> bool:
    return ".csv" in path.suffixes[-2:]


def open_file(path: Path) -> BinaryIO:
    """Return a file opened for reading. Raises UsageError, also where it is no regular file."""
    try:
        # Opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"{path} is not a file that can be read twice; write it to a file first.")
    return os.fdopen(descriptor, "rb")


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file for reading; gives the file itself and what it is unpacked. Raises UsageError."""
    with open_file(path) as raw:
        yield raw, _opened(path, raw)


def _opened(path: Path, raw: BinaryIO) -> Any:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if path.suffix != ".zst":
        return raw
    zstd = zstd_module()
    if zstd is None:
        raise UsageError(f"{path} needs a package; install it with `pip install 'crawl-farm[zstd]'`.")
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


def _whole_lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that end, to the first torn one."""
    errors = (OSError, zlib.error, *([zstd.ZstdError] if (zstd := zstd_module()) else []))
    while True:
        try:
            line = file.readline(LONGEST_LINE)
        except EOFError:
            # The last member or frame is torn.
            return
        except errors as error:
            raise unreadable(path, str(getattr(error, "strerror", None) or error)) from None
        if len(line) == LONGEST_LINE:
            raise unreadable(path, f"a line has more than {LONGEST_LINE:,} bytes")
        if not line.endswith(b"\n"):
            return
        yield line


def _lines(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, Decode]]:
    for line in _whole_lines(path, file):
        yield line, _object


def _object(line: bytes) -> StoredRecord:
    record = orjson.loads(line)
    if not isinstance(record, dict):
        raise ValueError("no object")  # noqa: TRY004 - as what is not JSON
    return record


def _rows(path: Path, file: BinaryIO) -> Iterator[tuple[bytes, Decode]]:
    """Yield the rows below the header, which may have newlines between quotes."""
    names: list[str] = []
    parts: list[bytes] = []
    quotes = size = 0
    for line in _whole_lines(path, file):
        parts.append(line)
        quotes += line.count(b'"')
        size += len(line)
        if size > LONGEST_LINE:
            raise unreadable(path, f"a row has more than {LONGEST_LINE:,} bytes")
        if quotes % 2:
            continue
        row = b"".join(parts)
        parts, quotes, size = [], 0, 0
        if not names:
            names = _header(path, row)
            continue
        yield row, partial(_record, names)


def _header(path: Path, row: bytes) -> list[str]:
    try:
        names = [text or "" for text in _cells(row.removeprefix(b"\xef\xbb\xbf"))]
    except ValueError:
        names = []
    if not set(names) >= NEEDED and not set(names) >= _OF_ITEMS:
        raise UsageError(f"{path} has no header with {', '.join(sorted(NEEDED))}; give another file.")
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
