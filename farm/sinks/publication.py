"""A full log on its way to a segment: made, put in its place, and only then is the log removed.

Each step may be the last one before a kill, and each may be repeated. Where the place is far the way is gone in a
thread of its own, while the next log takes records; one log at most is on its way.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from farm.model.errors import OutputUnwritable
from farm.resources.files import create_anew
from farm.sinks.append_log import AppendLog
from farm.sinks.log_items import items_in
from farm.sinks.places import DRAFT_SUFFIX, SegmentPlace
from farm.sinks.segment_format import SegmentFormat
from farm.sinks.store import FIRST_RETRY_S, LONGEST_RETRY_S, StoreAway

ITEMS_DRAFT = f".items{DRAFT_SUFFIX}"


class Publication:
    """Makes the segment of one log, and that of the items in it. One thread at a time may use it.

    `stem` and number are the log's own, `segment` and `items_segment` the names at the place.
    """

    def __init__(
        self,
        log: AppendLog,
        form: SegmentFormat,
        place: SegmentPlace,
        draft_stem: str,
        segment: str,
        items_segment: str,
    ) -> None:
        self.log = log
        self._form = form
        self._place = place
        self._draft_stem = draft_stem
        self._segment = segment
        self._items_segment = items_segment
        self._made: Path | None = None
        self._is_there = False
        self._is_done = False
        if log.lines:
            # The sidecar outlives the log.
            log.sync_index()

    def run(self) -> None:
        """Put the segment there, and remove the log; what is done already is not done again.

        Raises OSError, `OutputUnwritable` and its `StoreAway`; no record is lost by any.
        """
        if self._is_done:
            return
        log = self.log
        if not log.lines:
            log.index_path.unlink(missing_ok=True)
        elif not self._is_there:
            # The items first: when the pages' segment is there the log is left over, with all that is in it.
            self._publish_items()
            self._place.publish(self._draft(), self._segment)
            self._is_there = True
        log.path.unlink(missing_ok=True)
        self._is_done = True
        log.close()

    def _draft(self) -> Path:
        """Return the segment of the log as a synced file."""
        converter = self._form.converter
        if converter is None:
            return self.log.path
        if self._made is None:
            self._made = self._written(DRAFT_SUFFIX, partial(converter.convert, self.log.path))
        # Else a repetition after the place was away.
        return self._made

    def _publish_items(self) -> None:
        """Put the items of the log's pages there, if there are any; a repetition replaces them."""
        converter = self._form.converter
        if converter is None or self._made is not None:
            return
        items = items_in(self.log.path)
        first = next(items, None)
        if first is not None:
            draft = self._written(ITEMS_DRAFT, partial(converter.convert_items, chain([first], items)))
            self._place.publish(draft, self._items_segment)

    def _written(self, suffix: str, write: Callable[[BinaryIO], None]) -> Path:
        """Return a draft that is written and synced; a failure leaves none, so that it fills no disk."""
        draft = self.log.path.with_name(f".{self._draft_stem}{suffix}")
        try:
            with os.fdopen(create_anew(draft), "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise
        return draft


class Upload:
    """A publication in a thread of its own, repeated for as long as its place is away."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._changed = threading.Condition()
        self._is_stopped = self._is_over = False
        self._failure: Exception | None = None
        self._away = ""
        self._away_since: float | None = None
        thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="sink-upload", daemon=True
        )
        self._thread = thread
        thread.start()

    @property
    def is_under_way(self) -> bool:
        """Whether it goes on by itself."""
        return not self._is_over

    def waits(self) -> tuple[float, str]:
        """Return for how many seconds the place has been away, and why; zero where it is not."""
        since = self._away_since
        return (monotonic() - since if since is not None else 0.0), self._away

    def check(self) -> None:
        """Raise what has ended it, if something has: OSError or `OutputUnwritable`."""
        if self._is_over and self._failure is not None:
            raise self._failure

    def wait(self) -> None:
        """Return when the segment is there.

        Raises `StoreAway` as soon as the place is away, and as `check`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._away)
        self.check()
        if self._away:
            raise StoreAway(self._away)

    def stop(self) -> None:
        """End the repetitions, and return when the attempt under way is over: then others may go on with it."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        failure: Exception | None = OutputUnwritable("the sink's upload has stopped; see the log")
        try:
            self._repeat()
            failure = None
        except (OutputUnwritable, OSError) as error:
            failure = error
        finally:
            # Also where an unexpected error ends this thread: nobody may wait for ever.
            with self._changed:
                self._failure, self._is_over = failure, True
                self._changed.notify_all()

    def _repeat(self) -> None:
        pause_s = FIRST_RETRY_S
        while True:
            try:
                self._publication.run()
            except StoreAway as error:
                with self._changed:
                    self._away = str(error)
                    self._away_since = self._away_since or monotonic()
                    self._changed.notify_all()
                    if self._changed.wait_for(lambda: self._is_stopped, pause_s):
                        return
                pause_s = min(2 * pause_s, LONGEST_RETRY_S)
            else:
                self._away, self._away_since = "", None
                return
