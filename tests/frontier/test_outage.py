"""An outage of Redis is reported once, if it is one, and so is its end."""

import asyncio
import signal

from farm.frontier.client import Outage
from farm.frontier.connect import connect
from farm.model.event import RedisAway, RedisBack
from tests.frontier.servers import Server


class ByHand:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now


def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    """However many calls fail in it; it began when the first of them was made."""
    clock, told = ByHand(), list[RedisAway | RedisBack]()
    outage = Outage("redis://here", clock)
    outage.tell = told.append
    for clock.now in (100.5, 101.5, 102.5):
        outage.failed(100.0, "refused")
    assert told == [
        RedisAway(101.5, 100.0, "Redis at redis://here is away (refused); leasing is paused until it is back")
    ]
    clock.now = 112.0
    outage.answered()
    outage.answered()
    assert told[1:] == [RedisBack(112.0, "Redis is back after 12 s; leasing goes on")]


def test_a_dropped_connection_is_no_outage() -> None:
    """The next call is answered: nobody needs to hear of it."""
    clock, told = ByHand(), list[RedisAway | RedisBack]()
    outage = Outage("redis://here", clock)
    outage.tell = told.append
    for clock.now in (100.0, 200.0, 300.0):
        outage.failed(clock.now, "closed by the server")
        outage.answered()
    assert told == []


async def test_a_call_that_waits_an_outage_out_tells_of_it(server: Server) -> None:
    """A real server that is killed under a client, and started again."""
    client = await connect(server.url, patience_s=120)
    away, back = asyncio.Event(), asyncio.Event()
    texts: list[str] = []

    def hear(event: RedisAway | RedisBack) -> None:
        texts.append(event.text)
        (away if isinstance(event, RedisAway) else back).set()

    client.outage.tell = hear
    await server.end(signal.SIGKILL)
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        for _ in range(5):
            group.create_task(client.command("PING"))
        await away.wait()
        await server.start()
        await back.wait()
    await client.close()
    assert [text.partition(" (")[0].partition(" after")[0] for text in texts] == [
        f"Redis at {client.place} is away",
        "Redis is back",
    ]
