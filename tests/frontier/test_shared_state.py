"""What a crawl's nodes have found out for each other, in Redis: paces of sites, robots.txt, the proxies' state."""

from dataclasses import replace

import pytest

from farm.frontier import client as client_module
from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.frontier import RedisFrontier
from farm.frontier.shared_state import (
    MOST_REPORT_BYTES,
    MOST_REPORTS_READ,
    SCOPE_READ_EVERY_S,
    RedisNodeReports,
    SharedBans,
    SharedScope,
)
from farm.frontier.terms import Politeness
from farm.model.egress import Ban, ProxyBytes
from farm.model.errors import CrawlUnreadable, FrontierUnavailable
from farm.model.outcome import FailureKind, Retry
from farm.policy.aimd import Pace
from tests.clock import ManualClock
from tests.frontier.support import Bench


async def _reads_of_the_scope(bench: Bench) -> int:
    """Return how often all sites of a scope were read since the last time."""
    told = await bench.client.command("INFO", "commandstats")
    await bench.client.command("CONFIG RESETSTAT")
    return int(told.get("cmdstat_smembers", {"calls": 0})["calls"])


async def test_a_claim_is_prolonged_where_there_is_one(bench: Bench) -> None:
    """So that it can be short: it ends soon after its holder has died."""
    cache = bench.frontier.cache
    await cache.prolong("sitemap http://a/x", 60)
    assert await cache.claim("sitemap http://a/x", 5)
    assert not await cache.claim("sitemap http://a/x", 5)
    key = keys.robots_claim(bench.crawl, "sitemap http://a/x")
    assert await bench.client.command("PTTL", key) <= 5000
    await cache.prolong("sitemap http://a/x", 60)
    assert 50_000 < await bench.client.command("PTTL", key) <= 60_000


async def test_a_scope_is_read_where_it_has_grown(bench: Bench) -> None:
    """Every node asks every second, and there may be as many sites as seeds."""
    clock = ManualClock()
    scope = SharedScope(bench.client, bench.crawl, monotonic=clock.monotonic)
    await scope.add([f"site{n}.example" for n in range(1200)])
    await _reads_of_the_scope(bench)
    first = await scope.read()
    assert len(first) == 1200
    assert await scope.read() is first
    assert await _reads_of_the_scope(bench) == 1
    await bench.frontier.extend_scope("www.a")
    assert await scope.read() - first == {"www.a"}
    clock.now += SCOPE_READ_EVERY_S
    assert "www.a" in await scope.read()
    assert await _reads_of_the_scope(bench) == 2


async def test_a_scope_whose_master_lost_some_is_read_all_the_same(bench: Bench) -> None:
    """Another node has added as many since, so that their number tells nothing."""
    clock = ManualClock()
    scope = SharedScope(bench.client, bench.crawl, monotonic=clock.monotonic)
    await scope.add(["lost.example"])
    await scope.read()
    await bench.raw("SREM", "@scope", "lost.example")
    await bench.frontier.extend_scope("new.example")
    clock.now += SCOPE_READ_EVERY_S
    assert await scope.read() == {"new.example"}


async def _reads_of_the_server(bench: Bench) -> int:
    """Return how often the server has read from a socket."""
    return int((await bench.client.command("INFO", "stats"))["total_reads_processed"])


async def test_a_view_reads_the_reports_of_many_nodes_at_once(bench: Bench) -> None:
    """Of a hundred at most; one that is too long, or not there, is left out."""
    reports = bench.frontier.reports
    nodes = [f"node{number}" for number in range(MOST_REPORTS_READ + 20)]
    for number, node in enumerate(nodes):
        if number != 3:
            await reports.publish(node, b"x" * (MOST_REPORT_BYTES + 1 if number == 5 else 1 + number))
    assert not await reports.is_watched()
    before = await _reads_of_the_server(bench)
    found = await reports.read(nodes)
    assert await _reads_of_the_server(bench) - before < 20
    shown = {node: 1 + number for number, node in enumerate(nodes[:MOST_REPORTS_READ])}
    del shown["node3"], shown["node5"]
    assert {node: len(report) for node, report in found.items()} == shown
    assert await reports.is_watched()
    assert await reports.read([]) == {}


async def test_a_server_that_answers_reports_too_late_is_away(
    bench: Bench, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answers at last is nobody's: the next read has its own replies."""
    monkeypatch.setattr(client_module, "SEVERAL_S", 0.1)
    hasty = await connect(redis_url, patience_s=0)
    reports = RedisNodeReports(hasty, bench.crawl)
    await reports.publish("a", b"of a")
    await reports.publish("b", b"of b")
    await bench.client.command("CLIENT", "PAUSE", 60_000, "WRITE")
    with pytest.raises(FrontierUnavailable, match="is not available"):
        await reports.read(["a"])
    await bench.client.command("CLIENT", "UNPAUSE")
    monkeypatch.undo()
    assert await reports.read(["b"]) == {"b": b"of b"}
    await hasty.close()


async def test_a_report_that_is_none_fails_as_one_command_does(bench: Bench) -> None:
    """With the server's own words, by which it is known."""
    await bench.client.command("HSET", keys.report(bench.crawl, "a"), "field", 1)
    with pytest.raises(CrawlUnreadable, match="WRONGTYPE"):
        await bench.frontier.reports.read(["b", "a"])


async def test_what_is_learnt_holds_with_the_next_lease(client: RedisClient, redis_url: str) -> None:
    """Places in flight, and a spacing whose mean is the rate."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(in_flight=8))
    await bench.add(*(f"a/{n}" for n in range(9)))
    book = bench.frontier.paces
    known = await book.read("a")
    assert (known.pace, known.first, known.in_flight) == (None, 8, 0)
    assert await book.write("a", known, Pace(2.7, rate=2.0)) is None
    await bench.lease("s1")
    assert (await bench.idle("s2")).reason == "waiting"
    bench.clock.advance(0.56)
    await bench.lease("s2")
    bench.clock.advance(0.56)
    await bench.idle("s3")
    known = await book.read("a")
    assert (known.pace, known.in_flight) == (Pace(2.7, rate=2.0), 2)
    assert await bench.frontier.audit() == []


async def test_of_two_that_learn_at_once_the_second_is_told(bench: Bench) -> None:
    """So that it adds to what the first has learnt."""
    book = bench.frontier.paces
    before = await book.read("a")
    assert await book.write("a", before, Pace(5, latencies=(1, 2), delivered=((7, 3),))) is None
    there = await book.write("a", before, Pace(6))
    assert there is not None
    assert there.pace == Pace(5, latencies=(1, 2), delivered=((7, 3),))
    assert await book.write("a", there, Pace(6)) is None


async def test_a_crawl_delay_and_the_users_rate_outlast_what_is_learnt(
    client: RedisClient, redis_url: str
) -> None:
    """Whichever is known first."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(interval_s=0.2))
    book = bench.frontier.paces
    await book.write("a", await book.read("a"), Pace(8, rate=100))
    assert await bench.raw("HGET", "@site:a", "i") == b"200"
    await book.keep_apart("a", 3)
    assert await bench.raw("HGET", "@site:a", "i") == b"3000"
    known = await book.read("a")
    await book.write("a", known, replace(known.pace or Pace(8), rate=50))
    assert await bench.raw("HGET", "@site:a", "i") == b"3000"


async def test_a_block_is_seen_by_whoever_learns(bench: Bench) -> None:
    """It came with the settlement."""
    await bench.add("a/1")
    lease = await bench.lease()
    await bench.frontier.nack(lease, Retry(FailureKind.THROTTLED, 30, throttled=True))
    known = await bench.frontier.paces.read("a")
    assert known.blocked_until_s == known.now_s + 30


async def test_a_state_of_another_version_is_learnt_anew(bench: Bench) -> None:
    """And can be written over."""
    await bench.raw("HSET", "@site:a", "a", b'{"limit": 3, "other": 4}')
    book = bench.frontier.paces
    known = await book.read("a")
    assert known.pace is None
    assert await book.write("a", known, Pace(4)) is None


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
    assert await other.exchange([], anew=True) == [Ban("http://a:1", None, 55.0, 1)]
    bench.clock.ms += 55_000
    assert await other.exchange([], anew=True) == []
    assert [key.rpartition(b":")[2] for key in await bench.client.keys("*ban*")] == [b"lastban"]
    assert await bench.frontier.audit() == []


async def test_of_bans_only_those_that_are_new_are_told(bench: Bench) -> None:
    """Each node asks every second, and sites may ban thousands of addresses; who comes later is told of all."""
    one, other = (SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read) for _ in range(2))
    many = [Ban(f"http://a{n}:1", "shop.example", 600.0, 1) for n in range(300)]
    assert len(await one.exchange(many)) == 300
    assert await one.exchange([]) == []
    late = Ban("http://b:1", None, 600.0, 1)
    assert len(await other.exchange([late])) == 301
    assert await one.exchange([]) == [late]
    longer = Ban("http://a7:1", "shop.example", 900.0, 2)
    await other.exchange([longer])
    assert await one.exchange([]) == [longer]
    await bench.client.command("CONFIG RESETSTAT")
    assert await other.exchange([]) == []
    told = await bench.client.command("INFO", "commandstats")
    assert not {"cmdstat_hgetall", "cmdstat_hget"} & told.keys()


async def test_no_more_bans_are_kept_than_there_is_room_for(bench: Bench) -> None:
    """Those that end first go, some at a time: a site may ban every address for every path."""
    bans = SharedBans(bench.client, bench.crawl, own_time_ms=bench.clock.read)
    for part in range(21):
        await bans.exchange([Ban(f"a{part}-{n}", None, 600.0 + part, 1) for n in range(500)])
    assert await bench.raw("HLEN", "@bans") == 10_000
    kept = await bench.raw("HKEYS", "@bans")
    assert not any(subject.startswith(b"a0-") for subject in kept)
    assert await bench.raw("ZCARD", "@newbans") == await bench.raw("ZCARD", "@banends") == 10_000


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
    told = await bans.exchange([Ban("http://a:1", None, 10.0, 1)], anew=True)
    assert told == [Ban("http://a:1", None, 60.0, 2)]
    assert await bans.exchange([Ban("http://a:1", None, 0.0, 0)], anew=True) == []


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
