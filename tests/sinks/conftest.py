"""A PostgreSQL for the tests of its sink."""

from collections.abc import Iterator

import pytest

from farm.model.secret import SecretUrl
from farm.sinks.postgres import PostgresStore
from tests.sinks.postgres_server import PostgresServer


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
