"""Group commit: one writer for many contexts, in front of one store.

A batch that is committed while the store is idle is written at once; batches that arrive during a write are
written together in the next one. No batch waits for others, and a slow store makes the groups larger instead of
the queue longer, up to a bound; as many batches wait as there are callers.

A store is used in its writer's own thread alone, from `open` to `close`, and may block there. The thread is a
daemon: a disk that hangs for good cannot keep the process from ending.
"""

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from time import monotonic, sleep
from typing import Generic

from farm.model.errors import FarmError, OutputUnwritable, RenderError
from farm.model.record import Batch
from farm.sinks.store import FIRST_RETRY_S, LONGEST_RETRY_S, AgingStore, Encoded, Store, StoreAway

log = logging.getLogger("farm.sinks")

MOST_BATCHES = 500
MOST_BYTES = 32 * 2**20
MOST_ENCODING_S = 1.0
"""Bounds of a group; whichever is reached first ends it."""
OPENING_S = 10.0
"""How long a store that is away is waited for before the first page, at most the writer's patience."""
GROUP_S = 10.0
"""How long the end of a run waits for a group that is being written."""
GRACE_S = 10.0
"""On top of the patience: by then a store that is away has said why."""


class BatchingWriter(Generic[Encoded]):
    """Commits batches to one store through one thread.

    A store that is away is tried again for `patience_s`; one that hangs is given `grace_s` more. After that, or
    after any other `OutputUnwritable`, no batch is accepted. `aging` is what is to be
    flushed from time to time, the store or one behind it; a failure of that is left to the next batch and the end.
    """

    def __init__(
        self,
        store: Store[Encoded],
        *,
        patience_s: float = 300.0,
        grace_s: float = GRACE_S,
        aging: AgingStore | None = None,
    ) -> None:
        self._store = store
        self._aging = aging
        self._patience_s = patience_s
        self._deadline_s = patience_s + grace_s
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Batch, Future[None]]] = deque()
        self._running: list[Future[None]] = []
        self._callers = 0
        self._closing = False
        self._failure: str | None = None
        self._busy_since: float | None = None
        self._away = ""
        self._thread: threading.Thread | None = None
        self._closed = False
        self._close_by = 0.0
        self._finished: Future[None] = Future()

    @property
    def name(self) -> str:
        """The store's name."""
        return self._store.name

    def waits(self) -> tuple[float, str]:
        """Return for how many seconds the store has been busy with one group, and why it is away if it says so.

        The same of what it finishes beside the groups.
        """
        since = self._busy_since
        waits = (monotonic() - since if since is not None else 0.0), self._away
        return waits if self._aging is None else max(waits, self._aging.waits())

    async def open(self, *, fresh: bool = False) -> None:
        """Open the store, emptied first if `fresh`. Raises what the store raises.

        A cancellation waits for its end, but not for a store that hangs: that is closed once it is open.
        """
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run, opened, fresh), name="sink-writer", daemon=True
        )
        self._thread.start()
        waiter = asyncio.wrap_future(opened)
        try:
            await asyncio.shield(waiter)
        except asyncio.CancelledError:
            with self._changed:
                self._closing = True
                self._changed.notify()
            await asyncio.wait([waiter], timeout=GROUP_S)
            raise

    async def commit(self, batch: Batch) -> None:
        """Return when the batch is durable. Raises `OutputUnwritable`, at the latest `grace_s` after the patience.

        Cancelling a caller removes its batch while it waits; once it is being written that goes on.
        """
        durable: Future[None] = Future()
        with self._changed:
            if self._failure is not None:
                raise OutputUnwritable(self._failure)
            if self._closing:
                raise OutputUnwritable("the sink is closed and takes no more records")
            self._waiting.append((batch, durable))
            self._changed.notify()
        self._callers += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                await asyncio.wrap_future(durable)
        except TimeoutError:
            # One timeout is enough: the other callers need not reach theirs one after the other.
            self._failure = self._hangs("the records were", self._deadline_s)
            raise OutputUnwritable(self._failure) from None
        finally:
            self._callers -= 1

    @property
    def is_at_work(self) -> bool:
        """Whether its thread has not ended: after a `close` that was given up it goes on by itself."""
        return self._thread is not None and not self._finished.done()

    def when_ended(self, call: Callable[[], None]) -> None:
        """Call it once the thread has ended, in that thread or, if it has ended already, at once."""
        self._finished.add_done_callback(lambda _: call())

    async def close(self, deadline_s: float = 10.0) -> None:
        """Write the waiting batches, close the store and end the thread. Raises `OutputUnwritable` once.

        A store that is away is tried once more and no longer for a batch, and until the deadline to be closed; one
        that hangs in a group is waited for a shorter while.
        """
        with self._changed:
            self._closing = True
            self._close_by = monotonic() + deadline_s - FIRST_RETRY_S
            self._changed.notify()
            if self._thread is None or self._closed:
                return
            self._closed = True
        if await self._has_ended(min(deadline_s, GROUP_S)):
            return
        waited_s, is_finishing = min(deadline_s, GROUP_S), self._busy_since is None and self._failure is None
        if is_finishing:
            if await self._has_ended(deadline_s - GROUP_S):
                return
            waited_s = deadline_s
        what = "the last records were"
        if is_finishing and not self._callers:
            what = "the records are safe, but the last changes were"
        sentence = self._hangs(what, waited_s)
        if (self._callers or is_finishing) and self._failure is None:
            raise OutputUnwritable(sentence) from None
        # They were not confirmed as written: the thread is left to the end of the process.
        log.warning("%s; pages that were not acknowledged are visited again", sentence)

    async def _has_ended(self, within_s: float) -> bool:
        """Wait for the thread's end, and raise what it ended by; return False where that takes longer."""
        ended = asyncio.wrap_future(self._finished)
        # A later error of the thread is not awaited, and asyncio need not report that.
        ended.add_done_callback(lambda late: late.cancelled() or late.exception())
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(ended)
        except TimeoutError:
            return False
        return True

    def _run(self, opened: Future[None], fresh: bool) -> None:
        try:
            self._open_patiently(fresh=fresh)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller of `open` waits for it
            self._finished.set_result(None)
            opened.set_exception(error)
            return
        opened.set_result(None)
        is_broken = True
        try:
            while self._wait_for_batch():
                self._commit_group()
            is_broken, self._busy_since = False, None
            self._close_patiently()
        except OutputUnwritable as error:
            # Commits raise an earlier failure; only `close` can raise one at the end.
            if self._failure is None:
                self._finished.set_exception(error)
        finally:
            if is_broken:
                # By an unexpected error, which this thread's hook gets: no caller may wait for ever, and the
                # store's own threads and locks end with this one.
                self._busy_since = None
                self._fail("the sink's writer has stopped; see the log")
                with suppress(OutputUnwritable):
                    self._close_patiently()
            if not self._finished.done():
                self._finished.set_result(None)

    def _close_patiently(self) -> None:
        pause_s = FIRST_RETRY_S
        while True:
            try:
                return self._store.close()
            except StoreAway as error:
                self._away = str(error)
                if self._failure is not None or monotonic() + pause_s >= self._close_by:
                    raise
                sleep(pause_s)
                pause_s *= 2

    def _open_patiently(self, *, fresh: bool) -> None:
        end, pause_s = monotonic() + min(OPENING_S, self._patience_s), FIRST_RETRY_S
        while True:
            try:
                if fresh:
                    self._store.clear()
                return self._store.open()
            except StoreAway as error:
                if self._closing or monotonic() + pause_s >= end:
                    raise OutputUnwritable(f"{error}; mend it, or leave that --sink out") from error
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause_s)
                pause_s *= 2

    def _wait_for_batch(self) -> bool:
        pause_s = FIRST_RETRY_S
        while True:
            due_s = math.inf if self._aging is None else max(self._aging.due_s(), 0.0)
            if self._busy_since is not None:
                # The last time it was due the store was away.
                due_s = pause_s = min(2 * pause_s, LONGEST_RETRY_S)
            with self._changed:
                within_s = None if due_s == math.inf else due_s
                if self._changed.wait_for(lambda: self._waiting or self._closing, within_s):
                    return bool(self._waiting)
            if self._aging is not None:
                self._flush(self._aging)

    def _flush(self, aging: AgingStore) -> None:
        self._busy_since = self._busy_since or monotonic()
        try:
            aging.flush()
        except OutputUnwritable as error:
            self._away = str(error)
        else:
            self._away, self._busy_since = "", None

    def _commit_group(self) -> None:
        self._busy_since = self._busy_since or monotonic()
        try:
            group = self._encoded()
            if self._failure is None:
                self._write(group)
                self._running.clear()
        except OutputUnwritable as error:
            self._fail(str(error))
        self._busy_since = None
        if self._running:
            # A commit has taken too long meanwhile.
            self._fail("")

    def _encoded(self) -> list[tuple[Encoded, Future[None]]]:
        """Take and encode what waits, up to the bounds of a group."""
        group: list[tuple[Encoded, Future[None]]] = []
        total_bytes, end = 0, monotonic() + MOST_ENCODING_S
        while len(group) < MOST_BATCHES and total_bytes < MOST_BYTES and monotonic() < end:
            with self._changed:
                if not self._waiting:
                    break
                batch, durable = self._waiting.popleft()
            if not durable.set_running_or_notify_cancel():
                continue
            self._running.append(durable)
            try:
                encoded, size_bytes = self._store.encode(batch)
            except FarmError as error:
                self._running.remove(durable)
                durable.set_exception(error)
            else:
                group.append((encoded, durable))
                total_bytes += size_bytes
        return group

    def _write(self, group: Sequence[tuple[Encoded, Future[None]]]) -> None:
        """Write a group; where a record is refused, each batch alone, so that it harms no other page."""
        if not group:
            return
        try:
            self._write_patiently([encoded for encoded, _ in group])
        except RenderError as error:
            if len(group) > 1:
                for one in group:
                    self._write([one])
            else:
                group[0][1].set_exception(error)
        else:
            # Before any caller continues: no batch waits for this store any more.
            self._busy_since = None
            for _, durable in group:
                durable.set_result(None)

    def _write_patiently(self, group: Sequence[Encoded]) -> None:
        since, pause_s = monotonic(), FIRST_RETRY_S
        while True:
            try:
                self._store.write(group)
            except StoreAway as error:
                self._away = str(error)
                if self._closing or monotonic() + pause_s - since >= self._patience_s:
                    raise OutputUnwritable(self._given_up()) from error
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause_s)
                pause_s = min(2 * pause_s, LONGEST_RETRY_S)
            else:
                self._away = ""
                return

    def _fail(self, failure: str) -> None:
        with self._changed:
            self._failure = self._failure or failure
            late, self._waiting = self._waiting, deque()
        failed, self._running = self._running, []
        for durable in failed:
            if not durable.done():
                durable.set_exception(OutputUnwritable(self._failure))
        for _, durable in late:
            if durable.set_running_or_notify_cancel():
                durable.set_exception(OutputUnwritable(self._failure))

    def _given_up(self) -> str:
        return (
            f"{self._away}; the records that wait for it are not lost: start the crawl again when it is back"
        )

    def _hangs(self, what: str, waited_s: float) -> str:
        if self._away:
            return self._given_up()
        return f"{what} not written to {self.name} within {waited_s:g} s; check whether it hangs or is full"
