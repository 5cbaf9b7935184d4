"""What one visit may bring in."""

import asyncio

import pytest

from farm.egress import GatewayParams
from farm.model.egress import GateFault

from .callers import calling, fetch
from .conftest import OpenGate
from .servers import answering, listening, ok, read_head


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send without end, by HTTP or in a tunnel."""
    if (await read_head(reader)).startswith(b"GET "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


@pytest.mark.parametrize("tunnel", [False, True])
async def test_a_visit_that_brings_too_much_is_cut_off(open_gate: OpenGate, tunnel: bool) -> None:
    """All of its connections; what it asks for afterwards is not even tried; the next visit is free of it."""
    params = GatewayParams(visit_bytes=1_000_000)
    gate = await open_gate(params=params)
    async with listening(flood) as endless, listening(answering(ok(b"small"))) as origin:
        gate.begin()
        async with calling(gate) as caller:
            if tunnel:
                assert b" 200 " in await caller.tunnel(f"127.0.0.1:{endless.port}")
                caller.send(b"now\r\n\r\n")
            else:
                caller.ask(f"{endless.url}/")
            await caller.rest()
        failure = gate.failure(origin.url)
        assert failure is not None
        assert failure.fault is GateFault.TOO_LARGE
        assert gate.bytes_received < 3_000_000
        assert gate.connections == 0
        async with calling(gate) as caller:
            caller.ask(f"{origin.url}/")
            assert await caller.rest() == b""
        assert origin.connections == 0
        gate.begin()
        assert (await fetch(gate, f"{origin.url}/")).endswith(b"small")
        assert gate.failure(origin.url) is None
