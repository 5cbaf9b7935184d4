"""Masters of a Cluster that are away, or unfit: what becomes of the crawl on the others."""

import asyncio
import os
import signal
from typing import Any

import pytest
import redis

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.keys import Handle
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.errors import FrontierRefused, FrontierUnavailable
from farm.model.event import RedisAway, RedisBack
from farm.model.outcome import Ack
from farm.model.task import Idle, Lease, LeaseRequest
from tests.frontier.nodes import MASTERS, Nodes
from tests.frontier.proxy import FaultyProxy
from tests.frontier.support import eventually_async
from tests.frontier.worker_process import task_of


@pytest.fixture
def client(cluster_client: RedisClient) -> RedisClient:
    """Return the cluster's client."""
    return cluster_client


@pytest.mark.parametrize("sign", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_master_that_is_away_takes_no_leases_of_the_others_along(
    client: RedisClient, cluster: Nodes, sign: signal.Signals
) -> None:
    """Their shards are renewed, though its own is asked first; of its leases nothing is known."""
    frontier = RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))
    await frontier.add([task_of(n, frontier._crawl.key) for n in range(30)])
    leases = [await frontier.lease(LeaseRequest(f"s{n}", "r")) for n in range(30)]
    held = [lease for lease in leases if isinstance(lease, Lease)]
    keeper = RedisLeaseRenewer(cluster.url, frontier._crawl, timeout_s=0.5)
    assert await asyncio.to_thread(keeper.renew, held) == [True] * 30
    away = cluster.owner("{test:0}:ctl")
    os.kill(cluster.processes[away].pid, sign)
    try:
        kept = await asyncio.to_thread(keeper.renew, held)
        kept_later = await asyncio.to_thread(keeper.renew, held)
    finally:
        await cluster.revive(away, was_killed=sign is signal.SIGKILL)
    shards = [frontier.shards.of(lease.task.site) for lease in held]
    assert kept == [None if cluster.owner(f"{{test:{shard}}}:ctl") == away else True for shard in shards]
    assert set(kept) == {True, None}
    assert kept_later == kept
    assert await asyncio.to_thread(keeper.renew, held) == [True] * 30
    keeper.close()


async def test_a_keeper_that_reaches_no_master_says_so(client: RedisClient, cluster_url: str) -> None:
    """There nothing could be renewed."""
    keeper = RedisLeaseRenewer(cluster_url, Handle("gone", shards=8))
    with pytest.raises(FrontierRefused, match="no longer"):
        await asyncio.to_thread(keeper.renew, [])
    keeper.close()
    keeper = RedisLeaseRenewer("redis+cluster://127.0.0.1:1", Handle("test", shards=8))
    with pytest.raises(FrontierUnavailable, match="not available"):
        await asyncio.to_thread(keeper.renew, [])
    keeper.close()


async def test_an_outage_of_all_masters_is_waited_out(client: RedisClient, cluster: Nodes) -> None:
    """As that of a single server is: a call that was made meanwhile is answered when they are back."""
    told = asyncio.Queue[RedisAway | RedisBack]()
    client.outage.tell = told.put_nowait
    for place in range(MASTERS):
        await cluster.kill(place)
    call = asyncio.create_task(client.command("GET", "nothing"))
    try:
        first, _ = await asyncio.wait(
            {call, asyncio.create_task(told.get())}, timeout=30, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for place in range(MASTERS):
            cluster.start(place)
        await cluster.joined()
    assert call not in first
    assert await call is None
    assert isinstance(await told.get(), RedisBack)


async def test_a_server_that_is_no_cluster_is_not_waited_for(redis_url: str) -> None:
    """It will not become one; what to write instead is said."""
    proxy = FaultyProxy(redis_url.removeprefix("unix://"))
    url = await proxy.start()
    try:
        with pytest.raises(FrontierUnavailable, match="name a single server with redis://"):
            await connect(url.replace("redis:", "redis+cluster:"), first_patience_s=60)
    finally:
        proxy.stop()


@pytest.mark.parametrize("place", range(MASTERS))
async def test_every_master_is_looked_at(cluster: Nodes, place: int) -> None:
    """What would lose the leases of one loses a third of the crawl; it is named."""
    master: Any = redis.Redis(port=cluster.ports[place])
    name = f"127.0.0.1:{cluster.ports[place]}"
    master.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(FrontierRefused, match=f"{name} has the eviction policy allkeys-lru"):
            await connect(cluster.url)
    finally:
        master.config_set("maxmemory-policy", "noeviction")
    master.config_set("appendonly", "no")
    try:
        client = await connect(cluster.url)
        await client.close()
    finally:
        master.config_set("appendonly", "yes")

    async def on_disk() -> bool:
        state = master.info("persistence")
        return bool(
            state["aof_enabled"]
            and not state["aof_rewrite_in_progress"]
            and not state["aof_rewrite_scheduled"]
        )

    # Until the new file is written whole, a master that the next test kills would have lost everything.
    await eventually_async(on_disk)
    assert len(client.warnings) == 1
    assert f"Redis at {name} persists nothing" in client.warnings[0]


async def test_a_master_that_is_gone_holds_no_slot_up(client: RedisClient, cluster: Nodes) -> None:
    """What the others have is leased, settled and linked meanwhile; the crawl does not count as finished."""
    frontier = RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))
    await frontier.terms()
    await frontier.add([task_of(n, frontier._crawl.key) for n in range(60)])
    away = cluster.owner("{test:0}:ctl")
    gone = {n for n in range(8) if cluster.owner(f"{{test:{n}}}:ctl") == away}
    await cluster.kill(away)
    seen = set[int]()
    try:
        async with asyncio.timeout(20):
            got: Lease | Idle = await frontier.lease(LeaseRequest("n/1", "r0"))
            for step in range(1, 61):
                if isinstance(got, Idle):
                    break
                seen.add(frontier.shards.of(got.task.site))
                link = task_of(1000 + step, frontier._crawl.key)
                await frontier.ack(
                    got, Ack(links=[link] if frontier.shards.of(link.site) not in gone else [])
                )
                await frontier.maintain()
                got = await frontier.lease(LeaseRequest("n/1", f"r{step}"))
    finally:
        await cluster.revive(away, was_killed=True)
    assert seen
    assert not seen & gone
    assert isinstance(got, Lease) or got.reason == "waiting"
    assert await frontier.audit() == []
