"""From a URL to a client, and what is said about the server."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from farm.frontier.address import check_url, place_of
from farm.frontier.client import RedisClient
from farm.frontier.connect import (
    CONNECTIONS,
    connect,
    refuse_unfit,
    warnings_of_servers,
    warnings_of_url,
)
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import FrontierRefused, FrontierUnavailable, UsageError
from tests.frontier.support import Bench
from tests.turns import turns


async def test_nobody_there_is_one_sentence_within_the_first_patience() -> None:
    """And it names where it looked."""
    begun = time.monotonic()
    with pytest.raises(FrontierUnavailable, match=r"redis://127\.0\.0\.1:1 is not available"):
        await connect("redis://127.0.0.1:1", first_patience_s=0.3)
    assert time.monotonic() - begun < 5


async def test_a_password_is_never_said() -> None:
    """Not in the error, not in the place, not in the warning."""
    url = "redis://user:s3cret@127.0.0.1:1/0"
    with pytest.raises(FrontierUnavailable) as caught:
        await connect(url, first_patience_s=0)
    said = f"{caught.value} {place_of(url)} {warnings_of_url('redis://u:s3cret@example.org')}"
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "password", ["s3c#ret", "s3c/ret", "s3c?ret", "12?s3cret", "s3cret#12", "s3:cret/", "[s3cret"]
)
def test_a_password_that_is_not_in_percent_form_is_not_quoted(password: str) -> None:
    """Such a URL has no host where one is expected: nothing of it is shown, nobody is asked."""
    with pytest.raises(UsageError, match="not a URL") as caught:
        check_url(f"redis://user:{password}@127.0.0.1:6379/0")
    assert "s3c" not in str(caught.value)
    assert "ret" not in str(caught.value)


async def test_a_wrong_password_is_not_waited_out(client: RedisClient, redis_url: str) -> None:
    """Patience is for what passes by itself."""
    await client.command("CONFIG SET", "requirepass", "right")
    try:
        with pytest.raises(FrontierUnavailable, match="password in the URL"):
            await connect(f"unix://:wrong@{redis_url.removeprefix('unix://')}", first_patience_s=60)
    finally:
        await client.command("CONFIG SET", "requirepass", "")


@pytest.mark.parametrize(
    "rights",
    [
        ("~*", "+@all", "-fcall"),
        ("~*", "+@all", "-function|load"),
        ("~*", "+@all", "-getrange"),
        ("~mine", "+@all"),
        ("~{test:0}:*:ctl", "+@all"),
    ],
)
async def test_a_right_that_is_missing_is_told(
    client: RedisClient, redis_url: str, bench: Bench, rights: tuple[str, ...]
) -> None:
    """To a command and to a key, also where only a script needs them."""
    await client.command("FUNCTION FLUSH")
    await client.command("ACL SETUSER", "bob", "on", ">pw", *rights)
    restricted = await connect(f"unix://bob:pw@{redis_url.removeprefix('unix://')}", patience_s=60)
    try:
        with pytest.raises(FrontierUnavailable, match="ACL SETUSER"):
            await RedisFrontier(restricted, bench.crawl).add([bench.task("a/1")])
    finally:
        await restricted.close()
        await client.command("ACL DELUSER", "bob")


async def test_whoever_may_only_touch_a_crawl_can_try_its_functions(
    client: RedisClient, redis_url: str
) -> None:
    """The doctor asks of the crawl's own keys."""
    await client.command("ACL SETUSER", "bob", "on", ">pw", "~{mine:*", "+@all")
    restricted = await connect(f"unix://bob:pw@{redis_url.removeprefix('unix://')}", patience_s=60)
    try:
        await restricted.probe("mine")
        with pytest.raises(FrontierUnavailable, match="ACL SETUSER"):
            await restricted.probe("yours")
    finally:
        await restricted.close()
        await client.command("ACL DELUSER", "bob")


@pytest.mark.parametrize("url", ["http://x", "redis://", "unix://", "redis", ""])
def test_a_url_that_names_no_redis_is_refused(url: str) -> None:
    """In one sentence."""
    with pytest.raises(UsageError, match="--redis"):
        check_url(url)


async def test_an_eviction_policy_is_refused(client: RedisClient, redis_url: str) -> None:
    """It would delete leases."""
    await client.command("CONFIG SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(FrontierRefused, match="allkeys-lru"):
            await connect(redis_url)
    finally:
        await client.command("CONFIG SET", "maxmemory-policy", "noeviction")


def test_an_old_server_and_a_cluster_node_are_refused() -> None:
    """Each with what is needed instead."""
    with pytest.raises(FrontierRefused, match=r"7\.0 or later"):
        refuse_unfit({"redis_version": "6.2.7"}, "here")
    with pytest.raises(FrontierRefused, match=r"redis\+cluster://"):
        refuse_unfit({"redis_version": "7.2.0", "cluster_enabled": 1}, "here")


def test_the_network_without_tls_or_password_is_one_warning() -> None:
    """Loopback and sockets are no network."""
    assert warnings_of_url("redis://example.org") == (
        "Redis at redis://example.org is reached over the network without TLS and a password.",
    )
    assert "without a password" in warnings_of_url("rediss://example.org")[0]
    for url in ("redis://127.0.0.1", "redis://localhost", "redis://[::1]", "unix:///x", "rediss://:p@h"):
        assert warnings_of_url(url) == ()


def test_a_server_that_persists_nothing_is_a_warning() -> None:
    """Either of the two ways is enough."""
    assert warnings_of_servers({"here": {"aof_enabled": 1}}) == ()
    assert warnings_of_servers({"here": {"save": "3600 1"}}) == ()
    bare = {"aof_enabled": 0, "save": ""}
    assert "at here persists nothing" in warnings_of_servers({"here": bare, "there": {"aof_enabled": 1}})[0]


@pytest.fixture
async def mute() -> AsyncIterator[str]:
    """Start a server that accepts connections and never says a word."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_every_call_has_a_deadline(mute: str) -> None:
    """A server that hangs is a server that is not available."""
    begun = time.monotonic()
    with pytest.raises(FrontierUnavailable):
        await connect(mute, timeout_s=0.1, first_patience_s=0.2)
    assert time.monotonic() - begun < 5


async def test_a_cancelled_command_leaves_nobody_its_reply(client: RedisClient) -> None:
    """Its connection is thrown away: otherwise the next caller would read somebody else's answer."""
    for n in range(50):
        task = asyncio.create_task(client.command("ECHO", f"mine {n}"))
        await turns(n % 7)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        replies = await asyncio.gather(*(client.command("ECHO", f"{n}.{k}") for k in range(3)))
        assert replies == [f"{n}.{k}".encode() for k in range(3)]


async def test_more_calls_than_connections_are_all_answered(client: RedisClient) -> None:
    """Whoever waits is woken, also where others come and go at once; and nothing more is connected."""

    async def calls(number: int) -> list[bytes]:
        return [await client.command("ECHO", f"{number}/{turn}") for turn in range(5)]

    replies = await asyncio.gather(*(calls(number) for number in range(4 * CONNECTIONS)))
    assert replies == [
        [f"{number}/{turn}".encode() for turn in range(5)] for number in range(4 * CONNECTIONS)
    ]
    assert len(await client.command("CLIENT LIST")) <= CONNECTIONS


async def test_a_connection_that_was_closed_meanwhile_is_replaced(client: RedisClient) -> None:
    """The next call does not fail at all, which would be repeated after a pause."""
    failed: list[str] = []
    client.outage.failed = lambda begun, reason: failed.append(reason)  # type: ignore[method-assign]  # noqa: ARG005
    await asyncio.gather(*(client.command("ECHO", number) for number in range(8)))
    assert await client.command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes") == 7
    assert await asyncio.gather(*(client.command("ECHO", "x") for _ in range(8))) == [b"x"] * 8
    assert failed == []
