"""A crawl that is started anew while nodes work on it: they find nothing of theirs, and change nothing of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.crawl import delete_crawl, find_crawl, open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.scripts import SCRIPTS
from farm.frontier.terms import SiteTerms
from farm.model.crawl import Identity
from farm.model.egress import Ban
from farm.model.errors import CrawlGone, FarmError
from farm.model.outcome import Ack, Release
from farm.model.task import Lease
from tests.frontier.support import Bench

SETTINGS = {"scope": "host"}
Old = Callable[[Bench, Lease], Awaitable[Any]]


async def _renew(bench: Bench, lease: Lease) -> None:
    keeper = bench.keeper()
    try:
        await asyncio.to_thread(keeper.renew, [lease])
    finally:
        await asyncio.to_thread(keeper.close)


async def _heartbeat(bench: Bench, lease: Lease) -> None:
    keeper = bench.keeper()
    try:
        await asyncio.to_thread(keeper.heartbeat, Identity("n", "i1"))
    finally:
        await asyncio.to_thread(keeper.close)


def _shard(name: str, *args: Any) -> Old:
    return lambda bench, _: bench.frontier.shards.run(0, name, *args)


CALLS: dict[str, Old] = {
    "add": lambda bench, _: bench.add("a/9"),
    "lease": lambda bench, _: bench.frontier.lease(bench.wish("s2")),
    "ack": lambda bench, lease: bench.frontier.ack(lease, Ack(), bench.wish("s1")),
    "extend": lambda bench, lease: bench.frontier.ack(
        lease, Ack(links=[bench.task(f"a/{n}") for n in range(600)])
    ),
    "nack": lambda bench, lease: bench.frontier.nack(lease, Release("drain")),
    "renew": _renew,
    "maintain": lambda bench, _: bench.frontier.maintain(),
    "start": lambda bench, _: bench.frontier.may_begin("a"),
    "control": lambda bench, _: bench.frontier.set_state("paused"),
    "stats": lambda bench, _: bench.frontier.stats(),
    "block": lambda bench, _: bench.frontier.block("a", 60),
    "space": _shard("space", "a", 1000),
    "tune": lambda bench, _: bench.frontier.paces.read("a"),
    "proxied": lambda bench, _: bench.frontier.proxy_bytes.add("one", 1, 2),
    "bans": lambda bench, _: bench.frontier.bans.exchange([Ban("p1", None, 60, 1)]),
    "deliver": _shard("deliver", 1, 0, 0, 0),
    "outbox": _shard("outbox", 1, "read", 10),
    "quota": _shard("quota", "borrow", 8, 100, "once"),
    "announce": _shard("announce", "a", 1000, "{}"),
    "letters": _shard("letters", "tls", 0, 10),
    "move_dead": _shard("move_dead", "drop", "call", "0" * 16),
    "dead": lambda bench, _: bench.frontier.dead.page(),
    "audit": lambda bench, _: bench.frontier.audit(),
    "register": lambda bench, _: bench.frontier.nodes.register("n", "i1"),
    "unregister": lambda bench, _: bench.frontier.nodes.unregister("n", "i1"),
    "nodes": lambda bench, _: bench.frontier.nodes.list(),
    "drain": lambda bench, _: bench.frontier.nodes.drain("n"),
    "eligible": lambda bench, _: bench.frontier.eligible(),
    "lend": _shard("lend", "look", 1),
    "heartbeat": _heartbeat,
}


async def _everything(client: RedisClient) -> dict[bytes, Any]:
    return {key: await client.command("DUMP", key) for key in await client.keys("*")}


@pytest.mark.parametrize("call", CALLS)
async def test_a_node_of_the_old_crawl_is_told_and_changes_nothing(bench: Bench, call: str) -> None:
    """Whatever it calls: in one sentence, and every key stays as it was."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease("s1")
    anew = await open_crawl(bench.client, "test", SETTINGS, fresh=True, own_time_ms=bench.clock.ms)
    assert anew.created
    fresh = RedisFrontier(bench.client, anew, own_time_ms=bench.clock.read)
    await fresh.add([bench.task("a/1")])
    before = await _everything(bench.client)
    with pytest.raises(CrawlGone, match="started anew") as told:
        await CALLS[call](bench, lease)
    assert told.value.exit_code == 2
    assert await _everything(bench.client) == before
    assert (await fresh.stats()).ledger.accepted == 1


def test_every_transition_is_among_them() -> None:
    """But for `open`, which says which generation there is."""
    assert SCRIPTS.keys() - CALLS.keys() == {"open", "expire"}


async def test_what_is_written_without_a_script_goes_to_the_old_generation(bench: Bench) -> None:
    """And with it, when the crawl is started anew the next time."""
    anew = await open_crawl(bench.client, "test", SETTINGS, fresh=True)
    fresh = RedisFrontier(bench.client, anew)
    await bench.frontier.extend_scope("www.a")
    await bench.frontier.feeders.hold("n", 60)
    await bench.frontier.cache.write("https://a", b"text", 60)
    await bench.frontier.mark_finished("auto")
    await bench.frontier.paces.limit_sites({"a": SiteTerms(1)})
    assert await fresh.scope_sites() == frozenset()
    assert not await fresh.feeders.any()
    assert await fresh.cache.read("https://a") is None
    assert not await fresh.is_finished("auto")
    again = await open_crawl(bench.client, "test", SETTINGS, fresh=True)
    left = {keys.generation_of(key) for key in await bench.client.keys("*")}
    assert left == {None, again.generation}


async def test_of_many_that_start_a_crawl_anew_at_once_one_does(bench: Bench) -> None:
    """Nobody deletes what another has just made."""
    await bench.add("a/1")

    async def start() -> str:
        return (await open_crawl(bench.client, "test", SETTINGS, fresh=True)).generation

    generations = await asyncio.gather(*(start() for _ in range(8)))
    newest = (await find_crawl(bench.client, "test")).generation
    assert newest == max(generations) > bench.crawl.generation
    assert await RedisFrontier(bench.client, await find_crawl(bench.client, "test")).audit() == []
    assert {keys.generation_of(key) for key in await bench.client.keys("*")} == {None, newest}


async def test_a_later_generation_is_greater_whatever_the_clock_says(client: RedisClient) -> None:
    """Also where the server's clock was set back, or stood still."""
    first = await open_crawl(client, "test", SETTINGS, own_time_ms=5_000)
    second = await open_crawl(client, "test", SETTINGS, fresh=True, own_time_ms=5_000)
    third = await open_crawl(client, "test", SETTINGS, fresh=True, own_time_ms=1_000)
    assert first.generation < second.generation < third.generation
    joined = await open_crawl(client, "test", SETTINGS, own_time_ms=9_000)
    assert (joined.created, joined.generation) == (False, third.generation)


async def test_all_shards_are_of_one_generation(client: RedisClient) -> None:
    """Also where whoever started the crawl anew died between two of them; whoever joins makes up for it."""
    await open_crawl(client, "test", SETTINGS, shards=3)
    second = await open_crawl(client, "test", SETTINGS, shards=3, fresh=True)
    third = await open_crawl(client, "test", SETTINGS, shards=3, fresh=True)
    # As it would be left: the first shard is of the new generation, the others are of the old.
    for shard in (1, 2):
        await client.command("HSET", keys.crawl("test", shard), "generation", second.generation)
        await client.command("RENAME", keys.ctl(third, shard), keys.ctl(second, shard))
    joined = await open_crawl(client, "test", SETTINGS)
    assert (joined.generation, joined.shards) == (third.generation, 3)
    assert await RedisFrontier(client, joined).audit() == []
    with pytest.raises(CrawlGone):
        await RedisFrontier(client, second).stats()


async def test_a_crawl_that_another_has_just_started_anew_is_joined(
    client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw the same old generation, and only one can replace it."""
    first = await open_crawl(client, "test", SETTINGS)
    second = await open_crawl(client, "test", SETTINGS, fresh=True)

    async def seen_before(*_: object) -> str:
        return first.generation

    monkeypatch.setattr("farm.frontier.crawl._to_replace", seen_before)
    third = await open_crawl(client, "test", SETTINGS, fresh=True)
    assert (third.generation, third.created) == (second.generation, False)
    assert await RedisFrontier(client, second).audit() == []


async def test_whoever_starts_anew_may_die_before_the_old_keys_are_deleted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old crawl has ended all the same, and the next one to start anew deletes what is left."""
    await bench.add("a/1")

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("farm.frontier.crawl._delete_before", die)
        with pytest.raises(KeyboardInterrupt):
            await open_crawl(bench.client, "test", SETTINGS, fresh=True)
    with pytest.raises(CrawlGone):
        await bench.frontier.maintain()
    crawl = await open_crawl(bench.client, "test", SETTINGS, fresh=True)
    assert {keys.generation_of(key) for key in await bench.client.keys("*")} == {None, crawl.generation}


async def test_a_crawl_of_an_older_farm_is_started_anew(client: RedisClient) -> None:
    """It has no generation: all that is its is deleted."""
    await client.command("HSET", "{test:0}:crawl", "schema", 5, "settings", "{}")
    await client.command("SET", "{test:0}:ctl", "counters")
    await client.command("SET", "{test:0}:site:a", "something")
    crawl = await open_crawl(client, "test", SETTINGS, fresh=True)
    assert {keys.generation_of(key) for key in await client.keys("*")} == {None, crawl.generation}
    assert await delete_crawl(client, "test") == 2


@pytest.mark.parametrize(
    "garble",
    [("HSET", "generation", "xx"), ("HSET", "generation", ""), ("HDEL", "generation"), ("SET", "text")],
)
async def test_a_garbled_crawl_is_started_anew(client: RedisClient, garble: tuple[str, ...]) -> None:
    """Which is what whoever meets one is told to do."""
    await open_crawl(client, "test", SETTINGS)
    command, *rest = garble
    await client.command(command, keys.crawl("test"), *rest)
    with pytest.raises(FarmError):
        await open_crawl(client, "test", SETTINGS)
    crawl = await open_crawl(client, "test", SETTINGS, fresh=True)
    assert crawl.created
    assert await RedisFrontier(client, crawl).audit() == []
