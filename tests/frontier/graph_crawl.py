"""A crawl of a graph in place of pages, by slots that lease and settle until nothing is left."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from farm.frontier.frontier import RedisFrontier
from farm.model.outcome import Ack
from farm.model.task import Lease, LeaseRequest
from tests.frontier.worker_process import links_of, task_of, url_of


class GraphCrawl:
    """Counts how often each page was visited, and lets a test come in between."""

    def __init__(self, frontier: RedisFrontier, pages: int) -> None:
        self.frontier = frontier
        self.pages = pages
        self.visits: Counter[str] = Counter()
        self._key = frontier._crawl.key
        self._visited = asyncio.Condition()

    async def reached(self, visits: int) -> None:
        """Wait for so many visits."""
        async with self._visited:
            await self._visited.wait_for(lambda: self.visits.total() >= visits)

    async def run(
        self,
        slots: int,
        during: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
        *,
        within_s: float = 240,
    ) -> None:
        """Crawl to the end while `during` happens; what a slot raises is raised."""
        await self.frontier.add([task_of(0, self._key)])
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            for number in range(slots):
                group.create_task(self._slot(f"n/{number}"))
            for one in during:
                group.create_task(one())

    def missing(self) -> set[str]:
        """Return the pages that were not visited."""
        return {url_of(n) for n in range(self.pages)} - set(self.visits)

    async def _slot(self, name: str) -> None:
        step = 0
        while True:
            step += 1
            got = await self.frontier.lease(LeaseRequest(name, f"r{step}"))
            if isinstance(got, Lease):
                links = [task_of(n, self._key) for n in links_of(got.task.meta["n"], self.pages)]
                await self.frontier.ack(got, Ack(links=links))
                async with self._visited:
                    self.visits[got.task.url] += 1
                    self._visited.notify_all()
            elif got.reason == "empty":
                return
            else:
                await self.frontier.maintain()
