"""Plain HTTP in absolute form, direct."""

import asyncio

import pytest

from farm.egress import GatewayParams
from farm.runtime.ports import SlotEgress

from .callers import calling, fetch
from .conftest import OpenSlotProxy
from .servers import answering, answering_once, listening, ok, read_head, silent


async def test_a_page_comes_through(open_slot_proxy: OpenSlotProxy) -> None:
    """Request in absolute form, answer as the origin gave it; the port's type is what the loop expects."""
    slot_proxy: SlotEgress = await open_slot_proxy()
    heads: list[bytes] = []
    async with listening(answering(ok(b"hello", b"X-One: 1"), heads)) as origin:
        answer = await fetch(slot_proxy, f"{origin.url}/a?b=c", "Accept: */*")  # type: ignore[arg-type]
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"X-One: 1" in answer
    assert answer.endswith(b"\r\n\r\nhello")
    assert heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert slot_proxy.failure(origin.url) is None
    assert slot_proxy.proxy_url.startswith("http://127.0.0.1:")


async def test_the_origin_sees_the_browser_and_no_proxy(open_slot_proxy: OpenSlotProxy) -> None:
    """Hop-by-hop and Proxy-* headers end here; nothing is added; what stays keeps its order and case."""
    slot_proxy = await open_slot_proxy()
    heads: list[bytes] = []
    async with listening(answering(ok(b""), heads)) as origin:
        await fetch(
            slot_proxy,
            f"{origin.url}/",
            "uSeR-aGeNt: me",
            "Proxy-Authorization: Basic c2VjcmV0",
            "Connection: keep-alive, X-Hop",
            "X-Hop: 1",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "Upgrade: h2c",
            "Cookie: a=b",
        )
    assert heads[0] == (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\nuSeR-aGeNt: me\r\nCookie: a=b\r\n\r\n".encode()
    )


async def test_the_host_header_is_the_targets(open_slot_proxy: OpenSlotProxy) -> None:
    """A request cannot name one host to the guard and another one to the origin."""
    slot_proxy = await open_slot_proxy()
    heads: list[bytes] = []
    async with listening(answering(ok(b""), heads)) as origin, calling(slot_proxy) as caller:
        caller.send(f"GET {origin.url}/ HTTP/1.1\r\nHost: other.example\r\n\r\n".encode())
        assert await caller.head()
    assert b"other.example" not in heads[0]


async def test_connections_are_kept_on_both_sides(open_slot_proxy: OpenSlotProxy) -> None:
    """Three requests, one connection of the browser, one outside."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering(ok(b"x"))) as origin, calling(slot_proxy) as caller:
        for _ in range(3):
            caller.ask(f"{origin.url}/")
            assert (await caller.head()).startswith(b"HTTP/1.1 200")
            assert await caller.body(1) == b"x"
        assert origin.connections == 1


async def test_one_connection_of_the_browser_serves_two_origins(open_slot_proxy: OpenSlotProxy) -> None:
    """Another authority gets another connection outside."""
    slot_proxy = await open_slot_proxy()
    async with (
        listening(answering(ok(b"1"))) as one,
        listening(answering(ok(b"2"))) as two,
        calling(slot_proxy) as caller,
    ):
        for origin, body in ((one, b"1"), (two, b"2"), (one, b"1")):
            caller.ask(f"{origin.url}/")
            await caller.head()
            assert await caller.body(1) == body
        assert (one.connections, two.connections) == (2, 1)


async def test_an_origin_that_closes_an_idle_connection_closes_the_browsers(
    open_slot_proxy: OpenSlotProxy,
) -> None:
    """The browser learns of it as if it were connected itself, and asks again on a new connection."""
    slot_proxy = await open_slot_proxy()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(ok(b"x"))
        await writer.drain()

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/")
        assert (await caller.head()).startswith(b"HTTP/1.1 200")
        assert await caller.rest() == b"x"
        assert slot_proxy.failure(origin.url) is None


async def test_connection_close_of_the_origin_costs_only_its_side(open_slot_proxy: OpenSlotProxy) -> None:
    """`Connection: close` is this hop's affair; the browser's connection goes on."""
    slot_proxy = await open_slot_proxy()
    async with (
        listening(answering_once(ok(b"x", b"Connection: close"))) as origin,
        calling(slot_proxy) as caller,
    ):
        for _ in range(2):
            caller.ask(f"{origin.url}/")
            assert b"onnection" not in await caller.head()
            assert await caller.body(1) == b"x"
        assert origin.connections == 2


CHUNKED_ABC = b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
async def test_the_end_of_a_connection_can_be_the_end_of_a_body(
    open_slot_proxy: OpenSlotProxy, head: bytes
) -> None:
    """The browser's connection goes on all the same."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering_once(head + b"abc")) as origin, calling(slot_proxy) as caller:
        for _ in range(2):
            caller.ask(f"{origin.url}/")
            assert (await caller.head()).startswith(b"HTTP/1.1 200")
            assert await caller.body(len(CHUNKED_ABC)) == CHUNKED_ABC


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED_ABC, CHUNKED_ABC),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_every_framing_ends_where_it_says(
    open_slot_proxy: OpenSlotProxy, answer: bytes, body: bytes
) -> None:
    """Nothing of one answer is left over for the next one on the same connections."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering(answer)) as origin, calling(slot_proxy) as caller:
        for _ in range(2):
            caller.ask(f"{origin.url}/")
            head = await caller.head()
            assert head.startswith(answer[:12])
            if b" 103 " in head:
                assert (await caller.head()).startswith(b"HTTP/1.1 204")
            assert await caller.body(len(body)) == body
        assert origin.connections == 1


async def test_a_head_request_has_no_body(open_slot_proxy: OpenSlotProxy) -> None:
    """The length that a HEAD names is not waited for."""
    slot_proxy = await open_slot_proxy()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with listening(answering(answer)) as origin, calling(slot_proxy) as caller:
        for _ in range(2):
            caller.ask(f"{origin.url}/", method="HEAD")
            assert b"Content-Length: 1000" in await caller.head()


async def test_a_form_is_uploaded(open_slot_proxy: OpenSlotProxy) -> None:
    """Bodies go out, of known length and in chunks; a wait for `100 Continue` is the origin's to end."""
    slot_proxy = await open_slot_proxy()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if b"chunked" in head:
                body = await reader.readuntil(b"0\r\n\r\n")
            else:
                body = await reader.readexactly(5)
            writer.write(ok(body))

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/", "Content-Length: 5", method="POST")
        caller.send(b"hello")
        await caller.head()
        assert await caller.body(5) == b"hello"
        caller.ask(f"{origin.url}/", "Transfer-Encoding: chunked", method="POST")
        caller.send(b"5\r\nhello\r\n0\r\n\r\n")
        await caller.head()
        assert await caller.body(15) == b"5\r\nhello\r\n0\r\n\r\n"
        caller.ask(f"{origin.url}/", "Content-Length: 5", "Expect: 100-continue", method="POST")
        assert (await caller.head()).startswith(b"HTTP/1.1 100")
        caller.send(b"hello")
        await caller.head()
        assert await caller.body(5) == b"hello"


async def test_an_answer_before_the_end_of_the_upload_is_delivered(open_slot_proxy: OpenSlotProxy) -> None:
    """A site that refuses a large upload is heard, although the upload never ends."""
    slot_proxy = await open_slot_proxy()
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await asyncio.Event().wait()

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/", "Content-Length: 100000000", method="POST")
        caller.send(b"x" * 1_000_000)
        assert (await caller.head()).startswith(b"HTTP/1.1 413")
        assert await caller.body(2) == b"no"


async def test_bytes_are_counted_per_visit(open_slot_proxy: OpenSlotProxy) -> None:
    """What came from outside since `begin`."""
    slot_proxy = await open_slot_proxy()
    answer = ok(b"x" * 1000)
    async with listening(answering(answer)) as origin:
        await fetch(slot_proxy, f"{origin.url}/")
        assert slot_proxy.bytes_received == len(answer)
        slot_proxy.begin()
        assert slot_proxy.bytes_received == 0
        await fetch(slot_proxy, f"{origin.url}/")
        assert slot_proxy.bytes_received == len(answer)


async def test_a_tunnel_after_a_request_gives_the_first_connection_up(open_slot_proxy: OpenSlotProxy) -> None:
    """A session has one connection outside at a time."""
    slot_proxy = await open_slot_proxy()
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(ok(b""))
        try:
            await reader.read()
        finally:
            gone.set()

    async with listening(talk) as first, listening(silent) as second, calling(slot_proxy) as caller:
        caller.ask(f"{first.url}/")
        await caller.head()
        assert b" 200 " in await caller.tunnel(f"127.0.0.1:{second.port}")
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_browser_that_leaves_ends_the_request_outside(open_slot_proxy: OpenSlotProxy) -> None:
    """A navigation that is given up does not go on behind the browser's back."""
    slot_proxy = await open_slot_proxy()
    come, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        come.set()
        try:
            await reader.read()
        finally:
            gone.set()

    async with listening(talk) as origin:
        async with calling(slot_proxy) as caller:
            caller.ask(f"{origin.url}/")
            await come.wait()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_slow_browser_slows_the_origin(open_slot_proxy: OpenSlotProxy) -> None:
    """Back-pressure: what is not read is not fetched."""
    slot_proxy = await open_slot_proxy(params=GatewayParams(buffer_bytes=64 * 1024))
    size = 64 * 1024 * 1024
    stuck = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(bytes(65536))
            try:
                await asyncio.wait_for(writer.drain(), 0.3)
            except TimeoutError:
                stuck.set()
                await writer.drain()
        await reader.read()

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/")
        await asyncio.wait_for(stuck.wait(), 10)
        assert slot_proxy.bytes_received < 32 * 1024 * 1024
        await caller.head()
        left = size
        while left:
            left -= len(await asyncio.wait_for(caller.reader.read(left), 10))
        assert slot_proxy.bytes_received > size
