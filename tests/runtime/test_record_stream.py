"""The reader's pace: slots are held back while records wait."""

import asyncio

from farm.model.handling import DeadPage
from farm.model.outcome import SkipReason
from farm.model.record import Batch, Record, Skip
from farm.runtime.control import Control, ExitReason
from farm.runtime.record_stream import RecordStream
from tests.runtime.visit_fakes import Bench, lease


def batch(*names: str) -> Batch:
    """Return a batch of records."""
    return Batch(tuple(Record(name, f"http://a.example/{name}", {"id": name}) for name in names))


class Committed:
    """A sink that keeps nothing."""

    skipped = {"robots": 1}  # noqa: RUF012

    async def commit(self, batch: Batch) -> None:
        """Return at once."""


async def test_slots_are_held_while_as_many_wait_as_may() -> None:
    """And go on as soon as one is read; what waits at the end is read too."""
    stream, control = RecordStream(2), Control()
    sink = stream.tap(Committed(), control)
    await sink.commit(batch("a"))
    held = [control.held]
    await sink.commit(batch("b"))
    held.append(control.held)
    changes = control.changes
    assert await stream.next() == {"id": "a"}
    held.append(control.held)
    assert control.changes == changes + 1
    await sink.commit(batch("c"))
    stream.close()
    assert [*held, control.held] == [False, True, False, False]
    await sink.commit(batch("d"))
    stream.put_dead(DeadPage("http://a.example/", "tls", "", 1))
    assert [await stream.next() for _ in range(3)] == [{"id": "b"}, {"id": "c"}, None]
    assert sink.skipped == {"robots": 1}


async def test_of_skips_only_those_of_seeds_are_told() -> None:
    """A page may have thousands of links that are skipped."""
    stream = RecordStream(2)
    skips = [Skip(f"http://a.example/{depth}", SkipReason.ROBOTS, None, depth) for depth in (0, 1)]
    stream.put(Batch(skips=skips))
    stream.close()
    assert [await stream.next(), await stream.next()] == [skips[0], None]


async def test_a_reader_waits_until_something_comes() -> None:
    """Or until nothing can come any more."""
    stream = RecordStream(2)
    reading = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    stream.put(batch("a"))
    async with asyncio.timeout(20):
        assert await reading == {"id": "a"}
        reading = asyncio.create_task(stream.next())
        await asyncio.sleep(0)
        stream.close()
        assert await reading is None


async def test_a_worker_that_is_held_leases_nothing() -> None:
    """Neither by itself nor with a settlement; the end of the run reaches it."""
    bench, acks = Bench(lease("1"), lease("2")), asyncio.Semaphore(0)
    bench.steps.hooks = {"commit": lambda: bench.control.hold(on=True), "ack": acks.release}
    running = asyncio.create_task(bench.worker.run())
    async with asyncio.timeout(20):
        await acks.acquire()
        for _ in range(20):
            await asyncio.sleep(0)
        assert [one for one, _ in bench.frontier.settled] == ["1"]
        assert bench.steps.made.count("lease") == 1
        bench.control.hold(on=False)
        await acks.acquire()
        bench.control.end(ExitReason.STOPPED)
        await running
