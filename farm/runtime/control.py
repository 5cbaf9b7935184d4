"""The control of a run: how many workers work, when they request work again, and what ends it.

Companions of the workers check the limits on bytes; once one is reached, no new page is taken.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Protocol

from farm.model.clock import Clock
from farm.model.egress import ProxyBytes
from farm.model.event import Emit, Notice, ProxyBytesRead

PROXY_BYTES_EVERY_S = 1.0
DISK_EVERY_S = 2.0


class ExitReason(StrEnum):
    """Why a run ended, as in `summary.json`."""

    FINISHED = "finished"
    LIMIT = "limit"
    TIME_LIMIT = "time_limit"
    DISK_LIMIT = "disk_limit"
    PROXY_BYTES = "proxy_bytes"
    STOPPED = "stopped"
    SIGINT = "sigint"
    SIGTERM = "sigterm"
    SIGHUP = "sighup"


class Control:
    """The shared state of one node's workers; used on the event loop. The first reason to end counts."""

    def __init__(self, *, staying: bool = False) -> None:
        self.limit = 0
        self.staying = staying
        """Whether an empty frontier is never the end: URLs may be added later."""
        self.held = False
        """Whether no slot begins another visit, because the reader of the records is slow."""
        self.wanted: int | None = None
        """How many contexts the user wants now; None for all."""
        self.on_wanted: Callable[[int | None], None] = lambda _: None
        """Called with each change of `wanted`."""
        self.reason: ExitReason | None = None
        self._ending = asyncio.Event()
        self.changes = 0
        self.expecting = False
        """Whether more URLs may come from elsewhere, so that an empty frontier is not the end."""
        self._changed = asyncio.Event()
        self._idle: list[asyncio.Event] = []

    @property
    def ending(self) -> bool:
        """Whether no new lease may be taken."""
        return self._ending.is_set()

    def end(self, reason: ExitReason) -> None:
        """Take no new lease; the visits under way are finished."""
        if self.reason is None:
            self.reason = reason
        self._ending.set()
        self.notify_all()

    async def ended(self, within_s: float | None = None) -> bool:
        """Wait until `end` is called, at most `within_s` seconds; return whether it was."""
        try:
            async with asyncio.timeout(within_s):
                await self._ending.wait()
        except TimeoutError:
            return False
        return True

    def want(self, contexts: int | None) -> None:
        """Let no more contexts work than are wanted, at least one; None lets all of them."""
        self.wanted = None if contexts is None else max(1, contexts)
        self.on_wanted(self.wanted)

    def admit(self, limit: int) -> None:
        """Let the first `limit` slots work."""
        if limit != self.limit:
            self.limit = limit
            self.notify_all()

    def hold(self, *, on: bool) -> None:
        """Let no slot begin another visit as long as this is on; those under way are finished."""
        if on != self.held:
            self.held = on
            if not on:
                self.notify_all()

    def notify_all(self) -> None:
        """Let every waiting worker look for work again: there is new work, or another limit."""
        self.changes += 1
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()
        for notified in self._idle:
            notified.set()

    def notify_new_work(self) -> None:
        """Let one idle slot look for work, and those again that are looking just now: there may be new work.

        Not all of them: nearly every page has links, and nearly all of these are known. Who finds work notifies
        the next.
        """
        self.changes += 1
        self.notify_one()

    @property
    def idle_slots(self) -> int:
        """How many slots wait because there was no work for them."""
        return len(self._idle)

    def notify_one(self) -> None:
        """Let one idle slot look for work again: where another slot found some, there may be more."""
        notified = next((event for event in self._idle if not event.is_set()), None)
        if notified is not None:
            notified.set()

    async def wait_for_work(self, since: int, longest_s: float) -> None:
        """Wait like `wait_for_change`, for a slot that found no work: `notify_one` wakes it too."""
        if self.changes != since:
            return
        notified = asyncio.Event()
        self._idle.append(notified)
        try:
            async with asyncio.timeout(longest_s):
                await notified.wait()
        except TimeoutError:
            return
        finally:
            self._idle.remove(notified)

    async def wait_for_change(self, since: int, longest_s: float) -> None:
        """Wait until there is a change after the one numbered `since`, at most `longest_s` seconds.

        The caller reads `changes` before it looks for work: a change in the meantime is not missed.
        """
        if self.changes != since:
            return
        try:
            async with asyncio.timeout(longest_s):
                await self._changed.wait()
        except TimeoutError:
            return


def ending_from_thread(
    control: Control, emit: Emit, clock: Clock, why: str = "this node is drained"
) -> Callable[[], None]:
    """Return a function that ends the run of the current loop, and that any thread may call; the log says why."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not control.ending:
            emit(Notice(clock.monotonic(), "info", f"{why}: it finishes the pages under way and ends"))
        control.end(ExitReason.STOPPED)

    def from_thread() -> None:
        with suppress(RuntimeError):  # the loop is closed: the run is over
            loop.call_soon_threadsafe(end)

    return from_thread


def checkpoint() -> None:
    """Raise CancelledError if the running task was cancelled and a library has swallowed the error.

    Libraries may do that if their call completes at the same moment; the signal would then have no effect.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class ProxyBytesStore(Protocol):
    """The bytes of all nodes."""

    async def add(self, run: str, carried_bytes: int, budget_bytes: int | None = None) -> ProxyBytes:
        """Add the bytes that a run carried since its last call; return the bytes of all runs, and the budget."""
        ...


class ByteBudget:
    """Ends the run once the proxies have carried the crawl's budget.

    The budget is exceeded by the bytes of the second until every node has learnt that it is spent, and by those of
    the visits that are then under way. `carried` returns the bytes of this run so far; `given_bytes` is the
    budget that its user gave, 0 for none, None to keep the crawl's.
    """

    def __init__(
        self,
        run: str,
        carried: Callable[[], int],
        store: ProxyBytesStore,
        given_bytes: int | None,
        control: Control,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._run = run
        self._carried = carried
        self._store = store
        self._given = given_bytes
        self._control = control
        self._emit = emit
        self._clock = clock

    async def check(self) -> None:
        """Add this node's bytes, and end the run if all nodes' are as many as the budget has."""
        read = await self._store.add(self._run, self._carried(), self._given)
        # Given once: a later value of another node must not be overwritten.
        self._given = None
        now = self._clock.monotonic()
        self._emit(ProxyBytesRead(now, read))
        if read.is_spent and not self._control.ending:
            text = f"--proxy-bytes: {read.used:,} bytes went by the proxies, the limit is {read.budget:,}"
            self._emit(Notice(now, "warning", text))
            self._control.end(ExitReason.PROXY_BYTES)

    async def run(self) -> None:
        """Check every second, until the run ends."""
        while not await self._control.ended(PROXY_BYTES_EVERY_S):
            await self.check()


class DiskQuota:
    """Ends the run once `used_bytes` reaches the limit; more may be written between two measurements.

    `used_bytes` blocks for as long as the disk takes, and is called in a thread.
    """

    def __init__(
        self, limit_bytes: int, used_bytes: Callable[[], int], control: Control, emit: Emit, clock: Clock
    ) -> None:
        self._limit = limit_bytes
        self._used_bytes = used_bytes
        self._control = control
        self._emit = emit
        self._clock = clock

    async def run(self) -> None:
        """Measure now and every two seconds, until the run ends."""
        while not self._control.ending:
            used = await asyncio.to_thread(self._used_bytes)
            if used >= self._limit:
                text = f"--max-disk: the output folder has {used:,} bytes, the limit is {self._limit:,}"
                self._emit(Notice(self._clock.monotonic(), "warning", text))
                self._control.end(ExitReason.DISK_LIMIT)
                return
            await self._control.ended(DISK_EVERY_S)
