"""Links between shards: written with the ack that found them, delivered by any node, and never lost in between.

Delivery reads, adds to the other shard (which is idempotent), and notes what was delivered: a node may die in
between, and several may deliver at once. On a Cluster a master may die before its replica has what it took, and
the replica takes its place without it. So what is delivered is struck out only when the replicas have it too, and
is kept until then. Each shard counts what it has had of each other one: where it has had less than was delivered
to it, the rest is delivered again.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from farm.frontier import keys
from farm.frontier.shards import Shards

OUTBOX_BATCH = 200
"""How many items of an outbox are delivered in one call."""
MOST_ROUNDS = 50
"""The time of one delivery: the rest follows with the next one, so that other work waits a few seconds at most."""
REPLICATED_WITHIN_MS = 100
AT_ONCE_MS = 1
"""The wait for a master whose replicas were just late: nothing else waits for them again."""
_BARE = 32
"""The length of a bare fingerprint in an outbox; a link is longer."""


def addressed(link: bytes, shard: int) -> bytes:
    """Return a link, or a bare fingerprint, in a script's form for another shard."""
    return b"<%d>" % shard + link


async def deliver(
    shards: Shards, source: int, late: set[int] | None = None, here: Collection[int] | None = None
) -> int:
    """Deliver the items in one shard's outboxes; return how many were delivered.

    `late` are shards whose replicas did not follow in time; those that do not now are added. `here` are the shards
    that answer; all of them unless it is given.
    """
    targets = range(shards.count) if here is None else sorted(here)
    late = set() if late is None else late
    return sum([await _deliver_to(shards, source, target, late) for target in targets if target != source])


async def _deliver_to(shards: Shards, source: int, target: int, late: set[int]) -> int:
    delivered = 0
    for _ in range(MOST_ROUNDS):
        struck, before, *items = await shards.run(source, "outbox", target, "read", OUTBOX_BATCH)
        if not items and before == struck:
            break
        seen = [item for item in items if len(item) == _BARE]
        links = [item for item in items if len(item) != _BARE]
        within_ms = AT_ONCE_MS if target in late else REPLICATED_WITHIN_MS
        (_, had), is_kept = await shards.run_replicated(
            target, "deliver", source, before, struck, len(seen), *seen, *links, within_ms=within_ms
        )
        if had < before:
            await shards.run(source, "outbox", target, "again", before, had)
            continue
        if not is_kept:
            late.add(target)
        told = (before, len(items), int(is_kept))
        delivered += max(0, int((await shards.run(source, "outbox", target, "delivered", *told))[0]))
        if not items:
            break
    return delivered


async def lost_links(shards: Shards) -> list[str]:
    """Return a sentence for each pair of shards whose delivered links were lost with a master.

    The number of delivered links is read before that of received ones, which only grows: links in transit are not
    lost.
    """
    delivered: list[dict[int, int]] = []
    for source in range(shards.count):
        struck = await _counts(shards, source, "struck")
        delivered.append({**struck, **(await _counts(shards, source, "sent"))})
    arrived = [await _counts(shards, target, "received") for target in range(shards.count)]
    gaps = [await _counts(shards, target, "gaps") for target in range(shards.count)]
    return list(_sentences(delivered, arrived, gaps))


def _sentences(
    delivered: Sequence[dict[int, int]], arrived: Sequence[dict[int, int]], gaps: Sequence[dict[int, int]]
) -> Iterator[str]:
    for source, counts in enumerate(delivered):
        for target, count in sorted(counts.items()):
            if not 0 <= target < len(arrived):
                yield f"shard {source} has delivered {count} links to shard {target}, which there is not"
            elif arrived[target].get(source, 0) < count:
                missing = count - arrived[target].get(source, 0)
                yield f"{missing} links that shard {source} has delivered to shard {target} are not there"
    for target, by_source in enumerate(gaps):
        for source, count in sorted(by_source.items()):
            yield (
                f"{count} links from shard {source} may be lost: the master of shard {target} was replaced by one "
                "that lacked them"
            )


async def _counts(shards: Shards, shard: int, name: str) -> dict[int, int]:
    """Return the counts of a hash, by the number of the other shard; invalid ones are left out."""
    key = keys.prefix(shards.crawl, shard) + name
    stored: dict[Any, Any] = await shards.client.command("HGETALL", key)
    return {int(other): int(count) for other, count in stored.items() if other.isdigit() and count.isdigit()}
