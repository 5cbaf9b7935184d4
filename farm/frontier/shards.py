"""The shards of one crawl: which one a site lives in, how a transition gets there, what they do together.

All state of one site is in one shard, so that every decision about it is one script. A standalone server has one
shard; on a Cluster their number is fixed when the crawl is created. A script sees its own shard only, so what
concerns several of them is done here: links from one to another, a page limit over all, and the turns in which a
slot asks them.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from zlib import crc32

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.frontier.counters import decode, stats_of
from farm.frontier.crawl import Crawl
from farm.frontier.faults import crawl_deleted, unreadable
from farm.frontier.terms import Terms
from farm.model.crawl import Stats
from farm.model.errors import CrawlUnreadable
from farm.model.task import LeaseRequest

BATCH = 500
"""How many links or ids one call takes; more would hold up every other caller."""
OUTBOX_BATCH = 200
"""How many items of an outbox are delivered in one call."""
QUOTA_PORTION = 8
"""How many pages a shard borrows at once."""
_BARE = 32
"""The length of a bare fingerprint in an outbox; a link is longer."""


def shard_of(site: str, shards: int) -> int:
    """Return the shard of a site; the same on every node, for as long as the crawl lives."""
    return crc32(site.encode()) % shards


class Shards:
    """The shards of one crawl. `own_time_ms` replaces the server's clock in tests."""

    def __init__(
        self, client: RedisClient, crawl: Crawl, own_time_ms: Callable[[], int] | None = None
    ) -> None:
        self.client = client
        self.crawl = crawl
        self.count = crawl.shards
        self._own_time_ms = own_time_ms
        self._ctls = [keys.ctl(crawl, shard) for shard in range(crawl.shards)]
        self._terms: Terms | None = None

    def of(self, site: str) -> int:
        """Return the shard of a site."""
        return shard_of(site, self.count) if self.count > 1 else 0

    async def run(self, shard: int, name: str, *args: Arg) -> Any:
        """Run a transition on one shard."""
        return await self.client.run(name, self._ctls[shard], self._own(), *args)

    async def each(self, name: str, *args: Arg) -> list[Any]:
        """Run a transition on every shard; the replies come in their order."""
        if self.count == 1:
            return [await self.run(0, name, *args)]
        return await asyncio.gather(*(self.run(shard, name, *args) for shard in range(self.count)))

    def home(self, request_id: str, hint: str | None) -> int:
        """Return the shard that a request is for: its site's, or any; the same whenever it is repeated."""
        return self.of(hint) if hint else crc32(request_id.encode()) % self.count

    def order(self, first: int) -> list[int]:
        """Return all shards in their order, beginning with one."""
        return [(first + step) % self.count for step in range(self.count)]

    async def stats(self) -> Stats:
        """Return the crawl's numbers, summed over all shards.

        Raises CrawlGone where the crawl was deleted, CrawlUnreadable where its counters cannot be read.
        """
        replies = await self._replies()
        try:
            return stats_of(replies)
        except ValueError:
            raise self._garbled() from None

    async def counters(self) -> list[dict[str, int]]:
        """Return each shard's counters by name, in the shards' order; raises as `stats` does."""
        replies = await self._replies()
        try:
            return [decode(stored) for stored, _ in replies]
        except (OverflowError, ValueError):
            raise self._garbled() from None

    async def terms(self) -> Terms:
        """Return the terms that the crawl was created with; read once, since nothing changes them.

        Raises as `stats` does.
        """
        if self._terms is None:
            self._terms = Terms.of((await self.counters())[0])
        return self._terms

    async def _replies(self) -> list[Any]:
        replies = await self.each("stats")
        if not all(replies):
            raise crawl_deleted(self.client.place)
        return replies

    def _garbled(self) -> CrawlUnreadable:
        return unreadable(self.client.place, "its counters are none")

    def _own(self) -> Arg:
        return "" if self._own_time_ms is None else self._own_time_ms()


def addressed(link: bytes, shard: int) -> bytes:
    """Return a link, or a bare fingerprint, as a script takes it for another shard."""
    return b"<%d>" % shard + link


async def deliver(shards: Shards, source: int) -> int:
    """Deliver what waits in one shard's outboxes; return how many items were delivered.

    Links to another shard are written with the ack that found them, and any node may deliver them. Delivery reads,
    adds to the other shard (which is idempotent), and only then removes what was read: a node may die in between,
    and several may deliver at once.
    """
    delivered = 0
    for target in range(shards.count):
        while target != source:
            struck, *items = await shards.run(source, "outbox", target, OUTBOX_BATCH, "")
            if not items:
                break
            await _hand_over(shards, target, items)
            delivered += int((await shards.run(source, "outbox", target, len(items), struck))[0])
    return delivered


async def _hand_over(shards: Shards, target: int, items: Sequence[Any]) -> None:
    seen = [item for item in items if len(item) == _BARE]
    links = [item for item in items if len(item) != _BARE]
    await shards.run(target, "deliver", len(seen), *seen, *links)


async def allow_more(shards: Shards, shard: int, limit: int) -> bool:
    """Let a shard hand out some more leases under the page limit; False when nothing is left to lend.

    The limit is lent in small portions, so that it is never exceeded. A shard that is refused borrows from the
    first one; when all is lent, what other shards do not need is withdrawn from them and lent again.
    """
    lent = await _move(shards, 0, "borrow", QUOTA_PORTION, limit)
    if not lent:
        await _withdraw_from_others(shards, shard)
        lent = await _move(shards, 0, "borrow", QUOTA_PORTION, limit)
    if lent:
        await _move(shards, shard, "allow", lent)
    return lent > 0


async def _withdraw_from_others(shards: Shards, shard: int) -> None:
    for other in range(shards.count):
        if other != shard:
            unused = await _move(shards, other, "withdraw")
            if unused:
                await _move(shards, 0, "repay", unused)


async def _move(shards: Shards, shard: int, action: str, count: int = 0, limit: int = 0) -> int:
    return int(await shards.run(shard, "quota", action, count, limit, uuid4().hex))


@dataclass(frozen=True, slots=True)
class _Run:
    request_id: str
    shard: int
    length: int


class ShardAffinity:
    """How many leases in a row each slot got from one shard, so that none is served alone while others have work.

    A script hands out the best of its own shard and knows of no other: only the caller can go elsewhere. A slot
    belongs to one node, so its run concerns no other node, and need not outlive the process.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._runs: dict[str, _Run] = {}

    def first(self, request: LeaseRequest, home: int, longest: int) -> int:
        """Return the shard to ask first: `home`, or the one behind it when the slot's run there is over.

        `longest` is how many leases in a row one shard gives before the others are asked. A request that was
        granted and is repeated goes where it was granted, or its slot would hold two leases.
        """
        run = self._runs.get(request.slot)
        if run is None:
            return home
        if run.request_id == request.request_id:
            return run.shard
        is_over = run.shard == home and run.length >= longest
        return (home + 1) % self._shards if is_over else home

    def note(self, request: LeaseRequest, shard: int, *, anew: bool) -> None:
        """Note which shard granted a request; `anew` when others were asked before and had nothing."""
        if self._shards == 1:
            return
        run = self._runs.get(request.slot)
        if run is not None and run.request_id == request.request_id:
            return
        length = run.length + 1 if run is not None and run.shard == shard and not anew else 1
        self._runs[request.slot] = _Run(request.request_id, shard, length)
