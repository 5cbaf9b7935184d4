"""Plain HTTP that fails: never a page, and the slot proxy knows why."""

import asyncio

import pytest

from farm.egress import GatewayParams
from farm.model.egress import EgressFailure, EgressFault

from .callers import calling, fault_of, fetch
from .conftest import OpenSlotProxy
from .servers import answering, answering_once, closing, listening, ok, read_head, silent


async def test_an_origin_that_closes_without_an_answer_is_noted(open_slot_proxy: OpenSlotProxy) -> None:
    """The browser gets no answer either, and the slot proxy knows why."""
    slot_proxy = await open_slot_proxy()
    async with listening(closing) as origin:
        assert await fetch(slot_proxy, f"{origin.url}/") == b""
        failure = slot_proxy.failure(f"{origin.url}/else")
    assert failure == EgressFailure(EgressFault.CONNECT, "closed without an answer")


async def test_a_later_success_clears_the_failure(open_slot_proxy: OpenSlotProxy) -> None:
    """Only the last attempt counts."""
    slot_proxy = await open_slot_proxy()
    answers = [closing, answering(ok(b"x"))]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(reader, writer)

    async with listening(talk) as origin:
        await fetch(slot_proxy, f"{origin.url}/")
        assert slot_proxy.failure(origin.url) is not None
        await fetch(slot_proxy, f"{origin.url}/")
        assert slot_proxy.failure(origin.url) is None


async def test_a_new_visit_has_no_failures(open_slot_proxy: OpenSlotProxy) -> None:
    """`begin` forgets, and what was under way before notes its end in the old visit."""
    slot_proxy = await open_slot_proxy()
    come, go = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        come.set()
        await go.wait()

    async with listening(talk) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/")
        await come.wait()
        slot_proxy.begin()
        go.set()
        assert await caller.rest() == b""
        assert slot_proxy.failure(origin.url) is None


async def test_a_silent_origin_is_a_timeout(open_slot_proxy: OpenSlotProxy) -> None:
    """No answer within the limit: closed, and noted as such."""
    slot_proxy = await open_slot_proxy(params=GatewayParams(response_s=0.05))
    async with listening(silent) as origin:
        assert await fetch(slot_proxy, f"{origin.url}/") == b""
        assert fault_of(slot_proxy, origin.url) is EgressFault.TIMEOUT


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ],
)
async def test_a_body_that_is_cut_short_stays_cut_short(
    open_slot_proxy: OpenSlotProxy, answer: bytes
) -> None:
    """The browser must see that the body is not whole; the slot proxy notes it."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering_once(answer)) as origin, calling(slot_proxy) as caller:
        caller.ask(f"{origin.url}/")
        assert (await caller.head()).startswith(b"HTTP/1.1 200")
        rest = await caller.rest()
        assert b"abc" in rest
        assert not rest.endswith(b"0\r\n\r\n")
        assert slot_proxy.failure(origin.url) == EgressFailure(EgressFault.CONNECT, "closed within an answer")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 600_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ],
)
async def test_what_is_not_http_is_no_page(open_slot_proxy: OpenSlotProxy, answer: bytes) -> None:
    """Another protocol, a head without end, two lengths: closed and noted."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering_once(answer)) as origin:
        assert await fetch(slot_proxy, f"{origin.url}/") == b""
        assert fault_of(slot_proxy, origin.url) is EgressFault.CONNECT


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
        b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX: " + b"x" * 600_000,
    ],
)
async def test_what_no_browser_asks_of_a_proxy_gets_no_answer(
    open_slot_proxy: OpenSlotProxy, request_bytes: bytes
) -> None:
    """Origin form, foreign schemes, noise and endless heads: the connection is closed."""
    slot_proxy = await open_slot_proxy()
    async with calling(slot_proxy) as caller:
        caller.send(request_bytes)
        assert await caller.rest() == b""
