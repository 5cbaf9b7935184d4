"""A server that is full or does not take writes: just then a crawl must be looked at, and stopped."""

import asyncio
from collections.abc import Iterator

import pytest

from farm.build.visit import visited
from farm.frontier.connect import FIRST_PATIENCE_S
from farm.model.outcome import FailureKind
from farm.settings.commands import StatusSettings
from tests.cli.outside import NAME, Outside


@pytest.fixture
def full(outside: Outside) -> Iterator[Outside]:
    """Fill the server; it holds dead letters."""
    outside.bury([FailureKind.TLS, FailureKind.TLS])
    outside.redis("CONFIG SET", "maxmemory", "1mb")
    yield outside
    outside.redis("CONFIG SET", "maxmemory", "0")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("status",), "accepted"),
        (("dead", "list"), "http://"),
        (("pause",), "crawl t: paused"),
        (("resume",), "crawl t: running"),
        (("drain",), "crawl t: draining"),
        (("stop",), "crawl t: stopped"),
        (("dead", "drop"), "2 dropped"),
        (("dead", "replay"), "2 replayed"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_a_full_server_is_looked_at_and_steered(full: Outside, command: tuple[str, ...], said: str) -> None:
    """Nothing of this needs memory, and what gives some back must not be refused."""
    done = full.farm(*command)
    assert (done.code, done.err) == (0, "")
    assert said in done.out


def test_a_replica_is_looked_at(outside: Outside) -> None:
    """It takes no writes; reading is what it is for."""
    outside.redis("REPLICAOF", "127.0.0.1", "1")
    try:
        assert outside.farm("status").code == 0
    finally:
        outside.redis("REPLICAOF", "NO", "ONE")


def test_a_command_waits_no_longer_than_for_a_first_connection(outside: Outside) -> None:
    """Minutes are for a run, which nobody sits in front of."""

    async def patience_s() -> float:
        async with visited(StatusSettings(redis=outside.url, crawl=NAME)) as (_, frontier):
            return frontier.shards.client.patience_s

    assert asyncio.run(patience_s()) == FIRST_PATIENCE_S
