"""A real Redis Cluster of three masters: the same crawl, on eight shards."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import delete_crawl, find_crawl, open_crawl
from farm.frontier.dead import DeadLetters
from farm.frontier.frontier import RedisFrontier
from farm.frontier.keeper import RedisLeaseKeeper
from farm.frontier.terms import Politeness
from farm.model.errors import FrontierRefused, FrontierUnavailable
from farm.model.outcome import Ack, Bury, FailureKind, Settled
from farm.model.task import Lease, LeaseRequest
from tests.frontier.support import eventually_async
from tests.frontier.worker_process import links_of, task_of, url_of

MASTERS = 3
SLOTS = 16384
SHARE = SLOTS // MASTERS + 1


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
    folder.mkdir(parents=True, exist_ok=True)
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


@dataclass
class Nodes:
    """The masters, by their ports."""

    folder: Path
    ports: list[int]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the first of them listens."""
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def start(self, place: int) -> None:
        """Start one, on what it left behind."""
        port = self.ports[place]
        self.processes[place : place + 1] = [_start(self.folder / str(port), port)]

    def owner(self, key: str) -> int:
        """Return which of them has a key's slot."""
        return key_slot(key.encode()) // SHARE

    async def revive(self, place: int, *, was_killed: bool) -> None:
        """Bring back one that was stopped or killed, and wait until the others know."""
        process = self.processes[place]
        process.send_signal(signal.SIGCONT)
        if was_killed:
            process.wait()
            self.start(place)

        async def joined() -> bool:
            return _joined(self.ports)

        await eventually_async(joined)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Start three masters and share the slots out among them."""
    nodes = Nodes(tmp_path_factory.mktemp("cluster"), _free_ports())
    for place in range(MASTERS):
        nodes.start(place)
    asyncio.run(_form(nodes.ports))
    yield nodes
    for process in nodes.processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def cluster_url(cluster: Nodes) -> str:
    """Name the cluster."""
    return cluster.url


async def _form(ports: list[int]) -> None:
    async def up() -> bool:
        try:
            return all(redis.Redis(port=port).ping() for port in ports)
        except redis.RedisError:
            return False

    async def joined() -> bool:
        return _joined(ports)

    await eventually_async(up)
    for place, port in enumerate(ports):
        node: Any = redis.Redis(port=port)
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", place * SHARE, min(SLOTS, (place + 1) * SHARE) - 1)
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


@pytest.mark.parametrize("sign", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_master_that_is_away_takes_no_leases_of_the_others_along(
    client: RedisClient, cluster: Nodes, sign: signal.Signals
) -> None:
    """Their shards are renewed, though its own is asked first; of its leases nothing is known."""
    frontier = await _open(client)
    await frontier.add([task_of(n, frontier.shards.crawl.key) for n in range(30)])
    leases = [await frontier.lease(LeaseRequest(f"s{n}", "r")) for n in range(30)]
    held = [lease for lease in leases if isinstance(lease, Lease)]
    keeper = RedisLeaseKeeper(cluster.url, "test", shards=frontier.shards.count, timeout_s=0.5)
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
    keeper = RedisLeaseKeeper(cluster_url, "gone", shards=8)
    with pytest.raises(FrontierRefused, match="no longer"):
        await asyncio.to_thread(keeper.renew, [])
    keeper.close()
    keeper = RedisLeaseKeeper("redis+cluster://127.0.0.1:1", "test", shards=8)
    with pytest.raises(FrontierUnavailable, match=r"127\.0\.0\.1:1"):
        await asyncio.to_thread(keeper.renew, [])
    keeper.close()


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
    assert len(client.warnings) == 1
    assert f"Redis at {name} persists nothing" in client.warnings[0]


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
