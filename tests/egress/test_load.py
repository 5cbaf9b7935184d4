"""Much at once: small requests over many connections, and a body larger than the memory it may take."""

import asyncio
import os

import psutil
import pytest

from farm.egress import SlotProxy

from .callers import Caller, calling
from .conftest import OpenSlotProxy
from .servers import answering, listening, ok, read_head

CONNECTIONS = 200
EACH = 50
GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20


async def ask_many(slot_proxy: SlotProxy, url: str) -> int:
    """Ask one after the other on one connection; return how many answers came whole."""
    whole = 0
    async with calling(slot_proxy) as caller:
        for _ in range(EACH):
            caller.ask(url)
            head = await caller.head()
            whole += head.startswith(b"HTTP/1.1 200") and await caller.body(1000) == b"x" * 1000
    return whole


@pytest.mark.slow
async def test_ten_thousand_requests_over_two_hundred_connections(open_slot_proxy: OpenSlotProxy) -> None:
    """All answered, each connection kept, nothing left."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering(ok(b"x" * 1000))) as origin:
        whole = await asyncio.gather(*(ask_many(slot_proxy, f"{origin.url}/") for _ in range(CONNECTIONS)))
        assert sum(whole) == CONNECTIONS * EACH
        assert origin.connections == CONNECTIONS
        assert slot_proxy.failure(origin.url) is None


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer by a gibibyte, or send one into a tunnel."""
    head = await read_head(reader)
    if head.startswith(b"GET "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIBIBYTE)
    chunk = bytes(MEBIBYTE)
    for _ in range(GIBIBYTE // MEBIBYTE):
        writer.write(chunk)
        await writer.drain()
    await reader.read()


async def swallow(caller: Caller) -> int:
    """Read a gibibyte; return how much the process grew at most meanwhile."""
    process = psutil.Process(os.getpid())
    before = most = process.memory_info().rss
    left, checked = GIBIBYTE, GIBIBYTE
    while left:
        data = await asyncio.wait_for(caller.reader.read(min(left, MEBIBYTE)), 20)
        assert data
        left -= len(data)
        if checked - left > 16 * MEBIBYTE:
            checked = left
            most = max(most, process.memory_info().rss)
    return most - before


@pytest.mark.slow
@pytest.mark.parametrize("tunnel", [False, True])
async def test_a_gibibyte_passes_in_flat_memory(open_slot_proxy: OpenSlotProxy, tunnel: bool) -> None:
    """No body is ever whole in memory."""
    slot_proxy = await open_slot_proxy()
    async with listening(pour) as origin, calling(slot_proxy) as caller:
        if tunnel:
            await caller.tunnel(f"127.0.0.1:{origin.port}")
            caller.send(b"now\r\n\r\n")
        else:
            caller.ask(f"{origin.url}/")
            assert (await caller.head()).startswith(b"HTTP/1.1 200")
        assert await swallow(caller) < 32 * MEBIBYTE
        assert slot_proxy.bytes_received >= GIBIBYTE
