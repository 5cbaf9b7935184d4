"""What may wait in the queue is bounded: beyond it links are left out, the least urgent first, and counted.

So is how many nodes are asked to end.
"""

from typing import Any

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.crawl import Dedup
from farm.frontier.shards import encode_counters
from farm.frontier.terms import Terms
from farm.model.crawl import NodeState
from farm.model.errors import UsageError
from farm.model.outcome import Ack, FailedVisit, FailureKind, Retry
from tests.frontier.support import Bench


async def _open(client: RedisClient, url: str, *, of_all: int = 0, of_site: int = 0, **more: Any) -> Bench:
    return await Bench.open(client, url, terms=Terms(max_queued=of_all, site_queued=of_site), **more)


async def _left_out(bench: Bench) -> int:
    return (await bench.frontier.stats()).left_out


async def test_a_site_that_invents_urls_has_its_share(client: RedisClient, redis_url: str) -> None:
    """The others' links are queued; what was left out is forgotten, and has a place when there is one again."""
    bench = await _open(client, redis_url, of_site=5)
    await bench.add("trap/0")
    links = [bench.task(f"trap/{n}") for n in range(1, 100)] + [bench.task("other/1")]
    await bench.frontier.ack(await bench.lease(), Ack(links=links))
    ledger = await bench.ledger()
    assert (ledger.accepted, ledger.queued) == (7, 6)
    assert await _left_out(bench) == 94
    assert (await bench.frontier.stats()).duplicates == 0
    assert await bench.raw("EXISTS", *(f"@seen:{n:03x}" for n in range(4096))) <= 7
    await bench.done(await bench.lease(site_hint="trap"))
    assert await bench.add("trap/99", "trap/98") == 1


async def test_urgent_urls_of_a_full_site_have_a_queue_of_their_own(
    client: RedisClient, redis_url: str
) -> None:
    """What is less urgent keeps none of them out."""
    bench = await _open(client, redis_url, of_site=5)
    assert await bench.add(*(f"a/{n}" for n in range(9)), priority=3) == 5
    assert await bench.add("a/urgent", priority=7) == 1
    assert (await bench.ledger()).queued == 6


async def test_urgent_urls_displace_others_where_the_queue_is_full(
    client: RedisClient, redis_url: str
) -> None:
    """Of their own site first, the newest first, then of any; never one as urgent."""
    bench = await _open(client, redis_url, of_all=4)
    assert await bench.add("a/1", "a/2", priority=3) == 2
    assert await bench.add("b/1", "b/2", "b/3", priority=5) == 3
    assert await _left_out(bench) == 1
    assert await bench.add("a/now", priority=9) == 1
    assert await bench.add("c/now", "d/now", priority=9) == 2
    assert await bench.add("e/now", priority=9) == 1
    assert await bench.add("f/late", priority=9) == 0
    assert await _left_out(bench) == 6
    urls = [(await bench.lease(f"s{n}")).task.url for n in range(4)]
    assert sorted(urls) == ["http://a/now", "http://c/now", "http://d/now", "http://e/now"]
    ledger = await bench.ledger()
    assert (ledger.accepted, ledger.leased) == (4, 4)


async def test_a_link_that_is_not_queued_displaces_nothing(client: RedisClient, redis_url: str) -> None:
    """One that comes twice, one that a redirect has led to, one of a site that has its share already."""
    bench = await _open(client, redis_url, of_all=6, of_site=2)
    await bench.add("other/1", "other/2", "third/1", priority=3)
    assert await bench.add("a/1", "a/2", "a/3", priority=5) == 2
    assert await bench.add("b/1", "b/1", "b/1", priority=7) == 1
    assert (await bench.ledger()).queued == 6
    lease = await bench.lease()
    assert lease.task.url == "http://b/1"
    led_to = bench.task("b/2", priority=7)
    assert await bench.add("c/1", priority=5) == 1
    await bench.frontier.ack(lease, Ack(links=[led_to], seen=[led_to.fingerprint]))
    assert await bench.add("a/4", "a/5", priority=5) == 0
    assert (await bench.ledger()).queued == 6
    assert await _left_out(bench) == 3
    assert (await bench.frontier.stats()).duplicates == 3


async def test_a_url_that_is_displaced_leaves_no_history(client: RedisClient, redis_url: str) -> None:
    """What is known of its failed visits goes with it: nobody would take that away later."""
    bench = await _open(client, redis_url, of_all=1)
    await bench.add("a/1")
    await bench.frontier.nack(await bench.lease(), Retry(FailureKind.TIMEOUT, 1.0), FailedVisit("timeout"))
    bench.clock.advance(1.1)
    await bench.frontier.maintain()
    assert await bench.raw("HLEN", "@failed") == 1
    assert await bench.add("b/urgent", priority=9) == 1
    assert await bench.raw("HLEN", "@failed") == 0
    assert (await bench.ledger()).queued == 1


@pytest.mark.parametrize("before", [2**31 - 2, 2**32 - 3])
async def test_more_links_than_fit_are_counted_without_a_sign(bench: Bench, before: int) -> None:
    """Ten million pages have thousands of millions of links; the count stays at its greatest number."""
    await bench.frontier.add([bench.task("a/1")])
    [counters] = await bench.frontier.shards.counters()
    full = encode_counters({**counters, "duplicates": before, "left_out": before})
    await bench.raw("SET", "@ctl", full)
    await bench.add(*["a/1"] * 5)
    stats = await bench.frontier.stats()
    assert (stats.duplicates, stats.left_out) == (min(before + 5, 2**32 - 1), before)
    assert (await bench.ledger()).accepted == 1


async def test_several_shards_share_the_bound(client: RedisClient, redis_url: str) -> None:
    """Links from one to another are bounded where they arrive."""
    bench = await _open(client, redis_url, of_all=40, shards=4)
    await bench.add("site0/0")
    links = [bench.task(f"site{n % 23}/{n}") for n in range(1, 400)]
    await bench.frontier.ack(await bench.lease(), Ack(links=links))
    while await bench.frontier.maintain():
        pass
    assert (await bench.ledger()).queued == 40
    assert await _left_out(bench) == 359


@pytest.mark.parametrize("dedup", Dedup)
async def test_the_books_balance_by_every_filter(client: RedisClient, redis_url: str, dedup: Dedup) -> None:
    """A Bloom filter cannot forget: there what was left out stays known."""
    bench = await _open(client, redis_url, of_site=3, dedup=dedup)
    assert await bench.add(*(f"a/{n}" for n in range(9)), "a/1", "a/8") == 3
    assert (await bench.ledger()).queued == 3
    assert await _left_out(bench) == (7 if dedup is Dedup.EXACT else 6)


async def test_a_server_that_is_nearly_full_takes_nothing_new(client: RedisClient, redis_url: str) -> None:
    """What is queued is worked on, which gives memory back; then links are taken again."""
    bench = await _open(client, redis_url)
    await bench.add("a/1", "a/2", "a/3")
    used = int((await client.command("INFO", "memory"))["used_memory"])
    await client.command("CONFIG SET", "maxmemory", used + used // 50)
    try:
        await bench.frontier.maintain()
        assert (await bench.frontier.stats()).is_full
        links = [bench.task(f"a/{n}") for n in range(10, 20)]
        await bench.frontier.ack(await bench.lease(), Ack(links=links))
        assert (await bench.ledger()).queued == 2
        assert await _left_out(bench) == 10
        await client.command("CONFIG SET", "maxmemory", 3 * used)
        client._memory_at = 0
        await bench.frontier.maintain()
        assert await bench.frontier.add(links) == 10
    finally:
        await client.command("CONFIG SET", "maxmemory", 0)


async def test_no_more_nodes_are_asked_to_end_than_are_kept(client: RedisClient, redis_url: str) -> None:
    """Names that come and go do not pile up; who cannot be asked is told of, and goes on."""
    crowd = await Bench.open(client, redis_url, shards=3)
    nodes = crowd.frontier.nodes
    await nodes.register("n", "i1")
    await crowd.raw("SADD", "@drained", *(f"x{number}" for number in range(1000)))
    await nodes.drain("n")
    assert await nodes.is_drained("n")
    assert await crowd.raw("SCARD", "@drained") == 1
    names = [f"x{number}" for number in range(1000)]
    await crowd.raw("SADD", "@drained", *names)
    await crowd.raw("HSET", "@node", *(part for name in names for part in (name, "i1 {}")))
    await nodes.register("m", "i1")
    with pytest.raises(UsageError, match=r"'m' cannot be asked to end: 1,000 others"):
        await nodes.drain("m")
    assert await nodes.heartbeat("m", "i1") is NodeState.ALIVE
