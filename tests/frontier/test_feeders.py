"""The nodes that feed a crawl from sitemaps: while there is one, an empty frontier is not the end."""

import asyncio
from typing import Any

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.model.outcome import Ack
from tests.frontier.support import Bench, eventually_async


async def test_an_empty_frontier_is_the_end_only_when_nobody_feeds_it(bench: Bench) -> None:
    """Whichever node asks, after a lease or for one; the end comes with the last mark."""
    feeds = bench.frontier.feeders
    await feeds.hold("one")
    await feeds.hold("two")
    assert (await bench.idle()).reason == "waiting"
    await bench.add("a/1")
    lease = await bench.lease()
    _, following = await bench.frontier.ack(lease, Ack(), bench.wish())
    assert following is not None
    assert following.reason == "waiting"  # type: ignore[union-attr]
    await feeds.drop("one")
    assert (await bench.idle()).reason == "waiting"
    await feeds.drop("two")
    assert (await bench.idle()).reason == "empty"


async def test_the_mark_of_a_dead_node_ends_by_itself(bench: Bench) -> None:
    """And leaves nothing behind."""
    feeds = bench.frontier.feeders
    await feeds.hold("one", 0.05)

    async def is_over() -> bool:
        return not await feeds.any()

    await eventually_async(is_over)
    assert await bench.client.keys("{test:robots}:*") == []


async def test_a_feeder_is_seen_whoever_looks_between_its_commands(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds a mark that has ended takes its name away, and a feeder that goes on sets it again meanwhile."""
    feeds, command = bench.frontier.feeders, bench.client.command
    between: list[Any] = []

    async def interrupted(*args: Any, **options: Any) -> Any:
        reply = await command(*args, **options)
        if between and args[0] in {"SADD", "SET", "EXISTS"}:
            await between.pop()()
        return reply

    monkeypatch.setattr(bench.client, "command", interrupted)
    between.append(feeds.any)
    await feeds.hold("one")
    assert await feeds.any()
    await command("DEL", keys.feed(bench.crawl, "one"))
    between.append(lambda: feeds.hold("one"))
    await feeds.any()
    assert not between
    assert await feeds.any()


async def test_what_is_fed_between_two_looks_is_found(client: RedisClient, redis_url: str) -> None:
    """A feeder adds its last URL and goes while the first look is on its way."""
    bench = await Bench.open(client, redis_url, shards=3)
    feeds = bench.frontier.feeders
    await feeds.hold("one")

    async def feeding() -> None:
        for n in range(30):
            await bench.add(f"site{n}/1")
        await feeds.drop("one")

    task, done = asyncio.create_task(feeding()), 0
    while True:
        got = await bench.frontier.lease(bench.wish())
        if getattr(got, "reason", "") == "empty":
            break
        if not hasattr(got, "reason"):
            await bench.done(got)
            done += 1
    await task
    assert done == 30
    assert (await bench.ledger()).done == 30
