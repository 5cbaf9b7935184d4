"""Creating, joining, finding and starting anew."""

import asyncio

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.crawl import SCHEMA, delete_crawl, find_crawl, open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import FrontierRefused, NoSuchCrawl, UsageError
from tests.frontier.support import Bench

SETTINGS = {"scope": "host", "seeds": ["a"], "depth": None}


async def test_one_node_creates_and_the_others_join(client: RedisClient) -> None:
    """Of many that open it at once one creates it, and all have the same key."""
    crawls = await asyncio.gather(*(open_crawl(client, "shop", SETTINGS) for _ in range(10)))
    assert sorted(crawl.created for crawl in crawls) == [False] * 9 + [True]
    assert len({crawl.key for crawl in crawls}) == 1
    assert len(crawls[0].key) == 16
    assert crawls[0].settings == SETTINGS


async def test_joining_with_other_settings_says_the_difference(client: RedisClient) -> None:
    """In one sentence, with both values."""
    await open_crawl(client, "shop", SETTINGS)
    with pytest.raises(UsageError, match=r'scope = "host" \(here "domain"\)'):
        await open_crawl(client, "shop", {**SETTINGS, "scope": "domain"})
    await open_crawl(client, "deep", {**SETTINGS, "depth": None})
    with pytest.raises(UsageError, match=r"depth = nothing \(here 3\)"):
        await open_crawl(client, "deep", {**SETTINGS, "depth": 3})


async def test_a_newer_schema_is_refused(client: RedisClient) -> None:
    """An old farm keeps its hands off."""
    await open_crawl(client, "shop", SETTINGS)
    await client.command("HSET", keys.crawl("shop"), "schema", SCHEMA + 1)
    with pytest.raises(FrontierRefused, match="newer farm"):
        await open_crawl(client, "shop", SETTINGS)


async def test_an_older_schema_is_refused(client: RedisClient) -> None:
    """What an old farm stored would be read wrongly."""
    await open_crawl(client, "shop", SETTINGS)
    await client.command("HSET", keys.crawl("shop"), "schema", SCHEMA - 1)
    with pytest.raises(FrontierRefused, match="older farm"):
        await open_crawl(client, "shop", SETTINGS)


async def test_an_unknown_crawl_is_named(client: RedisClient) -> None:
    """Looking creates nothing."""
    with pytest.raises(NoSuchCrawl, match="There is no crawl named 'shop'"):
        await find_crawl(client, "shop")
    assert await client.command("DBSIZE") == 0


async def test_a_crawl_is_found_with_its_settings(client: RedisClient) -> None:
    """By commands that give none."""
    made = await open_crawl(client, "shop", SETTINGS)
    found = await find_crawl(client, "shop")
    assert (found.settings, found.key, found.created) == (SETTINGS, made.key, False)


async def test_fresh_forgets_one_crawl_and_no_other(bench: Bench) -> None:
    """Names that begin alike are different crawls."""
    await bench.add("a/1")
    other = await open_crawl(bench.client, "test2", SETTINGS)
    fresh = await open_crawl(bench.client, "test", {"scope": "any"}, fresh=True)
    assert fresh.created
    assert fresh.key != bench.crawl.key
    assert (await RedisFrontier(bench.client, fresh).stats()).ledger.accepted == 0
    assert (await find_crawl(bench.client, "test2")).key == other.key


async def test_a_deleted_crawl_refuses_every_call(bench: Bench) -> None:
    """Rather than being half created again."""
    await bench.add("a/1")
    lease = await bench.lease()
    assert await delete_crawl(bench.client, "test") > 0
    with pytest.raises(FrontierRefused, match="deleted or started anew"):
        await bench.done(lease)
    with pytest.raises(FrontierRefused, match="deleted or started anew"):
        await bench.frontier.stats()
    assert await bench.client.command("DBSIZE") == 0


@pytest.mark.parametrize("name", ["", "a b", "a}b", "a:b", "x" * 65, "a*"])
async def test_a_name_that_cannot_be_a_key_is_refused(client: RedisClient, name: str) -> None:
    """Before anything is asked of Redis."""
    with pytest.raises(UsageError, match="crawl name"):
        await open_crawl(client, name, {})


@pytest.mark.parametrize("begun", [True, False, None])
async def test_how_a_crawl_was_begun_is_known_to_all(client: RedisClient, begun: bool | None) -> None:
    """Whoever joins has the answer of the one that created it, until it is started anew."""
    made = await open_crawl(client, "shop", SETTINGS, with_handlers=begun, shards=2)
    assert (made.with_handlers, made.shards) == (begun, 2)
    joined = await open_crawl(client, "shop", SETTINGS, with_handlers=not begun, shards=2)
    assert (joined.created, joined.with_handlers) == (False, begun)
    assert (await find_crawl(client, "shop")).with_handlers is begun
    fresh = await open_crawl(client, "shop", SETTINGS, fresh=True, with_handlers=not begun)
    assert (fresh.created, fresh.with_handlers) == (True, not begun)
    # A farm that does not know the field starts the crawl anew, and leaves it there.
    await client.command("HSET", keys.crawl("shop"), "generation", f"{int(fresh.generation, 16) + 1:011x}")
    assert (await find_crawl(client, "shop")).with_handlers is None
