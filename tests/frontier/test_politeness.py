"""Limits are decided inside `lease`, for all nodes at once."""

from itertools import pairwise

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.terms import Politeness, SiteTerms, Terms
from farm.model.outcome import FailureKind, Release, Retry
from farm.model.task import Idle, Lease
from farm.policy.aimd import Pace
from tests.frontier.support import Bench


async def _bench(client: RedisClient, url: str, politeness: Politeness) -> Bench:
    bench = await Bench.open(client, url, politeness=politeness)
    await bench.add(*(f"{site}/{n}" for n in range(10) for site in "ab"))
    return bench


async def _leased_over(
    bench: Bench, seconds: float, step_s: float = 0.1, **more: str
) -> list[tuple[int, str]]:
    """Lease whenever it is possible and settle at once; return when and where."""
    leased: list[tuple[int, str]] = []
    start = bench.clock.ms
    while bench.clock.ms - start < seconds * 1000:
        got = await bench.frontier.lease(bench.wish(f"s{len(leased)}", **more))
        if isinstance(got, Lease):
            leased.append((bench.clock.ms - start, got.task.site))
            await bench.done(got)
        else:
            bench.clock.advance(step_s)
    return leased


async def test_a_site_is_visited_no_faster_than_asked(client: RedisClient, redis_url: str) -> None:
    """The spacing is never shorter, and up to a fifth longer."""
    bench = await _bench(client, redis_url, Politeness(interval_s=1))
    times = [at for at, site in await _leased_over(bench, 6) if site == "a"]
    assert 5 <= len(times) <= 6
    assert all(1000 <= later - earlier <= 1300 for earlier, later in pairwise(times))
    assert await bench.frontier.audit() == []


async def test_a_burst_can_be_saved_up(client: RedisClient, redis_url: str) -> None:
    """Three at once, then one by one."""
    bench = await _bench(client, redis_url, Politeness(interval_s=1, burst=3))
    times = [at for at, site in await _leased_over(bench, 2) if site == "a"]
    assert times[:3] == [0, 0, 0]
    assert times[3] >= 1000


async def test_waiting_for_a_rate_says_when(client: RedisClient, redis_url: str) -> None:
    """Never later than a quarter of a second, since links may come at any time."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(interval_s=0.1))
    await bench.add("a/1", "a/2")
    await bench.done(await bench.lease())
    idle = await bench.idle()
    assert idle.reason == "waiting"
    assert 0.1 <= idle.retry_in_s <= 0.12


async def test_a_site_has_so_many_places(client: RedisClient, redis_url: str) -> None:
    """A place is free again when its lease is settled, however it is settled, or expires."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(in_flight=2))
    await bench.add(*(f"a/{n}" for n in range(9)))
    first, second = await bench.lease("s1"), await bench.lease("s2")
    assert (await bench.idle("s3")).reason == "waiting"
    await bench.done(first)
    third = await bench.lease("s3")
    await bench.idle("s4")
    await bench.frontier.nack(second, Release("drain"))
    await bench.frontier.nack(third, Retry(FailureKind.CRASH, 99))
    await bench.lease("s4")
    await bench.lease("s5")
    await bench.idle("s6")
    bench.clock.advance(31)
    await bench.lease("s6")
    assert await bench.frontier.audit() == []


async def test_everything_has_so_many_places(client: RedisClient, redis_url: str) -> None:
    """Whatever the sites."""
    bench = await _bench(client, redis_url, Politeness(global_in_flight=3))
    for n in range(3):
        await bench.lease(f"s{n}")
    assert (await bench.idle("s9")).reason == "waiting"


async def test_everything_has_a_rate(client: RedisClient, redis_url: str) -> None:
    """Whatever the sites."""
    bench = await _bench(client, redis_url, Politeness(global_interval_s=1))
    times = [at for at, _ in await _leased_over(bench, 5)]
    assert all(later - earlier >= 1000 for earlier, later in pairwise(times))
    assert len(times) >= 4


async def test_an_address_has_a_rate_and_places_of_its_own(client: RedisClient, redis_url: str) -> None:
    """Two addresses do not share them."""
    bench = await _bench(client, redis_url, Politeness(egress_interval_s=1, egress_in_flight=2))
    first = await bench.lease("s1", egress="p1")
    await bench.lease("s2", egress="p2")
    assert (await bench.idle("s3", egress="p1")).reason == "waiting"
    bench.clock.advance(1.3)
    await bench.lease("s3", egress="p1")
    bench.clock.advance(1.3)
    await bench.idle("s4", egress="p1")
    await bench.done(first)
    await bench.lease("s4", egress="p1")
    assert await bench.frontier.audit() == []


async def test_a_pair_of_site_and_address_has_limits(client: RedisClient, redis_url: str) -> None:
    """The lease goes to another site rather than waiting."""
    bench = await _bench(client, redis_url, Politeness(pair_interval_s=5, pair_in_flight=1))
    assert (await bench.lease("s1", egress="p1")).task.site == "a"
    assert (await bench.lease("s2", egress="p1")).task.site == "b"
    assert (await bench.idle("s3", egress="p1")).reason == "waiting"
    assert (await bench.lease("s3", egress="p2")).task.site == "a"
    assert await bench.frontier.audit() == []


async def test_a_pair_has_places_without_a_rate(client: RedisClient, redis_url: str) -> None:
    """They are free again when the lease is settled."""
    bench = await Bench.open(client, redis_url, politeness=Politeness(pair_in_flight=1))
    await bench.add("a/1", "a/2")
    lease = await bench.lease("s1", egress="p1")
    await bench.idle("s2", egress="p1")
    await bench.done(lease)
    await bench.lease("s2", egress="p1")


async def test_a_throttled_retry_blocks_the_site_for_all(bench: Bench) -> None:
    """In the transaction that settles the lease; other sites go on."""
    await bench.add("a/1", "a/2", "b/1")
    await bench.frontier.nack(await bench.lease("s1"), Retry(FailureKind.THROTTLED, 20, throttled=True))
    assert (await bench.lease("s2")).task.site == "b"
    assert (await bench.idle("s3")).reason == "waiting"
    bench.clock.advance(20)
    assert (await bench.lease("s3")).task.site == "a"
    assert await bench.frontier.audit() == []


async def test_a_throttled_retry_by_an_address_blocks_that_address(bench: Bench) -> None:
    """The site refused the address, not the crawl."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease("s1", egress="p1")
    await bench.frontier.nack(lease, Retry(FailureKind.THROTTLED, 20, throttled=True))
    await bench.idle("s1", egress="p1")
    assert (await bench.lease("s2", egress="p2")).task.site == "a"


@pytest.mark.parametrize("shut", [8, 70])
async def test_sites_that_shut_an_address_out_do_not_hide_the_others(bench: Bench, shut: int) -> None:
    """However many they are and however long they wait at the head of the ready sites."""
    await bench.add(*(f"s{n:02}/{page}" for n in range(shut + 4) for page in range(2)))
    for n in range(shut):
        await bench.frontier.block(f"s{n:02}", 3600, egress="p1")
    left = {f"s{n:02}" for n in range(shut, shut + 4)}
    bench.clock.advance(1)
    for site in left:
        # They go to the end of the ready sites.
        await bench.limit_site(site)
    for _ in range(40):
        got = await bench.frontier.lease(bench.wish("s1", egress="p1"))
        if isinstance(got, Lease):
            left.discard(got.task.site)
            await bench.done(got)
    assert left == set()
    assert await bench.frontier.audit() == []


async def test_an_address_that_is_shut_out_everywhere_need_not_ask_at_once(bench: Bench) -> None:
    """It comes back when the first site opens, or in a quarter of a second for what may come by then."""
    await bench.add("a/1", "b/1")
    await bench.frontier.block("a", 3600, egress="p1")
    await bench.frontier.block("b", 3600, egress="p1")
    assert (await bench.idle("s1", egress="p1")).retry_in_s == 0.25
    await bench.add("c/1")
    await bench.frontier.block("c", 0.1, egress="p1")
    assert (await bench.idle("s1", egress="p1")).retry_in_s == 0.1


async def test_a_site_that_shuts_an_address_out_is_no_hint_to_it(bench: Bench) -> None:
    """Where the slot was is where it would go next."""
    await bench.add("a/1", "a/2", "b/1")
    await bench.done(await bench.lease("s1", egress="p1", site_hint="a"))
    await bench.frontier.block("a", 20, egress="p1")
    assert (await bench.lease("s1", egress="p1", site_hint="a")).task.site == "b"


async def test_a_block_is_never_cut_short(bench: Bench) -> None:
    """A second refusal that asks for less was sent before the first was heard."""
    await bench.add("a/1", "a/2", "b/1", "b/2")
    late, early = await bench.lease("s1"), await bench.lease("s2", site_hint="a")
    by_p1, by_p1_too = await bench.lease("s3", egress="p1"), await bench.lease("s4", egress="p1")
    assert [one.task.site for one in (late, early, by_p1, by_p1_too)] == ["a", "a", "b", "b"]
    for first, second in ((late, early), (by_p1, by_p1_too)):
        await bench.frontier.nack(first, Retry(FailureKind.THROTTLED, 600, throttled=True))
        await bench.frontier.nack(second, Retry(FailureKind.THROTTLED, 1, throttled=True))
    await bench.frontier.block("a", 1)
    await bench.frontier.block("b", 1, egress="p1")
    bench.clock.advance(590)
    await bench.frontier.maintain()
    assert (await bench.idle("s1", site_hint="a", egress="p1")).reason == "waiting"
    assert (await bench.lease("s2")).task.site == "b"


async def test_a_site_can_be_blocked_and_limited_from_outside(bench: Bench) -> None:
    """Crawl-delay and adaptive limits are written down for all nodes."""
    await bench.add("a/1", "a/2", "a/3")
    await bench.frontier.block("a", 5)
    await bench.idle()
    bench.clock.advance(5)
    await bench.frontier.block("a", 5, egress="p1")
    await bench.idle(egress="p1")
    await bench.limit_site("a", in_flight=1)
    lease = await bench.lease("s1")
    await bench.idle("s2")
    await bench.limit_site("a", interval_s=2)
    assert await bench.frontier.audit() == []
    await bench.done(lease)
    await bench.lease("s2")
    await bench.idle("s3")
    bench.clock.advance(2.5)
    await bench.lease("s3")
    assert await bench.frontier.audit() == []


async def test_no_priority_starves(client: RedisClient, redis_url: str) -> None:
    """Every eighth lease begins at another band, while higher ones have work."""
    bench = await Bench.open(client, redis_url)
    await bench.add(*(f"high/{n}" for n in range(200)), priority=9)
    await bench.add("low/1", priority=0)
    await bench.add("mid/1", priority=4)
    sites = []
    for _ in range(90):
        lease = await bench.lease()
        sites.append(lease.task.site)
        await bench.done(lease)
    assert {"low", "mid"} < set(sites)
    assert sites[:7] == ["high"] * 7


async def test_one_site_with_most_urls_does_not_starve_the_others(bench: Bench) -> None:
    """Sites take turns, and a slot stays on one only so long."""
    await bench.add(*(f"big/{n}" for n in range(900)))
    await bench.add(*(f"small{n}/1" for n in range(100)))
    served: list[str] = []
    hint = None
    for _ in range(150):
        lease = await bench.lease(site_hint=hint)
        hint = lease.task.site
        served.append(hint)
        bench.clock.advance(0.001)
        await bench.done(lease)
    assert len({site for site in served if site != "big"}) > 60


async def test_affinity_ends_after_its_run(client: RedisClient, redis_url: str) -> None:
    """So that others get their turn."""
    bench = await Bench.open(client, redis_url, terms=Terms(affinity_run=3))
    await bench.add(*(f"a/{n}" for n in range(9)), *(f"b/{n}" for n in range(9)))
    served: list[str] = []
    hint = None
    for _ in range(9):
        lease = await bench.lease(site_hint=hint)
        hint = lease.task.site
        served.append(hint)
        bench.clock.advance(0.001)
        await bench.done(lease)
    assert "".join(served) == "aaabbbaaa"


@pytest.mark.parametrize("hint", ["unknown", "a"])
async def test_a_hint_creates_nothing(bench: Bench, hint: str) -> None:
    """A site comes into being with its first URL."""
    await bench.add("b/1")
    assert (await bench.lease(site_hint=hint)).task.site == "b"
    assert (await bench.frontier.stats()).sites == 1
    assert await bench.idle("s2", site_hint=hint) == Idle("waiting", 0.25)


OWN = {
    "a": SiteTerms(interval_s=2),
    "*.wide.example": SiteTerms(0, 2, 2),
    "x.wide.example": SiteTerms(0, 1, 1),
}


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_sites_own_limits_hold_in_place_of_the_crawls(
    client: RedisClient, redis_url: str, shards: int
) -> None:
    """By its name, else by the nearest domain above it; also where they allow more."""
    crawls = Politeness(interval_s=1, in_flight=1)
    bench = await Bench.open(client, redis_url, politeness=crawls, shards=shards)
    await bench.frontier.paces.limit_sites(OWN)
    sites = ("a", "b", "x.wide.example", "y.wide.example", "wide.example")
    await bench.add(*(f"{site}/{number}" for site in sites for number in range(3)))
    fields = {}
    for site in sites:
        shard = bench.frontier.shards.of(site)
        key = f"{keys.prefix(bench.crawl, shard)}site:{site}"
        fields[site] = await client.command("HMGET", key, "i", "l", "o", "c")
    assert fields == {
        "a": [b"2000", None, b"2000", None],
        "b": [None] * 4,
        "x.wide.example": [None, b"1", None, b"1"],
        "y.wide.example": [None, b"2", None, b"2"],
        "wide.example": [None] * 4,
    }
    leased = [await bench.lease(f"s{number}") for number in range(5)]
    assert sorted(lease.task.site for lease in leased) == sorted(sites)
    await bench.idle("s9")
    bench.clock.advance(1.25)
    # The crawl's interval is over, and only one site has a free place.
    assert (await bench.lease("s9")).task.site == "y.wide.example"
    for lease in leased:
        await bench.done(lease)
    more = {(await bench.lease(f"t{number}")).task.site for number in range(3)}
    assert more == {"b", "x.wide.example", "wide.example"}
    assert await bench.frontier.audit() == []


async def test_what_is_learnt_never_exceeds_a_sites_own_limits(bench: Bench) -> None:
    """Whatever a node writes; and a crawl-delay that is known before the site comes into being counts."""
    paces = bench.frontier.paces
    await paces.limit_sites({"a": SiteTerms(2, 3, 3), "b": SiteTerms(2, 3, 3)})
    await paces.keep_apart("b", 5)
    await bench.add("a/1", "b/1")
    assert await bench.raw("HMGET", "@site:b", "i", "l") == [b"5000", b"3"]
    await paces.write("a", await paces.read("a"), Pace(50, rate=100))
    assert await bench.raw("HMGET", "@site:a", "i", "l") == [b"2000", b"3"]
    await paces.write("a", await paces.read("a"), Pace(2, rate=0.1))
    assert await bench.raw("HMGET", "@site:a", "i", "l") == [b"9091", b"2"]


async def test_many_sites_with_limits_are_told_in_parts(bench: Bench) -> None:
    """The most that there may be, and again by every node that joins."""
    many = {f"{number}.example": SiteTerms(1) for number in range(10_000)}
    for _ in range(2):
        await bench.frontier.paces.limit_sites(many)
    assert await bench.raw("HLEN", "@limits") == len(many)
    assert await bench.raw("HGET", "@limits", "9999.example") == b"1000 0 0"
