"""A real Redis Cluster of three masters: the same crawl, on eight shards."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import delete_crawl, find_crawl, open_crawl
from farm.frontier.dead import DeadLetters
from farm.frontier.frontier import RedisFrontier
from farm.frontier.keeper import RedisLeaseKeeper
from farm.model.errors import FrontierRefused
from farm.model.outcome import Ack, Bury, FailureKind, Settled
from farm.model.task import Lease, LeaseRequest
from tests.frontier.support import eventually_async
from tests.frontier.worker_process import links_of, task_of, url_of

MASTERS = 3
SLOTS = 16384


def _free_ports() -> list[int]:
    """Ports whose bus ports (10,000 above) are free as well."""
    found: list[int] = []
    while len(found) < MASTERS:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 50_000 and port not in found:
            found.append(port)
        elif port >= 50_000:
            found.append(port - 30_000)
    return found


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
        "--appendonly",
        "yes",
    ]
    cluster = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--logfile", "log"]
    return subprocess.Popen(["redis-server", *options, *cluster], start_new_session=True)


def _joined(ports: list[int]) -> bool:
    try:
        states = [redis.Redis(port=port).cluster("info") for port in ports]
    except redis.RedisError:
        return False
    return all(s["cluster_state"] == "ok" and s["cluster_known_nodes"] == str(MASTERS) for s in states)


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Start three masters and share the slots out among them."""
    ports = _free_ports()
    folder = tmp_path_factory.mktemp("cluster")
    nodes = [_start(folder / str(port), port) for port in ports]
    asyncio.run(_form(ports))
    yield f"redis+cluster://127.0.0.1:{ports[0]}"
    for node in nodes:
        node.kill()
        node.wait()


async def _form(ports: list[int]) -> None:
    async def up() -> bool:
        try:
            return all(redis.Redis(port=port).ping() for port in ports)
        except redis.RedisError:
            return False

    async def joined() -> bool:
        return _joined(ports)

    await eventually_async(up)
    share = SLOTS // MASTERS + 1
    for place, port in enumerate(ports):
        node: Any = redis.Redis(port=port)
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", place * share, min(SLOTS, (place + 1) * share) - 1)
        node.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
    await eventually_async(joined)


@pytest.fixture
async def client(cluster_url: str) -> AsyncIterator[RedisClient]:
    """Connect to the cluster."""
    client = await connect(cluster_url, patience_s=30)
    yield client
    await delete_crawl(client, "test")
    await client.close()


async def _open(client: RedisClient) -> RedisFrontier:
    return RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))


async def test_a_graph_is_crawled_over_three_masters(client: RedisClient) -> None:
    """Each page once, links between shards delivered, the books of all shards balanced."""
    frontier = await _open(client)
    crawl = frontier.shards.crawl
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
    await frontier.add([task_of(n, frontier.shards.crawl.key) for n in range(30)])
    leases = [await frontier.lease(LeaseRequest(f"s{n}", "r")) for n in range(30)]
    held = [lease for lease in leases if isinstance(lease, Lease)]
    assert len(held) == 30
    keeper = RedisLeaseKeeper(cluster_url, "test", shards=frontier.shards.count)
    assert await asyncio.to_thread(keeper.renew, held) == [True] * 30
    keeper.close()
    for lease in held:
        await frontier.nack(lease, Bury(FailureKind.TLS))
    assert await DeadLetters(frontier).replay() == 30
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


async def test_one_node_of_a_cluster_is_not_taken_for_a_server(cluster_url: str) -> None:
    """Its keys would be a third of the crawl."""
    with pytest.raises(FrontierRefused, match=r"redis\+cluster://"):
        await connect(cluster_url.replace("+cluster", ""))


async def test_a_call_costs_a_cluster_one_round_trip(client: RedisClient, cluster_url: str) -> None:
    """Where its keys are is known here: no server is asked."""
    frontier = await _open(client)
    await frontier.add([task_of(n, frontier.shards.crawl.key) for n in range(30)])
    masters = _masters(cluster_url)
    for master in masters:
        master.config_resetstat()
    got = await frontier.lease(LeaseRequest("s", "r"))
    assert isinstance(got, Lease)
    keeper = RedisLeaseKeeper(cluster_url, "test", shards=frontier.shards.count)
    assert await asyncio.to_thread(keeper.renew, [got]) == [True]
    keeper.close()
    commands = [name for master in masters for name in master.info("commandstats")]
    assert commands.count("cmdstat_fcall") == MASTERS
    assert "cmdstat_command|getkeys" not in commands


async def test_a_master_that_lacks_the_library_is_given_it(client: RedisClient, cluster_url: str) -> None:
    """As one does that joins a cluster and takes slots over."""
    frontier = await _open(client)
    await frontier.add([task_of(n, frontier.shards.crawl.key) for n in range(30)])
    for master in _masters(cluster_url):
        master.function_flush()
        assert await frontier.audit() == []


def _masters(cluster_url: str) -> list[Any]:
    host, port = cluster_url.rsplit("/", 1)[1].split(":")
    nodes = redis.Redis(host=host, port=int(port)).cluster("nodes")
    return [redis.Redis(host=host, port=int(node.rsplit(":", 1)[1])) for node in nodes]
