"""A PostgreSQL and an S3 to read from."""

from tests.sinks.conftest import front, keys, object_server, server, url

__all__ = ["front", "keys", "object_server", "server", "url"]
