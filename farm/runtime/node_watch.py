"""Watches the other nodes of a crawl: reports them, and when one is lost or returns."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from farm.model.clock import Clock
from farm.model.crawl import NodeSeen
from farm.model.event import Emit, NodesRead, Notice

LOOK_EVERY_S = 5.0
LOST_S = 600.0
"""For how many seconds a lost node is reported."""
MOST_NODES = 200
_AT_WORK = ("running", "draining")


class NodeWatch:
    """Reads the nodes of a crawl by `seen`; `own` is the name of this one."""

    def __init__(
        self, seen: Callable[[], Awaitable[Sequence[NodeSeen]]], own: str, emit: Emit, clock: Clock
    ) -> None:
        self._seen = seen
        self._own = own
        self._emit = emit
        self._clock = clock
        self._states: dict[str, str] = {}

    async def look(self) -> None:
        """Read the nodes once; emit the live ones and those that were lost recently, and log changes."""
        nodes = [node for node in await self._seen() if node.name != self._own]
        told = [
            node
            for node in nodes
            if node.state in _AT_WORK or (node.state == "lost" and node.silent_s < LOST_S)
        ]
        now = self._clock.monotonic()
        self._emit(NodesRead(now, tuple(told[:MOST_NODES])))
        for node in nodes:
            before = self._states.get(node.name)
            if node.state == "lost" and before in _AT_WORK:
                text = f"node {node.name} is lost: nothing was heard of it for {node.silent_s:.0f} s"
                self._emit(Notice(now, "warning", f"{text}; the others visit what it had leased"))
            elif node.state in _AT_WORK and before == "lost":
                self._emit(Notice(now, "info", f"node {node.name} is back"))
        self._states = {node.name: node.state for node in nodes[:MOST_NODES]}

    async def run(self) -> None:
        """Read every few seconds, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)
