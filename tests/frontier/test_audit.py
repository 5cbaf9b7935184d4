"""The audit finds what is wrong: each invariant is broken by hand."""

import gc
from types import FunctionType, ModuleType
from typing import Any

import pytest

from farm.frontier import audit, audit_sums, external_sort
from farm.frontier.audit import BUDGET, PIECES, Audit
from farm.frontier.shards import Shards, decode_counters, encode_counters
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
        (("DEL", "@site:b"), "site b has a queue and no record"),
        (("HDEL", "@site:a", "f@p1"), "site a counts 0 in flight by p1 has 1"),
        (("DEL", "@out:p1"), "out:p1 counts 0 in flight, it has 1"),
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
    counters = decode_counters(await bench.raw("GET", "@ctl"))
    await bench.raw("SET", "@ctl", encode_counters({**counters, **counter}))
    assert complaint in "\n".join(await bench.frontier.audit())


async def test_an_audit_is_made_in_slices(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, a call looks at a bounded part of it, and together they look at everything."""
    await bench.add(*(f"one/{n}" for n in range(1500)), *(f"s{n % 20}/{n}" for n in range(4000)))
    for n in range(40):
        await bench.frontier.nack(await bench.lease(f"s{n}"), Retry(FailureKind.TIMEOUT, 99))
        await bench.lease(f"s{n}")
    looked_at: list[int] = []
    run = Shards.run

    async def counted(self: Shards, shard: int, name: str, *args: Any) -> Any:
        reply = await run(self, shard, name, *args)
        if name == "audit":
            queues = [found for _, _, found in reply[1:] if len(found) == 2 and isinstance(found[1], bytes)]
            looked_at.append(sum(count for count, _ in queues))
            assert len(reply) - 1 <= PIECES
        return reply

    monkeypatch.setattr(Shards, "run", counted)
    assert await bench.frontier.examine() == Audit([], whole=True)
    assert sum(looked_at) == 5500 - 80
    assert max(looked_at) <= BUDGET
    assert len(looked_at) > 5


async def test_a_violation_in_a_later_slice_is_told(bench: Bench) -> None:
    """The last entry of a long queue is looked at as the first one is, and so is what it doubles."""
    await bench.add(*(f"one/{n}" for n in range(1000)))
    first = await bench.raw("LINDEX", "@q:5:one", 0)
    await bench.raw("LSET", "@q:5:one", -1, first)
    told = await bench.frontier.audit()
    assert told == [f"id {first[:16].decode()} is in q:5:one and in q:5:one"]


async def test_a_crawl_that_is_worked_on_is_not_accused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What moves between two slices is in two places, or in none; what is wrong is told even so."""
    await bench.add(*(f"a/{n}" for n in range(600)), "b/1")
    run = Shards.run
    busy = False

    async def disturbed(self: Shards, shard: int, name: str, *args: Any) -> Any:
        nonlocal busy
        reply = await run(self, shard, name, *args)
        if name == "audit" and not busy:
            busy = True
            for n in range(3):
                await bench.lease(f"s{n}")
                await bench.frontier.nack(await bench.lease("t"), Retry(FailureKind.TIMEOUT, 99))
            busy = False
        return reply

    monkeypatch.setattr(Shards, "run", disturbed)
    assert await bench.frontier.examine() == Audit([], whole=False)
    await bench.raw("HSET", "@site:b", "b", "7")
    assert any("site b lists its bands as 7" in said for said in await bench.frontier.audit())
    counters = decode_counters(await bench.raw("GET", "@ctl"))
    await bench.raw("SET", "@ctl", encode_counters({**counters, "accepted": counters["accepted"] + 1}))
    assert any("the ledger does not balance" in said for said in await bench.frontier.audit())


async def test_an_id_that_is_in_two_places_at_once_is_told_though_the_crawl_moves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two slices are of two moments, so it is looked for in both places at one."""
    await bench.add("a/1", "b/1", "c/1", "d/1")
    entry = await bench.raw("LINDEX", "@q:5:b", 0)
    await bench.raw("RPUSH", "@q:5:c", entry)
    run = Shards.run

    async def disturbed(self: Shards, shard: int, name: str, *args: Any) -> Any:
        reply = await run(self, shard, name, *args)
        if name == "stats":
            await bench.frontier.add([bench.task("e/1")])
        return reply

    monkeypatch.setattr(Shards, "run", disturbed)
    examined = await bench.frontier.examine()
    assert not examined.whole
    assert [said for said in examined.violations if "is in q:5:b and in q:5:c" in said]


async def test_what_an_audit_keeps_in_memory_does_not_grow_with_the_crawl(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands of ids and sites all are compared, and no more are kept at once than are sorted at once."""
    monkeypatch.setattr(external_sort, "RUN_LINES", 300)
    monkeypatch.setattr(audit_sums, "AT_ONCE", 200)
    kept: list[int] = []
    auditors: list[Any] = []
    opened, run, compare = audit._Auditor.__init__, Shards.run, audit_sums.AuditSums.compare_ids

    def remembered(self: Any, *args: Any) -> None:
        auditors[:] = [self]
        opened(self, *args)

    async def watched(self: Shards, shard: int, name: str, *args: Any) -> Any:
        if name == "audit":
            kept.append(_objects_of(auditors[0]))
        return await run(self, shard, name, *args)

    def compared(self: Any, ids: Any) -> Any:
        kept.append(_objects_of(auditors[0]))
        return compare(self, ids)

    monkeypatch.setattr(audit._Auditor, "__init__", remembered)
    monkeypatch.setattr(Shards, "run", watched)
    monkeypatch.setattr(audit_sums.AuditSums, "compare_ids", compared)
    await bench.add(*(f"s{n % 1_000}/{n}" for n in range(4_000)))
    twice = await bench.raw("LINDEX", "@q:5:s7", -1)
    await bench.raw("LSET", "@q:5:s8", -1, twice)
    told = await bench.frontier.audit()
    assert f"id {twice[:16].decode()} is in q:5:s7 and in q:5:s8" in told
    assert 300 < max(kept) < 1_500


def _objects_of(root: object) -> int:
    """Return how many objects are kept by one, without the frontier's own."""
    found: dict[int, object] = {}
    following = [root]
    while following:
        one = following.pop()
        if id(one) not in found and not isinstance(one, FunctionType | ModuleType | type | Shards):
            found[id(one)] = one
            following += gc.get_referents(one)
    return len(found)


async def test_of_many_violations_the_first_are_told(bench: Bench) -> None:
    """What is wrong with the whole comes first, and that there are more is said."""
    await _ready_made(bench)
    await bench.raw("RPUSH", "@q:5:b", *(f"{n:016x}5[]" for n in range(400)))
    told = await bench.frontier.audit(5)
    assert len(told) == 6
    assert told[0] == "band 5 has 403 queued, counted 3"
    assert told[-1] == "shard 0 has more violations than these"


async def test_the_addresses_of_a_site_are_looked_at_in_slices(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crawl through thousands of proxies has as many at each of its sites."""
    await _ready_made(bench)
    await bench.raw("HSET", "@site:a", *(part for n in range(3_000) for part in (f"f@x{n}", "0")))
    await bench.raw("HSET", "@site:a", "f@x77", "2")
    run, slices = Shards.run, list[int]()

    async def counted(self: Shards, shard: int, name: str, *args: Any) -> Any:
        reply = await run(self, shard, name, *args)
        if name == "audit":
            slices.extend(len(found) for _, _, found in reply[1:])
        return reply

    monkeypatch.setattr(Shards, "run", counted)
    assert await bench.frontier.audit() == ["site a counts 2 in flight by x77 has 0"]
    assert sum(slices) > 6_000
    assert max(slices) < 1_500
