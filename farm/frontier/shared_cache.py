"""The origins' robots.txt, shared by all nodes: one text per origin, until it expires.

The cache does not look into a text. A claim makes one node fetch it while the others wait.
"""

import zlib

from farm.frontier import keys
from farm.frontier.client import RedisClient

MAX_BYTES = 2**20
"""Of a text; one that unpacks to more was not written by a node."""


class RedisSharedCache:
    """The texts of one crawl."""

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
