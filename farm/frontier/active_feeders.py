"""Which nodes still feed the crawl from sitemaps: while one does, an empty frontier is not the crawl's end.

What always holds: a mark is set before the crawl can be seen to be empty, and removed after the last URL was
added; the mark of a node that dies expires.
"""

from farm.frontier import keys
from farm.frontier.client import RedisClient

HELD_S = 30.0


class ActiveFeeders:
    """The marks of one crawl."""

    def __init__(self, client: RedisClient, crawl: keys.Named) -> None:
        self._client = client
        self._crawl = crawl

    async def hold(self, node: str, for_s: float = HELD_S) -> None:
        """Set a node's mark for `for_s` seconds, or prolong it."""
        await self._client.command("SADD", keys.feeds(self._crawl), node)
        await self._client.command("SET", keys.feed(self._crawl, node), "1", "PX", round(for_s * 1000))

    async def drop(self, node: str) -> None:
        """Remove a node's mark: it has added all its URLs."""
        await self._client.command("DEL", keys.feed(self._crawl, node))
        await self._client.command("SREM", keys.feeds(self._crawl), node)

    async def any(self) -> bool:
        """Whether any node still feeds the crawl."""
        for member in await self._client.command("SMEMBERS", keys.feeds(self._crawl)):
            node = member.decode()
            if await self._client.command("EXISTS", keys.feed(self._crawl, node)):
                return True
            await self._client.command("SREM", keys.feeds(self._crawl), node)
        return False
