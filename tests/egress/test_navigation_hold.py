"""A visit's documents wait at the slot proxy for their turn; nothing else does."""

import asyncio
from dataclasses import dataclass, field

import pytest

from farm.model.egress import EgressFault
from tests.turns import turns

from .callers import calling, fault_of
from .conftest import OpenSlotProxy
from .servers import answering, echo, listening, ok, read_head

DOCUMENT = "Upgrade-Insecure-Requests: 1"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Doorkeeper:
    """Says yes or no, when it is told to."""

    opens: asyncio.Event = field(default_factory=asyncio.Event)
    says: bool = True
    asked: list[str] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, host: str) -> bool:
        """Wait for the test."""
        self.asked.append(host)
        self.came.set()
        await self.opens.wait()
        return self.says


async def test_a_document_goes_out_when_its_turn_has_come(open_slot_proxy: OpenSlotProxy) -> None:
    """A subresource of the page before does not wait for it."""
    slot_proxy, door, heads = await open_slot_proxy(), Doorkeeper(), list[bytes]()
    async with (
        listening(answering(ok(b"hi"), heads)) as origin,
        calling(slot_proxy) as page,
        calling(slot_proxy) as other,
    ):
        slot_proxy.begin(f"{origin.url}/a", door.ask)
        page.ask(f"{origin.url}/a", DOCUMENT)
        await door.came.wait()
        other.ask(f"{origin.url}/picture")
        assert b" 200 " in await other.head()
        assert [head.split()[1] for head in heads] == [b"/picture"]
        door.opens.set()
        assert b" 200 " in await page.head()
        assert door.asked == [origin.url.removeprefix("http://")]


async def test_each_hop_of_a_redirect_has_its_turn_and_frames_have_none(
    open_slot_proxy: OpenSlotProxy,
) -> None:
    """The answer that does not redirect is the last that is waited for."""
    slot_proxy, door = await open_slot_proxy(), Doorkeeper()
    door.opens.set()
    async with listening(answering(MOVED)) as moved, listening(answering(ok(b""))) as origin:
        async with calling(slot_proxy) as page:
            slot_proxy.begin(f"{moved.url}/", door.ask)
            page.ask(f"{moved.url}/", DOCUMENT)
            await page.head()
        async with calling(slot_proxy) as page:
            page.ask(f"{origin.url}/", DOCUMENT, "Sec-Fetch-Dest: iframe")
            await page.head()
            assert len(door.asked) == 1
            page.ask(f"{origin.url}/", DOCUMENT)
            await page.head()
            assert len(door.asked) == 2
            page.ask(f"{origin.url}/frame", DOCUMENT)
            await page.head()
            assert len(door.asked) == 2
            page.ask(f"{origin.url}/by-itself", DOCUMENT, "Sec-Fetch-Dest: document")
            await page.head()
            assert len(door.asked) == 3


async def test_a_visit_that_is_refused_sends_nothing(open_slot_proxy: OpenSlotProxy) -> None:
    """The browser sees a failure, the farm whose it is; the next visit has a turn of its own."""
    slot_proxy, door, heads = await open_slot_proxy(), Doorkeeper(says=False), list[bytes]()
    door.opens.set()
    async with listening(answering(ok(b"hi"), heads)) as origin:
        slot_proxy.begin(f"{origin.url}/", door.ask)
        for _ in range(2):
            async with calling(slot_proxy) as page:
                page.ask(f"{origin.url}/", DOCUMENT)
                assert await page.head() == b""
        assert fault_of(slot_proxy, f"{origin.url}/") is EgressFault.NOT_NOW
        assert (heads, len(door.asked)) == ([], 1)
        door.says = True
        slot_proxy.begin(f"{origin.url}/", door.ask)
        async with calling(slot_proxy) as page:
            page.ask(f"{origin.url}/", DOCUMENT)
            assert b" 200 " in await page.head()


async def test_a_new_tunnel_waits_for_the_turn_once(open_slot_proxy: OpenSlotProxy) -> None:
    """Those that the browser opens besides wait for the same; other hosts' tunnels do not."""
    slot_proxy, door = await open_slot_proxy(), Doorkeeper()
    async with listening(echo) as origin, listening(echo) as other:
        authority = f"127.0.0.1:{origin.port}"
        slot_proxy.begin(f"https://{authority}/", door.ask)
        async with (
            calling(slot_proxy) as first,
            calling(slot_proxy) as second,
            calling(slot_proxy) as elsewhere,
        ):
            waiting = [asyncio.create_task(caller.tunnel(authority)) for caller in (first, second)]
            assert b" 200 " in await elsewhere.tunnel(f"127.0.0.1:{other.port}")
            await door.came.wait()
            assert not any(task.done() for task in waiting)
            door.opens.set()
            assert [b" 200 " in await task for task in waiting] == [True, True]
            assert door.asked == [authority]


@pytest.mark.parametrize("says", [True, False])
async def test_a_tunnel_of_an_earlier_visit_waits_anew(open_slot_proxy: OpenSlotProxy, says: bool) -> None:
    """With what the browser sends first; a refusal closes it."""
    slot_proxy, door, arrived = await open_slot_proxy(), Doorkeeper(says=says), bytearray()

    async def recording_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            arrived.extend(data)
            writer.write(data)
        writer.close()

    async with listening(recording_echo) as origin, calling(slot_proxy) as caller:
        authority = f"127.0.0.1:{origin.port}"
        url = f"https://{authority}/"
        slot_proxy.begin(url)
        await caller.tunnel(authority)
        caller.send(b"one")
        assert await caller.body(3) == b"one"
        slot_proxy.begin(url, door.ask)
        caller.send(b"two")
        await door.came.wait()
        assert (bytes(arrived), slot_proxy.bytes_received) == (b"one", 0)
        door.opens.set()
        if says:
            assert await caller.body(3) == b"two"
            caller.send(b"three")
            assert await caller.body(5) == b"three"
        else:
            assert await caller.rest() == b""
            assert fault_of(slot_proxy, url) is EgressFault.NOT_NOW
            assert arrived == b"one"
        assert len(door.asked) == 1


async def test_a_page_that_is_visited_once_more_waits_once_more(open_slot_proxy: OpenSlotProxy) -> None:
    """Both in plain HTTP and through a tunnel that is open already."""
    slot_proxy, door = await open_slot_proxy(), Doorkeeper()
    door.opens.set()
    slot_proxy.begin_again()
    async with listening(answering(ok(b"hi"))) as origin, calling(slot_proxy) as page:
        slot_proxy.begin(f"{origin.url}/", door.ask)
        for times in (1, 1, 2):
            if times == 2:
                slot_proxy.begin_again()
            page.ask(f"{origin.url}/", DOCUMENT)
            await page.head()
            assert len(door.asked) == times
    async with listening(echo) as origin, calling(slot_proxy) as caller:
        authority = f"127.0.0.1:{origin.port}"
        slot_proxy.begin(f"https://{authority}/", door.ask)
        await caller.tunnel(authority)
        for times in (3, 4):
            if times == 4:
                slot_proxy.begin_again()
            caller.send(b"one")
            assert await caller.body(3) == b"one"
            assert len(door.asked) == times


async def test_a_visit_that_is_put_off_aside_is_told(open_slot_proxy: OpenSlotProxy) -> None:
    """The page that was visited before is none of that."""
    slot_proxy, door, told = await open_slot_proxy(), Doorkeeper(), list[bool]()
    async with listening(answering(ok(b"hi"))) as origin:
        slot_proxy.begin(f"{origin.url}/", door.ask)
        async with calling(slot_proxy) as page:
            page.ask(f"{origin.url}/", DOCUMENT)
            await door.came.wait()
            door.opens.set()
            assert b" 200 " in await page.head()
        told += [slot_proxy.is_put_off]
        waited_s, door.says = slot_proxy.waited_s, False
        assert waited_s > 0
        with slot_proxy.aside():
            slot_proxy.begin_again()
            async with calling(slot_proxy) as page:
                page.ask(f"{origin.url}/", DOCUMENT)
                assert await page.rest() == b""
            told += [slot_proxy.is_put_off]
        told += [slot_proxy.is_put_off]
        assert slot_proxy.failure(origin.url) is None
        assert slot_proxy.waited_s == waited_s
    assert told == [False, True, False]


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_a_site_that_does_not_wait_for_the_turn_is_connected_to_again(
    open_slot_proxy: OpenSlotProxy, says: bytes
) -> None:
    """It closes a connection by which nothing comes: that is no failure, and what it says then no answer."""
    slot_proxy, door, closed = await open_slot_proxy(), Doorkeeper(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not door.opens.is_set():
            await door.came.wait()
            writer.write(says)
            writer.close()
            await writer.wait_closed()
            closed.set()
            return
        while await read_head(reader):
            writer.write(ok(b"hi"))

    for is_tunnel in (False, True):
        door.opens.clear()
        door.came.clear()
        closed.clear()
        async with listening(talk) as origin, calling(slot_proxy) as page:
            authority = f"127.0.0.1:{origin.port}"
            slot_proxy.begin(f"{'https' if is_tunnel else 'http'}://{authority}/", door.ask)
            if is_tunnel:
                page.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            else:
                page.ask(f"http://{authority}/", DOCUMENT)
            await closed.wait()
            await turns(20)
            door.opens.set()
            if is_tunnel:
                assert b" 200 " in await page.head()
                page.send(b"GET / HTTP/1.1\r\n\r\n")
            assert (await page.head()).startswith(b"HTTP/1.1 200 ")
            assert await page.body(2) == b"hi"
            assert slot_proxy.failure(f"http://{authority}/") is None
            assert origin.connections == 2
