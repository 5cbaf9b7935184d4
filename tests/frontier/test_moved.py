"""An address that stays while the master behind it moves: who keeps its connections keeps the wrong server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.keeper import RedisLeaseRenewer
from farm.model.outcome import Ack, Settled
from farm.model.task import Lease, LeaseRequest, UrlTask
from farm.model.url import fingerprint
from tests.frontier.nodes import free_ports
from tests.frontier.proxy import FaultyProxy
from tests.frontier.servers import Server
from tests.frontier.support import eventually_async

CALLS = 12
"""More than a handful of connections: each is at the wrong server."""


@dataclass
class Service:
    """A master, its replica, and the address that leads to the master."""

    ports: list[int]
    servers: list[Server]
    proxy: FaultyProxy
    url: str

    async def promote(self, *, dead: bool = False) -> None:
        """Make the replica the master, once it has everything, and lead the address there."""
        old, new = self.servers
        client = await connect(new.url)
        await eventually_async(lambda: _has_caught_up(client))
        await client.command("REPLICAOF", "NO", "ONE")
        await client.close()
        if not dead:
            client = await connect(old.url)
            await client.command("REPLICAOF", "127.0.0.1", str(self.ports[1]))
            await client.close()
        self.proxy.move(new.socket, dead=dead)


async def _has_caught_up(client: RedisClient) -> bool:
    told = await client.command("INFO", "replication")
    return bool(told["master_link_status"] == "up" and told["slave_read_repl_offset"] > 0)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Start a master and its replica behind a TCP proxy."""
    ports = free_ports()[:2]
    servers = [
        Server(tmp_path / str(port), "--port", str(port), "--repl-diskless-sync-delay", "0") for port in ports
    ]
    for server in servers:
        await server.start()
    client = await connect(servers[1].url)
    await client.command("REPLICAOF", "127.0.0.1", str(ports[0]))
    await client.close()
    proxy = FaultyProxy(servers[0].socket)
    yield Service(ports, servers, proxy, await proxy.start())
    proxy.stop()
    for server in servers:
        await server.remove()


def _task(frontier: RedisFrontier, path: str) -> UrlTask:
    url = f"http://a.example/{path}"
    return UrlTask(url, "a.example", fingerprint(url, frontier.shards.crawl.key))


@pytest.mark.parametrize("dead", [False, True], ids=["demoted", "silent"])
async def test_the_new_master_is_found_behind_the_same_address(service: Service, *, dead: bool) -> None:
    """With all connections of the pool at the old one; a lease that was taken there is settled here."""
    client = await connect(service.url, patience_s=60, timeout_s=0.3)
    frontier = RedisFrontier(client, await open_crawl(client, "test", {"scope": "host"}))
    await asyncio.gather(*(frontier.add([_task(frontier, str(n))]) for n in range(CALLS)))
    lease = await frontier.lease(LeaseRequest("node/1", "r1"))
    assert isinstance(lease, Lease)
    await service.promote(dead=dead)
    assert await asyncio.gather(*(frontier.add([_task(frontier, f"new{n}")]) for n in range(CALLS))) == (
        [1] * CALLS
    )
    settled, _ = await frontier.ack(lease, Ack())
    assert settled is Settled.OK
    assert (await frontier.stats()).ledger.accepted == 2 * CALLS
    await client.close()


async def test_the_thread_that_renews_leases_finds_it_too(service: Service) -> None:
    """Its connection is its own."""
    client = await connect(service.url, patience_s=60)
    frontier = RedisFrontier(client, await open_crawl(client, "test", {"scope": "host"}))
    await frontier.add([_task(frontier, "1")])
    lease = await frontier.lease(LeaseRequest("node/1", "r1"))
    assert isinstance(lease, Lease)
    keeper = RedisLeaseRenewer(service.url, frontier.shards.crawl)
    assert await asyncio.to_thread(keeper.renew, [lease]) == [True]
    await service.promote()
    assert await asyncio.to_thread(keeper.renew, [lease]) == [True]
    await asyncio.to_thread(keeper.close)
    await client.close()
