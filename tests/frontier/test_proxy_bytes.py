"""What the proxies of a crawl have carried, over all its runs."""

import pytest

from farm.frontier.frontier import RedisFrontier
from farm.model.egress import ProxyBytes
from farm.model.errors import CrawlUnreadable
from tests.frontier.support import Bench


async def test_each_run_adds_what_is_new_of_it(bench: Bench) -> None:
    """A repetition adds nothing, since a reply may be lost; nor does one that comes late."""
    carried = bench.frontier.proxy_bytes
    assert await carried.read() == ProxyBytes()
    assert await carried.add("one", 1000) == ProxyBytes(1000, 0)
    assert await carried.add("one", 1000) == ProxyBytes(1000, 0)
    assert await carried.add("two", 5 * 2**40) == ProxyBytes(1000 + 5 * 2**40, 0)
    assert await carried.add("one", 2500) == ProxyBytes(2500 + 5 * 2**40, 0)
    assert await carried.read() == ProxyBytes(2500 + 5 * 2**40, 0)
    assert await bench.raw("TTL", "@proxied:one") > 600_000
    assert await bench.frontier.audit() == []


async def test_the_budget_that_was_given_last_holds_for_all(bench: Bench) -> None:
    """Who gives none leaves it as it is."""
    one = bench.frontier.proxy_bytes
    other = RedisFrontier(bench.client, bench.crawl).proxy_bytes
    assert not (await one.add("one", 10, 100)).is_spent
    assert await other.add("two", 0) == ProxyBytes(10, 100)
    spent = await other.add("two", 90)
    assert (spent, spent.is_spent) == (ProxyBytes(100, 100), True)
    raised = await one.add("three", 0, 101)
    assert (raised, raised.is_spent) == (ProxyBytes(100, 101), False)
    without = await one.add("three", 50, 0)
    assert (without, without.is_spent) == (ProxyBytes(150, 0), False)


async def test_bytes_that_are_none_are_said_to_be_unreadable(bench: Bench) -> None:
    """Anybody may have written to Redis."""
    await bench.raw("HSET", "@proxied", "bytes", "7", "budget", "much")
    with pytest.raises(CrawlUnreadable):
        await bench.frontier.proxy_bytes.read()
    with pytest.raises(CrawlUnreadable):
        await bench.frontier.proxy_bytes.add("one", 1)
