"""A private redis-server for the session, emptied before each test, and a frontier with its own clock."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.embedded import EmbeddedRedis
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
