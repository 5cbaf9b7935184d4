"""An address that stays while the master behind it moves: who keeps its connections keeps the wrong server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.outcome import Ack, Settled
from farm.model.task import Lease, LeaseRequest, UrlTask
from farm.model.url import fingerprint
from tests.frontier.service import Service

CALLS = 12
"""More than a handful of connections: each is at the wrong server."""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Start a master and its replica behind a TCP proxy."""
    service = Service(tmp_path)
    await service.start()
    yield service
    await service.stop()


def _task(frontier: RedisFrontier, path: str) -> UrlTask:
    url = f"http://a.example/{path}"
    return UrlTask(url, "a.example", fingerprint(url, frontier._crawl.key))


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
    keeper = RedisLeaseRenewer(service.url, frontier._crawl)
    assert await asyncio.to_thread(keeper.renew, [lease]) == [True]
    await service.promote()
    assert await asyncio.to_thread(keeper.renew, [lease]) == [True]
    await asyncio.to_thread(keeper.close)
    await client.close()
