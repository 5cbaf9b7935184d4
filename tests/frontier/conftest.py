"""A private redis-server for the session, emptied before each test, and a frontier with its own clock."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import delete_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from fixtures.ports import free_ports
from tests.frontier.nodes import MASTERS, Nodes
from tests.frontier.proxy import FaultyProxy
from tests.frontier.servers import Server
from tests.frontier.shaky import Shaky
from tests.frontier.support import Bench


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server; FRONTIER_TEST_REDIS names one that runs already, by its socket (unix://): it is emptied."""
    given = os.environ.get("FRONTIER_TEST_REDIS")
    if given:
        yield given
        return
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[RedisClient]:
    """Connect to a server and empty it."""
    client = await connect(redis_url, patience_s=5)
    await client.command("FLUSHALL")
    yield client
    await client.close()


@pytest.fixture
async def bench(client: RedisClient, redis_url: str) -> Bench:
    """Open a crawl with a frontier whose clock the test moves."""
    return await Bench.open(client, redis_url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Name a data folder for a private Redis."""
    return tmp_path / "redis"


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    """Start a server that the test may mistreat."""
    server = Server(folder)
    await server.start()
    yield server
    await server.remove()


@pytest.fixture
async def shaky(bench: Bench, redis_url: str) -> AsyncIterator[Shaky]:
    """Put the proxy between a crawl and a frontier."""
    proxy = FaultyProxy(redis_url.removeprefix("unix://"))
    url = await proxy.start()
    client = await connect(url, patience_s=10, timeout_s=0.3)
    yield Shaky(bench, proxy, RedisFrontier(client, bench.crawl, own_time_ms=bench.clock.read), url)
    await client.close()
    proxy.stop()
    assert proxy.met == proxy.armed, "a fault was waited for in vain"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Start three masters and share the slots out among them."""
    nodes = Nodes(tmp_path_factory.mktemp("cluster"), free_ports(MASTERS))
    for place in range(MASTERS):
        nodes.start(place)
    asyncio.run(nodes.form())
    yield nodes
    nodes.end()


@pytest.fixture(scope="module")
def cluster_url(cluster: Nodes) -> str:
    """Name the cluster."""
    return cluster.url


@pytest.fixture
async def cluster_client(cluster_url: str) -> AsyncIterator[RedisClient]:
    """Connect to the cluster; the crawl named `test` is deleted in the end."""
    client = await connect(cluster_url, patience_s=30)
    yield client
    await delete_crawl(client, "test")
    await client.close()
