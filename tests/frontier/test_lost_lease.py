"""A worker whose lease another one has taken, on a real frontier."""

import asyncio

from farm.frontier.frontier import RedisFrontier
from farm.model.crawl import Ledger
from farm.model.outcome import Ack
from farm.model.task import Lease
from farm.runtime.control import ExitReason
from tests.frontier.support import Bench, eventually
from tests.frontier.test_suspects import suspect
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


async def test_a_suspect_that_is_lost_holds_up_no_other_slot_of_its_node(
    bench: Bench, redis_url: str
) -> None:
    """Nothing is leased beside it; its own slot may be one that is not to work any more, and asks for nothing."""
    crowd = await Bench.open(bench.client, redis_url, name="crowd", shards=3)
    await suspect(crowd, "a/1")
    visiting = WorkerBench(stop_at="render", frontier=crowd.frontier)
    working = asyncio.create_task(visiting.worker.run())
    async with asyncio.timeout(DEADLINE_S):
        await visiting.steps.reached.wait()
    visiting.control.admit(0)
    crowd.clock.advance(31)
    others = RedisFrontier(crowd.client, crowd.crawl, own_time_ms=crowd.clock.read)
    await others.maintain()
    heir = await others.lease(crowd.wish("other/1"))
    assert isinstance(heir, Lease)
    keeper = crowd.keeper()
    assert await asyncio.to_thread(visiting.heartbeat.beat, keeper) == 1

    await eventually(lambda: visiting.route.released > 0)
    await crowd.add("b/1")
    assert isinstance(await crowd.frontier.lease(crowd.wish("node/02")), Lease)
    assert (await others.ack(heir, Ack()))[0] == "ok"
    working.cancel()
    await asyncio.wait([working])
    keeper.close()
