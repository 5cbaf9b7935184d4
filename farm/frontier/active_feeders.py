"""Who still feeds the crawl from elsewhere (sitemaps): as long as somebody does, an empty frontier is not its end.

What always holds: a mark is set before the crawl can be seen to be empty, and taken away after the last URL was
added; a node that dies leaves a mark that ends by itself.
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
        """Set a node's mark, or keep it longer."""
        await self._client.command("SADD", keys.feeds(self._crawl), node)
        await self._client.command("SET", keys.feed(self._crawl, node), "1", "PX", round(for_s * 1000))

    async def drop(self, node: str) -> None:
        """Take a node's mark away: all that it had is added."""
        await self._client.command("DEL", keys.feed(self._crawl, node))
        await self._client.command("SREM", keys.feeds(self._crawl), node)

    async def any(self) -> bool:
        """Whether somebody feeds."""
        for member in await self._client.command("SMEMBERS", keys.feeds(self._crawl)):
            node = member.decode()
            if await self._client.command("EXISTS", keys.feed(self._crawl, node)):
                return True
            await self._client.command("SREM", keys.feeds(self._crawl), node)
        return False
