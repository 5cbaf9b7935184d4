"""The calls that go beside a URL's way: each can be repeated when its connection was dropped."""

from collections.abc import Awaitable, Callable

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.dead import DeadFilter
from farm.frontier.outbox import deliver
from farm.frontier.shards import Shards
from farm.model.egress import Ban
from farm.model.outcome import Ack, Bury, FailureKind
from farm.policy.aimd import Pace
from tests.frontier.proxy import Fault, FaultyProxy
from tests.frontier.shaky import LOST, Shaky
from tests.frontier.support import Bench


async def _limited(shaky: Shaky) -> object:
    await shaky.frontier.paces.write("a", await shaky.bench.frontier.paces.read("a"), Pace(1))
    await shaky.bench.lease("s1")
    return (await shaky.bench.idle("s2")).reason


async def _blocked(shaky: Shaky) -> object:
    await shaky.frontier.block("a", 60)
    return (await shaky.bench.idle()).reason


async def _kept_apart(shaky: Shaky) -> object:
    await shaky.frontier.paces.keep_apart("a", 3)
    return await shaky.bench.raw("HGET", "@site:a", "i")


async def _learnt(shaky: Shaky) -> object:
    sound = shaky.bench.frontier.paces
    refused = await shaky.frontier.paces.write("a", await sound.read("a"), Pace(4))
    return refused, (await sound.read("a")).pace


async def _begun(shaky: Shaky) -> object:
    lease = await shaky.bench.lease()
    return await shaky.frontier.may_begin(lease.task.site)


async def _banned(shaky: Shaky) -> object:
    bans = shaky.frontier.bans
    return await bans.exchange([Ban("p1", None, 60, 1)])


async def _listed(shaky: Shaky) -> object:
    await shaky.bench.frontier.nack(await shaky.bench.lease(), Bury(FailureKind.TLS))
    return [letter.reason for letter in await shaky.frontier.dead.page(DeadFilter("tls"))]


async def _replayed(shaky: Shaky) -> object:
    await shaky.bench.frontier.nack(await shaky.bench.lease(), Bury(FailureKind.TLS))
    return await shaky.frontier.dead.replay(), (await shaky.bench.ledger()).queued


async def _joined(shaky: Shaky) -> object:
    return (
        await open_crawl(shaky.frontier.shards.client, "test", {"scope": "host"})
    ).key == shaky.bench.crawl.key


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize(
    ("call", "comes_to"),
    [
        (_limited, "waiting"),
        (_blocked, "waiting"),
        (_kept_apart, b"3000"),
        (_learnt, (None, Pace(4))),
        (_begun, 0),
        (_banned, [Ban("p1", None, 60, 1)]),
        (_listed, ["tls"]),
        (_replayed, (1, 2)),
        (_joined, True),
    ],
)
async def test_the_other_calls_survive_a_dropped_connection(
    shaky: Shaky, fault: Fault, call: Callable[[Shaky], Awaitable[object]], comes_to: object
) -> None:
    """Repeated, each comes to what it would have come to."""
    await shaky.bench.add("a/1", "a/2")
    shaky.proxy.arm(fault)
    assert await call(shaky) == comes_to
    assert await shaky.bench.frontier.audit() == []


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("script", [1, 2, 3])
async def test_delivery_survives_a_dropped_connection(
    client: RedisClient, redis_url: str, fault: Fault, script: int
) -> None:
    """Whether reading the outbox, handing over or striking out is what is lost: every link arrives once."""
    bench = await Bench.open(client, redis_url, shards=2)
    sites = [f"s{n}" for n in range(9)]
    home = next(site for site in sites if bench.frontier.shards.of(site) == 0)
    away = [bench.task(f"{site}/2") for site in sites if bench.frontier.shards.of(site) == 1]
    await bench.add(f"{home}/1")
    await bench.frontier.ack(await bench.lease(), Ack(links=away))
    proxy = FaultyProxy(redis_url.removeprefix("unix://"))
    shaky = await connect(await proxy.start(), patience_s=10, timeout_s=0.3)
    shards = Shards(shaky, bench.crawl, bench.clock.read)
    proxy.arm(fault, after=script - 1)
    await deliver(shards, 0)
    await shaky.close()
    proxy.stop()
    assert proxy.met == 1
    await bench.frontier.maintain()
    assert (await bench.ledger()).queued == len(away)
