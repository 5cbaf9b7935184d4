"""Files of entries, each id once over any number of runs and crashes.

With `rotate_bytes` a file that has reached this size is renamed, `pages.jsonl` to `pages-000001.jsonl`, and
another is begun. A finished file may be moved away: its sidecar keeps its ids.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.resources.files import sync_folder
from farm.sinks.append_log import AppendLog, Revised, held
from farm.sinks.compaction import Stale, compact, index_draft
from farm.sinks.frames import Framing, framing_of
from farm.sinks.log_index import KEY_BYTES, AllKeys, LogIndex

_SUFFIXES = re.compile(r"(?:\.[A-Za-z0-9]{1,10})?(?:\.(?:gz|zst))?$")
_NUMBER = re.compile(r"-(\d{6,9})")


class LogFile(ABC):
    """The entries of the file at `path`; its sidecars are in `private`.

    `entry_key` of a subclass returns the key of an entry.
    """

    kind = ""
    header = b""

    def __init__(
        self,
        path: Path,
        private: Path,
        index: str = "",
        *,
        framing: Framing | None = None,
        rotate_bytes: int = 0,
    ) -> None:
        self.name = f"{self.kind}:{path}"
        self._option = "--output" if index else "--sink"
        self._path = self.path = path
        self._framing = framing or framing_of(path.name)
        self._rotate_bytes = rotate_bytes
        digest = blake2b(str(path).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        self._index_path = private / (index or f"sink-{digest}.index")
        self._keys = AllKeys()
        self._log: AppendLog | None = None
        self._finished_lines = 0
        self._lines_before = 0
        self._repeated: set[bytes] = set()

    @property
    def records(self) -> int:
        """How many records the file has, over all runs, finished files included."""
        return self._finished_lines + (self._log.lines if self._log is not None else 0)

    @property
    def written(self) -> int:
        """How many records were written since it was opened; existing ones are not written again."""
        return self.records - self._lines_before

    def has(self, key: bytes) -> bool:
        """Return whether a record is there already."""
        return key in self._keys

    @property
    def was_shortened(self) -> bool:
        """Whether somebody has made the open file shorter since it was written."""
        return self._log is not None and self._log.was_shortened

    @property
    def exists(self) -> bool:
        """Whether the file is there, or finished ones are: a rotation may have been cut off."""
        return self._path.exists() or bool(self._numbers())

    def cut_back(self, is_left_over: Callable[[bytes], bool]) -> None:
        """Cut off the last entries of the open file, as long as they are left over. Raises `OutputUnwritable`."""
        if self._log is None:
            raise AssertionError("the store is not open")
        for key in self._log.cut_back(is_left_over):
            if key in self._keys:
                self._keys.remove(key)

    @abstractmethod
    def entry_key(self, entry: bytes) -> bytes | None:
        """Return the key of a written entry; None if the farm has not written it."""

    def clear(self) -> None:
        """Remove the files of a crawl that is started anew.

        Raises `OutputUnwritable`, also if another crawl has the file as its sink and is writing to it.
        """
        numbers = [None, *self._numbers()]
        with held(self._path, self._option):
            # The sidecar first: a crash between the two leaves a log whose index is rebuilt.
            for path in (*map(self._index_of, numbers), *map(self._file_of, numbers)):
                remove(path)

    def open(self) -> None:
        """Open the file, and repair it after a crash. Raises `OutputUnwritable`."""
        self._keys, self._finished_lines, self._repeated = AllKeys(), 0, set()
        remove(index_draft(self._index_path))
        for number in self._numbers():
            remove(index_draft(self._index_of(number)))
            self._finished_lines += self._take_finished(number)
        self._log = self._opened(None)
        self._lines_before = self.records

    def write(self, group: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        """Write the entries with new ids durably. Raises `OutputUnwritable`."""
        if self._log is None:
            raise AssertionError("the store is not open")
        if 0 < self._rotate_bytes <= self._log.size_bytes:
            self._rotate(self._log)
        self._log.append([entry for entries in group for entry in entries])

    @property
    def repeated(self) -> AbstractSet[bytes]:
        """The keys of entries that a later revision replaces."""
        return self._repeated | (self._log.repeated if self._log is not None else set())

    @property
    def size_bytes(self) -> int:
        """The bytes of the existing files."""
        paths = [self._path, *map(self._file_of, self._numbers())]
        return sum(path.stat().st_size for path in paths if path.exists())

    def compact(self, stale: Stale) -> None:
        """Close the files, and remove replaced entries. Raises OSError, and `OutputUnwritable`.

        The files are closed also where it fails, and their records are counted as they were.
        """
        if self._log is None:
            raise OutputUnwritable(f"{self._path} is not open since its rotation has failed")
        with ExitStack() as closing:
            closing.callback(self._log.close)
            logs: list[AppendLog] = []
            for number in self._numbers():
                if self._file_of(number).exists():
                    # Not the keys of all files, by which each entry would be a repeated one.
                    logs.append(self._opened(number, AllKeys()))
                    closing.callback(logs[-1].close)
            logs.append(self._log)
            self._finished_lines, self._log = self.records, None
            self._finished_lines -= compact(logs, stale)

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._log.close()

    def _rotate(self, log: AppendLog) -> None:
        """Rename the file to its number, and start another. After a crash in between the sidecar is rebuilt."""
        number = max(self._numbers(), default=0) + 1
        # Whatever fails from here on, this log is not the file of its name any more.
        self._log = None
        self._finished_lines += log.lines
        self._repeated |= log.repeated
        try:
            self._path.rename(self._file_of(number))
            sync_folder(self._path.parent)
            self._index_path.rename(self._index_of(number))
        except OSError as error:
            raise OutputUnwritable(
                f"{self._path} cannot be renamed ({error.strerror}); check the folder's permissions"
            ) from error
        finally:
            # Locked until then: what another run added to it would have another name.
            log.close()
        self._log = self._opened(None)

    def _opened(self, number: int | None, keys: AllKeys | None = None) -> AppendLog:
        return AppendLog(
            self._file_of(number),
            self._index_of(number),
            self.entry_key,
            self._keys if keys is None else keys,
            self._option,
            framing=self._framing,
            header=self.header,
        )

    def _take_finished(self, number: int) -> int:
        """Load the ids of a finished file, or of its sidecar if the file was moved away; return how many."""
        if self._file_of(number).exists():
            log = self._opened(number)
            log.close()
            self._repeated |= log.repeated
            return log.lines
        try:
            index = LogIndex(self._index_of(number))
            index.cut_to(1 << 62)
            for key in index:
                if key not in self._keys:
                    self._keys.add(key)
            index.close()
        except OSError as error:
            raise OutputUnwritable(
                f"{self._index_of(number)} cannot be read ({error.strerror}); check its permissions"
            ) from error
        return index.length

    def _numbers(self) -> list[int]:
        """Return the numbers of the finished files, in order, those that were moved away included."""
        # Without rotation a file with such a name is not the farm's, unless it has a sidecar.
        patterns = (self._index_path, self._path) if self._rotate_bytes else (self._index_path,)
        names = [
            (pattern, name)
            for pattern in patterns
            if pattern.parent.is_dir()
            for name in os.listdir(pattern.parent)  # noqa: PTH208 - names are all that is needed
        ]
        found = set()
        for pattern, name in names:
            stem, suffix = name_parts(pattern.name)
            number = _NUMBER.fullmatch(name[len(stem) : len(name) - len(suffix)])
            if name.startswith(stem) and name.endswith(suffix) and number is not None:
                found.add(int(number[1]))
        return sorted(found)

    def _file_of(self, number: int | None) -> Path:
        return _numbered(self._path, number)

    def _index_of(self, number: int | None) -> Path:
        return _numbered(self._index_path, number)


class LogStore(LogFile):
    """A log file with an entry for each record, which `entry` of a subclass returns."""

    @abstractmethod
    def entry(self, record: Record) -> bytes:
        """Return a record in its written form. Raises `ValueError` or `RenderError` if it cannot be written."""

    def encode(self, batch: Batch) -> tuple[Sequence[tuple[bytes, bytes]], int]:
        """Return the entries of a batch with their keys, and their bytes.

        Raises `RenderError` of kind `corrupt` for a record that cannot be written.
        """
        entries = Revised.where(encoded(batch, self.entry), batch.records)
        return entries, sum(len(entry) for _, entry in entries)


def remove(path: Path) -> None:
    """Remove a file of a crawl that is started anew. Raises `OutputUnwritable`."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputUnwritable(
            f"{path} cannot be removed ({error.strerror}); check its permissions, or choose another --output."
        ) from None


def encoded(batch: Batch, entry: Callable[[Record], bytes]) -> list[tuple[bytes, bytes]]:
    """Return the entries of a batch with their keys. Raises `RenderError` of kind `corrupt`."""
    try:
        return [(_key(record), entry(record)) for record in batch.records]
    except ValueError as error:
        raise RenderError(FailureKind.CORRUPT, f"the record cannot be written as JSON ({error})") from error


def _key(record: Record) -> bytes:
    key = bytes.fromhex(record.id)
    if len(key) != KEY_BYTES:
        raise ValueError(f"the id {record.id} does not have {2 * KEY_BYTES} hex digits")
    return key


def name_parts(name: str) -> tuple[str, str]:
    """Return the parts of a file's name before and after its number: `pages` and `.jsonl.gz`."""
    found = _SUFFIXES.search(name)
    suffix = found[0] if found is not None else ""
    return name[: len(name) - len(suffix)], suffix


def _numbered(path: Path, number: int | None) -> Path:
    if number is None:
        return path
    stem, suffix = name_parts(path.name)
    return path.with_name(f"{stem}-{number:06d}{suffix}")
