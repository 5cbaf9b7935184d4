"""A shard's slot moves from master to master while the crawl goes on."""

import asyncio

import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.connect import build_sync, connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.crawl import Ledger
from farm.model.task import Lease, LeaseRequest
from tests.frontier.graph_crawl import GraphCrawl
from tests.frontier.nodes import Nodes
from tests.frontier.support import eventually_async
from tests.frontier.worker_process import task_of


async def _open(client: RedisClient) -> RedisFrontier:
    return RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))


async def test_a_crawl_goes_on_while_a_shard_moves(cluster_client: RedisClient, cluster: Nodes) -> None:
    """No transition is torn in the middle: each page once, and the audit finds nothing."""
    frontier = await _open(cluster_client)
    crawl = GraphCrawl(frontier, 300)

    async def move(shard: int, after: int) -> None:
        await crawl.reached(after)
        await asyncio.to_thread(cluster.move, keys.ctl(frontier._crawl, shard))

    await crawl.run(6, [lambda: move(0, 20), lambda: move(3, 60), lambda: move(5, 100)])
    assert not crawl.missing()
    assert crawl.visits.total() == 300
    assert await frontier.audit() == []
    assert (await frontier.stats()).ledger == Ledger(accepted=300, done=300)


async def test_a_transition_waits_while_its_keys_are_here_and_there(
    cluster_client: RedisClient, cluster: Nodes
) -> None:
    """It is not begun, and carried out when the slot has moved; a renewal neither, and its lease is not lost."""
    frontier = await _open(cluster_client)
    await frontier.add([task_of(n, frontier._crawl.key) for n in range(40)])
    got = await frontier.lease(LeaseRequest("n/1", "r1"))
    assert isinstance(got, Lease)
    shard = frontier.shards.of(got.task.site)
    ctl = keys.ctl(frontier._crawl, shard)
    renewer = RedisLeaseRenewer(cluster.url, frontier._crawl)
    halfway, calls, kept = asyncio.Event(), list[asyncio.Task[Ledger]](), list[bool | None]()
    loop = asyncio.get_running_loop()

    async def ledger() -> Ledger:
        return (await frontier.stats()).ledger

    def between() -> None:
        if not calls:
            kept.extend(renewer.renew([got]))
            calls.append(asyncio.run_coroutine_threadsafe(_begun(), loop).result(20))

    async def _begun() -> "asyncio.Task[Ledger]":
        halfway.set()
        return asyncio.create_task(ledger())

    before = await ledger()
    await asyncio.to_thread(cluster.move, ctl, at_once=5, between=between)
    assert halfway.is_set()
    assert kept == [None]
    assert await calls[0] == before

    async def renewed() -> bool:
        return await asyncio.to_thread(renewer.renew, [got]) == [True]

    await eventually_async(renewed)
    renewer.close()
    assert await frontier.audit() == []


@pytest.mark.parametrize("place", [0, 2])
async def test_any_of_several_hosts_leads_to_the_cluster(cluster: Nodes, place: int) -> None:
    """Those that do not answer are skipped, also by the thread that renews."""
    hosts = ["127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1"]
    hosts[place] = f"127.0.0.1:{cluster.ports[place]}"
    url = f"redis+cluster://{','.join(hosts)}"
    client = await connect(url)
    assert await client.command("GET", "nothing") is None
    await client.close()
    thread = await asyncio.to_thread(build_sync, url)
    assert await asyncio.to_thread(thread.execute_command, "GET", "nothing") is None
    thread.close()
