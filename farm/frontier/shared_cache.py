"""What one node has found out, for all others until it expires: the origins' robots.txt, and bans of proxies.

There is one text per origin, and the cache does not look into it. A claim makes one node fetch it while the others
wait.
"""

import zlib
from collections.abc import Callable, Sequence

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.model.egress import Ban

MAX_BYTES = 2**20
"""Of a text; one that unpacks to more was not written by a node."""


class RedisSharedCache:
    """The texts of robots.txt of one crawl."""

    def __init__(self, client: RedisClient, crawl: keys.Named) -> None:
        self._client = client
        self._crawl = crawl

    async def read(self, origin: str) -> bytes | None:
        """Return an origin's text; None where there is none, it has expired, or it cannot be unpacked."""
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
        key = keys.robots(self._crawl, origin)
        await self._client.command("SET", key, zlib.compress(text, 1), "PX", max(1, round(for_s * 1000)))
        await self.yield_claim(origin)

    async def claim(self, origin: str, for_s: float) -> bool:
        """Return whether the caller is the one to fetch; its claim expires after `for_s` seconds."""
        key = keys.robots_claim(self._crawl, origin)
        return (await self._client.command("SET", key, "1", "NX", "PX", round(for_s * 1000))) is not None

    async def yield_claim(self, origin: str) -> None:
        """End the claim, so that another node may fetch."""
        await self._client.command("DEL", keys.robots_claim(self._crawl, origin))


class SharedBans:
    """A crawl's bans; `own_time_ms` replaces the server's clock in tests."""

    def __init__(
        self, client: RedisClient, crawl: keys.Named, *, own_time_ms: Callable[[], int] | None = None
    ) -> None:
        self._client = client
        self._key = keys.ctl(crawl)
        self._own_time_ms = own_time_ms

    async def exchange(self, news: Sequence[Ban]) -> Sequence[Ban]:
        """Store new bans and return every ban in force, those of other nodes included."""
        told: list[Arg] = []
        for ban in news:
            told += [_subject_of(ban), max(0, round(ban.left_s * 1000)), ban.bans]
        own = "" if self._own_time_ms is None else self._own_time_ms()
        heard = await self._client.run("bans", self._key, own, *told)
        return [_ban_of(*heard[i : i + 3]) for i in range(0, len(heard), 3)]


def _subject_of(ban: Ban) -> str:
    """Return what a ban is stored under: the proxy's label, and the site after a space. Neither contains one."""
    return ban.proxy if ban.site is None else f"{ban.proxy} {ban.site}"


def _ban_of(subject: bytes, left_ms: int, bans: int) -> Ban:
    proxy, _, site = subject.decode().partition(" ")
    return Ban(proxy, site or None, left_ms / 1000, bans)
