"""What happens to a connection happens to a script's reply: every call can be repeated."""

import asyncio

import pytest
import redis

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.faults import translate
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.crawl import Ledger
from farm.model.errors import FrontierUnavailable
from farm.model.outcome import Ack, Bury, FailureKind, Release, Retry, Settled
from farm.model.task import Lease
from tests.frontier.proxy import Fault
from tests.frontier.shaky import LOST, Shaky
from tests.frontier.support import Bench
from tests.turns import turns


@pytest.mark.parametrize("fault", LOST)
async def test_add_survives_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """What is accepted is accepted once."""
    shaky.proxy.arm(fault)
    await shaky.frontier.add([shaky.bench.task("a/1"), shaky.bench.task("a/2")])
    assert await shaky.bench.ledger() == Ledger(accepted=2, queued=2)


@pytest.mark.parametrize("fault", LOST)
async def test_lease_survives_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """The repeated request gets the lease that the lost reply spoke of."""
    await shaky.bench.add("a/1", "a/2")
    shaky.proxy.arm(fault)
    assert isinstance(await shaky.frontier.lease(shaky.bench.wish()), Lease)
    assert await shaky.bench.ledger() == Ledger(accepted=2, queued=1, leased=1)


@pytest.mark.parametrize("fault", LOST)
async def test_ack_survives_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """Done once, with its links and the next lease; OK or DUP, as it happened."""
    await shaky.bench.add("a/1", "a/2")
    lease = await shaky.bench.lease()
    shaky.proxy.arm(fault)
    outcome = Ack(links=[shaky.bench.task("a/3")])
    verdict, following = await shaky.frontier.ack(lease, outcome, shaky.bench.wish())
    assert verdict is (Settled.OK if fault is Fault.BEFORE else Settled.DUP)
    assert isinstance(following, Lease)
    assert await shaky.bench.ledger() == Ledger(accepted=3, queued=1, leased=1, done=1)


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize(
    "outcome",
    [Retry(FailureKind.CRASH, 5), Bury(FailureKind.CRASH), Release("drain")],
    ids=["retry", "bury", "release"],
)
async def test_nack_survives_a_dropped_connection(
    shaky: Shaky, fault: Fault, outcome: Retry | Bury | Release
) -> None:
    """Settled once, whatever was heard of it."""
    await shaky.bench.add("a/1")
    lease = await shaky.bench.lease()
    shaky.proxy.arm(fault)
    verdict = await shaky.frontier.nack(lease, outcome)
    assert verdict is (Settled.OK if fault is Fault.BEFORE else Settled.DUP)
    assert (await shaky.bench.ledger()).leased == 0


@pytest.mark.parametrize("fault", LOST)
async def test_extend_survives_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """Links that went ahead of the ack are there once."""
    await shaky.bench.add("a/0")
    lease = await shaky.bench.lease()
    shaky.proxy.arm(fault)
    await shaky.frontier.ack(lease, Ack(links=[shaky.bench.task(f"a/{n}") for n in range(1, 701)]))
    assert await shaky.bench.ledger() == Ledger(accepted=701, queued=700, done=1)


@pytest.mark.parametrize("fault", LOST)
async def test_renew_survives_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """The keeper asks a second time by itself."""
    await shaky.bench.add("a/1")
    lease = await shaky.bench.lease()
    keeper = RedisLeaseRenewer(shaky.url, shaky.bench.crawl, own_time_ms=shaky.bench.clock.read)
    shaky.proxy.arm(fault)
    assert await asyncio.to_thread(keeper.renew, [lease]) == [True]
    await asyncio.to_thread(keeper.close)


@pytest.mark.parametrize("fault", LOST)
async def test_maintain_control_and_stats_survive_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """As does the call that only counts."""
    await shaky.bench.add("a/1")
    await shaky.bench.lease()
    shaky.bench.clock.advance(31)
    shaky.proxy.arm(fault)
    await shaky.frontier.maintain()
    shaky.proxy.arm(fault)
    await shaky.frontier.set_state("paused")
    shaky.proxy.arm(fault)
    assert (await shaky.frontier.stats()).state == "paused"
    assert await shaky.bench.ledger() == Ledger(accepted=1, queued=1)


@pytest.mark.parametrize("fault", LOST)
async def test_replay_survives_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """A letter is replayed once."""
    await shaky.bench.add("a/1")
    await shaky.bench.frontier.nack(await shaky.bench.lease(), Bury(FailureKind.TLS))
    letter = (await shaky.bench.frontier.dead.page())[0]
    shaky.proxy.arm(fault)
    await shaky.frontier.dead.replay_ids([letter.id])
    assert await shaky.bench.ledger() == Ledger(accepted=1, queued=1)


async def test_a_reply_slower_than_the_deadline_costs_nothing(shaky: Shaky) -> None:
    """The call is repeated on another connection and finds its own lease."""
    await shaky.bench.add("a/1", "a/2")
    shaky.proxy.arm(Fault.SLOW)
    assert isinstance(await shaky.frontier.lease(shaky.bench.wish()), Lease)
    shaky.proxy.release.set()
    assert await shaky.bench.ledger() == Ledger(accepted=2, queued=1, leased=1)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("LOADING Redis is loading the dataset in memory", "try again when it has loaded"),
        ("BUSY Redis is busy running a script.", "try again when it has ended"),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to.",
            "see in its log",
        ),
        ("READONLY You can't write against a read only replica.", "name its master"),
        ("NOREPLICAS Not enough good replicas to write.", "start it"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "give it more memory"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "start it"),
        ("CLUSTERDOWN The cluster is down", "start it"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "start it"),
    ],
    ids=lambda text: text.partition(" ")[0],
)
async def test_what_passes_by_itself_is_waited_out(shaky: Shaky, error: str, remedy: str) -> None:
    """Within the patience; after it, it is one sentence that says what helps."""
    await shaky.bench.add("a/1")
    shaky.proxy.arm(Fault.REFUSED, error=error, times=2)
    assert isinstance(await shaky.frontier.lease(shaky.bench.wish()), Lease)
    hasty = await connect(shaky.url, patience_s=0)
    shaky.proxy.arm(Fault.REFUSED, error=error)
    with pytest.raises(FrontierUnavailable, match=f"is not available .*{remedy}"):
        await RedisFrontier(hasty, shaky.bench.crawl).stats()
    await hasty.close()


@pytest.mark.parametrize(
    ("place", "is_named"), [("rediss://10.0.0.1:6379", True), ("redis://10.0.0.1:6379", False)]
)
def test_a_reset_over_tls_may_mean_that_a_certificate_is_wanted(place: str, is_named: bool) -> None:
    """The alert that says so can be lost behind the reset."""
    error = redis.ConnectionError(
        "Error while reading from 10.0.0.1:6379 : (104, 'Connection reset by peer')"
    )
    told = str(translate(error, place))
    assert told.endswith(".")
    assert "start it" in told
    assert ("?ssl_certfile=FILE&ssl_keyfile=FILE" in told) is is_named


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Error 111 connecting to h:1. Connect call failed ('127.0.0.1', 1).", "Connection refused"),
        ("Error -2 connecting to h:1. Name or service not known.", "Name or service not known"),
        ("Error 2 connecting to /a/b. No such file or directory.", "No such file or directory"),
        (
            "Error Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), [Errno 113] Connect",
            "Connection refused, No route to host",
        ),
        ("Error while reading from h:1 : (104, 'Connection reset by peer')", "Connection reset by peer"),
        ("Error while reading from h:1: (104, 'Connection reset by peer')", "Connection reset by peer"),
        ("Connection closed by server.", "Connection closed by server"),
        ("", "ConnectionError"),
    ],
)
def test_a_connection_that_fails_is_said_in_the_systems_words(said: str, reason: str) -> None:
    """The address stands in the sentence already, and nothing of Python's."""
    told = str(translate(redis.ConnectionError(said), "redis://h:1"))
    assert (
        told == f"Redis at redis://h:1 is not available ({reason}); start it, or name another with --redis."
    )


async def test_the_same_ack_a_hundred_times_at_once(bench: Bench) -> None:
    """One is carried out, the others are told so."""
    await bench.add("a/1")
    lease = await bench.lease()
    outcome = Ack(links=[bench.task(f"a/{n}") for n in range(5)])
    verdicts = [
        verdict
        for verdict, _ in await asyncio.gather(*(bench.frontier.ack(lease, outcome) for _ in range(100)))
    ]
    assert sorted(verdicts) == [Settled.DUP] * 99 + [Settled.OK]
    await bench.ledger()


async def test_a_task_cancelled_in_mid_command(bench: Bench) -> None:
    """The repeated request gets what the cancelled one got, and nobody gets somebody else's reply."""
    await bench.add(*(f"a/{n}" for n in range(60)))
    for n in range(60):
        wish = bench.wish(f"s{n}")
        task = asyncio.create_task(bench.frontier.lease(wish))
        await turns(n % 9)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        lease = await bench.frontier.lease(wish)
        assert isinstance(lease, Lease)
        assert lease.slot == f"s{n}"
    assert (await bench.ledger()).leased == 60
    assert (await bench.frontier.stats()).expired == 0


async def test_a_cancellation_in_mid_command_is_not_lost(bench: Bench) -> None:
    """Whenever it comes: redis-py forgets one that comes just as it has sent, and the task would go on."""

    async def ask_and_go_on() -> None:
        await bench.frontier.stats()
        await asyncio.Event().wait()

    await bench.frontier.stats()
    for steps in range(30):
        task = asyncio.create_task(ask_and_go_on())
        await turns(steps % 10)
        task.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()


async def test_functions_flushed_under_load(bench: Bench) -> None:
    """The library is sent again, and nothing is done twice."""
    await bench.add(*(f"a/{n}" for n in range(200)))
    done = 0

    async def work(slot: str) -> None:
        nonlocal done
        got = await bench.frontier.lease(bench.wish(slot))
        while isinstance(got, Lease):
            verdict, following = await bench.frontier.ack(got, Ack(), bench.wish(slot))
            assert verdict is Settled.OK
            assert following is not None
            done, got = done + 1, following
            if done % 5 == 0:
                await bench.client.command("FUNCTION FLUSH")

    await asyncio.gather(*(work(f"s{n}") for n in range(8)))
    assert (await bench.ledger()).done == 200


async def test_a_full_redis_takes_no_new_work_and_settles_the_old(bench: Bench, redis_url: str) -> None:
    """`maxmemory` refuses what adds, not what gives back."""
    await bench.add("a/1", "a/2")
    lease = await bench.lease()
    hasty: RedisClient = await connect(redis_url, patience_s=0)
    frontier = RedisFrontier(hasty, bench.crawl, own_time_ms=bench.clock.read)
    await bench.client.command("CONFIG SET", "maxmemory", "1mb")
    try:
        with pytest.raises(FrontierUnavailable, match="maxmemory"):
            await frontier.add([bench.task("a/3")])
        with pytest.raises(FrontierUnavailable, match="maxmemory"):
            await frontier.lease(bench.wish("s2"))
        keeper = bench.keeper()
        assert keeper.renew([lease]) == [True]
        keeper.close()
        assert (await frontier.ack(lease, Ack()))[0] is Settled.OK
    finally:
        await bench.client.command("CONFIG SET", "maxmemory", "0")
        await hasty.close()
    assert await bench.ledger() == Ledger(accepted=2, queued=1, done=1)


@pytest.mark.parametrize("fault", LOST)
async def test_an_audit_survives_a_dropped_connection(shaky: Shaky, fault: Fault) -> None:
    """It changes nothing, so a slice is looked at again."""
    await shaky.bench.add("a/1")
    shaky.proxy.arm(fault)
    assert await shaky.frontier.audit() == []
