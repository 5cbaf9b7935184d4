"""What the frontier's tests are made with: a crawl on a clock of its own, and tasks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.crawl import Crawl, open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.frontier.terms import Politeness, Terms
from farm.model.crawl import Ledger
from farm.model.outcome import Ack
from farm.model.task import Idle, Lease, LeaseRequest, UrlTask
from farm.model.url import fingerprint

START_MS = 1_000_000


@dataclass
class Bench:
    """One crawl, its frontier and the time that they are told."""

    client: RedisClient
    url: str
    crawl: Crawl
    frontier: RedisFrontier
    clock: "OwnTime"
    requests: Any = field(default_factory=count)

    @classmethod
    async def open(
        cls,
        client: RedisClient,
        url: str,
        *,
        terms: Terms | None = None,
        politeness: Politeness | None = None,
        name: str = "test",
        shards: int | None = None,
        **more: Any,
    ) -> "Bench":
        """Create a crawl at the start of its own time."""
        clock = OwnTime(START_MS)
        crawl = await open_crawl(
            client,
            name,
            {"scope": "host"},
            terms=terms,
            politeness=politeness,
            shards=shards,
            own_time_ms=clock.ms,
            **more,
        )
        frontier = RedisFrontier(client, crawl, own_time_ms=clock.read, random=Random(7))
        return cls(client, url, crawl, frontier, clock)

    def task(self, url: str, **more: Any) -> UrlTask:
        """Make a task for `site/path`."""
        site = url.partition("/")[0]
        full = f"http://{url}"
        return UrlTask(url=full, site=site, fingerprint=fingerprint(full, self.crawl.key), **more)

    async def add(self, *urls: str, **more: Any) -> int:
        """Add URLs written as `site/path`."""
        return await self.frontier.add([self.task(url, **more) for url in urls])

    def wish(self, slot: str = "s1", **more: Any) -> LeaseRequest:
        """Make a wish that was never made before."""
        more.setdefault("request_id", f"r{next(self.requests)}")
        return LeaseRequest(slot=slot, **more)

    async def lease(self, slot: str = "s1", **more: Any) -> Lease:
        """Lease, and fail where there is nothing."""
        got = await self.frontier.lease(self.wish(slot, **more))
        assert isinstance(got, Lease), got
        return got

    async def idle(self, slot: str = "s1", **more: Any) -> Idle:
        """Ask for a lease, and fail where there is one."""
        got = await self.frontier.lease(self.wish(slot, **more))
        assert isinstance(got, Idle), got
        return got

    async def done(self, lease: Lease) -> None:
        """Settle a lease without links."""
        verdict, _ = await self.frontier.ack(lease, Ack())
        assert verdict == "ok"

    async def ledger(self) -> Ledger:
        """Return the ledger, which must balance; the audit must find nothing."""
        assert await self.frontier.audit() == []
        ledger = (await self.frontier.stats()).ledger
        assert ledger.balanced, ledger
        return ledger

    async def limit_site(self, site: str, *, in_flight: int = 0, interval_s: float = 0) -> None:
        """Write down limits of one site, as if they had been learnt; 0 is none."""
        before = (await self.frontier.paces.read(site)).stored
        learnt = f"learnt {next(self.requests)}"
        limits = (in_flight, round(interval_s * 1000))
        await self.frontier.shards.run(
            self.frontier.shards.of(site), "tune", site, before, learnt, *limits, ""
        )

    def keeper(self) -> RedisLeaseRenewer:
        """Make a keeper on the same clock."""
        return RedisLeaseRenewer(self.url, self.crawl, own_time_ms=self.clock.read)

    async def raw(self, *args: Any) -> Any:
        """Send Redis a command; `@name` stands for the shard's key of that name."""
        prefix = keys.prefix(self.crawl)
        return await self.client.command(
            *(prefix + arg[1:] if isinstance(arg, str) and arg.startswith("@") else arg for arg in args)
        )


class OwnTime:
    """The time that a test tells the frontier."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def read(self) -> int:
        """Return the time in milliseconds."""
        return self.ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ms += round(seconds * 1000)


async def eventually_async(holds: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    """Wait for something that has to be requested."""
    deadline = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for something that another process does; a deadline, not a guess."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
