"""Which shard a site lives in, and how a transition gets there.

All state of one site is in one shard, so that every decision about it is one script. A standalone server
has one shard; on a Cluster their number is fixed when the crawl is created.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from zlib import crc32

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.frontier.crawl import Crawl


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

    def _own(self) -> Arg:
        return "" if self._own_time_ms is None else self._own_time_ms()
