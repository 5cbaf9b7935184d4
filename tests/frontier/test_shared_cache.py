"""What all nodes know of robots.txt, in Redis."""

import asyncio
import zlib

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.crawl import delete_crawl
from farm.frontier.shared_cache import MAX_BYTES, RedisSharedCache

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
