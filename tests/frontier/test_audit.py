"""The audit finds what is wrong: each invariant is broken by hand."""

from typing import Any

import pytest

from farm.frontier.counters import decode, encode
from tests.frontier.support import Bench


async def _ready_made(bench: Bench) -> None:
    await bench.add("a/1", "a/2", "b/1", "c/1")
    await bench.lease("s1", egress="p1")


async def test_a_sound_crawl_passes(bench: Bench) -> None:
    """Nothing is told, and nothing is changed."""
    await _ready_made(bench)
    before = await bench.raw("GET", "@ctl")
    assert await bench.frontier.audit() == []
    assert await bench.raw("GET", "@ctl") == before


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("RPUSH", "@q:5:b", "0123456789abcdef5[]"), "band 5 has 4 queued, counted 3"),
        (("LPOP", "@q:5:b"), "the ledger does not balance"),
        (("DEL", "@q:5:b"), "site b lists its bands as 5 wrong about 5"),
        (("ZREM", "@ready:5", "b"), "site b is missing from ready 5"),
        (("ZADD", "@ready:5", 5, "z"), "site z is ready in band 5 and unknown"),
        (("ZADD", "@ready:7", 5, "b"), "site b does not belong to ready 7"),
        (("ZADD", "@ready:5", 9e12, "b"), "site b is ready at 9000000000000 out of turn"),
        (("DEL", "@due"), "slot s1 has a lease without a deadline"),
        (("ZADD", "@due", 5, "s9"), "a deadline has no lease: s9"),
        (("DEL", "@slot"), "0 are leased, counted 1"),
        (("HSET", "@slot", "s1", "x"), "the record of slot s1 cannot be read"),
        (("HSET", "@site:b", "f", 3), "site b counts 3 in flight, it has 0"),
        (("HSET", "@site:a", "f@p1", 3), "site a counts 3 in flight by p1 has 1"),
        (("HSET", "@out:p1", "f", 3), "out:p1 counts 3 in flight, it has 1"),
        (("DEL", "@site:a"), "site a has a lease and no record"),
        (("ZADD", "@delayed", 5, "a\n0123456789abcdef5[]"), "1 are delayed, counted 0"),
        (("HSET", "@dead", "x", "timeout\n5\nd\na\n0123456789abcdef5[]"), "1 are dead, counted 0"),
        (("HSET", "@tally", "timeout", 1), "1 are counted dead of timeout but 0 are"),
        (("SADD", "@seen:fff:1", 5), "fingerprints are known"),
    ],
)
async def test_each_broken_invariant_is_told(bench: Bench, command: tuple[Any, ...], complaint: str) -> None:
    """With what was found and what was counted."""
    await _ready_made(bench)
    await bench.raw(*command)
    assert complaint in "\n".join(await bench.frontier.audit())


async def test_an_id_in_two_places_is_told(bench: Bench) -> None:
    """Both places are named."""
    await _ready_made(bench)
    entry = await bench.raw("LINDEX", "@q:5:b", 0)
    await bench.raw("RPUSH", "@q:5:c", entry)
    assert any("is in" in violation for violation in await bench.frontier.audit())


async def test_a_token_from_the_future_is_told(bench: Bench) -> None:
    """Tokens only grow, so none is ahead of the last one."""
    await _ready_made(bench)
    counters = decode(await bench.raw("GET", "@ctl"))
    await bench.raw("SET", "@ctl", encode({**counters, "token": 5}))
    assert any("ahead" in violation for violation in await bench.frontier.audit())
