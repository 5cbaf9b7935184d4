"""Links to another shard: written with the ack that found them, delivered by any node.

Delivery reads, adds to the other shard (which is idempotent), and only then strikes out what was read; a
node may die in between, and several may deliver at once.
"""

from collections.abc import Sequence
from typing import Any

from farm.frontier.shards import Shards

AT_ONCE = 200
_BARE = 32


def addressed(link: bytes, shard: int) -> bytes:
    """Return a link, or a bare fingerprint, as a script takes it for another shard."""
    return b"<%d>" % shard + link


async def deliver(shards: Shards, source: int) -> int:
    """Deliver what waits in one shard's outboxes and return how many items went out."""
    went = 0
    for target in range(shards.count):
        while target != source:
            struck, *items = await shards.run(source, "outbox", target, AT_ONCE, "")
            if not items:
                break
            await _hand_over(shards, target, items)
            went += int((await shards.run(source, "outbox", target, len(items), struck))[0])
    return went


async def _hand_over(shards: Shards, target: int, items: Sequence[Any]) -> None:
    seen = [item for item in items if len(item) == _BARE]
    links = [item for item in items if len(item) != _BARE]
    await shards.run(target, "deliver", len(seen), *seen, *links)
