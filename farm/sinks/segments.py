"""Stores of segments: files of many records each, whole or not there at all, whose format cannot be appended to.

Records go to a log first, synced like any other sink; when it has enough of them it becomes a segment: written as
a draft, synced, put in its place, and only then is the log removed. The number of the log is that of its segment,
so that the names alone say after a kill what was done: a log whose segment is there is left over, any other goes
on. An id stands once in all segments of an output folder, by whatever node names: their ids are in sidecars, and
are read back where one of the node's own is missing. The items of pages are in the log with them, and become a
segment of the same number in the folder `items`.
"""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from farm.model.errors import FarmError, OutputUnwritable
from farm.model.record import Batch
from farm.resources.files import create_anew, sync_folder
from farm.sinks.append_log import AppendLog, Revised
from farm.sinks.item_values import ITEMS
from farm.sinks.log_index import AllKeys, LogIndex
from farm.sinks.log_items import items_in
from farm.sinks.places import DRAFT_SUFFIX, SegmentPlace
from farm.sinks.segment_format import SegmentFormat
from farm.sinks.store import StoreAway

_PART = re.compile(r"\.?(part-[A-Za-z0-9._-]{1,200}-)([0-9]{6,18})(\.[a-z.]{1,20})")
_ITEMS_DRAFT = f".items{DRAFT_SUFFIX}"
_NO_END = 1 << 62


class SegmentStore:
    """The segments `part-NODE-NNNNNN` of one node at a place.

    The log is in the folder `logs`, and what says which ids are in a segment in `sidecars`; they may be one.
    """

    def __init__(
        self, name: str, form: SegmentFormat, place: SegmentPlace, logs: Path, sidecars: Path, node: str
    ) -> None:
        self.name = name
        self._form = form
        self._place = place
        self._sidecars = sidecars
        self._logs = logs
        self._node = node
        self._stem = ""
        # A log that is itself the segment has the segment's suffix, so that its format is obvious.
        self._hidden = "" if form.converter is None else "."
        self._log_suffix = f"{form.suffix}{DRAFT_SUFFIX}" if form.converter is None else ".log"
        self._keys = AllKeys()
        self._log: AppendLog | None = None
        self._made: Path | None = None
        self._is_sealed = False
        self._since = math.inf
        self._number = 0
        self._before = 0

    @property
    def records(self) -> int:
        """How many records the segments and the log of this output folder have, over all runs."""
        return len(self._keys)

    @property
    def written(self) -> int:
        """How many records were written since it was opened; existing ones are not written again."""
        return len(self._keys) - self._before

    def clear(self) -> None:
        """Remove the segments and the logs of this output folder. Raises as `open`."""
        with self._prepared() as own:
            for stem in (*self._former_stems(own), own):
                self._stem = stem
                logs = self._numbered(self._logs, self._log_suffix)
                for number in self._segments() | logs.keys():
                    if self._form.converter is not None:
                        self._place.remove(self._items_segment(number))
                    self._place.remove(self._segment(number))
                for folder, suffix in ((self._logs, self._log_suffix), (self._sidecars, ".index")):
                    for path in self._numbered(folder, suffix).values():
                        path.unlink(missing_ok=True)

    def open(self) -> None:
        """Take up the log that a killed run has left, and learn which ids there are.

        A log that a run by another node name has left in this output folder becomes a segment: nobody else
        writes to it, since one run at a time has the folder.

        Raises `OutputUnwritable` and its `StoreAway`, and UsageError if the place refuses for good.
        """
        self._keys = AllKeys()
        with self._prepared() as own:
            for stem in self._former_stems(own):
                self._stem = stem
                logs, _ = self._take_up()
                if logs:
                    self._begin(max(logs))
                    self._finish()
            self._stem = own
            logs, last = self._take_up()
            # There is one log at most: the next one is begun when the segment of this one is there.
            self._begin(max(logs, default=last + 1))
            if logs and not self._place.resumes_log:
                self._roll()
        self._before = len(self._keys)

    def encode(self, batch: Batch) -> tuple[Sequence[tuple[bytes, bytes]], int]:
        """Return the lines of a batch with their ids, and their bytes."""
        entries = Revised.where(self._form.encode(batch), batch.records)
        return entries, sum(len(line) for _, line in entries)

    def write(self, group: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        """Write the lines with new ids durably, and make a segment of the log when it has enough."""
        if self._log is None:
            raise AssertionError("the store is not open")
        if self._is_sealed:
            self._roll()
        entries = list(
            {
                entry[0]: entry
                for one in group
                for entry in one
                if entry[0] not in self._keys or isinstance(entry, Revised)
            }.values()
        )
        if entries and not self._log.lines and (preamble := self._form.preamble(self._segment(self._number))):
            first = entries[0][0], preamble + entries[0][1]
            entries[0] = Revised(first) if isinstance(entries[0], Revised) else first
        self._log.append(entries)
        if self._log.lines:
            self._since = min(self._since, monotonic())
        most_bytes = min(self._form.most_bytes, self._place.most_bytes)
        is_full = self._log.lines >= self._form.most_rows or self._log.size_bytes >= most_bytes
        if is_full or self.due_s() <= 0:
            self._roll()

    def due_s(self) -> float:
        """Return in how many seconds `flush` is to be called: when the oldest record of the log is too old."""
        return self._since + self._place.most_age_s - monotonic()

    def flush(self) -> None:
        """Make a segment of the log. Raises `OutputUnwritable` and its `StoreAway`; no record is lost then."""
        self._roll()

    def close(self) -> None:
        """Make a segment of the rest. Raises `OutputUnwritable`; the records are in the log then."""
        try:
            if self._log is None and self._is_sealed:
                # The last attempt has left it.
                self._begin(self._number, self._made)
            self._finish()
        except OutputUnwritable as error:
            kind = StoreAway if isinstance(error, StoreAway) else OutputUnwritable
            where = self._release()
            raise kind(
                f"{error}; the last records are in {where}, and the next run puts them there"
            ) from error
        finally:
            self._place.close()

    def _release(self) -> Path:
        """Let go of the log, for another run in this process, and return its path."""
        log, self._log = self._log, None
        if log is None:
            return self._logs
        log.close()
        return log.path

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[str]:
        """Make the folders for what follows, and yield the node's own stem; a failure leaves nothing open."""
        try:
            with self._translated():
                for folder in (self._logs, self._sidecars):
                    folder.mkdir(parents=True, exist_ok=True)
                sync_folder(self._sidecars.parent)
                self._stem = self._place.stem(self._node)
                yield self._stem
        except FarmError:
            self._release()
            self._place.close()
            raise

    def _take_up(self) -> tuple[set[int], int]:
        """Learn the ids in the segments of the stem; return the numbers of its logs, and the last of all."""
        finished = self._segments()
        logs = self._numbered(self._logs, self._log_suffix)
        for suffix in (DRAFT_SUFFIX, _ITEMS_DRAFT):
            for path in self._numbered(self._logs, suffix).values():
                path.unlink(missing_ok=True)
        for number in finished & logs.keys():
            logs.pop(number).unlink(missing_ok=True)
        sidecars = self._numbered(self._sidecars, ".index").keys()
        for number in sorted((finished | sidecars) - logs.keys()):
            self._learn(number, is_there=number in finished)
        return {*logs}, max(finished | sidecars, default=0)

    def _former_stems(self, own: str) -> list[str]:
        """Return the stems by other node names that this output folder has had."""
        found = map(_PART.fullmatch, os.listdir(self._sidecars))  # noqa: PTH208 - names, not paths
        return sorted({one[1] for one in found if one and one[3] == ".index" and one[1] != own})

    def _roll(self) -> None:
        self._finish()
        with self._translated():
            self._begin(self._number + 1)

    def _begin(self, number: int, made: Path | None = None) -> None:
        self._number = number
        self._made = made
        self._is_sealed = False
        self._since = math.inf
        sidecar = self._sidecars / f"{self._stem}{number:06}.index"
        # First, since it says whose the log is.
        sidecar.touch()
        self._log = AppendLog(
            self._logs / f"{self._hidden}{self._stem}{number:06}{self._log_suffix}",
            sidecar,
            self._form.key_of,
            self._keys,
            "--sink",
            framing=self._form.framing,
        )

    def _finish(self) -> None:
        """Make a segment of the log, and remove the log; each step may be the last, and be repeated."""
        log = self._log
        if log is None:
            return
        # Nothing is added to what may be on its way already.
        self._is_sealed = True
        with self._translated():
            if log.lines:
                log.sync_index()
                # Before the pages: when their segment is there the log is left over, with all that is in it.
                self._publish_items(log)
                self._place.publish(self._draft(log), self._segment(self._number))
            else:
                log.index_path.unlink(missing_ok=True)
            log.path.unlink(missing_ok=True)
            self._log, self._is_sealed = None, False
            log.close()

    def _draft(self, log: AppendLog) -> Path:
        """Return the segment of the log as a synced file."""
        converter = self._form.converter
        if converter is None:
            return log.path
        if self._made is not None:
            # A repetition after the place was away.
            return self._made
        self._made = self._written(DRAFT_SUFFIX, partial(converter.convert, log.path))
        return self._made

    def _publish_items(self, log: AppendLog) -> None:
        """Put the items of the log's pages there, if there are any; a repetition replaces them."""
        converter = self._form.converter
        if converter is None or self._made is not None:
            return
        items = items_in(log.path)
        first = next(items, None)
        if first is not None:
            draft = self._written(_ITEMS_DRAFT, partial(converter.convert_items, chain([first], items)))
            self._place.publish(draft, self._items_segment(self._number))

    def _written(self, suffix: str, write: Callable[[BinaryIO], None]) -> Path:
        """Return a draft that is written and synced."""
        draft = self._logs / f".{self._stem}{self._number:06}{suffix}"
        with os.fdopen(create_anew(draft), "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        return draft

    def _learn(self, number: int, *, is_there: bool) -> None:
        """Read the ids of a finished segment from its sidecar, or from the segment itself."""
        index = LogIndex(self._sidecars / f"{self._stem}{number:06}.index")
        try:
            index.cut_to(_NO_END)
            if not index.length and is_there:
                with self._place.local(self._segment(number)) as segment:
                    index.append((key, end) for end, key in enumerate(self._form.ids(segment), start=1))
            for key in index:
                if key not in self._keys:
                    self._keys.add(key)
        except ValueError as error:
            raise OutputUnwritable(
                f"{self.name} has a file {self._segment(number)} that the farm did not write ({error}); "
                "move it away, or choose another --sink"
            ) from error
        finally:
            index.close()

    def _segment(self, number: int) -> str:
        return f"{self._stem}{number:06}{self._form.suffix}"

    def _items_segment(self, number: int) -> str:
        return f"{ITEMS}/{self._segment(number)}"

    def _segments(self) -> set[int]:
        return {number for number, _ in self._of_node(self._place.names(self._stem), self._form.suffix)}

    def _numbered(self, folder: Path, suffix: str) -> dict[int, Path]:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return {}
        return {number: folder / name for number, name in self._of_node(names, suffix)}

    def _of_node(self, names: Iterable[str], suffix: str) -> Iterator[tuple[int, str]]:
        """Yield number and name of this node's files."""
        for name in names:
            found = _PART.fullmatch(name)
            if found and found[1] == self._stem and found[3] == suffix:
                yield int(found[2]), name

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputUnwritable(
                f"{self.name} cannot be written ({error.strerror or error}); "
                "free some space and check its permissions, or choose another --sink"
            ) from error
