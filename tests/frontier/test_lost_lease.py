"""A worker whose lease another one has taken, on a real frontier."""

import asyncio

from farm.model.crawl import Ledger
from farm.runtime.control import ExitReason
from tests.frontier.support import Bench
from tests.runtime.visit_fakes import DEADLINE_S
from tests.runtime.visit_fakes import Bench as WorkerBench


async def test_a_url_whose_worker_stood_still_is_done_once(bench: Bench) -> None:
    """The process was stopped for longer than a lease lives: it hears of the loss and ends the visit."""
    await bench.add("a/1")
    visiting = WorkerBench(stop_at="render", frontier=bench.frontier)
    working = asyncio.create_task(visiting.worker.run())
    async with asyncio.timeout(DEADLINE_S):
        await visiting.steps.reached.wait()
    bench.clock.advance(30)
    assert await bench.frontier.maintain() == 1
    heir = await bench.lease("heir")
    keeper = bench.keeper()
    assert await asyncio.to_thread(visiting.heartbeat.beat, keeper) == 1
    await bench.done(heir)
    async with asyncio.timeout(DEADLINE_S):
        await working
    assert visiting.control.reason is ExitReason.FINISHED
    assert visiting.records == []
    assert await bench.ledger() == Ledger(accepted=1, done=1)
    keeper.close()


async def test_a_worker_that_is_cancelled_returns_its_url(bench: Bench) -> None:
    """In the middle of the page, without an attempt being consumed."""
    await bench.add("a/1")
    visiting = WorkerBench(stop_at="render", frontier=bench.frontier)
    working = asyncio.create_task(visiting.worker.run())
    async with asyncio.timeout(DEADLINE_S):
        await visiting.steps.reached.wait()
    working.cancel()
    await asyncio.wait([working])
    assert await bench.ledger() == Ledger(accepted=1, queued=1)
    assert (await bench.lease("heir")).attempt == 1
