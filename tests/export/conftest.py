"""A PostgreSQL to read from."""

from tests.sinks.conftest import server, url

__all__ = ["server", "url"]
