"""What the workers of one node share: how many may work, when to look for work again, and when to stop."""

import asyncio
from enum import StrEnum


class ExitReason(StrEnum):
    """Why a run ended; `summary.json` carries it."""

    FINISHED = "finished"
    LIMIT = "limit"
    TIME_LIMIT = "time_limit"
    DISK_LIMIT = "disk_limit"
    STOPPED = "stopped"
    SIGINT = "sigint"
    SIGTERM = "sigterm"
    SIGHUP = "sighup"


class Control:
    """Lives on the event loop. The first reason to end is the one that counts."""

    def __init__(self, *, staying: bool = False) -> None:
        self.limit = 0
        self.staying = staying
        """Whether an empty frontier is never the end: somebody may add to it."""
        self.reason: ExitReason | None = None
        self._ending = asyncio.Event()
        self.changes = 0
        self.expecting = False
        """Whether more URLs may come from elsewhere, so that an empty frontier is not the end."""
        self._wake = asyncio.Event()
        self._resting: list[asyncio.Event] = []

    @property
    def ending(self) -> bool:
        """Whether no new lease is to be taken."""
        return self._ending.is_set()

    def end(self, reason: ExitReason) -> None:
        """Take no new lease; what is being visited is finished."""
        if self.reason is None:
            self.reason = reason
        self._ending.set()
        self.wake()

    async def ended(self, within_s: float | None = None) -> bool:
        """Wait for the end to be called, no longer than that, and say whether it was."""
        try:
            async with asyncio.timeout(within_s):
                await self._ending.wait()
        except TimeoutError:
            return False
        return True

    def admit(self, limit: int) -> None:
        """Let the first `limit` slots work."""
        if limit != self.limit:
            self.limit = limit
            self.wake()

    def wake(self) -> None:
        """Have every waiting worker look again: there is new work, or another limit."""
        self.changes += 1
        waiting, self._wake = self._wake, asyncio.Event()
        waiting.set()
        for called in self._resting:
            called.set()

    @property
    def resting(self) -> int:
        """How many slots rest because there was no work for them."""
        return len(self._resting)

    def call_one(self) -> None:
        """Have one of those who rest look again: where one found work, there may be more."""
        called = next((event for event in self._resting if not event.is_set()), None)
        if called is not None:
            called.set()

    async def rest(self, since: int, longest_s: float) -> None:
        """As `pause`, for a slot that found no work: it can be called alone."""
        if self.changes != since:
            return
        called = asyncio.Event()
        self._resting.append(called)
        try:
            async with asyncio.timeout(longest_s):
                await called.wait()
        except TimeoutError:
            return
        finally:
            self._resting.remove(called)

    async def pause(self, since: int, longest_s: float) -> None:
        """Wait until there is a change after the one numbered `since`, but no longer than that.

        The caller reads `changes` before it looks for work: what changes while it looks is not missed.
        """
        if self.changes != since:
            return
        try:
            async with asyncio.timeout(longest_s):
                await self._wake.wait()
        except TimeoutError:
            return
