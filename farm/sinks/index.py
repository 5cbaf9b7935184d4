"""The sidecar of a log: key and end of every line, so that a log of 50 GB reopens without being read.

The sidecar is never trusted further than it can be checked, and never synced: it is written after the
lines are durable, and whatever a crash takes from it is read back from the log.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from operator import lt
from pathlib import Path

from farm.resources.files import opened

_ENTRY = struct.Struct("=16sQ")
_HEADER = b"farm-log-index-1".ljust(_ENTRY.size, b"\0")
_CHUNK = _ENTRY.size * 65_536


class LogIndex:
    """An append-only file of (key, end) entries; `length` counts them."""

    def __init__(self, path: Path) -> None:
        self._fd = opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.length = 0
        if os.pread(self._fd, len(_HEADER), 0) != _HEADER:
            self.clear()

    def cut_to(self, log_size: int) -> None:
        """Keep the entries that can be true for a log of this size, and cut off the others.

        Ends only grow: an entry that does not (zeros after a power cut) or lies behind the log's end
        makes everything after it worthless.
        """
        length = before = 0
        for chunk in self._chunks():
            ends = memoryview(chunk).cast("Q")[2::3].tolist()
            if before < ends[0] and ends[-1] <= log_size and all(map(lt, ends, ends[1:])):
                length += len(ends)
                before = ends[-1]
                continue
            for end in ends:
                if not before < end <= log_size:
                    break
                before = end
                length += 1
            break
        self.length = length
        os.ftruncate(self._fd, self._size)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the keys in the order of the lines."""
        for chunk in self._chunks():
            for at in range(0, len(chunk), _ENTRY.size):
                yield chunk[at : at + 16]

    def entry(self, number: int) -> tuple[bytes, int, int]:
        """Return key, start and end of a line by its number, from 0."""
        start = 0
        if number > 0:
            _, start = self._read(number - 1)
        key, end = self._read(number)
        return key, start, end

    def append(self, entries: Iterable[tuple[bytes, int]]) -> None:
        """Add entries; on a failure the file ends where it did."""
        packed = [_ENTRY.pack(key, end) for key, end in entries]
        try:
            write_all(self._fd, b"".join(packed))
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self.length += len(packed)

    def clear(self) -> None:
        """Forget everything."""
        os.ftruncate(self._fd, 0)
        write_all(self._fd, _HEADER)
        self.length = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    @property
    def _size(self) -> int:
        return len(_HEADER) + self.length * _ENTRY.size

    def _read(self, number: int) -> tuple[bytes, int]:
        key, end = _ENTRY.unpack(os.pread(self._fd, _ENTRY.size, len(_HEADER) + number * _ENTRY.size))
        return key, end

    def _chunks(self) -> Iterator[bytes]:
        at = len(_HEADER)
        while chunk := os.pread(self._fd, _CHUNK, at):
            at += len(chunk)
            # A torn last entry is left out; a chunk is whole entries otherwise.
            if whole := chunk[: len(chunk) - len(chunk) % _ENTRY.size]:
                yield whole


def write_all(fd: int, content: bytes) -> None:
    """Write everything: one call may take only a part (a disk nearly full, more than 2 GiB)."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
