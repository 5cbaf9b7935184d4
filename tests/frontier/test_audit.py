"""The audit finds what is wrong: each invariant is broken by hand."""

from typing import Any

import pytest

from farm.frontier.counters import decode, encode
from farm.model.outcome import FailureKind, Retry
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
        (("LSET", "@q:5:b", 0, "x"), "an entry that cannot be read is in"),
        (("ZADD", "@delayed", 5, "x"), "what is delayed cannot be read: x"),
        (("ZADD", "@due", 9e12, "s1"), "the lease of s1 ends at 9000000000000 which is too far off"),
        (("RPUSH", "@outbox:1", "x"), "1 wait for other shards, counted 0"),
        (("ZADD", "@dead:tls", 5, "x"), "letters are listed under dead:tls and none is there"),
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


@pytest.mark.parametrize(
    ("counter", "complaint"),
    [
        ({"token": 5}, "is ahead of the last one"),
        ({"due_from": 9e12}, "leases are looked at from 9000000000000"),
        ({"delayed_from": 9e12}, "what is delayed is looked at from 9000000000000"),
        ({"rendered": 5}, "5 are rendered, done 0"),
        ({"outbox": 5}, "0 wait for other shards, counted 5"),
    ],
)
async def test_a_counter_that_would_stall_the_crawl_is_told(
    bench: Bench, counter: dict[str, float], complaint: str
) -> None:
    """Nothing would be looked at before its time, or waited for in vain."""
    await _ready_made(bench)
    await bench.frontier.nack(await bench.lease("s2"), Retry(FailureKind.TIMEOUT, 9))
    counters = decode(await bench.raw("GET", "@ctl"))
    await bench.raw("SET", "@ctl", encode({**counters, **counter}))
    assert complaint in "\n".join(await bench.frontier.audit())
