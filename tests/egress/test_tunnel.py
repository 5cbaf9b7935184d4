"""CONNECT, direct."""

import asyncio

from farm.egress import GatewayParams
from farm.model.egress import EgressFault
from fixtures.ports import free_port

from .callers import calling, fault_of
from .conftest import OpenSlotProxy
from .servers import closing, echo, listening, read_head, silent


async def test_a_tunnel_carries_bytes_both_ways(open_slot_proxy: OpenSlotProxy) -> None:
    """Whatever the bytes are, to the end of each direction."""
    slot_proxy = await open_slot_proxy()
    async with listening(echo) as origin, calling(slot_proxy) as caller:
        assert b" 200 " in await caller.tunnel(f"127.0.0.1:{origin.port}")
        caller.send(b"\x00\xffping")
        assert await caller.body(6) == b"\x00\xffping"
        caller.send(b"last")
        caller.writer.write_eof()
        assert await caller.rest() == b"last"
        assert slot_proxy.bytes_received == 10


async def test_bytes_sent_before_the_answer_are_not_lost(open_slot_proxy: OpenSlotProxy) -> None:
    """A client that does not wait for the 200 loses nothing."""
    slot_proxy = await open_slot_proxy()
    async with listening(echo) as origin, calling(slot_proxy) as caller:
        caller.send(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1\r\nHost: a\r\n\r\nearly".encode())
        assert b" 200 " in await caller.head()
        assert await caller.body(5) == b"early"


async def test_a_megabyte_each_way_arrives_whole(open_slot_proxy: OpenSlotProxy) -> None:
    """Back-pressure in both directions loses and reorders nothing."""
    slot_proxy = await open_slot_proxy(params=GatewayParams(buffer_bytes=16 * 1024))
    blob = bytes(range(256)) * 32768
    async with listening(echo) as origin, calling(slot_proxy) as caller:
        await caller.tunnel(f"127.0.0.1:{origin.port}")
        caller.send(blob)
        assert await caller.body(len(blob)) == blob


async def test_a_slow_reader_slows_the_tunnel(open_slot_proxy: OpenSlotProxy) -> None:
    """What the browser does not read is not fetched from outside."""
    slot_proxy = await open_slot_proxy(params=GatewayParams(buffer_bytes=64 * 1024))
    stuck = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not stuck.is_set():
            writer.write(bytes(65536))
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                stuck.set()
        writer.write(b"end")
        writer.write_eof()
        await reader.read()

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        await caller.tunnel(f"127.0.0.1:{origin.port}")
        await asyncio.wait_for(stuck.wait(), 10)
        assert slot_proxy.bytes_received < 32 * 1024 * 1024
        assert (await caller.rest()).endswith(b"\x00end")


async def test_a_closed_port_is_told_by_a_502(open_slot_proxy: OpenSlotProxy) -> None:
    """Browsers show their own error for it; the slot proxy knows that it was the connection."""
    slot_proxy = await open_slot_proxy()
    gone = free_port()
    async with calling(slot_proxy) as caller:
        assert b" 502 " in await caller.tunnel(f"127.0.0.1:{gone}")
        assert await caller.rest() == b""
    assert fault_of(slot_proxy, f"https://127.0.0.1:{gone}/") is EgressFault.CONNECT


async def test_a_tunnel_closed_without_a_byte_is_noted(open_slot_proxy: OpenSlotProxy) -> None:
    """The site hung up on what the browser said."""
    slot_proxy = await open_slot_proxy()
    async with listening(closing) as origin, calling(slot_proxy) as caller:
        await caller.tunnel(f"127.0.0.1:{origin.port}")
        caller.send(b"hello\r\n\r\n")
        assert await caller.rest() == b""
        assert fault_of(slot_proxy, f"https://127.0.0.1:{origin.port}/") is EgressFault.CONNECT


async def test_a_tunnel_that_was_never_used_is_no_failure(open_slot_proxy: OpenSlotProxy) -> None:
    """Browsers open connections ahead of need and drop them."""
    slot_proxy = await open_slot_proxy()
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    async with listening(talk) as origin:
        async with calling(slot_proxy) as caller:
            await caller.tunnel(f"127.0.0.1:{origin.port}")
        await asyncio.wait_for(gone.wait(), 5)
        assert slot_proxy.failure(f"https://127.0.0.1:{origin.port}/") is None


async def test_a_silent_tunnel_ends(open_slot_proxy: OpenSlotProxy) -> None:
    """Nothing moves for the limit: closed, and a timeout if the site had been asked something."""
    slot_proxy = await open_slot_proxy(params=GatewayParams(idle_s=0.05))
    async with listening(silent) as origin, calling(slot_proxy) as caller:
        await caller.tunnel(f"127.0.0.1:{origin.port}")
        caller.send(b"hello?")
        assert await caller.rest() == b""
        assert fault_of(slot_proxy, f"https://127.0.0.1:{origin.port}/") is EgressFault.TIMEOUT


async def test_a_browser_that_breaks_off_ends_the_tunnel(open_slot_proxy: OpenSlotProxy) -> None:
    """The other side hears of it at once."""
    slot_proxy = await open_slot_proxy()
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_head(reader)
        finally:
            gone.set()

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        await caller.tunnel(f"127.0.0.1:{origin.port}")
        caller.cut()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_reset_reaches_the_browser_and_the_slot_proxy(open_slot_proxy: OpenSlotProxy) -> None:
    """A connection that breaks outside breaks inside."""
    slot_proxy = await open_slot_proxy()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"some")
        await reader.readexactly(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER 0: close by a reset
        writer.transport.abort()

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        await caller.tunnel(f"127.0.0.1:{origin.port}")
        assert await caller.body(4) == b"some"
        caller.send(b"xx")
        assert await caller.rest() == b""
        assert fault_of(slot_proxy, f"https://127.0.0.1:{origin.port}/") is EgressFault.CONNECT
