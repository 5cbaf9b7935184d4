"""A server that is full or does not take writes: just then a crawl must be looked at, and stopped."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from farm.app.access import open_existing_crawl, short_patience_s
from farm.frontier.connect import FIRST_PATIENCE_S
from farm.model.outcome import FailureKind
from farm.settings.commands import RunSettings, StatusSettings
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
        (("dead", "drop", "--yes"), "2 dropped"),
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
        async with open_existing_crawl(StatusSettings(redis=outside.url, crawl=NAME)) as (_, frontier):
            return frontier.shards.client.patience_s

    assert asyncio.run(patience_s()) == FIRST_PATIENCE_S


def test_a_patience_that_is_given_holds_for_a_command(full: Outside) -> None:
    """What adds is refused by a full server: in one sentence, with what helps."""
    done = full.farm("add", "http://e.example/", "--redis-patience", "100ms")
    assert done.code == 3
    assert "give it more memory" in done.sentence


@pytest.mark.parametrize("command", [("status",), ("run", "http://e.example/", "--no-sandbox")])
def test_a_patience_that_is_given_holds_for_the_first_connection(
    outside: Outside, command: tuple[str, ...]
) -> None:
    """A shorter one than that of the farm; and a longer one is not cut short."""
    begun = time.monotonic()
    outside.crawl = ("--redis", "redis://127.0.0.1:1")
    done = outside.farm(*command, "--redis-patience", "100ms")
    assert done.code == 3
    assert "redis://127.0.0.1:1 is not available" in done.sentence
    assert time.monotonic() - begun < FIRST_PATIENCE_S


@pytest.mark.parametrize(
    ("given", "patience_s"), [({}, FIRST_PATIENCE_S), ({"redis_patience": "10m"}, 600.0)]
)
def test_who_asks_for_patience_has_it_before_the_first_connection(
    given: dict[str, Any], patience_s: float
) -> None:
    """Whoever does not is told within seconds of an address where nobody is."""
    assert short_patience_s(RunSettings(**given)) == patience_s
