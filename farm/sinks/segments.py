"""Stores of segments: files of many records each, whole or not there at all, whose format cannot be appended to.

Records go to a log first, synced like any other sink; when it has enough of them it becomes a segment: written as
a draft, synced, put in its place, and only then is the log removed (`publication`). The number of the log is that
of its segment, so that the names alone say after a kill what was done: a log whose segment is there is left over,
any other goes on. Where the place is far the next log takes records meanwhile; when that one is full it waits, so
that there are two logs at most. An id stands once in all segments of an output folder, by whatever node names:
their ids are in sidecars, and are read back where one of the node's own is missing. The items of pages are in the
log with them, and become a segment of the same number in the folder `items`.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from time import monotonic

from farm.model.errors import FarmError, OutputUnwritable
from farm.model.record import Batch
from farm.resources.files import sync_folder
from farm.sinks.append_log import AppendLog, Revised, fresh_of, held
from farm.sinks.item_values import ITEMS
from farm.sinks.log_index import AllKeys
from farm.sinks.ownership import OTHERS_INDEX, known_ids, own_numbers
from farm.sinks.places import DRAFT_SUFFIX, SegmentPlace, files_of_stem, names_of_stem, stems_in
from farm.sinks.publication import ITEMS_DRAFT, Publication, Upload
from farm.sinks.segment_format import SegmentFormat
from farm.sinks.store import StoreAway

_LOOK_S = 1.0
"""How often a log that is old enough is tried again, while the one before it is on its way."""


class SegmentStore:
    """The segments `part-NODE-NNNNNN` of one node at a place.

    The log is in the folder `logs`, and what says which ids are in a segment in `sidecars`; they may be one.
    """

    def __init__(
        self, name: str, form: SegmentFormat, place: SegmentPlace, logs: Path, sidecars: Path, node: str
    ) -> None:
        self.name = name
        self.item_place = "" if form.converter is None else f"the folder {ITEMS} of {name}"
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
        self._sealed: list[Publication] = []
        self._upload: Upload | None = None
        self._since = math.inf
        self._revised: dict[bytes, tuple[bytes, bytes]] = {}
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
        """Remove the segments and the logs of this output folder; those that are not its own stay.

        Raises as `open`, also if a run of another output folder is writing to the place by the same name.
        """
        with contextlib.ExitStack() as closing, contextlib.closing(self._place), self._prepared() as last:
            for stem in sorted(stems_in(self._sidecars, ".index") | {last}):
                self._stem = stem
                logs = files_of_stem(self._logs, self._stem, self._log_suffix)
                for path in logs.values():
                    closing.enter_context(held(path, "--sink"))
                own = (segments := self._segments()) | logs.keys()
                if not self._place.has_own_names:
                    what = f"{stem}* in {self.name}"
                    own = own_numbers(what, logs.keys(), segments, self._begun(), self._local, self._form.ids)
                for number in own:
                    if self._form.converter is not None:
                        self._place.remove(self._items_segment(number))
                    self._place.remove(self._segment(number))
                kept = [*self._begun().values(), *self._begun(OTHERS_INDEX).values()]
                for path in (*(logs[number] for number in own & logs.keys()), *kept):
                    path.unlink(missing_ok=True)
            if self._form.payloads is not None:
                self._form.payloads.clear(self._sidecars)

    def open(self) -> None:
        """Take up the logs that a killed run has left, and learn which ids there are.

        Those that a run by another node name has left in this output folder become segments: nobody else
        writes to them, since one run at a time has the folder. So do those by this name of another output folder.

        Raises `OutputUnwritable` and its `StoreAway`, and UsageError if the place refuses for good.
        """
        self._keys = AllKeys()
        self._sealed, self._upload = [], None
        with self._prepared() as own:
            for stem in sorted(stems_in(self._sidecars, ".index") - {own}):
                self._stem = stem
                self._finish(self._take_up()[0] & self._begun().keys())
            self._stem = own
            logs, last = self._take_up()
            others = logs - self._begun().keys()
            if others or not self._place.resumes_log:
                self._finish(logs - others)
                self._finish(others, OTHERS_INDEX)
                # Read back, as segments that others wrote: they are not this folder's to remove.
                for number in others & self._segments():
                    self._learn(number, is_there=True)
                    self._sidecar(number, OTHERS_INDEX).unlink(missing_ok=True)
                last, logs = max(last, *others, 0), set()
            # In a folder there is one log at most: the next one is begun when the segment of this one is there.
            self._begin(max(logs, default=last + 1))
            if self._form.payloads is not None:
                self._form.payloads.open(self._sidecars)
        self._before = len(self._keys)

    def encode(self, batch: Batch) -> tuple[Sequence[tuple[bytes, bytes]], int]:
        """Return the lines of a batch with their ids, and their bytes."""
        entries = Revised.where(self._form.encode(batch), batch.records)
        return entries, sum(len(line) for _, line in entries)

    def write(self, group: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        """Write the lines with new ids durably, and make a segment of the log when it has enough.

        Raises `OutputUnwritable`, and `StoreAway` where it is full and the one before cannot be put in its place.
        """
        if self._upload is not None:
            with self._translated():
                self._upload.check()
        if not self._stem:
            raise AssertionError("the store is not open")
        log = self._log
        if log is None or self._is_full(log):
            # An earlier attempt has left it so.
            log = self._roll()
        with self._translated():
            self._append(log, group)
        if self._is_full(log) or self.due_s() <= 0:
            self._roll()
        self._revised = {}

    def _append(self, log: AppendLog, group: Sequence[Sequence[tuple[bytes, bytes]]]) -> None:
        every = chain.from_iterable(group)
        # Where the next log could not be begun the group is repeated, with what its log has already.
        entries = list(
            fresh_of((one for one in every if self._revised.get(one[0]) is not one), self._keys).values()
        )
        written = [line for _, line in entries]
        revised = {one[0]: one for one in entries if isinstance(one, Revised)}
        if entries and not log.lines and (preamble := self._form.preamble(self._segment(self._number))):
            first = entries[0][0], preamble + entries[0][1]
            entries[0] = Revised(first) if isinstance(entries[0], Revised) else first
        log.append(entries)
        self._revised |= revised
        if self._form.payloads is not None:
            self._form.payloads.confirm(written)
        if log.lines:
            self._since = min(self._since, monotonic())

    def _is_full(self, log: AppendLog) -> bool:
        most_bytes = min(self._form.most_bytes, self._place.most_bytes)
        return log.lines >= self._form.most_rows or log.size_bytes >= most_bytes

    def due_s(self) -> float:
        """Return in how many seconds to `flush`: when the log's oldest record is too old, or after an upload."""
        left_s = self._since + self._place.most_age_s - monotonic()
        return max(left_s, _LOOK_S) if self._is_uploading else left_s

    def flush(self) -> None:
        """Make a segment of the log, once the one before is there. Raises `OutputUnwritable`; nothing is lost."""
        if not self._is_uploading:
            self._roll()

    def waits(self) -> tuple[float, str]:
        """Return for how many seconds a segment has been waiting for its place, and why; zero where none does."""
        upload = self._upload
        return upload.waits() if upload is not None else (0.0, "")

    def close(self) -> None:
        """Make a segment of the rest. Raises `OutputUnwritable`; the records are in the log then."""
        try:
            with self._translated():
                if self._upload is not None:
                    self._upload.stop()
                    self._upload = None
                if self._log is not None:
                    self._seal(self._log)
                self._publish()
        except OutputUnwritable as error:
            kind = StoreAway if isinstance(error, StoreAway) else OutputUnwritable
            where = self._release()
            raise kind(
                f"{error}; the last records are in {where}, and the next run puts them there"
            ) from error
        finally:
            if self._form.payloads is not None:
                self._form.payloads.close()
            self._place.close()

    def _release(self) -> Path:
        """Let go of the logs, for another run in this process, and return where they are."""
        logs = [sealed.log for sealed in self._sealed] + ([self._log] if self._log is not None else [])
        for log in logs:
            log.close()
        return logs[0].path if len(logs) == 1 else self._logs

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
            self._log, self._sealed = None, []
            self._place.close()
            raise

    def _take_up(self) -> tuple[set[int], int]:
        """Learn the ids in the segments of the stem; return the numbers of its logs, and the last of all."""
        finished = self._segments()
        logs = files_of_stem(self._logs, self._stem, self._log_suffix)
        for number in finished & logs.keys():
            logs.pop(number).unlink(missing_ok=True)
            self._drop_drafts(number)
        sidecars = self._begun().keys()
        for number in sorted((finished | sidecars) - logs.keys()):
            self._learn(number, is_there=number in finished)
        return {*logs}, max(finished | sidecars, default=0)

    def _begun(self, suffix: str = ".index") -> dict[int, Path]:
        return files_of_stem(self._sidecars, self._stem, suffix)

    def _finish(self, numbers: Iterable[int], index: str = ".index") -> None:
        """Make segments of the logs with these numbers."""
        for number in sorted(numbers):
            self._seal(self._begin(number, index))
            self._publish()

    def _roll(self) -> AppendLog:
        """Make a segment of the log, in a thread of its own where that takes long; return the next log."""
        with self._translated():
            if self._upload is not None:
                self._upload.wait()
                self._upload, self._sealed = None, []
            if self._log is not None:
                sealed = self._seal(self._log)
                if self._place.is_far:
                    self._upload = Upload(sealed)
                else:
                    self._publish()
            # Also where an earlier attempt got no further than this.
            return self._begin(self._number + 1)

    def _begin(self, number: int, index: str = ".index") -> AppendLog:
        sidecar = self._sidecar(number, index)
        # First, since it says whose the log is.
        sidecar.touch()
        log = AppendLog(
            self._logs / f"{self._hidden}{self._stem}{number:06}{self._log_suffix}",
            sidecar,
            self._form.key_of,
            self._keys,
            "--sink",
            framing=self._form.framing,
        )
        self._log, self._number, self._since = log, number, math.inf
        # Not before: a live run by the same name, of another output folder, has its log locked.
        self._drop_drafts(number)
        return log

    def _drop_drafts(self, number: int) -> None:
        """Remove what a kill has left of making a segment."""
        for suffix in (DRAFT_SUFFIX, ITEMS_DRAFT):
            (self._logs / f".{self._stem}{number:06}{suffix}").unlink(missing_ok=True)

    def _seal(self, log: AppendLog) -> Publication:
        """Take no more lines into the log: nothing is added to what may be on its way already."""
        segment, items_segment = self._segment(self._number), self._items_segment(self._number)
        draft_stem = f"{self._stem}{self._number:06}"
        sealed = Publication(log, self._form, self._place, draft_stem, segment, items_segment)
        self._sealed.append(sealed)
        self._log = None
        return sealed

    def _publish(self) -> None:
        """Put in its place what is sealed, the oldest first."""
        while self._sealed:
            self._sealed[0].run()
            del self._sealed[0]

    @property
    def _is_uploading(self) -> bool:
        return self._upload is not None and self._upload.is_under_way

    def _learn(self, number: int, *, is_there: bool) -> None:
        """Learn the ids of a finished segment."""
        try:
            local = self._local(number) if is_there else None
            for key in known_ids(self._sidecar(number), local, self._form.ids):
                if key not in self._keys:
                    self._keys.add(key)
        except ValueError as error:
            raise OutputUnwritable(
                f"{self.name} has a file {self._segment(number)} that the farm did not write ({error}); "
                "move it away, or choose another --sink"
            ) from error

    def _local(self, number: int) -> contextlib.AbstractContextManager[Path]:
        return self._place.local(self._segment(number))

    def _sidecar(self, number: int, suffix: str = ".index") -> Path:
        return self._sidecars / f"{self._stem}{number:06}{suffix}"

    def _segment(self, number: int) -> str:
        return f"{self._stem}{number:06}{self._form.suffix}"

    def _items_segment(self, number: int) -> str:
        return f"{ITEMS}/{self._segment(number)}"

    def _segments(self) -> set[int]:
        names = self._place.names(self._stem)
        return {number for number, _ in names_of_stem(names, self._stem, self._form.suffix)}

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputUnwritable(
                f"{self.name} cannot be written ({error.strerror or error}); "
                "free some space and check its permissions, or choose another --sink"
            ) from error
