"""The outbox of a crawl's webhook: events wait in Redis until one node has delivered them.

A dead letter's event is written with the letter, in one transaction; what nodes see is announced once for all of
them. An event leaves the outbox after its delivery: if a node dies in between, another one delivers it, so that it
arrives at least once. An outbox has a bound; events beyond it are counted and dropped.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from farm.frontier import keys
from farm.frontier.shards import Shards

ARMED_S = 3600
"""How long events are kept after the last node with a webhook."""


class RedisHookOutbox:
    """The outboxes of all shards, as one."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def arm(self) -> None:
        """Keep events from now on; must be repeated within the hour. Lost events are still counted."""
        for shard in range(self._shards.count):
            key = keys.hooked(self._shards.crawl, shard)
            await self._shards.client.command("HSET", key, "on", 1)
            await self._shards.client.command("EXPIRE", key, ARMED_S)

    async def announce(self, same: str, for_s: float, event: Mapping[str, Any]) -> bool:
        """Add an event, unless `same` was announced in the last `for_s` seconds; return whether it was added."""
        told = await self._shards.run(0, "announce", same, round(for_s * 1000), orjson.dumps(dict(event)))
        return bool(told)

    async def claim(self, owner: str, for_s: float) -> bool:
        """Claim the delivery for some seconds; False if another node has it."""
        client, key = self._shards.client, keys.hook_claim(self._shards.crawl)
        is_own = await client.command("GET", key) == owner.encode()
        # It may have ended in between, and be another's by now.
        if is_own and await client.command("PEXPIRE", key, round(for_s * 1000)):
            return True
        return bool(await client.command("SET", key, owner, "NX", "PX", round(for_s * 1000)))

    async def waiting(self, most: int) -> Sequence[tuple[int, bytes]]:
        """Return the oldest events, each with its shard."""
        found: list[tuple[int, bytes]] = []
        for shard in range(self._shards.count):
            key = keys.hooks(self._shards.crawl, shard)
            events = await self._shards.client.command("LRANGE", key, 0, most - 1)
            found += [(shard, event) for event in events]
        return found[:most]

    async def delivered(self, shard: int, event: bytes) -> None:
        """Remove an event, unless another node has already removed it."""
        await self._shards.client.command("LREM", keys.hooks(self._shards.crawl, shard), 1, event)

    async def lost(self) -> int:
        """Return how many events were dropped."""
        counts = [
            await self._shards.client.command("HGET", keys.hooked(self._shards.crawl, shard), "lost")
            for shard in range(self._shards.count)
        ]
        return sum(int(count) for count in counts if count is not None and count.isdigit())
