"""A crawl that is over ends by itself in Redis, the head of it first, unless somebody goes on with it."""

from itertools import count
from typing import Any

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.crawl import find_crawl, is_there
from farm.frontier.frontier import RedisFrontier
from farm.frontier.retention import AFTER_S, ends_in_s, expire_crawl, keep_crawl
from farm.model.errors import CrawlGone, FrontierUnavailable, NoSuchCrawl
from farm.model.outcome import Bury, FailedVisit, FailureKind
from tests.frontier.support import Bench

OWN_ENDS = (b"once:", b"proxied:", b"announced:", b"hooked", b"hookclaim")


async def _worked_on(bench: Bench) -> None:
    """Have keys of many kinds."""
    await bench.frontier.hooks.arm()
    await bench.frontier.hooks.announce("site a", 60.0, {"type": "site_blocked"})
    await bench.frontier.hooks.claim("n", 60.0)
    await bench.add("a/1", "b/1")
    await bench.frontier.nack(await bench.lease(), Bury(FailureKind.TLS), FailedVisit("tls"))
    await bench.done(await bench.lease())
    # Sites that are called like keys that end by themselves, or first.
    await bench.add("once:8080/1", "proxied:8080/1", "ctl/1")
    await bench.frontier.dead.replay()
    await bench.frontier.dead.drop()
    await bench.frontier.feeders.hold("n", 60.0)
    await bench.frontier.cache.write("https://a", b"text", 3600)
    await bench.frontier.proxy_bytes.add("run", 1, 2)


async def _left_s(client: RedisClient) -> dict[str, float | None]:
    """Return in how many seconds each key ends, by the last part of its name; None if it stays."""
    found = {key: await client.command("PTTL", key) for key in await client.keys("*")}
    return {
        key.decode().partition(":")[2].partition(":")[2] or key.decode(): None if left < 0 else left / 1000
        for key, left in found.items()
    }


async def test_every_key_of_a_crawl_ends_its_head_first(bench: Bench) -> None:
    """What ends by itself anyway still does at its own time."""
    await _worked_on(bench)
    other = await Bench.open(bench.client, bench.url, name="other")
    await expire_crawl(bench.client, "test", 1000.0)
    found = {key: await bench.client.command("PTTL", key) for key in await bench.client.keys("*")}
    for key, left_ms in found.items():
        if key.startswith(b"{other:"):
            assert left_ms == -1, key
        elif keys.name_of(key) in {b"ctl", b"crawl"}:
            assert 990_000 < left_ms <= 1_000_000, key
        else:
            assert left_ms > 0, key
            own = key.startswith(b"{test:robots}") or keys.name_of(key).startswith(OWN_ENDS)
            assert own or left_ms > 1_000_000, key
    left_s = await ends_in_s(bench.client, "test")
    assert left_s is not None
    assert 990 < left_s <= 1000
    assert await ends_in_s(other.client, "other") is None
    assert AFTER_S > 0


async def test_a_crawl_that_is_gone_on_with_stays(bench: Bench) -> None:
    """But for what ends by itself."""
    await _worked_on(bench)
    before = await _left_s(bench.client)
    assert not await keep_crawl(bench.client, "test")
    await expire_crawl(bench.client, "test", 1000.0)
    assert await keep_crawl(bench.client, "test")
    after = await _left_s(bench.client)
    assert {key for key, left in after.items() if left is None} == {
        key for key, left in before.items() if left is None
    }
    assert await ends_in_s(bench.client, "test") is None
    assert await bench.frontier.audit() == []


@pytest.mark.parametrize("after", [1, 2, 4])
async def test_a_crawl_is_kept_whole_where_somebody_died_who_let_it_end(
    client: RedisClient, redis_url: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """At whichever of its shards: no part of it ends."""
    bench = await Bench.open(client, redis_url, shards=3)
    await bench.add(*(f"site{n}/1" for n in range(20)))
    run, calls = client.run, count()

    async def dying(name: str, *args: Any) -> Any:
        if next(calls) == after:
            raise FrontierUnavailable("killed")
        return await run(name, *args)

    with monkeypatch.context() as patched:
        patched.setattr(client, "run", dying)
        with pytest.raises(FrontierUnavailable):
            await expire_crawl(client, "test", 1000.0)
    assert await keep_crawl(client, "test")
    left = {key: await client.command("PTTL", key) for key in await client.keys("*")}
    assert {key for key, left_ms in left.items() if left_ms >= 0} == set()
    assert await bench.frontier.audit() == []


async def test_a_crawl_is_kept_whole_where_somebody_died_who_kept_it(
    client: RedisClient, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on with it next goes on with that."""
    bench = await Bench.open(client, redis_url, shards=3)
    await bench.add(*(f"site{n}/1" for n in range(20)))
    await expire_crawl(client, "test", 1000.0)
    run, calls = client.run, count()

    async def dying(name: str, *args: Any) -> Any:
        if next(calls) == 4:
            raise FrontierUnavailable("killed")
        return await run(name, *args)

    with monkeypatch.context() as patched:
        patched.setattr(client, "run", dying)
        with pytest.raises(FrontierUnavailable):
            await keep_crawl(client, "test")
    assert await keep_crawl(client, "test")
    assert {await client.command("PTTL", key) for key in await client.keys("*")} == {-1}


async def test_one_that_has_ended_is_there_no_more(bench: Bench) -> None:
    """To nobody: neither for who finds it nor for who still holds it."""
    await _worked_on(bench)
    await expire_crawl(bench.client, "test", 0.001)
    found = await bench.client.keys("{test:0}:*")
    while any(keys.name_of(key) in {b"ctl", b"crawl"} for key in found):
        found = await bench.client.keys("{test:0}:*")
    assert await is_there(bench.client, "test")
    with pytest.raises(NoSuchCrawl):
        await find_crawl(bench.client, "test")
    with pytest.raises(CrawlGone):
        await RedisFrontier(bench.client, bench.crawl).stats()
