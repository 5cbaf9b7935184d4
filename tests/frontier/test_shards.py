"""Several shards: links between them, a page limit over them, an end that is the end. Here on one server."""

import asyncio

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.crawl import Crawl, delete_crawl, find_crawl, open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.shards import decode_counters
from farm.frontier.terms import Politeness, Terms
from farm.model.errors import CrawlGone
from farm.model.outcome import Ack, Bury, FailureKind, Settled
from farm.model.task import Idle, Lease
from tests.frontier.support import Bench


@pytest.fixture
async def sharded(client: RedisClient, redis_url: str) -> Bench:
    """Open a crawl of four shards."""
    return await Bench.open(client, redis_url, shards=4)


async def _crawl(bench: Bench, links: dict[str, list[str]], **more: int) -> list[str]:
    """Crawl a graph to its end with three slots in turn, repeating every third ack."""
    visited: list[str] = []
    leases: dict[str, Lease] = {}
    idles = 0
    while idles < 3:
        for slot in ("s1", "s2", "s3"):
            wish = bench.wish(slot, **more)
            lease = leases.pop(slot, None)
            got: Lease | Idle | None
            if lease is None:
                got = await bench.frontier.lease(wish)
            else:
                url = lease.task.url.removeprefix("http://")
                visited.append(url)
                outcome = Ack(links=[bench.task(link) for link in links.get(url, [])])
                settled, got = await bench.frontier.ack(lease, outcome, wish)
                assert settled is Settled.OK
                if len(visited) % 3 == 0:
                    assert (await bench.frontier.ack(lease, outcome, wish))[0] is Settled.DUP
            if isinstance(got, Lease):
                leases[slot] = got
            elif got is not None and got.retry_in_s == 0:
                idles += 1
            else:
                await bench.frontier.maintain()
    return visited


def _graph(sites: int, pages: int) -> dict[str, list[str]]:
    urls = [f"site{n % sites}/{n}" for n in range(sites * pages)]
    return {url: [urls[(7 * n + k) % len(urls)] for k in range(5)] for n, url in enumerate(urls)}


async def test_links_between_shards_arrive_once(sharded: Bench) -> None:
    """The whole graph, each URL once, and the books balance."""
    graph = _graph(13, 10)
    await sharded.add("site0/0")
    visited = await _crawl(sharded, graph)
    assert sorted(visited) == sorted(graph)
    ledger = await sharded.ledger()
    assert (ledger.accepted, ledger.done) == (130, 130)


async def test_empty_is_not_said_while_a_link_is_on_its_way(sharded: Bench) -> None:
    """An outbox counts as work."""
    await sharded.add("site0/0")
    lease = await sharded.lease()
    links = [sharded.task(f"site{n}/1") for n in range(9)]
    shards = sharded.frontier.shards
    foreign = [link for link in links if shards.of(link.site) != shards.of("site0")]
    settled, _ = await sharded.frontier.ack(lease, Ack(links=foreign))
    assert settled is Settled.OK
    home = keys.ctl(sharded.crawl, shards.of("site0"))
    wish = ("s0", "r", "", 0, "", "000", 0, 1)
    assert (await sharded.client.run("lease", home, sharded.clock.ms, *wish))[1] == b"waiting"
    reasons = set()
    for n in range(9):
        got = await sharded.frontier.lease(sharded.wish(f"s{n}"))
        reasons.add("lease" if isinstance(got, Lease) else got.reason)
    assert "empty" not in reasons
    while await sharded.frontier.maintain():
        pass
    assert (await sharded.ledger()).accepted == 1 + len(foreign)


async def test_the_page_limit_holds_over_shards(sharded: Bench) -> None:
    """It is lent in portions, so it is reached and not exceeded."""
    graph = _graph(13, 10)
    await sharded.frontier.add([sharded.task(url) for url in graph])
    visited = await _crawl(sharded, graph, limit=41)
    assert len(visited) == 41
    assert (await sharded.ledger()).queued == 130 - 41


async def test_a_limit_that_is_reached_is_asked_about_once_a_round(sharded: Bench) -> None:
    """Every slot asks until the last page is done: not once for each shard, and it leaves nothing in Redis."""
    sites = [_site_of(sharded, shard) for shard in range(4)]
    await sharded.add(*(f"{site}/{n}" for site in sites for n in range(3)))
    await sharded.lease("s1", limit=1)
    before = len(await sharded.client.keys("*:once:*"))
    await sharded.client.command("CONFIG RESETSTAT")
    assert (await sharded.idle("s2", limit=1)).reason == "limit"
    calls = (await sharded.client.command("INFO", "commandstats"))["cmdstat_fcall"]["calls"]
    # To borrow, to withdraw from the three others, and to borrow again; then whether anything is leased.
    assert calls == 4 + (1 + 3 + 1) + 4
    assert len(await sharded.client.keys("*:once:*")) == before


async def test_one_node_at_a_time_delivers_what_waits(sharded: Bench) -> None:
    """A hundred would all send the same; another does where the first has not been heard of for seconds."""
    other = RedisFrontier(sharded.client, sharded.crawl, own_time_ms=sharded.clock.read)
    home = _site_of(sharded, 0)
    await sharded.add(*(f"{home}/{n}" for n in range(3)))
    for number in range(3):
        lease = await sharded.lease(site_hint=home)
        links = [sharded.task(f"{_site_of(sharded, shard)}/{number}") for shard in (1, 2, 3)]
        await sharded.frontier.ack(lease, Ack(links=links))
        match number:
            case 0:
                assert await sharded.frontier.maintain() == 3
            case 1:
                sharded.clock.advance(2.9)
                assert await other.maintain() == 0
                assert await sharded.frontier.maintain() == 3
            case _:
                sharded.clock.advance(3.0)
                assert await other.maintain() == 3
    assert (await sharded.ledger()).accepted == 12


async def test_what_was_seen_is_seen_by_every_shard(sharded: Bench) -> None:
    """A redirect may end at a site of another shard."""
    await sharded.add("site0/0")
    targets = [sharded.task(f"site{n}/target") for n in range(9)]
    await sharded.frontier.ack(await sharded.lease(), Ack(seen=[target.fingerprint for target in targets]))
    await sharded.frontier.maintain()
    assert await sharded.frontier.add(targets) == 0
    await sharded.ledger()


async def test_nodes_deliver_the_same_outbox_at_once(sharded: Bench) -> None:
    """Nothing is struck out that was not delivered."""
    await sharded.add("site0/0")
    links = [sharded.task(f"site{n}/1") for n in range(1, 300)]
    await sharded.frontier.ack(await sharded.lease(), Ack(links=links))
    await asyncio.gather(*(sharded.frontier.maintain() for _ in range(8)))
    while await sharded.frontier.maintain():
        pass
    assert (await sharded.ledger()).accepted == 300


async def test_control_keeper_and_dead_letters_reach_every_shard(sharded: Bench) -> None:
    """One crawl, however many shards."""
    await sharded.add(*(f"site{n}/0" for n in range(9)))
    leases = [await sharded.lease(f"s{n}") for n in range(9)]
    keeper = sharded.keeper()
    sharded.clock.advance(20)
    assert keeper.renew(leases) == [True] * 9
    keeper.close()
    for lease in leases:
        await sharded.frontier.nack(lease, Bury(FailureKind.TLS))
    dead = sharded.frontier.dead
    assert len({letter.id for start in (0, 5) for letter in await dead.page(start=start, size=5)}) == 9
    assert await dead.replay() == 9
    await sharded.frontier.set_state("paused")
    assert (await sharded.idle("s1")).reason == "paused"
    await sharded.ledger()


async def test_the_number_of_shards_is_fixed_when_the_crawl_is_created(sharded: Bench) -> None:
    """Whoever joins takes what is stored."""
    joined: Crawl = await open_crawl(sharded.client, "test", {"scope": "host"}, shards=9)
    assert joined.shards == 4
    assert (await find_crawl(sharded.client, "test")).shards == 4


@pytest.mark.parametrize("limit", [1, 3, 8, 20])
@pytest.mark.parametrize("level", ["global", "egress"])
async def test_the_shares_of_a_limit_are_together_the_limit(
    client: RedisClient, redis_url: str, level: str, limit: int
) -> None:
    """Not one lease more, not one less, and no shard is left without a place."""
    politeness = Politeness(**{f"{level}_in_flight": limit})
    bench = await Bench.open(client, redis_url, shards=8, politeness=politeness)
    assert bench.crawl.shards == min(limit, 8)
    await bench.add(*(f"site{n}/{page}" for n in range(40) for page in range(3)))
    got = [await bench.frontier.lease(bench.wish(f"s{n}", egress="p1")) for n in range(30)]
    leased = [lease for lease in got if isinstance(lease, Lease)]
    assert len(leased) == limit
    shards = bench.frontier.shards
    assert {shards.of(lease.task.site) for lease in leased} == set(range(shards.count))
    assert await bench.frontier.audit() == []


async def test_the_shares_of_a_rate_are_together_the_rate(client: RedisClient, redis_url: str) -> None:
    """In the mean: each shard may begin with one."""
    bench = await Bench.open(client, redis_url, shards=4, politeness=Politeness(global_interval_s=1))
    await bench.add(*(f"site{n}/{page}" for n in range(40) for page in range(3)))
    leased = 0
    for n in range(400):
        got = await bench.frontier.lease(bench.wish(f"s{n}"))
        if isinstance(got, Lease):
            leased += 1
            await bench.done(got)
        bench.clock.advance(0.1)
    # 40 s; the spacing is up to a fifth longer than asked.
    assert 40 / 1.2 <= leased <= 40 + 4


async def test_whoever_finishes_a_creation_gives_each_shard_its_own_share(
    client: RedisClient, redis_url: str
) -> None:
    """Who began it may have died after the first shard; the number of shards is the stored one."""
    politeness = Politeness(global_in_flight=7)
    bench = await Bench.open(client, redis_url, shards=4, politeness=politeness)
    for shard in range(1, 4):
        for key in await client.keys(f"{{test:{shard}}}:*"):
            await client.command("DEL", key)
    await open_crawl(client, "test", {"scope": "host"}, shards=2, politeness=politeness)
    shares = [decode_counters(reply[0])["all_limit"] for reply in await bench.frontier.shards.each("stats")]
    assert shares == [2, 2, 2, 1]


def _site_of(bench: Bench, shard: int) -> str:
    return next(site for n in range(99) if bench.frontier.shards.of(site := f"site{n}") == shard)


async def test_no_shard_is_served_for_ever_while_others_have_work(sharded: Bench) -> None:
    """A slot goes on to the next one after a run, however its leases are settled."""
    sites = [_site_of(sharded, shard) for shard in range(4)]
    await sharded.add(*(f"{sites[0]}/{n}" for n in range(200)))
    await sharded.add(*(f"{site}/urgent" for site in sites[1:]), priority=9)
    got: Lease | Idle | None = await sharded.lease(site_hint=sites[0])
    served = list[str]()
    while isinstance(got, Lease) and len(served) < 60:
        served.append(got.task.site)
        _, got = await sharded.frontier.ack(got, Ack(), sharded.wish(site_hint=got.task.site))
    assert set(served[:44]) == set(sites)
    assert served[:10] == [sites[0]] * 10
    await sharded.ledger()


async def test_a_run_is_as_long_as_the_crawl_was_created_with(client: RedisClient, redis_url: str) -> None:
    """A node of another version has another default, and only the stored one is the crawl's."""
    created = await Bench.open(client, redis_url, shards=4, terms=Terms(affinity_run=3))
    sites = [_site_of(created, shard) for shard in range(4)]
    await created.add(*(f"{site}/{n}" for n in range(20) for site in sites))
    joined = RedisFrontier(client, await find_crawl(client, "test"), own_time_ms=created.clock.read)
    got: Lease | Idle | None = await joined.lease(created.wish(site_hint=sites[0]))
    served = list[str]()
    while isinstance(got, Lease) and len(served) < 4:
        served.append(got.task.site)
        _, got = await joined.ack(got, Ack(), created.wish(site_hint=got.task.site))
    assert served[:3] == [sites[0]] * 3
    assert served[3] != sites[0]


async def test_the_terms_of_a_crawl_are_those_it_was_created_with(
    client: RedisClient, redis_url: str
) -> None:
    """Each of them, whatever the defaults of the node that asks."""
    terms = Terms(visibility_s=41.5, clock_step_s=7.0, silence_s=19.0, lives=5, affinity_run=6)
    await Bench.open(client, redis_url, shards=2, terms=terms)
    joined = RedisFrontier(client, await find_crawl(client, "test"))
    assert await joined.terms() == terms


async def test_a_crawl_that_is_deleted_meanwhile_is_said_to_be(sharded: Bench) -> None:
    """By a lease request, which compares the shards' counters before it says that the crawl is empty."""
    await delete_crawl(sharded.client, "test")
    with pytest.raises(CrawlGone):
        await sharded.frontier.shards.counters()
    with pytest.raises(CrawlGone):
        await sharded.frontier.terms()


async def test_no_shard_is_served_for_ever_where_visits_fail(sharded: Bench) -> None:
    """Then the slot asks anew, for the same site."""
    sites = [_site_of(sharded, shard) for shard in range(2)]
    await sharded.add(*(f"{sites[0]}/{n}" for n in range(200)), f"{sites[1]}/urgent")
    served = list[str]()
    for _ in range(20):
        lease = await sharded.lease(site_hint=sites[0])
        served.append(lease.task.site)
        await sharded.frontier.nack(lease, Bury(FailureKind.TLS))
    assert sites[1] in served


async def test_an_ack_that_ends_a_run_can_be_repeated(sharded: Bench) -> None:
    """The same lease again, whichever shard it is of: a slot holds one."""
    sites = [_site_of(sharded, shard) for shard in range(4)]
    await sharded.add(*(f"{site}/{n}" for n in range(50) for site in sites))
    lease = await sharded.lease(site_hint=sites[0])
    for _ in range(100):
        wish = sharded.wish(site_hint=lease.task.site)
        _, got = await sharded.frontier.ack(lease, Ack(), wish)
        assert isinstance(got, Lease)
        assert await sharded.frontier.ack(lease, Ack(), wish) == (Settled.DUP, got)
        lease = got
    assert (await sharded.ledger()).leased == 1


async def test_a_shard_that_alone_has_work_is_asked_in_one_round_trip(sharded: Bench) -> None:
    """The others are asked once a run, not once a lease."""
    site = _site_of(sharded, 2)
    await sharded.add(*(f"{site}/{n}" for n in range(101)))
    lease = await sharded.lease(site_hint=site)
    await sharded.client.command("CONFIG RESETSTAT")
    for _ in range(100):
        _, got = await sharded.frontier.ack(lease, Ack(), sharded.wish(site_hint=site))
        assert isinstance(got, Lease)
        lease = got
    calls = (await sharded.client.command("INFO", "commandstats"))["cmdstat_fcall"]["calls"]
    assert calls == 100 + 10 * 4
