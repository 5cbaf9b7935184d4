"""What a crawl's nodes have found out for each other: scope, paces, robots.txt, bans and bytes of proxies."""

import re
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.frontier.faults import unreadable
from farm.frontier.shards import BATCH, Shards
from farm.frontier.terms import SiteTerms
from farm.model.egress import Ban, ProxyBytes
from farm.policy.aimd import Pace, PaceSnapshot

MAX_BYTES = 2**20
"""Bytes of a decompressed text; a larger one was not written by a node."""
ROOM_BYTES = 128 * 2**20
"""Bytes of packed texts of robots.txt that are stored in a period: there is room for those of two."""
ROOM_PERIOD_S = 86_400.0
"""No such text lives longer."""
LARGE_BYTES = 32 * 1024
"""A larger packed text is stored in the first half of the room only: a site may have one on each of its hosts."""
BRIEF_S = 60.0
"""A text of a shorter life needs no room: it is gone before there are many."""
_KEY_BYTES = 130
"""Of Redis, for each text."""
SCOPE_READ_EVERY_S = 60.0
REPORT_LASTS_S = 60.0
WATCHED_S = 20.0
"""For so long after a view has read the reports of nodes these go on publishing them."""
MOST_REPORT_BYTES = 2**18
MOST_REPORTS_READ = 100
"""How many nodes' reports a view reads."""
_NUMBER = re.compile(rb"\d{1,18}")


class SharedScope:
    """The sites that were added to the scope of one crawl: those of its seeds, and where seeds were redirected to.

    A crawl of many seeds has as many of them, and every node asks every second. So they are counted, and read
    where there are more than before; and now and then all the same, since a master that dies takes the last ones
    with it.
    """

    def __init__(
        self, client: RedisClient, crawl: keys.KeyedCrawl, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._key = keys.scope(crawl)
        self._monotonic = monotonic
        self._count = 0
        self._sites = frozenset[str]()
        self._read_at = monotonic()

    async def add(self, sites: Collection[str]) -> None:
        """Add sites, for every node."""
        told = list(sites)
        for start in range(0, len(told), BATCH):
            await self._client.command("SADD", self._key, *told[start : start + BATCH])

    async def read(self) -> frozenset[str]:
        """Return all sites: the same object as before where they were not read anew."""
        count, now = int(await self._client.command("SCARD", self._key)), self._monotonic()
        if count != self._count or now - self._read_at >= SCOPE_READ_EVERY_S:
            members = await self._client.command("SMEMBERS", self._key)
            self._count, self._read_at = len(members), now
            # What is no text covers no site.
            self._sites = frozenset(member.decode(errors="replace") for member in members)
        return self._sites


class RedisPaceStore:
    """Reads and writes the paces of one crawl: one state per site, which all nodes add to.

    A node reads a state, computes the next one, and writes it unless another node wrote meanwhile; then it
    computes anew from what was written.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def read(self, site: str, egress: str = "") -> PaceSnapshot:
        """Return the state of a site, or of one egress address at the site."""
        return _learnt(await self._tune(site, b"", b"", 0, 0, egress))[1]

    async def write(
        self, site: str, before: PaceSnapshot, pace: Pace, egress: str = ""
    ) -> PaceSnapshot | None:
        """Write the next state. Returns None, or the state that another node wrote since `before` was read."""
        stored = orjson.dumps(asdict(pace))
        # The frontier spaces visits by up to a fifth more than this interval, so the mean is the learnt rate.
        interval_ms = round(1000 / (pace.rate * 1.1)) if pace.rate else 0
        limit = int(pace.limit)
        reply = await self._tune(site, before.stored, stored, limit, interval_ms, egress)
        written, now = _learnt(reply)
        return None if written else now

    async def keep_apart(self, site: str, interval_s: float) -> bool:
        """Store a site's crawl-delay; no learnt interval becomes shorter. Return whether it was another before."""
        return bool(await self._shards.run(self._shards.of(site), "space", site, round(interval_s * 1000)))

    async def limit_sites(self, terms: Mapping[str, SiteTerms]) -> None:
        """Store limits of single sites, by their names or `*.` and a domain above them.

        They hold for sites that come into being afterwards: every node stores them before it adds a URL.
        """
        told = [(name, one.stored()) for name, one in terms.items()]
        for shard in range(self._shards.count):
            key = keys.limits(self._shards.crawl, shard)
            for start in range(0, len(told), BATCH):
                part = [text for pair in told[start : start + BATCH] for text in pair]
                await self._shards.client.command("HSET", key, *part)

    async def _tune(
        self, site: str, before: bytes, after: bytes, limit: int, interval_ms: int, egress: str
    ) -> Any:
        shard = self._shards.of(site)
        return await self._shards.run(shard, "tune", site, before, after, limit, interval_ms, egress)


class RedisSharedCache:
    """The texts of robots.txt of one crawl, one per origin; the cache does not look into them.

    A claim makes one node fetch a text while the others wait. `wall` returns the time of day in seconds.
    """

    def __init__(
        self, client: RedisClient, crawl: keys.KeyedCrawl, *, wall: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._crawl = crawl
        self._wall = wall

    async def read(self, origin: str) -> bytes | None:
        """Return an origin's text; None if there is none, it has expired, or it cannot be unpacked."""
        stored = await self._client.command("GET", keys.robots(self._crawl, origin))
        if stored is None:
            return None
        unpack = zlib.decompressobj()
        try:
            text = unpack.decompress(stored, MAX_BYTES)
        except zlib.error:
            return None
        return text if unpack.eof else None

    async def write(self, origin: str, text: bytes, for_s: float) -> None:
        """Store a text for `for_s` seconds, and end the claim."""
        await self._store(origin, zlib.compress(text, 1), for_s)

    async def offer(self, origin: str, text: bytes, for_s: float) -> bool:
        """Store a text as `write` does where there is room for it, and end the claim; return whether there was.

        It lives for a day at most.
        """
        packed = zlib.compress(text, 1)
        if for_s > BRIEF_S:
            room = keys.robots_room(self._crawl, int(self._wall() // ROOM_PERIOD_S))
            size = len(packed) + len(origin) + _KEY_BYTES
            taken = int(await self._client.command("INCRBY", room, size))
            if taken == size:
                await self._client.command("PEXPIRE", room, round(ROOM_PERIOD_S * 1000))
            if taken > (ROOM_BYTES // 2 if len(packed) > LARGE_BYTES else ROOM_BYTES):
                await self._client.command("DECRBY", room, size)
                await self.yield_claim(origin)
                return False
        await self._store(origin, packed, min(for_s, ROOM_PERIOD_S))
        return True

    async def _store(self, origin: str, packed: bytes, for_s: float) -> None:
        key = keys.robots(self._crawl, origin)
        await self._client.command("SET", key, packed, "PX", max(1, round(for_s * 1000)))
        await self.yield_claim(origin)

    async def claim(self, origin: str, for_s: float) -> bool:
        """Return whether the caller is the one to fetch; its claim expires after `for_s` seconds."""
        key = keys.robots_claim(self._crawl, origin)
        return (await self._client.command("SET", key, "1", "NX", "PX", round(for_s * 1000))) is not None

    async def prolong(self, origin: str, for_s: float) -> None:
        """Have the claim end in `for_s` seconds, where there is one, whoever has it."""
        await self._client.command("PEXPIRE", keys.robots_claim(self._crawl, origin), round(for_s * 1000))

    async def yield_claim(self, origin: str) -> None:
        """End the claim, so that another node may fetch."""
        await self._client.command("DEL", keys.robots_claim(self._crawl, origin))


class RedisNodeReports:
    """The nodes' reports for a view of all of them, and the number of contexts that its user wants of each."""

    def __init__(self, client: RedisClient, crawl: keys.KeyedCrawl) -> None:
        self._client = client
        self._crawl = crawl

    async def is_watched(self) -> bool:
        """Whether a view has read reports lately: where nobody does, none need be published."""
        return bool(await self._client.command("EXISTS", keys.watched(self._crawl)))

    async def publish(self, node: str, report: bytes) -> None:
        """Store a node's report, for some seconds."""
        key = keys.report(self._crawl, node)
        await self._client.command("SET", key, report, "PX", round(REPORT_LASTS_S * 1000))

    async def wanted(self, node: str) -> int | None:
        """Return how many contexts are wanted of a node, if that is news."""
        wanted = await self._client.command("GETDEL", keys.wanted(self._crawl, node))
        return int(wanted) if wanted is not None and _NUMBER.fullmatch(wanted) else None

    async def read(self, nodes: Sequence[str]) -> dict[str, bytes]:
        """Return the reports of these nodes that are there, and have nodes publish them for some seconds.

        One that is too long is none. All are read at once.
        """
        calls: list[tuple[Arg, ...]] = [
            ("SET", keys.watched(self._crawl), 1, "PX", round(WATCHED_S * 1000)),
            *(
                ("GETRANGE", keys.report(self._crawl, node), 0, MOST_REPORT_BYTES)
                for node in nodes[:MOST_REPORTS_READ]
            ),
        ]
        _, *reports = await self._client.commands(calls)
        # Of more nodes none is read.
        told = zip(nodes, reports, strict=False)
        return {node: report for node, report in told if 0 < len(report) <= MOST_REPORT_BYTES}

    async def want(self, node: str, contexts: int) -> None:
        """Request that a node lets this many contexts work; it reads the request within seconds, or never."""
        key = keys.wanted(self._crawl, node)
        await self._client.command("SET", key, contexts, "PX", round(REPORT_LASTS_S * 1000))


class SharedBans:
    """A crawl's bans; `own_time_ms` replaces the server's clock in tests."""

    def __init__(
        self, client: RedisClient, crawl: keys.KeyedCrawl, *, own_time_ms: Callable[[], int] | None = None
    ) -> None:
        self._client = client
        self._key = keys.ctl(crawl)
        self._own_time_ms = own_time_ms
        self._heard: int | None = None
        """The number of the last ban that was heard of; None before the first call."""

    async def exchange(self, news: Sequence[Ban], *, anew: bool = False) -> Sequence[Ban]:
        """Store new bans and return those that began since the last call, of all nodes.

        `anew`, and the first time, these are all that are in force: that takes the longer the more there are.
        """
        told: list[Arg] = ["" if anew or self._heard is None else self._heard]
        for ban in news:
            told += [_subject_of(ban), max(0, round(ban.left_s * 1000)), ban.bans]
        own = "" if self._own_time_ms is None else self._own_time_ms()
        self._heard, *heard = await self._client.run("bans", self._key, own, *told)
        return [_ban_of(*heard[i : i + 3]) for i in range(0, len(heard), 3)]


class RedisProxyBytes:
    """The bytes of one crawl over all its runs and nodes, kept in its first shard."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def add(self, run: str, carried_bytes: int, budget_bytes: int | None = None) -> ProxyBytes:
        """Add what a run has carried since it said so last; return what all have.

        `carried_bytes` are those of the whole run so far, `run` a text that no other run has. With
        `budget_bytes` that is the crawl's budget from now on, 0 for none. Raises CrawlUnreadable.
        """
        budget = "" if budget_bytes is None else budget_bytes
        reply = await self._shards.run(0, "proxied", run, carried_bytes, budget)
        return _proxy_bytes(self._shards.client, reply)

    async def read(self) -> ProxyBytes:
        """Return the bytes through proxies, and the budget; changes nothing. Raises CrawlUnreadable."""
        client = self._shards.client
        stored = await client.command("HMGET", keys.proxied(self._shards.crawl), "bytes", "budget")
        return _proxy_bytes(client, [field or b"0" for field in stored])


def _learnt(reply: Any) -> tuple[bool, PaceSnapshot]:
    written, stored, now_ms, in_flight, blocked_ms, first = reply
    learnt = PaceSnapshot(
        stored, _pace(stored), int(now_ms) / 1000, int(in_flight), int(blocked_ms) / 1000, int(first)
    )
    return bool(written), learnt


def _pace(stored: bytes) -> Pace | None:
    """Return a stored state; None for one that another version of the farm wrote, which is learnt anew."""
    if not stored:
        return None
    try:
        fields = orjson.loads(stored)
        fields["latencies"] = tuple(fields["latencies"])
        fields["delivered"] = tuple((second, count) for second, count in fields["delivered"])
        return Pace(**fields)
    except (ValueError, TypeError, KeyError):
        return None


def _subject_of(ban: Ban) -> str:
    """Return the field of a ban: the proxy's label, and the site after a space. Neither contains one."""
    return ban.proxy if ban.site is None else f"{ban.proxy} {ban.site}"


def _ban_of(subject: bytes, left_ms: int, bans: int) -> Ban:
    proxy, _, site = subject.decode(errors="replace").partition(" ")
    return Ban(proxy, site or None, left_ms / 1000, bans)


def _proxy_bytes(client: RedisClient, fields: list[bytes]) -> ProxyBytes:
    if not all(_NUMBER.fullmatch(field) for field in fields):
        raise unreadable(client.place, "the bytes of its proxies are none")
    return ProxyBytes(*map(int, fields))
