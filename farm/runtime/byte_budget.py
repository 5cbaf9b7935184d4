"""The budget of bytes by proxies: what this node carries is added to what all have; at the limit the run ends."""

from collections.abc import Callable
from typing import Protocol

from farm.model.clock import Clock
from farm.model.egress import ProxyBytes
from farm.model.event import Emit, Notice, ProxyBytesRead
from farm.runtime.control import Control, ExitReason

EVERY_S = 1.0


class ProxyBytesStore(Protocol):
    """The bytes of all nodes."""

    async def add(self, run: str, carried_bytes: int, budget_bytes: int | None = None) -> ProxyBytes:
        """Add what a run has carried since it said so last; return what all have, and the budget."""
        ...


class ByteBudget:
    """Ends the run once the proxies have carried the crawl's budget.

    What goes through them until every node has heard of it, a second, comes on top, and so does what the visits
    that are under way then still bring. `carried` returns the bytes of this run so far; `given_bytes` is the
    budget that its user gave, 0 for none, None where the crawl's is to stay.
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
        # Said once: whoever gives another one later is not to be contradicted.
        self._given = None
        now = self._clock.monotonic()
        self._emit(ProxyBytesRead(now, read))
        if read.is_spent and not self._control.ending:
            text = f"--proxy-bytes: {read.used:,} bytes went by the proxies, the limit is {read.budget:,}"
            self._emit(Notice(now, "warning", text))
            self._control.end(ExitReason.PROXY_BYTES)

    async def run(self) -> None:
        """Check every second, until the run ends."""
        while not await self._control.ended(EVERY_S):
            await self.check()
