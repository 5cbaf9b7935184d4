"""What one node finds out, in Redis, for all: texts of robots.txt, and bans of proxies."""

import asyncio
import zlib

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.crawl import delete_crawl
from farm.frontier.shared_cache import MAX_BYTES, RedisSharedCache, SharedBans
from farm.model.egress import Ban
from tests.frontier.support import Bench

TEST = keys.Handle("test")
ORIGIN = "https://a.example:8443"


async def test_a_text_is_kept_until_it_expires(client: RedisClient) -> None:
    """And goes with the crawl."""
    shelf = RedisSharedCache(client, TEST)
    assert await shelf.read(ORIGIN) is None
    await shelf.write(ORIGIN, b"rules " * 1000, 100)
    assert await shelf.read(ORIGIN) == b"rules " * 1000
    assert 99_000 < await client.command("PTTL", keys.robots(TEST, ORIGIN)) <= 100_000
    assert await client.command("STRLEN", keys.robots(TEST, ORIGIN)) < 200
    await delete_crawl(client, "test")
    assert await shelf.read(ORIGIN) is None


async def test_of_many_nodes_one_fetches(client: RedisClient) -> None:
    """Until it is done, or gives up."""
    shelf = RedisSharedCache(client, TEST)
    claims = await asyncio.gather(*(shelf.claim(ORIGIN, 60) for _ in range(20)))
    assert sum(claims) == 1
    await shelf.yield_claim(ORIGIN)
    assert await shelf.claim(ORIGIN, 60)
    await shelf.write(ORIGIN, b"", 60)
    assert await shelf.claim(ORIGIN, 60)


async def test_a_garbled_text_is_nothing(client: RedisClient) -> None:
    """It is fetched again; so is one that unpacks to more than a node would have written, or is cut off."""
    packed = zlib.compress(b"rules")
    for stored in (b"garbage", b"", zlib.compress(bytes(MAX_BYTES + 1)), packed[:-1]):
        await client.command("SET", keys.robots(TEST, ORIGIN), stored)
        assert await RedisSharedCache(client, TEST).read(ORIGIN) is None


async def test_a_ban_is_heard_by_every_node_until_it_is_over(bench: Bench) -> None:
    """Then it is forgotten."""
    one, other = (SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read) for _ in range(2))
    assert (
        await one.exchange([Ban("http://a:1", None, 60.0, 1), Ban("http://b:1", "shop.example", 5.0, 2)])
        != []
    )
    assert sorted(await other.exchange([]), key=str) == [
        Ban("http://a:1", None, 60.0, 1),
        Ban("http://b:1", "shop.example", 5.0, 2),
    ]
    bench.clock.ms += 5_000
    assert await other.exchange([]) == [Ban("http://a:1", None, 55.0, 1)]
    bench.clock.ms += 55_000
    assert await other.exchange([]) == []
    assert await bench.frontier.audit() == []


async def test_bans_are_stored_as_ever(bench: Bench) -> None:
    """Nodes of the version before read them: the site after a space."""
    bans = SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read)
    await bans.exchange([Ban("http://a:1", None, 60.0, 1), Ban("http://a:1", "a.example:8080", 5.0, 2)])
    stored = await bench.raw("HKEYS", "@bans")
    assert sorted(stored) == [b"http://a:1", b"http://a:1 a.example:8080"]


async def test_the_later_end_counts_and_a_proxy_can_be_back(bench: Bench) -> None:
    """A node that heard late does not shorten what another one has said."""
    bans = SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read)
    await bans.exchange([Ban("http://a:1", None, 60.0, 2)])
    assert await bans.exchange([Ban("http://a:1", None, 10.0, 1)]) == [Ban("http://a:1", None, 60.0, 2)]
    assert await bans.exchange([Ban("http://a:1", None, 0.0, 0)]) == []
