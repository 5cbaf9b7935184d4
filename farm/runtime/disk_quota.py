"""The limit on what a crawl may take on the disk: reached, no new page is taken."""

import asyncio
from collections.abc import Callable

from farm.model.clock import Clock
from farm.model.event import Emit, Notice
from farm.runtime.control import Control, ExitReason

EVERY_S = 2.0


class DiskQuota:
    """Ends the run once `used_bytes` is at the limit; what is written between two looks comes on top.

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
        """Look now and every two seconds, until the run ends."""
        while not self._control.ending:
            used = await asyncio.to_thread(self._used_bytes)
            if used >= self._limit:
                text = f"--max-disk: the output folder has {used:,} bytes, the limit is {self._limit:,}"
                self._emit(Notice(self._clock.monotonic(), "warning", text))
                self._control.end(ExitReason.DISK_LIMIT)
                return
            await self._control.ended(EVERY_S)
