"""The texts that all nodes share: robots.txt by origin, with a bound on all of them together."""

import asyncio
import zlib
from random import Random

import pytest

from farm.frontier import keys, shared_state
from farm.frontier.client import RedisClient
from farm.frontier.crawl import delete_crawl
from farm.frontier.shared_state import MAX_BYTES, RedisSharedCache

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


async def test_the_texts_of_a_day_have_their_room(
    client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred hosts with a file each fill it, large files its half; the next day there is room again."""
    monkeypatch.setattr(shared_state, "ROOM_BYTES", 20_000)
    monkeypatch.setattr(shared_state, "LARGE_BYTES", 3_000)
    clock = [86_400.0 * 20_000]
    shelf = RedisSharedCache(client, TEST, wall=lambda: clock[0])
    random = Random(7)

    async def offered(host: str, size: int, for_s: float = 86_400.0) -> bool:
        origin, text = f"http://{host}.example", random.randbytes(size)
        await shelf.claim(origin, 60)
        found = await shelf.offer(origin, text, for_s)
        assert await shelf.read(origin) == (text if found else None)
        assert await client.command("EXISTS", keys.robots_claim(TEST, origin)) == 0
        return found

    large = [await offered(f"large{number}", 4_000) for number in range(10)]
    assert large == [True] * 2 + [False] * 8
    small = [await offered(f"small{number}", 400) for number in range(100)]
    assert 10 < small.count(True) < 30
    assert small == sorted(small, reverse=True)
    stored = sum([await client.command("STRLEN", key) for key in await client.command("KEYS", "*.example")])
    assert 10_000 < stored < 20_000
    assert await offered("brief", 400, 10.0)
    await shelf.write("http://needed.example", b"session", 30 * 86_400.0)
    clock[0] += 86_400.0
    assert await offered("next", 4_000, 10 * 86_400.0)
    assert await client.command("PTTL", keys.robots(TEST, "http://next.example")) <= 86_400_000
    assert await client.command("PTTL", keys.robots_room(TEST, 20_001)) > 86_000_000


async def test_a_garbled_text_is_nothing(client: RedisClient) -> None:
    """It is fetched again; so is one that unpacks to more than a node would have written, or is cut off."""
    packed = zlib.compress(b"rules")
    for stored in (b"garbage", b"", zlib.compress(bytes(MAX_BYTES + 1)), packed[:-1]):
        await client.command("SET", keys.robots(TEST, ORIGIN), stored)
        assert await RedisSharedCache(client, TEST).read(ORIGIN) is None
