"""What one visit may bring in."""

import asyncio

import pytest

from farm.egress import AllowedNetwork, Gateway, GatewayParams, Guard, SlotProxy, parse_proxies
from farm.model.egress import EgressFault

from .callers import calling, fault_of, fetch
from .conftest import OpenSlotProxy
from .servers import answering, listening, ok, read_head


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send without end, by HTTP or in a tunnel."""
    if (await read_head(reader)).startswith(b"GET "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


@pytest.mark.parametrize("tunnel", [False, True])
async def test_a_visit_that_brings_too_much_is_cut_off(open_slot_proxy: OpenSlotProxy, tunnel: bool) -> None:
    """All of its connections; what it asks for afterwards is not even tried; the next visit is free of it."""
    params = GatewayParams(visit_bytes=1_000_000)
    slot_proxy = await open_slot_proxy(params=params)
    async with listening(flood) as endless, listening(answering(ok(b"small"))) as origin:
        slot_proxy.begin()
        async with calling(slot_proxy) as caller:
            if tunnel:
                assert b" 200 " in await caller.tunnel(f"127.0.0.1:{endless.port}")
                caller.send(b"now\r\n\r\n")
            else:
                caller.ask(f"{endless.url}/")
            await caller.rest()
        assert fault_of(slot_proxy, origin.url) is EgressFault.TOO_LARGE
        assert slot_proxy.bytes_received < 3_000_000
        assert slot_proxy.connections == 0
        async with calling(slot_proxy) as caller:
            caller.ask(f"{origin.url}/")
            assert await caller.rest() == b""
        assert origin.connections == 0
        slot_proxy.begin()
        assert (await fetch(slot_proxy, f"{origin.url}/")).endswith(b"small")
        assert slot_proxy.failure(origin.url) is None


async def test_a_gateway_counts_all_that_goes_out_and_comes_back() -> None:
    """By every slot proxy, those that are closed included, with the handshakes of the proxy."""
    outside: list[int] = []

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A proxy that allows tunnels, and answers within by itself.
        head = await read_head(reader)
        said = b"HTTP/1.1 200 Fine\r\n\r\n"
        writer.write(said)
        body = await reader.readexactly(50_000)
        writer.write(bytes(300_000))
        outside.append(len(head) + len(said) + len(body) + 300_000)
        writer.write_eof()
        await reader.read()

    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    async with listening(counting) as proxy:
        [upstream] = parse_proxies(f"http://somebody:hunter2@127.0.0.1:{proxy.port}").upstreams
        for _ in range(2):
            slot_proxy = await gateway.open("slot", upstream)
            async with calling(slot_proxy) as caller:
                assert b" 200 " in await caller.tunnel("site.example:443")
                caller.send(bytes(50_000))
                assert len(await caller.rest()) == 300_000
            await gateway.close_slot(slot_proxy)
    assert len(outside) == 2
    assert gateway.bytes_carried == sum(outside)
    await gateway.close()


async def test_what_is_requested_aside_is_not_the_visits(open_slot_proxy: OpenSlotProxy) -> None:
    """Neither its bytes nor its failures; a page that is visited once more may have as many bytes as the first."""
    params = GatewayParams(visit_bytes=100_000)
    slot_proxy = await open_slot_proxy(params=params)
    small, large = answering(ok(b"x" * 60_000)), answering(ok(b"x" * 110_000))
    async with listening(small) as origin, listening(large) as other:
        slot_proxy.begin(f"{origin.url}/", _at_once)
        assert (await fetch(slot_proxy, f"{origin.url}/")).endswith(b"x")
        of_page = slot_proxy.bytes_received
        with slot_proxy.aside():
            for _ in range(2):
                slot_proxy.begin_again()
                assert (await fetch(slot_proxy, f"{origin.url}/")).endswith(b"x")
            slot_proxy.begin_again()
            assert await _cut_off(slot_proxy, f"{other.url}/") < 110_000
            assert fault_of(slot_proxy, origin.url) is EgressFault.TOO_LARGE
        assert slot_proxy.failure(other.url) is None
        assert slot_proxy.shortfall(origin.url) is None
        assert slot_proxy.bytes_received == of_page
        assert await _cut_off(slot_proxy, f"{origin.url}/picture") < 60_000
        assert fault_of(slot_proxy, origin.url) is EgressFault.TOO_LARGE


async def _cut_off(slot_proxy: SlotProxy, url: str) -> int:
    """Return how many bytes came until the connection was cut."""
    async with calling(slot_proxy) as caller:
        caller.ask(url)
        return len(await caller.rest())


async def _at_once(_: str) -> bool:
    return True
