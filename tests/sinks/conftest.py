"""A PostgreSQL and an S3 for the tests of their sinks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.model.secret import SecretUrl
from farm.sinks.postgres import PostgresStore
from tests.sinks.object_server import ENVIRONMENT, Front, ObjectServer
from tests.sinks.postgres_server import PostgresServer
from tests.small_disk import small_disk as mounted


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """Start a server for all tests of its sink."""
    started = PostgresServer()
    yield started
    started.remove()


@pytest.fixture
def url(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """Make a database for the test."""
    return server.database(request.node.name)


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """Open a store."""
    opened = PostgresStore(SecretUrl(url))
    opened.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """Start an S3 for all tests of its sinks."""
    started = ObjectServer(tmp_path_factory.mktemp("moto"))
    yield started
    started.remove()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the keys of the S3 in the environment, and no others."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def front(object_server: ObjectServer, keys: None) -> Iterator[Front]:
    """Stand in front of the S3."""
    started = Front(object_server.port)
    yield started
    started.remove()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of one megabyte; needs root."""
    with mounted(tmp_path / "disk", "1m") as folder:
        yield folder
