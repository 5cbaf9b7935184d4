"""A visit's documents wait at the gate for their turn; nothing else does."""

import asyncio
from dataclasses import dataclass, field

import pytest

from farm.model.egress import GateFault

from .callers import calling
from .conftest import OpenGate
from .servers import answering, echo, listening, ok

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


async def test_a_document_goes_out_when_its_turn_has_come(open_gate: OpenGate) -> None:
    """A subresource of the page before does not wait for it."""
    gate, door, heads = await open_gate(), Doorkeeper(), list[bytes]()
    async with (
        listening(answering(ok(b"hi"), heads)) as origin,
        calling(gate) as page,
        calling(gate) as other,
    ):
        gate.begin(f"{origin.url}/a", door.ask)
        page.ask(f"{origin.url}/a", DOCUMENT)
        await door.came.wait()
        other.ask(f"{origin.url}/picture")
        assert b" 200 " in await other.head()
        assert [head.split()[1] for head in heads] == [b"/picture"]
        door.opens.set()
        assert b" 200 " in await page.head()
        assert door.asked == [origin.url.removeprefix("http://")]


async def test_each_station_of_a_redirect_has_its_turn_and_frames_have_none(open_gate: OpenGate) -> None:
    """The answer that does not redirect is the last that is waited for."""
    gate, door = await open_gate(), Doorkeeper()
    door.opens.set()
    async with listening(answering(MOVED)) as moved, listening(answering(ok(b""))) as origin:
        async with calling(gate) as page:
            gate.begin(f"{moved.url}/", door.ask)
            page.ask(f"{moved.url}/", DOCUMENT)
            await page.head()
        async with calling(gate) as page:
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


async def test_a_visit_that_is_refused_sends_nothing(open_gate: OpenGate) -> None:
    """The browser sees a failure, the farm whose it is; the next visit has a turn of its own."""
    gate, door, heads = await open_gate(), Doorkeeper(says=False), list[bytes]()
    door.opens.set()
    async with listening(answering(ok(b"hi"), heads)) as origin:
        gate.begin(f"{origin.url}/", door.ask)
        for _ in range(2):
            async with calling(gate) as page:
                page.ask(f"{origin.url}/", DOCUMENT)
                assert await page.head() == b""
        failure = gate.failure(f"{origin.url}/")
        assert failure is not None
        assert failure.fault is GateFault.NOT_NOW
        assert (heads, len(door.asked)) == ([], 1)
        door.says = True
        gate.begin(f"{origin.url}/", door.ask)
        async with calling(gate) as page:
            page.ask(f"{origin.url}/", DOCUMENT)
            assert b" 200 " in await page.head()


async def test_a_new_tunnel_waits_for_the_turn_once(open_gate: OpenGate) -> None:
    """Those that the browser opens besides wait for the same; other hosts' tunnels do not."""
    gate, door = await open_gate(), Doorkeeper()
    async with listening(echo) as origin, listening(echo) as other:
        authority = f"127.0.0.1:{origin.port}"
        gate.begin(f"https://{authority}/", door.ask)
        async with calling(gate) as first, calling(gate) as second, calling(gate) as elsewhere:
            waiting = [asyncio.create_task(caller.tunnel(authority)) for caller in (first, second)]
            assert b" 200 " in await elsewhere.tunnel(f"127.0.0.1:{other.port}")
            await door.came.wait()
            assert not any(task.done() for task in waiting)
            door.opens.set()
            assert [b" 200 " in await task for task in waiting] == [True, True]
            assert door.asked == [authority]


@pytest.mark.parametrize("says", [True, False])
async def test_a_tunnel_of_an_earlier_visit_waits_anew(open_gate: OpenGate, says: bool) -> None:
    """With what the browser sends first; a refusal closes it."""
    gate, door = await open_gate(), Doorkeeper(says=says)
    async with listening(echo) as origin, calling(gate) as caller:
        authority = f"127.0.0.1:{origin.port}"
        url = f"https://{authority}/"
        gate.begin(url)
        await caller.tunnel(authority)
        caller.send(b"one")
        assert await caller.body(3) == b"one"
        gate.begin(url, door.ask)
        caller.send(b"two")
        await door.came.wait()
        assert gate.bytes_sent == 0
        door.opens.set()
        if says:
            assert await caller.body(3) == b"two"
            caller.send(b"three")
            assert await caller.body(5) == b"three"
        else:
            assert await caller.rest() == b""
            failure = gate.failure(url)
            assert failure is not None
            assert failure.fault is GateFault.NOT_NOW
        assert len(door.asked) == 1
