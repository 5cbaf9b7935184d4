"""Connections by upstream proxies of every kind."""

import asyncio
from pathlib import Path

import pytest

from farm.egress import GatewayParams, Upstream
from farm.model.egress import EgressFault
from fixtures.authority import Flaw
from fixtures.ports import free_port
from tests.turns import turns

from .behind import KINDS, SITE, behind, public
from .callers import calling, fault_of, fetch
from .conftest import OpenSlotProxy
from .proxies import Log
from .servers import answering, answering_once, echo, listening, ok, read_head, silent

CREDENTIALS = "user:p@ss w%rd"
QUOTED = "user:p%40ss%20w%25rd@"


@pytest.mark.parametrize("kind", [*KINDS, "plain"])
async def test_a_page_comes_through_a_proxy(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path, kind: str
) -> None:
    """Plain HTTP: the site sees what it would see without the proxy."""
    log, heads = Log(), list[bytes]()
    async with (
        listening(answering(ok(b"hello"), heads)) as site,
        behind(kind, open_slot_proxy, tmp_path, log) as slot_proxy,
    ):
        url = f"http://{SITE}:{site.port}/a?b"
        answer = await fetch(slot_proxy, url, "Accept: */*")
        assert answer.endswith(b"hello")
        assert slot_proxy.failure(url) is None
    named = "93.184.216.34" if kind == "socks4" else SITE
    assert log.asked == [f"{named}:{site.port}"]
    assert heads == [f"GET /a?b HTTP/1.1\r\nHost: {SITE}:{site.port}\r\nAccept: */*\r\n\r\n".encode()]
    assert slot_proxy.bytes_received >= len(answer)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tunnel_goes_through_a_proxy(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path, kind: str
) -> None:
    """CONNECT: bytes both ways."""
    log = Log()
    async with (
        listening(echo) as site,
        behind(kind, open_slot_proxy, tmp_path, log) as slot_proxy,
        calling(slot_proxy) as caller,
    ):
        assert b" 200 " in await caller.tunnel(f"{SITE}:{site.port}")
        caller.send(b"\x00ping" * 50_000)
        assert await caller.body(250_000) == b"\x00ping" * 50_000
        assert len(log.asked) == 1


@pytest.mark.parametrize("kind", ["http", "https", "socks5", "plain"])
async def test_credentials_are_shown_to_the_proxy_alone(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path, kind: str
) -> None:
    """They open the proxy, and stand in nothing that the site or a reader of errors can see."""
    log, heads = Log(), list[bytes]()
    async with (
        listening(answering(ok(b"x"), heads)) as site,
        behind(kind, open_slot_proxy, tmp_path, log, asks=CREDENTIALS, shows=QUOTED) as slot_proxy,
    ):
        url = f"http://{SITE}:{site.port}/"
        assert b"200 OK" in await fetch(slot_proxy, url)
        assert len(log.asked) == 1
        assert b"roxy-" not in heads[0]
        assert "p@ss" not in repr(slot_proxy) + repr(slot_proxy.upstream) + str(slot_proxy.upstream)


@pytest.mark.parametrize("shows", ["", "user:wrong@"])
@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("tunnel", [False, True])
async def test_a_proxy_that_wants_other_credentials_is_the_proxys_failure(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path, kind: str, shows: str, tunnel: bool
) -> None:
    """A 407 never reaches the browser, which would ask for credentials or show a page."""
    async with behind(kind, open_slot_proxy, tmp_path, Log(), asks=CREDENTIALS, shows=shows) as slot_proxy:
        url = f"http://{SITE}/"
        if tunnel:
            async with calling(slot_proxy) as caller:
                assert b" 502 " in await caller.tunnel(f"{SITE}:80")
                assert await caller.rest() == b""
        else:
            assert await fetch(slot_proxy, url) == b""
        failure = slot_proxy.failure(url)
    assert failure is not None
    assert failure.fault is EgressFault.UPSTREAM
    assert "wrong" not in failure.detail


@pytest.mark.parametrize("kind", KINDS)
async def test_a_site_that_the_proxy_cannot_reach_is_not_the_proxys_failure(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path, kind: str
) -> None:
    """The proxy says so, each kind in its own way."""
    gone = free_port()
    async with behind(kind, open_slot_proxy, tmp_path, Log()) as slot_proxy, calling(slot_proxy) as caller:
        assert b" 502 " in await caller.tunnel(f"{SITE}:{gone}")
        assert fault_of(slot_proxy, f"https://{SITE}:{gone}/") is EgressFault.CONNECT


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dead_proxy_is_the_proxys_failure(open_slot_proxy: OpenSlotProxy, kind: str) -> None:
    """Nothing goes direct when it is gone."""
    gone = free_port()
    async with listening(answering(ok(b"direct"))) as site:
        upstream = Upstream.parse(f"{kind}://127.0.0.1:{gone}")
        slot_proxy = await open_slot_proxy(upstream=upstream)
        assert await fetch(slot_proxy, site.url + "/") == b""
        async with calling(slot_proxy) as caller:
            assert b" 502 " in await caller.tunnel(f"127.0.0.1:{site.port}")
        failure = slot_proxy.failure(site.url)
        assert site.connections == 0
    assert failure is not None
    assert failure.fault is EgressFault.UPSTREAM


@pytest.mark.parametrize("kind", KINDS)
async def test_a_proxy_that_hangs_is_given_up(open_slot_proxy: OpenSlotProxy, kind: str) -> None:
    """It takes the connection and says nothing."""
    async with listening(silent) as proxy:
        upstream = Upstream.parse(f"{kind}://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(
            upstream=upstream, params=GatewayParams(connect_s=0.1), lookup=public
        )
        async with calling(slot_proxy) as caller:
            assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        assert fault_of(slot_proxy, f"https://{SITE}/") is (
            EgressFault.UPSTREAM if kind == "https" else EgressFault.TUNNEL
        )


@pytest.mark.parametrize("flaw", [Flaw.EXPIRED, Flaw.WRONG_HOST, Flaw.SELF_SIGNED])
async def test_a_proxy_with_a_bad_certificate_gets_no_credentials(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path, flaw: Flaw
) -> None:
    """TLS towards the proxy is checked before anything is said to it."""
    log = Log()
    async with (
        behind("https", open_slot_proxy, tmp_path, log, shows=QUOTED, flaw=flaw) as slot_proxy,
        calling(slot_proxy) as caller,
    ):
        assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        failure = slot_proxy.failure(f"https://{SITE}/")
    assert log.heads == []
    assert failure is not None
    assert failure.fault is EgressFault.UPSTREAM


@pytest.mark.parametrize("tunnels", [True, False])
async def test_a_proxy_that_dies_within_a_body_is_the_proxys_failure(
    open_slot_proxy: OpenSlotProxy, tunnels: bool
) -> None:
    """The browser sees that the body is cut short."""

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await read_head(reader)).startswith(b"CONNECT"):
            if not tunnels:
                writer.write(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async with listening(dying) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(upstream=upstream, lookup=public)
        async with calling(slot_proxy) as caller:
            caller.ask(f"http://{SITE}/")
            await caller.head()
            assert await caller.rest() == b"abc"
        assert fault_of(slot_proxy, f"http://{SITE}/") is EgressFault.TUNNEL


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 ", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\nno", b"HTTP/1.1 302 F\r\n\r\n"],
)
async def test_a_proxy_that_answers_nonsense_to_connect_is_the_proxys_failure(
    open_slot_proxy: OpenSlotProxy, answer: bytes
) -> None:
    """Closed, cut off, another protocol, forbidden, a redirect to a login."""
    async with listening(answering_once(answer)) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(upstream=upstream, lookup=public)
        async with calling(slot_proxy) as caller:
            assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        assert fault_of(slot_proxy, f"https://{SITE}/") is (
            EgressFault.UPSTREAM if b"302" in answer else EgressFault.TUNNEL
        )


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (402, EgressFault.UPSTREAM),
        (407, EgressFault.UPSTREAM),
        (429, EgressFault.UPSTREAM),
        (451, EgressFault.TUNNEL),
        (470, EgressFault.TUNNEL),
        (525, EgressFault.TUNNEL),
    ],
)
async def test_a_proxy_that_refuses_a_site_is_told_from_one_that_refuses_the_farm(
    open_slot_proxy: OpenSlotProxy, status: int, fault: EgressFault
) -> None:
    """A URL is given back while proxies are down: where their rules forbid its site that would never end."""
    async with listening(answering_once(b"HTTP/1.1 %d No\r\n\r\n" % status)) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(upstream=upstream, lookup=public)
        async with calling(slot_proxy) as caller:
            assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        assert fault_of(slot_proxy, f"https://{SITE}/") is fault


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (0x02, EgressFault.TUNNEL),
        (0x05, EgressFault.CONNECT),
        (0x07, EgressFault.UPSTREAM),
        (0x08, EgressFault.TUNNEL),
    ],
)
async def test_a_socks_proxy_that_refuses_a_site_is_not_down(
    open_slot_proxy: OpenSlotProxy, reply: int, fault: EgressFault
) -> None:
    """By its rules, or by the kind of the address; a site that refuses is another matter."""

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        writer.write(b"\5\0")
        await reader.readexactly(4 + 1 + len(SITE) + 2)
        writer.write(bytes((5, reply, 0, 1, 0, 0, 0, 0, 0, 0)))
        await reader.read()

    async with listening(refuses) as proxy:
        upstream = Upstream.parse(f"socks5://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(upstream=upstream, lookup=public)
        async with calling(slot_proxy) as caller:
            assert b" 502 " in await caller.tunnel(f"{SITE}:443")
        assert fault_of(slot_proxy, f"https://{SITE}/") is fault


async def test_a_slow_proxy_is_waited_for_to_the_last_byte(open_slot_proxy: OpenSlotProxy) -> None:
    """Its answer may come byte by byte, and the site's first bytes in one piece with its end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for byte in b"HTTP/1.1 200 OK\r\nX: 1\r\n\r":
            writer.write(bytes([byte]))
            await writer.drain()
            await turns()
        writer.write(b"\nfirst words of the site")
        await reader.read()

    async with listening(talk) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(upstream=upstream, lookup=public)
        async with calling(slot_proxy) as caller:
            assert b" 200 " in await caller.tunnel(f"{SITE}:2222")
            assert await caller.body(23) == b"first words of the site"
