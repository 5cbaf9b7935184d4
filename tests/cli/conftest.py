"""A private Redis for the session, emptied before each test, with one crawl."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.frontier.embedded import EmbeddedRedis
from tests.cli.outside import Outside


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


@pytest.fixture
def outside(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Outside:
    """Create the crawl with four URLs in it, each of a site of its own, and go where no farm.toml is."""
    monkeypatch.chdir(tmp_path)
    outside = Outside(redis_url, tmp_path / "out", capsys)
    outside.redis("FLUSHALL")
    outside.create(*(f"http://{site}.example/" for site in "abcd"))
    return outside
