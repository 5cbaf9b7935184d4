"""URLs that were leased when nodes died: which of them are given up, and that no other is lost."""

import asyncio
from dataclasses import dataclass, field
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.entries import SUSPECT_DEATHS
from farm.frontier.frontier import RedisFrontier
from farm.frontier.nodes import ANY
from farm.frontier.scripts import PARTS
from farm.frontier.shards import decode_counters, encode_counters
from farm.frontier.terms import Terms
from farm.model.crawl import Ledger
from farm.model.outcome import Ack, FailureKind, Release, Retry
from farm.model.task import Idle, Lease
from tests.frontier.support import Bench

LIVES = Terms().lives


@dataclass
class Crash:
    """Nodes that die over what is poison to them, or because somebody kills them."""

    bench: Bench
    slots: int
    poison: frozenset[str] = frozenset()
    deaths: int = 0
    alone: dict[str, int] = field(default_factory=dict)
    """Poison -> at how many deaths it was leased alone."""

    async def life(self, node: str = "n", *, after: int = 10_000) -> bool:
        """Live until the crawl is empty (True), or a death: by poison, or by a signal after so many pages."""
        self.deaths += 1
        await restart(self.bench, node, f"i{self.deaths}")
        held: dict[str, Lease] = {}
        idle = 0
        for turn in range(100_000):
            slot = f"{node}/{turn % self.slots}"
            if slot in held:
                await self.bench.done(held.pop(slot))
                after -= 1
            got = await self.bench.frontier.lease(self.bench.wish(slot))
            if isinstance(got, Lease):
                held[slot], idle = got, 0
                if path_of(got) in self.poison:
                    if got.alone:
                        assert len(held) == 1
                        self.alone[path_of(got)] = self.alone.get(path_of(got), 0) + 1
                    return False
            elif got.reason == "empty":
                assert not held
                return True
            else:
                idle += 1
                assert idle <= self.slots, "nothing is held, and nothing is leased"
            if after <= 0:
                return False
        raise AssertionError("the crawl does not end")


def path_of(lease: Lease) -> str:
    """Return what the test called the URL."""
    return lease.task.url.removeprefix("http://")


async def restart(bench: Bench, node: str, incarnation: str) -> None:
    """Start a node anew that was killed: another process, which knows nothing of what was leased."""
    clock = bench.clock.read
    bench.frontier = RedisFrontier(bench.client, bench.crawl, own_time_ms=clock, random=Random(7))
    await bench.frontier.nodes.register(node, incarnation, ANY)


def test_the_scripts_and_python_agree_on_who_is_a_suspect() -> None:
    """One constant, in two languages."""
    assert f"local SUSPECT, SUSPECT_DEATHS, BRACKET = 's', {SUSPECT_DEATHS}," in PARTS["queue"]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kills", [3, 4])
async def test_kills_of_a_node_lose_nothing(bench: Bench, redis_url: str, shards: int, kills: int) -> None:
    """Whatever was in flight each time: being leased when a node dies is no evidence against a URL."""
    crowd = await Bench.open(bench.client, redis_url, name="crowd", shards=shards)
    await crowd.add(*(f"{'abc'[n % 3]}/{n}" for n in range(8)))
    for n in range(kills):
        await restart(crowd, "n", f"i{n}")
        for slot in range(8):
            await crowd.frontier.lease(crowd.wish(f"n/{slot}"))
    assert await Crash(crowd, slots=8).life()
    assert await crowd.ledger() == Ledger(accepted=8, done=8)


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_poison_url_is_buried_and_nothing_else_is(bench: Bench, redis_url: str, shards: int) -> None:
    """In a crash loop in which each life leases eight URLs, and the same one kills it."""
    crowd = await Bench.open(bench.client, redis_url, name="crowd", shards=shards)
    await crowd.add(*(f"{'abc'[n % 3]}/{n}" for n in range(30)))
    crash = Crash(crowd, slots=8, poison=frozenset({"b/7"}))
    while not await crash.life():
        assert crash.deaths <= SUSPECT_DEATHS + LIVES
    assert crash.alone == {"b/7": LIVES}
    assert (await crowd.frontier.stats()).dead_by_reason == {"worker_died": 1}
    assert await crowd.ledger() == Ledger(accepted=30, done=29, dead=1)


async def test_a_url_whose_leases_run_out_is_buried_alone(bench: Bench) -> None:
    """It freezes its node, whose leases all run out together; the others are innocent."""
    await bench.add("a/1", "a/2", "a/frozen")
    for _ in range(SUSPECT_DEATHS + LIVES):
        for turn in range(9):
            got = await bench.frontier.lease(bench.wish(f"n/{turn % 3}"))
            if isinstance(got, Lease) and got.alone and path_of(got) != "a/frozen":
                await bench.done(got)
            elif (isinstance(got, Lease) and got.alone) or turn == 2:
                break
        bench.clock.advance(31)
        await bench.frontier.maintain()
    assert (await bench.frontier.stats()).dead_by_reason == {"worker_died": 1}
    assert (await bench.ledger()).done == 2


async def suspect(bench: Bench, *urls: str) -> None:
    """Have the URLs be leased at as many deaths as make suspects."""
    await bench.add(*urls)
    await restart(bench, "n", "i")
    for n in range(SUSPECT_DEATHS):
        for slot in range(len(urls)):
            await bench.lease(f"n/{slot}")
        await restart(bench, "n", f"i{n}")
    assert (await bench.ledger()).queued == len(urls)


async def test_a_suspect_comes_after_the_others_and_alone(bench: Bench) -> None:
    """Its node leases nothing else until it is settled; another node does what it likes."""
    await suspect(bench, "a/1", "a/2")
    await bench.add("b/1", "b/2")
    first = await bench.lease("n/1")
    assert (path_of(first), first.alone) == ("b/1", False)
    second = await bench.lease("n/2")
    assert path_of(second) == "b/2"
    assert await bench.idle("n/3") == Idle("waiting", 0.25)
    await bench.done(first)
    await bench.idle("n/1")
    _, got = await bench.frontier.ack(second, Ack(), bench.wish("n/2"))
    assert isinstance(got, Lease)
    assert got.alone
    await bench.add("b/3")
    assert (await bench.idle("n/1")).reason == "waiting"
    elsewhere = await bench.lease("m/1")
    assert path_of(elsewhere) == "b/3"
    assert (await bench.idle("m/2")).reason == "waiting"
    await bench.done(elsewhere)
    assert (await bench.lease("m/2")).alone
    await bench.ledger()
    await bench.done(got)
    assert (await bench.idle("n/1")).reason == "waiting"
    await bench.ledger()


async def test_what_was_leased_at_a_death_comes_behind_the_others(bench: Bench) -> None:
    """Of its site and band: whatever killed the node does not meet the next one first."""
    await bench.add("a/1", "a/2", "a/3")
    await restart(bench, "n", "i1")
    assert path_of(await bench.lease("n/1")) == "a/1"
    await restart(bench, "n", "i2")
    order = [path_of(await bench.lease(f"m/{slot}")) for slot in range(3)]
    assert order == ["a/2", "a/3", "a/1"]


async def test_a_node_that_has_lost_a_lease_visits_suspects_all_the_same(
    client: RedisClient, redis_url: str
) -> None:
    """Another has settled it; with several shards the node itself says whether it holds anything."""
    bench = await Bench.open(client, redis_url, shards=3)
    await suspect(bench, "a/1")
    await bench.add("b/1")
    assert path_of(await bench.lease("n/0")) == "b/1"
    await bench.frontier.nodes.register("n", "again", ANY)
    other = RedisFrontier(client, bench.crawl, own_time_ms=bench.clock.read)
    got = await other.lease(bench.wish("m/0"))
    assert isinstance(got, Lease)
    assert path_of(got) == "b/1"
    await other.ack(got, Ack())
    assert (await bench.lease("n/0")).alone
    await bench.ledger()


@pytest.mark.parametrize("how", ["retry", "release"])
async def test_a_suspect_that_is_not_done_stays_one(bench: Bench, how: str) -> None:
    """Delayed or released, it costs no life; then it is alone again."""
    await suspect(bench, "a/1")
    for _ in range(LIVES + 1):
        lease = await bench.lease("n/1")
        assert lease.alone
        outcome = Retry(FailureKind.CRASH, 1) if how == "retry" else Release("drain")
        await bench.frontier.nack(lease, outcome)
        await bench.ledger()
        bench.clock.advance(2)
        await bench.frontier.maintain()
    assert (await bench.lease("n/1")).alone
    assert (await bench.ledger()).dead == 0


@pytest.mark.parametrize("readable", [True, False])
async def test_a_garbled_lease_of_a_suspect_frees_its_node(bench: Bench, *, readable: bool) -> None:
    """Or the node would be leased nothing any more; where the record says its site, the books balance."""
    await suspect(bench, "a/1", "a/2")
    await bench.lease("n/1")
    record = (await bench.raw("HGET", "@slot", "n/1")).decode().split("\0")
    garbled = "\0".join([*record[:5], "x", *record[6:]]) if readable else "x"
    await bench.raw("HSET", "@slot", "n/1", garbled)
    assert (await bench.lease("n/1")).alone
    assert len(await bench.frontier.audit()) == (0 if readable else 1)


async def test_an_outage_of_redis_costs_nothing(bench: Bench) -> None:
    """Time stands while nobody can look: leases run on, and no node is dead."""
    real = RedisFrontier(bench.client, bench.crawl)
    nodes = real.nodes
    await nodes.register("n", "i1")
    await bench.add("a/1", "a/2")
    held = [await real.lease(bench.wish(f"n/{slot}")) for slot in range(2)]
    counters = decode_counters(await bench.raw("GET", "@ctl"))
    await bench.raw("SET", "@ctl", encode_counters({**counters, "real": counters["real"] - 3_600_000}))
    assert await real.maintain() == 0
    assert await nodes.is_alive("n")
    for lease in held:
        assert isinstance(lease, Lease)
        assert (await real.ack(lease, Ack()))[0] == "ok"
    assert (await real.stats()).expired == 0


@settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(
    urls=st.integers(1, 24),
    slots=st.integers(1, 8),
    poison=st.sets(st.integers(0, 23), max_size=3),
    kills=st.lists(st.integers(0, 12), max_size=3),
    shards=st.sampled_from([1, 3]),
)
def test_whatever_kills_nodes_only_poison_is_buried(
    redis_url: str, urls: int, slots: int, poison: set[int], kills: list[int], shards: int
) -> None:
    """Each poison after at most its lives alone; what somebody kills by signals costs nothing; the crawl ends."""

    async def simulate() -> None:
        client = await connect(redis_url, patience_s=5)
        await client.command("FLUSHALL")
        bench = await Bench.open(client, redis_url, shards=shards)
        names = [f"{'abcd'[n % 4]}/{n}" for n in range(urls)]
        await bench.add(*names)
        bad = frozenset(names[n] for n in poison if n < urls)
        crash = Crash(bench, slots, bad)
        over = False
        for after in kills:
            over = over or await crash.life(after=after)
        most = len(kills) + len(bad) * (SUSPECT_DEATHS + LIVES) + 1
        while not over:
            assert crash.deaths <= most, "a crash loop without an end"
            over = await crash.life()
        stats = await bench.frontier.stats()
        assert await bench.frontier.audit() == []
        assert stats.ledger == Ledger(accepted=urls, done=urls - len(bad), dead=len(bad))
        assert stats.dead_by_reason == ({"worker_died": len(bad)} if bad else {})
        assert all(times <= LIVES for times in crash.alone.values())
        await client.close()

    asyncio.run(simulate())
