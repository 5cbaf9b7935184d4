"""WebSockets, as an upgrade in absolute form and in a tunnel, direct and by a proxy."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSMsgType, web

from farm.egress import SlotProxy, Upstream
from farm.model.egress import EgressFault
from fixtures.authority import Authority
from fixtures.pages import served_by

from .callers import calling
from .conftest import OpenSlotProxy
from .proxies import Log, http_proxy
from .servers import answering_once, listening, ok

UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Answer every message by itself."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


@asynccontextmanager
async def site(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve the echo on a port."""
    async with served_by(echo, tls=tls) as origin:
        yield int(origin.rpartition(":")[2])


async def talk(slot_proxy: SlotProxy, url: str, tls: ssl.SSLContext | bool = True) -> None:
    """Send messages small and large, and read them again."""
    async with (
        ClientSession() as session,
        session.ws_connect(url, proxy=slot_proxy.proxy_url, ssl=tls) as socket,
    ):
        for size in (0, 1, 70_000, 1_000_000):
            await socket.send_bytes(bytes(size))
            assert await asyncio.wait_for(socket.receive_bytes(), 10) == bytes(size)


async def test_an_upgrade_in_absolute_form(open_slot_proxy: OpenSlotProxy) -> None:
    """The switch is passed on, and what follows is nobody's business here."""
    slot_proxy = await open_slot_proxy()
    async with site() as port:
        await talk(slot_proxy, f"ws://127.0.0.1:{port}/ws")
        assert slot_proxy.failure(f"ws://127.0.0.1:{port}/") is None
        assert slot_proxy.bytes_received > 1_000_000


async def test_a_websocket_over_tls_in_a_tunnel(open_slot_proxy: OpenSlotProxy, tmp_path: Path) -> None:
    """As browsers do it."""
    slot_proxy = await open_slot_proxy()
    authority = Authority()
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    async with site(authority.issue().server_context(tmp_path)) as port:
        await talk(slot_proxy, f"wss://127.0.0.1:{port}/ws", trusting)


async def test_an_upgrade_goes_through_a_proxy_by_a_tunnel(open_slot_proxy: OpenSlotProxy) -> None:
    """Proxies seldom pass an upgrade on, so it is not asked of them."""
    log = Log()

    async def lookup(name: str) -> Sequence[str]:
        return ("93.184.216.34",)

    async with site() as port, listening(http_proxy(log, hosts=lambda _: "127.0.0.1")) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(lookup=lookup, upstream=upstream)
        await talk(slot_proxy, f"ws://site.example:{port}/ws")
        assert log.heads[0].startswith(b"CONNECT site.example:")


async def test_a_site_may_refuse_the_upgrade(open_slot_proxy: OpenSlotProxy) -> None:
    """Then its answer is an answer like any other."""
    slot_proxy = await open_slot_proxy()
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    async with listening(answering_once(refusal)) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/ws", *UPGRADE)
        assert (await caller.head()).startswith(b"HTTP/1.1 403")
        assert await caller.body(2) == b"no"


@pytest.mark.parametrize("early", [b"", b"\x81\x02hi"])
async def test_the_first_message_may_come_with_the_switch(
    open_slot_proxy: OpenSlotProxy, early: bytes
) -> None:
    """What stands behind the answer's head belongs to the WebSocket."""
    slot_proxy = await open_slot_proxy()
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with listening(answering_once(switch + early)) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/ws", *UPGRADE)
        head = await caller.head()
        assert head.startswith(b"HTTP/1.1 101")
        assert b"upgrade: websocket" in head.lower()
        assert await caller.rest() == early


async def test_the_guard_judges_websockets(open_slot_proxy: OpenSlotProxy) -> None:
    """Like every other request."""
    slot_proxy = await open_slot_proxy(allow=())
    async with listening(answering_once(ok(b""))) as origin, calling(slot_proxy) as caller:
        caller.ask(f"ws://127.0.0.1:{origin.port}/ws", *UPGRADE)
        assert await caller.rest() == b""
        failure = slot_proxy.failure(f"ws://127.0.0.1:{origin.port}/")
        assert origin.connections == 0
    assert failure is not None
    assert failure.fault is EgressFault.REFUSED
