"""What becomes of a lease whose holder is silent, and how time passes."""

import asyncio

import pytest

from farm.frontier import keys
from farm.frontier.entries import encode_task
from farm.frontier.frontier import RedisFrontier
from farm.frontier.shards import decode_counters, encode_counters
from farm.model.crawl import Ledger
from farm.model.outcome import Ack, FailureKind, Release, Retry, Settled
from farm.model.task import Idle, Lease, LeaseRequest
from tests.frontier.support import START_MS, Bench


async def test_an_expired_lease_goes_back_and_consumes_no_attempt(bench: Bench) -> None:
    """The visibility timeout is 30 s."""
    await bench.add("a/1")
    lease = await bench.lease()
    bench.clock.advance(29.9)
    assert await bench.frontier.maintain() == 0
    bench.clock.advance(0.1)
    assert await bench.frontier.maintain() == 1
    assert await bench.ledger() == Ledger(accepted=1, queued=1)
    again = await bench.lease("s2")
    assert (again.id, again.attempt) == (lease.id, 1)
    assert (await bench.frontier.stats()).expired == 1


async def test_a_renewed_lease_lives_on(bench: Bench) -> None:
    """Renewing is a batch; each lease is answered for itself."""
    await bench.add("a/1", "a/2")
    kept, lost = await bench.lease("s1"), await bench.lease("s2")
    keeper = bench.keeper()
    bench.clock.advance(20)
    assert keeper.renew([kept]) == [True]
    bench.clock.advance(20)
    assert keeper.renew([kept, lost]) == [True, True]
    await bench.done(lost)
    assert keeper.renew([lost, kept]) == [False, True]
    assert keeper.renew([]) == []
    keeper.close()


async def test_a_keeper_works_in_a_thread_of_its_own(bench: Bench) -> None:
    """Built in one thread, used in another."""
    await bench.add("a/1")
    lease = await bench.lease()
    keeper = bench.keeper()
    assert await asyncio.to_thread(keeper.renew, [lease]) == [True]
    await asyncio.to_thread(keeper.close)


async def test_an_expired_lease_can_be_lost_only_once(bench: Bench) -> None:
    """A renewal that comes after the deadline but before anybody noticed still holds."""
    await bench.add("a/1")
    lease = await bench.lease()
    keeper = bench.keeper()
    bench.clock.advance(31)
    assert keeper.renew([lease]) == [True]
    assert (await bench.frontier.ack(lease, Ack()))[0] is Settled.OK
    keeper.close()


async def test_virtual_time_moves_by_at_most_a_step(bench: Bench) -> None:
    """An hour's jump of the machine's clock expires nothing."""
    real = RedisFrontier(bench.client, bench.crawl)
    await bench.add("a/1")
    await real.lease(LeaseRequest("s1", "r"))
    counters = decode_counters(await bench.raw("GET", "@ctl"))
    await bench.raw("SET", "@ctl", encode_counters({**counters, "real": counters["real"] - 3_600_000}))
    assert await real.maintain() == 0
    assert decode_counters(await bench.raw("GET", "@ctl"))["now"] == counters["now"] + 5000


async def test_time_passes_while_no_node_works_on_the_crawl(bench: Bench) -> None:
    """A site that is blocked for a day may be visited the next day, though the run ended in between."""
    real = RedisFrontier(bench.client, bench.crawl)
    await real.nodes.register("n", "one")
    await bench.add("a/1")
    await real.block("a", 86_400.0)

    async def a_day_later() -> Lease | Idle:
        counters = decode_counters(await bench.raw("GET", "@ctl"))
        await bench.raw("SET", "@ctl", encode_counters({**counters, "real": counters["real"] - 86_500_000}))
        return await real.lease(bench.wish())

    # An outage: a node is there, which has waited for the server.
    assert isinstance(await a_day_later(), Idle)
    await real.nodes.unregister("n", "one")
    assert isinstance(await a_day_later(), Lease)


async def test_a_servers_clock_that_is_set_back_stops_the_time(bench: Bench) -> None:
    """By an hour: nothing that was due is delayed by it, and the time goes on from there."""
    real = RedisFrontier(bench.client, bench.crawl)
    await real.maintain()
    counters = decode_counters(await bench.raw("GET", "@ctl"))
    await bench.raw("SET", "@ctl", encode_counters({**counters, "real": counters["real"] + 3_600_000}))
    await real.maintain()
    after = decode_counters(await bench.raw("GET", "@ctl"))
    assert after["now"] == counters["now"]
    assert abs(after["real"] - counters["real"]) < 60_000


@pytest.mark.parametrize("call", ["renew", "ack"])
async def test_whoever_settles_or_renews_brings_home_what_is_due(bench: Bench, call: str) -> None:
    """No leader, no turn of its own: a delayed URL comes back with the next call."""
    await bench.add("a/1", "b/1")
    await bench.frontier.nack(await bench.lease("s1"), Retry(FailureKind.TIMEOUT, 5))
    lease = await bench.lease("s2")
    await bench.frontier.maintain()
    bench.clock.advance(6)
    if call == "renew":
        keeper = bench.keeper()
        assert keeper.renew([lease]) == [True]
        keeper.close()
    else:
        _, following = await bench.frontier.ack(lease, Ack(), bench.wish("s2"))
        assert isinstance(following, Lease)
    assert (await bench.frontier.stats()).ledger.delayed == 0


async def test_maintenance_moves_no_more_than_it_is_told(bench: Bench) -> None:
    """So no call is long, however much is due at once."""
    await bench.add(*(f"a/{n}" for n in range(7)))
    leases = [await bench.lease(f"s{n}") for n in range(7)]
    for lease in leases[:4]:
        await bench.frontier.nack(lease, Retry(FailureKind.TIMEOUT, 5))
    bench.clock.advance(60)
    assert [await bench.frontier.maintain(3) for _ in range(4)] == [3, 3, 1, 0]
    assert (await bench.ledger()).queued == 7


async def test_time_never_goes_back(bench: Bench) -> None:
    """Nor do tokens."""
    await bench.add("a/1", "a/2")
    first = await bench.lease("s1")
    bench.clock.advance(-500)
    second = await bench.lease("s2")
    assert second.token // 1000 > first.token // 1000
    assert decode_counters(await bench.raw("GET", "@ctl"))["now"] == START_MS


async def test_an_older_token_renews_nothing_and_adds_nothing(bench: Bench) -> None:
    """The same slot may hold the same URL again: only the token tells which lease is meant."""
    await bench.add("a/1")
    old = await bench.lease("s1")
    bench.clock.advance(31)
    new = await bench.lease("s1")
    assert (new.id, new.slot) == (old.id, old.slot)
    keeper = bench.keeper()
    assert keeper.renew([old, new]) == [False, True]
    keeper.close()
    links = [bench.task(f"a/{n}") for n in range(2, 700)]
    assert (await bench.frontier.ack(old, Ack(links=links)))[0] is Settled.STALE
    assert await bench.frontier.nack(old, Release("drain")) is Settled.STALE
    assert (await bench.ledger()).accepted == 1


async def test_a_late_settlement_that_wants_more_settles_once(bench: Bench) -> None:
    """Its own lease is among those that are due when the next one is looked for."""
    await bench.add("a/1", "a/2", "a/3")
    lease = await bench.lease()
    await bench.lease("s2")
    bench.clock.advance(3600)
    verdict, following = await bench.frontier.ack(lease, Ack(), bench.wish())
    assert verdict == "ok"
    assert following is not None
    ledger = await bench.ledger()
    assert (ledger.done, ledger.leased, ledger.queued) == (1, 1, 1)


async def test_a_settlement_of_long_ago_that_wants_more_expires_once(bench: Bench) -> None:
    """The slot's present lease is due, and a zombie asks in the slot's name."""
    await bench.add("a/1", "a/2")
    old = await bench.lease()
    await bench.done(old)
    await bench.lease()
    bench.clock.advance(3600)
    verdict, following = await bench.frontier.ack(old, Ack(), bench.wish())
    assert following is not None
    ledger = await bench.ledger()
    assert (ledger.done, ledger.leased, ledger.queued) == (1, 1, 0)
    assert verdict in {"dup", "stale"}


async def test_a_lease_without_a_deadline_does_not_stop_the_crawl(bench: Bench) -> None:
    """Somebody else has garbled the record; it is due when its place in the set says so."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease()
    record = (await bench.raw("HGET", "@slot", "s1")).decode().split("\0")
    await bench.raw("HSET", "@slot", "s1", "\0".join([*record[:6], "", *record[7:]]))
    bench.clock.advance(3600)
    assert await bench.frontier.maintain() > 0
    again = {(await bench.lease("s2")).id, (await bench.lease("s3")).id}
    assert lease.id in again
    assert (await bench.frontier.stats()).expired == 1


@pytest.mark.parametrize("meets", ["ack", "nack", "extend", "renew", "lease"])
async def test_a_lease_that_cannot_be_read_is_buried_by_whoever_meets_it(bench: Bench, meets: str) -> None:
    """The books balance, its site has its place back, and the crawl ends."""
    await bench.add("a/1")
    lease = await bench.lease()
    record = (await bench.raw("HGET", "@slot", "s1")).decode().split("\0")
    await bench.raw("HSET", "@slot", "s1", "\0".join([*record[:5], "x", *record[6:]]))
    held = ("s1", lease.id, lease.token)
    wish = ("", "", 0, "", "000", 0, 1)
    calls: dict[str, tuple[str | int, ...]] = {
        "ack": (*held, 1, *wish, "", 0),
        "nack": (*held, "retry", "timeout", "", 0, 0, ""),
        "extend": (*held, encode_task(bench.task("a/2")).decode()),
        "renew": held,
        "lease": ("s1", "r2", "", 0, "", "000", 0, 1),
    }
    await bench.client.run(meets, keys.ctl(bench.crawl), bench.clock.ms, *calls[meets])
    assert await bench.frontier.audit() == []
    assert (await bench.frontier.stats()).dead_by_reason == {"corrupt": 1}
    assert (await bench.idle("s2")).reason == "empty"
