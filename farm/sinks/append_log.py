"""An append-only log of lines or rows, each with a key, that survives a kill at any byte.

Invariants: once `append` has returned, the lines are on disk, each key once; after opening, the file ends with a
complete line, and everything in it is indexed. A file that is moved, removed or changed while it is open takes no
more lines, since nobody would find them. Only remains of a crash are ever cut off (a torn last line, zeros after a
power cut); a file with any other content belongs to somebody and is refused.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from farm.model.errors import OutputUnwritable
from farm.model.record import Record
from farm.resources.files import opened, sync_folder
from farm.sinks.frames import LINES, Framing
from farm.sinks.log_index import Keys, LogIndex, write_all

KeyOf = Callable[[bytes], bytes | None]
"""Returns the key of a line; None if the line has none."""


class Revised(tuple[bytes, bytes]):
    """Key and line of a later revision: it is appended though its key exists, and the earlier line goes later."""

    __slots__ = ()

    @classmethod
    def where(
        cls, entries: Sequence[tuple[bytes, bytes]], records: Sequence[Record]
    ) -> list[tuple[bytes, bytes]]:
        """Return the entries of these records, those of later revisions as such."""
        return [
            cls(entry) if record.fields.get("revision") else entry
            for entry, record in zip(entries, records, strict=True)
        ]


def fresh_of(entries: Iterable[tuple[bytes, bytes]], keys: Keys) -> dict[bytes, tuple[bytes, bytes]]:
    """Return the entries that are to be written by their keys, each key once.

    Of several with one key the first counts, unless there is a later revision: then the last of these.
    """
    fresh: dict[bytes, tuple[bytes, bytes]] = {}
    for entry in entries:
        if isinstance(entry, Revised) or (entry[0] not in fresh and entry[0] not in keys):
            fresh[entry[0]] = entry
    return fresh


@contextlib.contextmanager
def held(path: Path, option: str) -> Iterator[None]:
    """Keep others out of a log that is to be removed. Raises `OutputUnwritable` if a run is writing to it."""
    with contextlib.ExitStack() as closing:
        # What cannot be opened is removed, or not, by whoever asks.
        with contextlib.suppress(OSError):
            descriptor = opened(path, os.O_RDONLY | os.O_NONBLOCK)
            closing.callback(os.close, descriptor)
            _lock(descriptor, path, option)
        yield


def _lock(descriptor: int, path: Path, option: str) -> None:
    """Lock the file for writing: a second writer would not know the keys of the first."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputUnwritable(
            f"{path} is being written to by another run; wait for its end, or choose another {option}"
        ) from None


_SAMPLES = 32
_PENDING = 10_000
_LOOK_BYTES = 64
_CRASH_BYTES = 1 << 30
"""More than this is never cut off: no batch is so large, so no crash left it."""

# macOS has no fdatasync; a sync of the size too is what fdatasync does for a file that grew.
_sync = getattr(os, "fdatasync", os.fsync)


class AppendLog:
    """The log at `path` with its sidecar at `index_path`, for one thread at a time.

    `option` is the flag that names its place, for errors. The file begins with the `header`, which is not a line.
    """

    def __init__(
        self,
        path: Path,
        index_path: Path,
        key_of: KeyOf,
        keys: Keys,
        option: str = "--output",
        *,
        framing: Framing = LINES,
        header: bytes = b"",
    ) -> None:
        # Where it really is: a link on the way there may lead elsewhere later, and this log goes on where it was.
        self.path = path.parent.resolve() / path.name
        self.index_path = index_path
        self._key_of = key_of
        self._keys = keys
        self._option = option
        self._framing = framing
        self._header = header
        self._failure: str | None = None
        self.repeated: set[bytes] = set()
        """The keys of lines that follow another line with the same key and replace it."""
        with contextlib.ExitStack() as opening:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                index_path.parent.mkdir(parents=True, exist_ok=True)
                is_new = not path.exists()
                self._fd = opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
                opening.callback(os.close, self._fd)
                _lock(self._fd, self.path, self._option)
                if is_new:
                    sync_folder(path.parent)
                self._index = LogIndex(index_path)
                opening.callback(self._index.close)
                self._end = self._recover()
            except OSError as error:
                raise OutputUnwritable(self._error_text(error)) from error
            # Another run in this process may open what this one could not.
            self._opened = opening.pop_all()

    @property
    def lines(self) -> int:
        """How many lines the log has."""
        return self._index.length

    @property
    def size_bytes(self) -> int:
        """How large the file is."""
        return self._end

    @property
    def header_bytes(self) -> int:
        """The bytes before the first line."""
        return len(self._header)

    @property
    def was_shortened(self) -> bool:
        """Whether the file has become shorter since it was written."""
        return self._index.is_beyond

    def cut_back(self, is_left_over: Callable[[bytes], bool]) -> list[bytes]:
        """Cut the last lines off, as long as they are left over; return their keys.

        The keys stay in the set that the log was opened with. Raises `OutputUnwritable`.
        """
        keys: list[bytes] = []
        end = self._end
        while len(keys) < self._index.length:
            key, start, _ = self._index.entry(self._index.length - 1 - len(keys))
            start = start or len(self._header)
            line = self._framing.unpack(os.pread(self._fd, end - start, start))
            if line is None or not is_left_over(line):
                break
            keys.append(key)
            end = start
        try:
            if keys:
                os.ftruncate(self._fd, end)
                _sync(self._fd)
                self._index.cut_to(end)
                self._end = end
        except OSError as error:
            raise OutputUnwritable(self._error_text(error)) from error
        return keys

    def sync_index(self) -> None:
        """Make the sidecar durable, if it outlives the log. Raises OSError."""
        self._index.sync()

    def append(self, entries: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Write the lines with new keys durably; return these keys. Raises `OutputUnwritable`.

        A failure cuts the log back to its last good line, and no line is taken after it: what a failed
        sync has left in the system's cache cannot be known. Raises OutputUnwritable.
        """
        if self._failure is not None:
            raise OutputUnwritable(self._failure)
        fresh = {key: self._framing.pack(line) for key, line in fresh_of(entries, self._keys).values()}
        if not fresh:
            return []
        ends: list[tuple[bytes, int]] = []
        end = self._end
        for key, line in fresh.items():
            end += len(line)
            ends.append((key, end))
        if os.fstat(self._fd).st_size != self._end:
            # Not cut back: another program may have added lines.
            raise self._disturbed()
        try:
            write_all(self._fd, b"".join(fresh.values()))
            _sync(self._fd)
            # Checked last: confirmed lines must be in the file that readers open.
            if not self._is_in_place():
                raise self._disturbed()
            self._index.append(ends)
        except OSError as error:
            self._failure = self._error_text(error)
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            raise OutputUnwritable(self._failure) from error
        self._end = end
        for key in fresh:
            self._take(key)
        return list(fresh)

    def entries(self) -> Iterator[tuple[bytes, Callable[[], bytes]]]:
        """Yield the key of each line, and a function that reads the line."""
        start = len(self._header)
        for key, end in self._index.entries():
            yield key, partial(self._read, start, end)
            start = end

    def _read(self, start: int, end: int) -> bytes:
        return self._framing.unpack(os.pread(self._fd, end - start, start)) or b""

    def _take(self, key: bytes) -> None:
        if key in self._keys:
            self.repeated.add(key)
        else:
            self._keys.add(key)

    def hold(self) -> int:
        """Return a descriptor that keeps the file locked after `close`, until it is closed itself."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Close the files."""
        self._opened.close()
        # Another file may get its number.
        self._fd = -1

    def _is_in_place(self) -> bool:
        """Whether the open file still has the log's name."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _disturbed(self) -> OutputUnwritable:
        self._failure = (
            f"{self.path} was moved, removed or changed while the farm was writing to it; "
            "leave the files of a crawl alone until it has ended, and start it again"
        )
        return OutputUnwritable(self._failure)

    def _recover(self) -> int:
        size = self._size_with_header()
        self._index.cut_to(size)
        end = len(self._header)
        if not self._index_is_valid():
            self._index.clear()
        elif self._index.length:
            for key in self._index:
                self._take(key)
            _, _, end = self._index.entry(self._index.length - 1)
        return self._index_tail(end, size)

    def _size_with_header(self) -> int:
        """Return the size of the file, which gets its header where it is empty or has a torn one."""
        size = os.fstat(self._fd).st_size
        found = os.pread(self._fd, len(self._header) + 1, 0)
        if found.startswith(self._header):
            return size
        if not self._header.startswith(found.rstrip(b"\0")):
            raise OutputUnwritable(self._foreign(0))
        os.ftruncate(self._fd, 0)
        write_all(self._fd, self._header)
        _sync(self._fd)
        return len(self._header)

    def _index_is_valid(self) -> bool:
        """Check the sidecar against lines of the log: first, last and some between."""
        count = self._index.length
        for number in {*range(0, count, max(1, count // _SAMPLES)), *range(max(0, count - 1), count)}:
            key, start, end = self._index.entry(number)
            start = start or len(self._header)
            line = self._framing.unpack(os.pread(self._fd, end - start, start))
            if line is None or self._key_of(line) != key:
                return False
        return True

    def _index_tail(self, start: int, size: int) -> int:
        """Index the lines that the sidecar lacks, and cut off remains of a crash; return the end."""
        end = start
        pending: list[tuple[bytes, int]] = []
        with self.path.open("rb") as log:
            log.seek(start)
            for line, frame_bytes in self._framing.whole(log):
                key = self._key_of(line)
                if key is None:
                    raise OutputUnwritable(self._foreign(end))
                end += frame_bytes
                self._take(key)
                pending.append((key, end))
                if len(pending) >= _PENDING:
                    self._index.append(pending)
                    pending.clear()
        if end < size:
            rest = os.pread(self._fd, min(size - end, _LOOK_BYTES), end)
            if size - end > _CRASH_BYTES or not self._framing.may_be_torn(rest, end):
                raise OutputUnwritable(self._foreign(end))
            os.ftruncate(self._fd, end)
        if end > start or end < size:
            # Lines that were written but not synced when the process died count as durable from now on.
            _sync(self._fd)
            self._index.append(pending)
        return end

    def _foreign(self, at: int) -> str:
        return (
            f"{self.path} has content at byte {at} that the farm did not write; "
            f"move the file away or choose another {self._option}"
        )

    def _error_text(self, error: OSError) -> str:
        return (
            f"{self.path} cannot be written ({error.strerror or error}); "
            f"free some space and check its permissions, or choose another {self._option}"
        )
