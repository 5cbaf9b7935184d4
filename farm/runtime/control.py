"""What the workers of one node share: how many may work, when to look for work again, and when to stop."""

import asyncio
from enum import StrEnum


class ExitReason(StrEnum):
    """Why a run ended; `summary.json` carries it."""

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
    """Lives on the event loop. The first reason to end is the one that counts."""

    def __init__(self, *, staying: bool = False) -> None:
        self.limit = 0
        self.staying = staying
        """Whether an empty frontier is never the end: URLs may be added later."""
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

    def admit(self, limit: int) -> None:
        """Let the first `limit` slots work."""
        if limit != self.limit:
            self.limit = limit
            self.notify_all()

    def notify_all(self) -> None:
        """Let every waiting worker look for work again: there is new work, or another limit."""
        self.changes += 1
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()
        for notified in self._idle:
            notified.set()

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
        """Wait as `wait_for_change` does, for a slot that found no work: `notify_one` reaches it too."""
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
