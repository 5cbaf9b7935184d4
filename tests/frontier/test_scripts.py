"""The files of Lua keep their contracts."""

from typing import Any

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.scripts import SCRIPTS, BadScript, compose
from farm.model.errors import UsageError
from tests.frontier.support import Bench

HEADER = "-- Purpose: p\n-- Guarantee: g\n-- KEYS: 1\n-- ARGV: 1\n-- Returns: 1\n-- Uses: {uses}\n"
TAKES_WORK = {"open", "add", "lease"}


def test_what_takes_new_work_is_refused_by_a_full_redis_and_what_settles_is_not() -> None:
    """The flags say so, per script."""
    for name, script in SCRIPTS.items():
        settles = "allow-oom" in script.flags or "no-writes" in script.flags
        assert settles != (name in TAKES_WORK), name


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("return 1", "does not begin"),
        ("#!lua\n-- Purpose: p\nreturn 1", "lacks Guarantee, KEYS"),
        ("#!lua\n" + HEADER.format(uses="nothing"), "uses nothing"),
    ],
)
def test_a_script_without_its_contract_is_not_loaded(body: str, complaint: str) -> None:
    """The error names the file and what it lacks."""
    with pytest.raises(BadScript, match=complaint):
        compose("bad", body, {})


async def test_every_script_compiles(client: RedisClient) -> None:
    """With its parts in front of it."""
    for script in SCRIPTS.values():
        assert (await client.command("SCRIPT LOAD", script.text)) in (script.sha, script.sha.encode())


async def test_a_flushed_script_cache_is_no_obstacle(bench: Bench) -> None:
    """The text is sent when the digest is not known."""
    await bench.add("a/1")
    await bench.client.command("SCRIPT FLUSH")
    lease = await bench.lease()
    keeper = bench.keeper()
    await bench.client.command("SCRIPT FLUSH")
    assert keeper.renew([lease]) == [True]
    keeper.close()


async def test_bad_arguments_change_nothing(bench: Bench) -> None:
    """Lua does not roll back, so every script checks before it writes."""
    await bench.add("a/1")
    lease = await bench.lease()
    before = await bench.raw("GET", "@ctl")
    ack = ["s1", lease.id, lease.token, 1, "", "", 0, "", "000", 0]
    calls: dict[str, list[Any]] = {
        "add": ["nonsense"],
        "extend": ["s1", lease.id, lease.token, "nonsense"],
        "ack": [*ack, 1, "not hex"],
        "nack": ["s1", lease.id, lease.token, "forget", "", "", 0, 0],
    }
    for name, args in [*calls.items(), ("ack", [*ack, 0, "nonsense"]), ("deliver", [0, "nonsense"])]:
        with pytest.raises(UsageError, match="cannot keep"):
            await bench.client.run(name, "{test:0}:ctl", bench.clock.ms, *args)
        assert await bench.raw("GET", "@ctl") == before
