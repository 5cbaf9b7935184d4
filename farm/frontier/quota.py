"""A page limit over several shards: lent in small portions, so that it is never exceeded.

A shard that is refused borrows from the first one; when all is lent, what other shards do not need is
withdrawn from them and lent again.
"""

from uuid import uuid4

from farm.frontier.shards import Shards

PORTION = 8


async def allow_more(shards: Shards, shard: int, limit: int) -> bool:
    """Let a shard hand out some more leases under the limit; False when nothing is left to lend."""
    lent = await _move(shards, 0, "borrow", PORTION, limit)
    if not lent:
        await _withdraw_from_others(shards, shard)
        lent = await _move(shards, 0, "borrow", PORTION, limit)
    if lent:
        await _move(shards, shard, "allow", lent)
    return lent > 0


async def _withdraw_from_others(shards: Shards, shard: int) -> None:
    for other in range(shards.count):
        if other != shard:
            unused = await _move(shards, other, "withdraw")
            if unused:
                await _move(shards, 0, "repay", unused)


async def _move(shards: Shards, shard: int, deed: str, count: int = 0, limit: int = 0) -> int:
    return int(await shards.run(shard, "quota", deed, count, limit, uuid4().hex))
