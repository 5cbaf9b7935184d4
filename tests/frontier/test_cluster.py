"""A real Redis Cluster of three masters: the same crawl, on eight shards."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import redis

from farm.frontier.client import RedisClient
from farm.frontier.cluster import ClusterClient
from farm.frontier.connect import connect
from farm.frontier.crawl import delete_crawl, find_crawl, open_crawl
from farm.frontier.faults import RIGHTS
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.frontier.terms import Politeness
from farm.model.errors import FrontierRefused
from farm.model.outcome import Ack, Bury, FailureKind, Settled
from farm.model.task import Lease, LeaseRequest
from tests.frontier.graph_crawl import GraphCrawl
from tests.frontier.nodes import MASTERS, Nodes
from tests.frontier.worker_process import links_of, task_of, url_of


@pytest.fixture
def client(cluster_client: RedisClient) -> RedisClient:
    """Return the cluster's client."""
    return cluster_client


async def _open(client: RedisClient) -> RedisFrontier:
    return RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))


async def test_a_graph_is_crawled_over_three_masters(client: RedisClient) -> None:
    """Each page once, links between shards delivered, the books of all shards balanced."""
    frontier = await _open(client)
    crawl = frontier._crawl
    assert crawl.shards == 8
    assert len({await client.command("CLUSTER KEYSLOT", f"{{test:{n}}}:ctl") for n in range(8)}) == 8
    await frontier.add([task_of(0, crawl.key)])
    pages, visited = 400, list[str]()

    async def slot(name: str) -> None:
        step = 0
        got = await frontier.lease(LeaseRequest(name, "r"))
        while isinstance(got, Lease) or got.reason != "empty":
            step += 1
            following = LeaseRequest(name, f"r{step}")
            if isinstance(got, Lease):
                visited.append(got.task.url)
                links = [task_of(n, crawl.key) for n in links_of(got.task.meta["n"], pages)]
                verdict, after = await frontier.ack(got, Ack(links=links), following)
                assert verdict is Settled.OK
                assert after is not None
                got = after
            else:
                await frontier.maintain()
                got = await frontier.lease(following)

    await asyncio.gather(*(slot(f"s{n}") for n in range(4)))
    assert sorted(visited) == sorted(url_of(n) for n in range(pages))
    assert await frontier.audit() == []
    stats = await frontier.stats()
    assert (stats.ledger.accepted, stats.ledger.done, stats.rendered) == (pages, pages, pages)


async def test_leases_are_kept_and_letters_replayed_on_a_cluster(
    client: RedisClient, cluster_url: str
) -> None:
    """The keeper and the dead letters find their shards."""
    frontier = await _open(client)
    await frontier.add([task_of(n, frontier._crawl.key) for n in range(30)])
    leases = [await frontier.lease(LeaseRequest(f"s{n}", "r")) for n in range(30)]
    held = [lease for lease in leases if isinstance(lease, Lease)]
    assert len(held) == 30
    keeper = RedisLeaseRenewer(cluster_url, frontier._crawl)
    assert await asyncio.to_thread(keeper.renew, held) == [True] * 30
    keeper.close()
    for lease in held:
        await frontier.nack(lease, Bury(FailureKind.TLS))
    assert await frontier.dead.replay() == 30
    assert await frontier.audit() == []


async def test_the_scope_and_the_settings_are_found_on_a_cluster(client: RedisClient) -> None:
    """They live in the first shard."""
    frontier = await _open(client)
    await frontier.extend_scope("www.a")
    assert await frontier.scope_sites() == {"www.a"}
    found = await find_crawl(client, "test")
    assert (found.shards, found.settings) == (8, {"scope": "any"})
    assert await delete_crawl(client, "test") >= 10
    with pytest.raises(FrontierRefused, match="no crawl named"):
        await find_crawl(client, "test")


async def test_a_small_limit_makes_few_shards(client: RedisClient) -> None:
    """Each has a place of it, and there are no more than places."""
    politeness = Politeness(global_in_flight=3, egress_in_flight=5)
    crawl = await open_crawl(client, "test", {"scope": "any"}, fresh=True, politeness=politeness)
    assert crawl.shards == 3
    frontier = RedisFrontier(client, crawl)
    await frontier.add([task_of(n, crawl.key) for n in range(60)])
    got = [await frontier.lease(LeaseRequest(f"s{n}", "r")) for n in range(12)]
    assert sum(isinstance(lease, Lease) for lease in got) == 3


async def test_one_node_of_a_cluster_is_not_taken_for_a_server(cluster_url: str) -> None:
    """Its keys would be a third of the crawl."""
    with pytest.raises(FrontierRefused, match=r"redis\+cluster://"):
        await connect(cluster_url.replace("+cluster", ""))


async def test_a_call_costs_a_cluster_one_round_trip(client: RedisClient, cluster: Nodes) -> None:
    """Where its keys are is known here: no server is asked."""
    frontier = await _open(client)
    await frontier.add([task_of(n, frontier._crawl.key) for n in range(30)])
    masters = _masters(cluster)
    for master in masters:
        master.config_resetstat()
    got = await frontier.lease(LeaseRequest("s", "r"))
    assert isinstance(got, Lease)
    keeper = RedisLeaseRenewer(cluster.url, frontier._crawl)
    assert await asyncio.to_thread(keeper.renew, [got]) == [True]
    keeper.close()
    commands = [name for master in masters for name in master.info("commandstats")]
    assert commands.count("cmdstat_fcall") == MASTERS
    assert "cmdstat_command|getkeys" not in commands


async def test_reports_are_read_at_once_from_the_master_that_has_them(client: RedisClient) -> None:
    """Also where a client thought that another one had."""
    frontier = await _open(client)
    await frontier.reports.publish("a", b"of a")
    assert await frontier.reports.read(["a", "b"]) == {"a": b"of a"}
    cluster: ClusterClient = client._client
    masters = sorted({host for host in cluster._slots if host is not None})
    cluster._slots = [masters[(masters.index(host) + 1) % len(masters)] for host in cluster._slots if host]
    assert await frontier.reports.read(["a", "b"]) == {"a": b"of a"}


async def test_a_master_that_lacks_the_library_is_given_it(client: RedisClient, cluster: Nodes) -> None:
    """As one does that joins a cluster and takes slots over."""
    frontier = await _open(client)
    await frontier.add([task_of(n, frontier._crawl.key) for n in range(30)])
    for master in _masters(cluster):
        master.function_flush()
        assert await frontier.audit() == []


def _masters(cluster: Nodes) -> list[Any]:
    return [redis.Redis(port=port) for port in cluster.ports]


async def test_the_rights_that_are_documented_are_enough(cluster: Nodes, client: RedisClient) -> None:
    """A whole crawl by a user who has them and no other, to its own keys alone; also to wait for replicas."""
    documented = (Path(__file__).parents[2] / "docs" / "redis.md").read_text()
    rule = re.search(r"ACL SETUSER farm on >PASSWORD ~\{CRAWL:\* (.*)", documented)
    more = re.search(r"On a Cluster also `([^`]*)`", documented)
    assert rule is not None
    assert more is not None
    assert rule[1] == RIGHTS
    for master in _masters(cluster):
        rights = [*rule[1].split(), *more[1].split()]
        master.execute_command("ACL", "SETUSER", "bob", "reset", "on", ">pw", "~{test:*", *rights)
    bob = await connect(cluster.url.replace("//", "//bob:pw@"), patience_s=0)
    try:
        frontier = RedisFrontier(bob, await open_crawl(bob, "test", {"scope": "any"}, fresh=True))
        crawl = GraphCrawl(frontier, 60)
        await crawl.run(3)
        assert not crawl.missing()
        assert await frontier.audit() == []
        thread = RedisLeaseRenewer(cluster.url.replace("//", "//bob:pw@"), frontier._crawl)
        assert await asyncio.to_thread(thread.renew, []) == []
        thread.close()
        wait = redis.Redis(port=cluster.ports[0], username="bob", password="pw")
        assert wait.wait(0, 1) == 0
        wait.close()
    finally:
        await bob.close()
        for master in _masters(cluster):
            master.execute_command("ACL", "DELUSER", "bob")
