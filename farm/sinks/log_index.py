"""The index of a log: its keys in memory, and a sidecar file of keys and ends of lines.

With the sidecar a log of 50 GB reopens without being read. The sidecar is never trusted further than it can be
checked, and never synced: it is written after the lines are durable, and what a crash takes from it is read back
from the log. A key is 16 bytes that end in bytes of a cryptographic digest, so that its last ones spread evenly.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from operator import lt
from pathlib import Path
from typing import Protocol

from farm.resources.files import opened

_ENTRY = struct.Struct("=16sQ")
_HEADER = b"farm-log-index-1".ljust(_ENTRY.size, b"\0")
_CHUNK = _ENTRY.size * 65_536


class LogIndex:
    """An append-only file of (key, end) entries; `length` counts them.

    `is_beyond` says that `cut_to` found an entry beyond the log's end: the log has become shorter.
    """

    def __init__(self, path: Path) -> None:
        self._fd = opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self.length = 0
        self.is_beyond = False
        try:
            if os.pread(self._fd, len(_HEADER), 0) != _HEADER:
                self.clear()
        except OSError:
            os.close(self._fd)
            raise

    def cut_to(self, log_size: int) -> None:
        """Keep the entries that are possible for a log of this size, and cut off the others.

        Ends only grow: an entry that does not (zeros after a power cut), or is beyond the end of the log,
        invalidates all entries after it.
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
                    self.is_beyond = end > log_size
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

    def entries(self) -> Iterator[tuple[bytes, int]]:
        """Yield key and end of each line, in the order of the lines."""
        for chunk in self._chunks():
            yield from _ENTRY.iter_unpack(chunk)

    def entry(self, number: int) -> tuple[bytes, int, int]:
        """Return key, start and end of a line by its number, from 0."""
        start = 0
        if number > 0:
            _, start = self._read(number - 1)
        key, end = self._read(number)
        return key, start, end

    def append(self, entries: Iterable[tuple[bytes, int]]) -> None:
        """Add entries; a failure leaves the file unchanged."""
        packed = [_ENTRY.pack(key, end) for key, end in entries]
        try:
            write_all(self._fd, b"".join(packed))
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self.length += len(packed)

    def clear(self) -> None:
        """Remove all entries."""
        os.ftruncate(self._fd, 0)
        write_all(self._fd, _HEADER)
        self.length = 0

    def sync(self) -> None:
        """Sync the entries to disk. Raises OSError."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
        self._fd = -1

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
            # A torn last entry is left out; a chunk has complete entries otherwise.
            if whole := chunk[: len(chunk) - len(chunk) % _ENTRY.size]:
                yield whole


def write_all(fd: int, content: bytes) -> None:
    """Write all bytes: one call may write only a part (a disk nearly full, more than 2 GiB)."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


KEY_BYTES = 16
_REST_BYTES = KEY_BYTES - 2
_BUCKETS = 1 << 16


class Keys(Protocol):
    """A set of keys that a log checks before it writes."""

    def __contains__(self, key: bytes) -> bool:
        """Return whether the log is known to have a line with this key."""
        ...

    def add(self, key: bytes) -> None:
        """Add a key that was not there."""
        ...


class AllKeys:
    """Every key, exactly, in about 18 bytes each: a tenth of a set of byte strings.

    The last two bytes of a key choose a bucket, which holds the other fourteen end to end. A search in
    one is a substring search in C over some hundred bytes; nothing is ever rehashed, so that a crawl of
    ten million pages has no pause in which a table grows.
    """

    def __init__(self) -> None:
        self._buckets: list[bytearray | None] = [None] * _BUCKETS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: bytes) -> bool:
        bucket = self._buckets[key[-2] << 8 | key[-1]]
        return bucket is not None and _place(bucket, key) >= 0

    def add(self, key: bytes) -> None:
        """Add a key that was not there."""
        place = key[-2] << 8 | key[-1]
        bucket = self._buckets[place]
        if bucket is None:
            self._buckets[place] = bytearray(key[:-2])
        else:
            bucket += key[:-2]
        self._count += 1

    def remove(self, key: bytes) -> None:
        """Remove a key that is there."""
        bucket = self._buckets[key[-2] << 8 | key[-1]]
        if bucket is None or (at := _place(bucket, key)) < 0:
            raise KeyError(key)
        del bucket[at : at + _REST_BYTES]
        self._count -= 1


def _place(bucket: bytearray, key: bytes) -> int:
    rest = key[:-2]
    at = bucket.find(rest)
    # A match across the border of two keys is none.
    while at >= 0 and at % _REST_BYTES:
        at = bucket.find(rest, at + 1)
    return at


class RecentKeys:
    """The latest keys, in bounded memory: at least half of `capacity`, at most all of it.

    For a log in which a repeated line after a long while does no harm.
    """

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young = AllKeys()
        self._old = AllKeys()

    def __contains__(self, key: bytes) -> bool:
        return key in self._young or key in self._old

    def add(self, key: bytes) -> None:
        """Add a key that was not there; drop the oldest half when there are too many."""
        self._young.add(key)
        if len(self._young) >= self._half:
            self._old, self._young = self._young, AllKeys()
