"""Files that sources are read from, each as often as it takes: on this machine, or in an object store."""

import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from farm.export.source import unreadable
from farm.model.errors import UsageError

if TYPE_CHECKING:
    from farm.sinks.object_store import ObjectReader

_BLOCK_BYTES, _COLUMN_BYTES = 4 * 2**20, 1 << 16
"""As much of an object is asked for at once where it is read from its beginning on, and where it is of columns."""
_PART_BYTES = 32 * 2**20
"""As much at most, where a reader asks for more."""


class StoredFile(Protocol):
    """A file; as a text it is what messages call it."""

    @property
    def name(self) -> str:
        """Its name without the folder; the endings say what is in it."""
        ...

    def open(self) -> BinaryIO:
        """Return it opened for reading. Raises UsageError, and so does whoever reads an object."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.path.name

    def open(self) -> BinaryIO:
        """Return it opened for reading. Raises UsageError, also where it is no regular file."""
        try:
            # Opening a pipe would wait for its writer.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise unreadable(self.path, error.strerror or str(error)) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UsageError(f"{self.path} is not a file that can be read twice; write it to a file first.")
        return os.fdopen(descriptor, "rb")


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object, of which a few megabytes at a time are in memory."""

    reader: "ObjectReader"
    path: str
    size_bytes: int

    def __str__(self) -> str:
        return self.reader.url_of(self.path)

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.path.rpartition("/")[2]

    def open(self) -> BinaryIO:
        """Return it opened for reading: what is asked for is fetched then."""
        block_bytes = _COLUMN_BYTES if self.name.endswith(".parquet") else _BLOCK_BYTES
        return io.BufferedReader(_Parts(self.reader, self.path, self.size_bytes), block_bytes)


def objects(reader: "ObjectReader", folder: str = "") -> list[ObjectFile]:
    """Return the objects below a reader's URL, or in a folder there, by their names. Raises UsageError."""
    return [ObjectFile(reader, path, size) for path, size in reader.sizes(folder).items()]


def that_end_in(files: Sequence[ObjectFile], *endings: str) -> list[ObjectFile]:
    """Return those of the files whose names end so."""
    return [file for file in files if file.name.endswith(endings)]


class _Parts(io.RawIOBase):
    """An object as a file without a buffer: each read is a request."""

    def __init__(self, reader: "ObjectReader", path: str, size_bytes: int) -> None:
        super().__init__()
        self._reader = reader
        self._path = path
        self._size_bytes = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer).cast("B")
        end = min(self._at + min(len(into), _PART_BYTES), self._size_bytes)
        if end <= self._at:
            return 0
        content = self._reader.part(self._path, self._at, end)
        into[: len(content)] = content
        self._at = end
        return len(content)
