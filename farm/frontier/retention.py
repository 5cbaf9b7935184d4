"""How long Redis keeps a finished crawl: its keys expire, unless the crawl is continued before.

Invariants: the keys that every call looks for end first, so that nobody takes a part of a crawl for the
whole. Whoever goes on with a crawl keeps it before anything else. The first shard is the first one to end and the
last one to be kept: where somebody dies in the middle of either, it tells the next one that there is something to
keep.
"""

from collections.abc import Sequence

from farm.frontier import keys
from farm.frontier.client import RedisClient

AFTER_S = 60.0
"""How much longer all but the first keys exist: on a Cluster they are on servers with different clocks."""
_AT_ONCE = 500
_FIRST = frozenset({b"ctl", b"crawl"})
_OWN_ENDS = frozenset({b"once", b"announced", b"hooked", b"hookclaim"})
"""Keys that end by themselves whatever becomes of the crawl, by what their names begin with."""
_LASTING = frozenset({b"flow", b"feeds"})
"""The keys beside the shards that do not."""


async def expire_crawl(client: RedisClient, name: str, after_s: float) -> None:
    """Let all keys of a crawl expire after some seconds, unless `keep_crawl` is called before."""
    first, others = await _found(client, name)
    await _set(client, first, f"{1000 * after_s:.0f}")
    await _set(client, others, f"{1000 * (after_s + AFTER_S):.0f}")


async def keep_crawl(client: RedisClient, name: str) -> bool:
    """Make the keys of a crawl persistent; return whether they would have expired."""
    if await ends_in_s(client, name) is None:
        return False
    first, others = await _found(client, name)
    await _set(client, others, "")
    await _set(client, first, "", is_first_last=True)
    return True


async def ends_in_s(client: RedisClient, name: str) -> float | None:
    """Return after how many seconds a crawl expires; None if it does not."""
    left_ms = int(await client.command("PTTL", keys.crawl(name)))
    return left_ms / 1000 if left_ms >= 0 else None


async def _found(client: RedisClient, name: str) -> tuple[list[bytes], list[bytes]]:
    """Return the keys of the crawl: those that every call reads, and the others."""
    beside = f"{{{name}:robots}}:".encode()
    first, others = list[bytes](), list[bytes]()
    for key in await client.keys(keys.every_key(keys.check_name(name))):
        own = keys.name_of(key)
        if own in _FIRST:
            first.append(key)
        elif own in _LASTING if key.startswith(beside) else not _ends_by_itself(own):
            others.append(key)
    return first, others


def _ends_by_itself(name: bytes) -> bool:
    # Without a run's name behind it, `proxied` is what all runs have carried.
    return name.partition(b":")[0] in _OWN_ENDS or name.startswith(b"proxied:")


async def _set(
    client: RedisClient, found: Sequence[bytes], after_ms: str, *, is_first_last: bool = False
) -> None:
    by_tag: dict[bytes, list[bytes]] = {}
    for key in found:
        by_tag.setdefault(key.partition(b"}")[0], []).append(key)
    for tag, tagged in sorted(by_tag.items(), reverse=is_first_last):
        for start in range(0, len(tagged), _AT_ONCE):
            declared = f"{tag.decode()}}}:absent"
            await client.run("expire", declared, "", after_ms, *tagged[start : start + _AT_ONCE])
