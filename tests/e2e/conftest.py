"""One crawl of the whole shop for all tests that only look at its results."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import Finished, crawl, end_all
from tests.e2e.redis_server import RedisServer


@pytest.fixture(scope="session")
def whole_shop() -> Iterator[Shop]:
    """Open a shop without faults."""
    with serve_shop_in_thread() as shop:
        yield shop


@pytest.fixture(scope="session")
def whole_crawl(whole_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Crawl it once, as the README says."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    return crawl(folder, whole_shop.url, contexts="4").finish()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Start a Redis that nodes share."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Open a shop whose visits the test counts."""
    with serve_shop_in_thread() as opened:
        yield opened


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Name an output folder that does not exist yet."""
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Leave no farm behind when a test fails."""
    yield
    end_all()
