"""Connections by upstream proxies of every kind."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from farm.egress import GatewayParams, SlotGate, Upstream
from farm.model.egress import GateFault
from farm.model.errors import UsageError
from fixtures.authority import Authority, Flaw

from .callers import calling, fetch
from .conftest import OpenGate
from .proxies import Log, http_proxy, socks4_proxy, socks5_proxy
from .servers import Talk, answering, echo, listening, ok, read_head, silent

KINDS = ("http", "https", "socks5", "socks4")
SITE = "site.example"
CREDENTIALS = "user:p@ss w%rd"
QUOTED = "user:p%40ss%20w%25rd@"


async def public(name: str) -> Sequence[str]:
    """Resolve every name to an address outside, which nobody connects to in these tests."""
    return ("93.184.216.34",)


def home(host: str) -> str:
    """Resolve the site where the proxy stands: on this machine."""
    return "127.0.0.1" if host in {SITE, "93.184.216.34"} else host


def talk_for(kind: str, log: Log, credentials: str = "") -> Talk:
    """Return the proxy of a kind."""
    if kind == "socks5":
        return socks5_proxy(log, credentials, home)
    return socks4_proxy(log, home) if kind == "socks4" else http_proxy(log, credentials, home)


@asynccontextmanager
async def behind(
    kind: str,
    open_gate: OpenGate,
    tmp_path: Path,
    log: Log,
    *,
    asks: str = "",
    shows: str = "",
    flaw: Flaw = Flaw.NONE,
) -> AsyncIterator[SlotGate]:
    """Open a gate behind a proxy that asks for credentials and is shown some."""
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    tls = authority.issue(flaw).server_context(tmp_path) if kind == "https" else None
    async with listening(talk_for(kind, log, asks), tls=tls) as proxy:
        upstream = Upstream.parse(f"{kind}://{shows}127.0.0.1:{proxy.port}")
        params = GatewayParams(ca_file=ca_file)
        yield await open_gate(allow=(), lookup=public, params=params, upstream=upstream)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_comes_through_a_proxy(open_gate: OpenGate, tmp_path: Path, kind: str) -> None:
    """Plain HTTP: the site sees what it would see without the proxy."""
    log, heads = Log(), list[bytes]()
    async with (
        listening(answering(ok(b"hello"), heads)) as site,
        behind(kind, open_gate, tmp_path, log) as gate,
    ):
        url = f"http://{SITE}:{site.port}/a?b"
        answer = await fetch(gate, url, "Accept: */*")
        assert answer.endswith(b"hello")
        assert gate.failure(url) is None
    named = "93.184.216.34" if kind == "socks4" else SITE
    assert log.asked == [f"{named}:{site.port}"]
    assert heads == [f"GET /a?b HTTP/1.1\r\nHost: {SITE}:{site.port}\r\nAccept: */*\r\n\r\n".encode()]
    assert gate.bytes_received >= len(answer)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tunnel_goes_through_a_proxy(open_gate: OpenGate, tmp_path: Path, kind: str) -> None:
    """CONNECT: bytes both ways."""
    log = Log()
    async with (
        listening(echo) as site,
        behind(kind, open_gate, tmp_path, log) as gate,
        calling(gate) as caller,
    ):
        assert b" 200 " in await caller.tunnel(f"{SITE}:{site.port}")
        caller.send(b"\x00ping" * 50_000)
        assert await caller.body(250_000) == b"\x00ping" * 50_000
        assert len(log.asked) == 1


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
async def test_credentials_are_shown_to_the_proxy_alone(
    open_gate: OpenGate, tmp_path: Path, kind: str
) -> None:
    """They open the proxy, and stand in nothing that the site or a reader of errors can see."""
    log, heads = Log(), list[bytes]()
    async with (
        listening(answering(ok(b"x"), heads)) as site,
        behind(kind, open_gate, tmp_path, log, asks=CREDENTIALS, shows=QUOTED) as gate,
    ):
        url = f"http://{SITE}:{site.port}/"
        assert b"200 OK" in await fetch(gate, url)
        async with calling(gate) as caller:
            assert b" 200 " in await caller.tunnel(f"{SITE}:{site.port}")
        assert len(log.asked) == 2
        assert b"roxy-" not in heads[0]
        assert "p@ss" not in repr(gate) + repr(gate.upstream) + str(gate.upstream)


@pytest.mark.parametrize("shows", ["", "user:wrong@"])
@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("tunnel", [False, True])
async def test_a_proxy_that_wants_other_credentials_is_the_proxys_failure(
    open_gate: OpenGate, tmp_path: Path, kind: str, shows: str, tunnel: bool
) -> None:
    """A 407 never reaches the browser, which would ask for credentials or show a page."""
    async with behind(kind, open_gate, tmp_path, Log(), asks=CREDENTIALS, shows=shows) as gate:
        url = f"http://{SITE}/"
        if tunnel:
            async with calling(gate) as caller:
                assert b" 502 " in await caller.tunnel(f"{SITE}:80")
                assert await caller.rest() == b""
        else:
            assert await fetch(gate, url) == b""
        failure = gate.failure(url)
    assert failure is not None
    assert failure.fault is GateFault.UPSTREAM
    assert "wrong" not in failure.detail


@pytest.mark.parametrize("kind", KINDS)
async def test_a_site_that_the_proxy_cannot_reach_is_not_the_proxys_failure(
    open_gate: OpenGate, tmp_path: Path, kind: str
) -> None:
    """The proxy says so, each kind in its own way."""
    async with listening(echo) as gone:
        pass
    async with behind(kind, open_gate, tmp_path, Log()) as gate, calling(gate) as caller:
        assert b" 502 " in await caller.tunnel(f"{SITE}:{gone.port}")
        failure = gate.failure(f"https://{SITE}:{gone.port}/")
    assert failure is not None
    assert failure.fault is GateFault.CONNECT


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dead_proxy_is_the_proxys_failure(open_gate: OpenGate, kind: str) -> None:
    """Nothing goes direct when it is gone."""
    async with listening(silent) as gone:
        pass
    async with listening(answering(ok(b"direct"))) as site:
        upstream = Upstream.parse(f"{kind}://127.0.0.1:{gone.port}")
        gate = await open_gate(upstream=upstream)
        assert await fetch(gate, site.url + "/") == b""
        async with calling(gate) as caller:
            assert b" 502 " in await caller.tunnel(f"127.0.0.1:{site.port}")
        failure = gate.failure(site.url)
        assert site.connections == 0
    assert failure is not None
    assert failure.fault is GateFault.UPSTREAM


@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_hangs_is_given_up(open_gate: OpenGate, kind: str) -> None:
    """It takes the connection and says nothing."""
    async with listening(silent) as proxy:
        upstream = Upstream.parse(f"{kind}://127.0.0.1:{proxy.port}")
        gate = await open_gate(upstream=upstream, params=GatewayParams(connect_s=0.1), lookup=public)
        async with calling(gate) as caller:
            assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        failure = gate.failure(f"https://{SITE}/")
    assert failure is not None
    assert failure.fault is GateFault.UPSTREAM


@pytest.mark.parametrize("flaw", [Flaw.EXPIRED, Flaw.WRONG_HOST, Flaw.SELF_SIGNED])
async def test_a_proxy_with_a_bad_certificate_gets_no_credentials(
    open_gate: OpenGate, tmp_path: Path, flaw: Flaw
) -> None:
    """TLS towards the proxy is checked before anything is said to it."""
    log = Log()
    async with (
        behind("https", open_gate, tmp_path, log, shows=QUOTED, flaw=flaw) as gate,
        calling(gate) as caller,
    ):
        assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        failure = gate.failure(f"https://{SITE}/")
    assert log.heads == []
    assert failure is not None
    assert failure.fault is GateFault.UPSTREAM


async def test_a_proxy_that_dies_within_a_body_is_the_proxys_failure(open_gate: OpenGate) -> None:
    """The browser sees that the body is cut short."""

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async with listening(dying) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        gate = await open_gate(upstream=upstream, lookup=public)
        async with calling(gate) as caller:
            caller.ask(f"http://{SITE}/")
            await caller.head()
            assert await caller.rest() == b"abc"
        failure = gate.failure(f"http://{SITE}/")
    assert failure is not None
    assert failure.fault is GateFault.UPSTREAM


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 ", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\nno", b"HTTP/1.1 302 F\r\n\r\n"],
)
async def test_a_proxy_that_answers_nonsense_to_connect_is_the_proxys_failure(
    open_gate: OpenGate, answer: bytes
) -> None:
    """Closed, cut off, another protocol, forbidden, a redirect to a login."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async with listening(talk) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        gate = await open_gate(upstream=upstream, lookup=public)
        async with calling(gate) as caller:
            assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        failure = gate.failure(f"https://{SITE}/")
    assert failure is not None
    assert failure.fault is GateFault.UPSTREAM


async def test_a_slow_proxy_is_waited_for_to_the_last_byte(open_gate: OpenGate) -> None:
    """Its answer may come byte by byte, and the site's first bytes in one piece with its end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for byte in b"HTTP/1.1 200 OK\r\nX: 1\r\n\r":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"\nfirst words of the site")
        await reader.read()

    async with listening(talk) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        gate = await open_gate(upstream=upstream, lookup=public)
        async with calling(gate) as caller:
            assert b" 200 " in await caller.tunnel(f"{SITE}:22")
            assert await caller.body(23) == b"first words of the site"


INSIDE = ("127.0.0.1", "localhost", "a.localhost", "2130706433", "[::1]", "[::ffff:10.0.0.1]", "10.0.0.1")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", INSIDE)
async def test_the_guard_stands_before_the_proxy_too(
    open_gate: OpenGate, tmp_path: Path, kind: str, host: str
) -> None:
    """Addresses inside and localhost names are not even asked of the proxy."""
    log = Log()
    async with behind(kind, open_gate, tmp_path, log) as gate:
        url = f"http://{host}:8080/"
        assert await fetch(gate, url) == b""
        failure = gate.failure(url)
    assert log.asked == []
    assert failure is not None
    assert failure.fault is GateFault.REFUSED


@pytest.mark.parametrize(
    ("addresses", "reached"),
    [(("10.0.0.1",), False), (("93.184.216.34", "10.0.0.1"), False), (("93.184.216.34",), True), ((), True)],
)
async def test_names_that_resolve_inside_are_refused_where_that_can_be_seen(
    open_gate: OpenGate, addresses: tuple[str, ...], reached: bool
) -> None:
    """Any address inside is enough, since the proxy chooses; an unknown name is left to the proxy."""

    async def lookup(name: str) -> Sequence[str]:
        if not addresses:
            raise OSError(-2, "Name or service not known")
        return addresses

    async with listening(answering(ok(b"x"))) as site, listening(http_proxy(Log(), hosts=home)) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        gate = await open_gate(allow=(), lookup=lookup, upstream=upstream)
        url = f"http://{SITE}:{site.port}/"
        assert (b"200 OK" in await fetch(gate, url)) is reached
        failure = gate.failure(url)
    if reached:
        assert failure is None
    else:
        assert failure is not None
        assert failure.fault is GateFault.REFUSED


async def test_plain_http_connections_to_a_proxy_are_kept(open_gate: OpenGate) -> None:
    """Several requests to a site share the connection to the proxy."""
    log = Log()
    async with listening(answering(ok(b"x"))) as site, listening(http_proxy(log, hosts=home)) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        gate = await open_gate(lookup=public, upstream=upstream)
        async with calling(gate) as caller:
            for _ in range(3):
                caller.ask(f"http://{SITE}:{site.port}/")
                await caller.head()
                assert await caller.body(1) == b"x"
        assert len(log.asked) == 3
        assert proxy.connections == 1


async def test_a_switch_closes_what_the_old_proxy_carried(open_gate: OpenGate) -> None:
    """A tunnel, an idle connection and one under way end; what follows goes by the new proxy."""
    old, new = Log(), Log()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(listening(answering(ok(b"x"))))
        hangs = await stack.enter_async_context(listening(silent))
        first = await stack.enter_async_context(listening(socks5_proxy(old, hosts=home)))
        second = await stack.enter_async_context(listening(http_proxy(new, hosts=home)))
        gate = await open_gate(lookup=public, upstream=Upstream.parse(f"socks5://127.0.0.1:{first.port}"))
        tunnel, idle, waiting = [await stack.enter_async_context(calling(gate)) for _ in range(3)]
        await tunnel.tunnel(f"{SITE}:{site.port}")
        idle.ask(f"http://{SITE}:{site.port}/")
        await idle.head()
        await idle.body(1)
        waiting.ask(f"http://{SITE}:{hangs.port}/")
        await asyncio.wait_for(hangs.came(1), 5)
        gate.begin()
        gate.switch(Upstream.parse(f"http://127.0.0.1:{second.port}"))
        for caller in (tunnel, idle, waiting):
            assert await caller.rest() == b""
        assert len(old.asked) == 3
        assert b"200 OK" in await fetch(gate, f"http://{SITE}:{site.port}/")
        assert (len(old.asked), len(new.asked)) == (3, 1)
        assert gate.failure(f"http://{SITE}:{hangs.port}/") is None
        kept = await stack.enter_async_context(calling(gate))
        await kept.tunnel(f"{SITE}:{site.port}")
        gate.switch(Upstream.parse(f"http://127.0.0.1:{second.port}"))  # the same: nothing is closed
        kept.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await kept.head()).startswith(b"HTTP/1.1 200")


async def test_a_switch_ends_a_handshake_with_the_old_proxy(open_gate: OpenGate) -> None:
    """A connection that is still being made by the old proxy is never used."""
    for kind in KINDS:
        async with listening(silent) as proxy:
            gate = await open_gate(lookup=public, upstream=Upstream.parse(f"{kind}://127.0.0.1:{proxy.port}"))
            async with calling(gate) as caller:
                caller.ask(f"http://{SITE}/")
                await asyncio.wait_for(proxy.came(1), 5)
                gate.switch(None)
                assert await caller.rest() == b""
                assert gate.connections == 0


async def test_an_unreadable_ca_file_is_said_at_the_start(open_gate: OpenGate, tmp_path: Path) -> None:
    """Not at the first page."""
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(UsageError, match=name):
            await open_gate(params=GatewayParams(ca_file=tmp_path / name))
