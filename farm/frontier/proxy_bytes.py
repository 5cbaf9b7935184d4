"""How many bytes went by the crawl's proxies, over all its runs and nodes, and how many may."""

import re

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.faults import unreadable
from farm.frontier.shards import Shards
from farm.model.egress import ProxyBytes

_NUMBER = re.compile(rb"\d{1,18}")


class RedisProxyBytes:
    """The bytes of one crawl, kept in its first shard."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def add(self, run: str, carried_bytes: int, budget_bytes: int | None = None) -> ProxyBytes:
        """Add what a run has carried since it said so last; return what all have.

        `carried_bytes` are those of the whole run so far, `run` a text that no other run has. With
        `budget_bytes` that is the crawl's budget from now on, 0 for none. Raises CrawlUnreadable.
        """
        budget = "" if budget_bytes is None else budget_bytes
        reply = await self._shards.run(0, "proxied", run, carried_bytes, budget)
        return _read(self._shards.client, reply)

    async def read(self) -> ProxyBytes:
        """Return what the proxies have carried, and the budget; changes nothing. Raises CrawlUnreadable."""
        client = self._shards.client
        stored = await client.command("HMGET", keys.proxied(self._shards.crawl), "bytes", "budget")
        return _read(client, [field or b"0" for field in stored])


def _read(client: RedisClient, fields: list[bytes]) -> ProxyBytes:
    if not all(_NUMBER.fullmatch(field) for field in fields):
        raise unreadable(client.place, "the bytes of its proxies are none")
    return ProxyBytes(*map(int, fields))
