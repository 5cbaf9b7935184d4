"""A node among fakes: what ends it, what it drains, which error it raises, and tasks that do not end."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from farm.model.crawl import Ledger, Stats
from farm.model.errors import (
    BrowserUnavailable,
    FarmError,
    FrontierRefused,
    FrontierUnavailable,
    OutputUnwritable,
)
from farm.model.event import Event, Skipped, StatsRead
from farm.runtime import node
from farm.runtime.control import Control, ExitReason
from farm.runtime.governor import Governor
from farm.runtime.node import Node, NodeParams
from farm.runtime.worker import Worker
from tests.clock import ManualClock
from tests.runtime.visit_fakes import FakeFrontier, Steps
from tests.turns import turns

DEADLINE_S = 20.0


async def swallowing(times: int, begun: asyncio.Event) -> None:
    """Lose so many cancellations, as a library may that was just about to return."""
    while True:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "CANCEL_S", 0.05)


async def started(times: int) -> asyncio.Task[None]:
    """Return a task that is well under way."""
    begun = asyncio.Event()
    task = asyncio.create_task(swallowing(times, begun), name=f"swallows {times}")
    await begun.wait()
    return task


async def test_a_task_that_loses_its_cancellation_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """Once is no reason to give it up; those that ended are left in peace."""
    tasks = [await started(0), await started(node.CANCEL_TRIES - 1)]
    await node._cancel(tasks)
    assert [task.cancelled() for task in tasks] == [True, True]
    assert caplog.records == []


async def test_a_task_that_never_ends_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    """A drain must end: the process takes it with it."""
    stuck = await started(node.CANCEL_TRIES)
    await node._cancel([stuck])
    assert not stuck.done()
    assert [record.getMessage() for record in caplog.records] == [
        f"swallows {node.CANCEL_TRIES} did not end when cancelled"
    ]
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


# -- a whole node


@dataclass
class FakeTask:
    """A worker or a governor: runs until the control ends, then until it may leave; `error` is raised at once."""

    control: Control
    error: Exception | None = None
    is_slow: bool = False
    started: bool = False
    ended: str = ""
    failing: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Work until there is an end."""
        self.started = True
        try:
            if self.error is not None:
                await self.failing.wait()
                raise self.error
            await self.control.ended()
            if self.is_slow:
                await asyncio.Event().wait()
            self.ended = "drained"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


class Farm:
    """A node with two workers, a governor and a frontier of its own."""

    def __init__(self, params: NodeParams | None = None) -> None:
        self.control = Control()
        self.steps = Steps()
        self.frontier = FakeFrontier(self.steps, [])
        self.workers = [FakeTask(self.control), FakeTask(self.control)]
        self.governor = FakeTask(self.control)
        self.events: list[Event] = []
        self.extended: list[str] = []
        self.companions: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.params = params or NodeParams()

    async def run(self) -> ExitReason:
        """Run the node to its end."""
        whole = Node(
            cast("Sequence[Worker]", self.workers),
            cast("Governor", self.governor),
            self.frontier,
            self.extended.append,
            lambda: {"robots": 3},
            self.control,
            self.events.append,
            ManualClock(),
            self.params,
            self.companions,
        )
        async with asyncio.timeout(DEADLINE_S):
            return await whole.run()

    @property
    def tasks(self) -> list[FakeTask]:
        """All that ran."""
        return [*self.workers, self.governor]


@pytest.mark.parametrize("reason", [ExitReason.FINISHED, ExitReason.SIGTERM])
async def test_a_node_drains_its_workers_and_says_why_it_ended(reason: ExitReason) -> None:
    """Workers end by themselves; what only attends them is cancelled."""
    farm = Farm()
    running = asyncio.create_task(farm.run())
    await turns(3)
    farm.control.end(reason)
    assert await running is reason
    assert [worker.ended for worker in farm.workers] == ["drained", "drained"]


async def test_a_drain_that_takes_too_long_cancels_what_is_left() -> None:
    """Those that ended in time are left in peace."""
    farm = Farm(NodeParams(drain_s=0.01))
    farm.workers[1].is_slow = True
    farm.control.end(ExitReason.SIGTERM)
    assert await farm.run() is ExitReason.SIGTERM
    assert [worker.ended for worker in farm.workers] == ["drained", "cancelled"]


@pytest.mark.parametrize(
    "error", [OutputUnwritable("full"), BrowserUnavailable("none"), AssertionError("a bug")]
)
async def test_a_failed_worker_ends_all_others_first(error: Exception) -> None:
    """Its error is raised when every other one has given its lease back."""
    farm = Farm()
    farm.workers[0].error = error
    farm.workers[0].failing.set()
    with pytest.raises(type(error)):
        await farm.run()
    assert [task.ended for task in farm.tasks] == ["", "cancelled", "cancelled"]


async def test_an_error_that_a_user_can_mend_comes_before_a_bug() -> None:
    """Whichever task failed first."""
    farm = Farm()
    farm.workers[0].error, farm.governor.error = AssertionError("a bug"), BrowserUnavailable("none")
    farm.workers[0].failing.set()
    farm.governor.failing.set()
    with pytest.raises(BrowserUnavailable):
        await farm.run()


@pytest.mark.parametrize("place", ["maintain", "stats"])
@pytest.mark.parametrize("error", [FrontierUnavailable("away"), FrontierRefused("deleted")])
async def test_a_failure_of_the_frontier_ends_the_node(place: str, error: FarmError) -> None:
    """Found by the tick, while all workers are busy with pages: they are cancelled, and none is left running."""
    farm = Farm()
    farm.steps.failures[place] = error
    with pytest.raises(type(error)):
        await farm.run()
    assert all(task.ended == "cancelled" for task in farm.tasks if task.started)


async def test_a_failure_during_the_drain_cuts_it_short() -> None:
    """Nobody waits out the drain of the others: what they would settle cannot be settled."""
    farm = Farm(NodeParams(drain_s=1000.0))
    farm.workers[1].is_slow = True
    farm.workers[0].error = FrontierUnavailable("away")
    running = asyncio.create_task(farm.run())
    await turns(3)
    farm.control.end(ExitReason.SIGTERM)
    await turns(3)
    assert not running.done()
    farm.workers[0].failing.set()
    with pytest.raises(FrontierUnavailable):
        await running
    assert farm.workers[1].ended == "cancelled"


async def test_a_companion_that_fails_ends_the_node_and_one_that_ends_does_not() -> None:
    """A feed ends when all is fed."""
    farm = Farm()
    fail = asyncio.Event()

    async def done() -> None:
        return

    async def failing() -> None:
        await fail.wait()
        raise FrontierUnavailable("away")

    farm.companions = [done, failing]
    running = asyncio.create_task(farm.run())
    await turns(5)
    assert not running.done()
    fail.set()
    with pytest.raises(FrontierUnavailable):
        await running


async def test_the_time_limit_ends_the_node() -> None:
    """As a drain, with a reason of its own."""
    farm = Farm(NodeParams(time_limit_s=0.0))
    assert await farm.run() is ExitReason.TIME_LIMIT
    assert [worker.ended for worker in farm.workers] == ["drained", "drained"]


@pytest.mark.parametrize(("rendered", "leased", "ends"), [(4, 0, False), (5, 1, False), (5, 0, True)])
async def test_a_node_that_stays_ends_at_the_limit_of_pages(rendered: int, leased: int, ends: bool) -> None:
    """What is added later would not be visited; a page under way may still fail, and leave room for another."""
    farm = Farm(NodeParams(limit=5))
    farm.control.staying = True
    farm.frontier.counted = Stats(Ledger(accepted=6, leased=leased), rendered=rendered)
    running = asyncio.create_task(farm.run())
    await turns(5)
    assert farm.control.ending is ends
    farm.control.end(ExitReason.STOPPED)
    assert await running is (ExitReason.LIMIT if ends else ExitReason.STOPPED)


async def test_a_cancelled_node_leaves_no_task_behind() -> None:
    """Its caller may be cancelled too."""
    farm = Farm()
    running = asyncio.create_task(farm.run())
    await turns(3)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert [task.ended for task in farm.tasks] == ["cancelled"] * 3


async def test_the_tick_tells_the_numbers_and_hears_of_a_wider_scope() -> None:
    """Every node does, so none is needed; what has moved wakes the workers."""
    farm = Farm()
    farm.frontier.moved, farm.frontier.sites = 2, ["b.example"]
    changes = farm.control.changes
    running = asyncio.create_task(farm.run())
    await turns(5)
    farm.control.end(ExitReason.FINISHED)
    await running
    assert [type(event) for event in farm.events] == [StatsRead, Skipped]
    assert farm.extended == ["b.example"]
    assert farm.control.changes > changes + 1


async def test_what_the_scope_has_already_is_not_told_to_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be as many as seeds, and nobody looks through all of them each second."""
    monkeypatch.setattr(node, "TICK_S", 0.0)
    farm = Farm()
    farm.frontier.sites = ["a.example", "b.example"]
    running = asyncio.create_task(farm.run())
    await turns(20)
    assert sorted(farm.extended) == ["a.example", "b.example"]
    assert farm.frontier.steps.made.count("stats") > 2
    farm.frontier.sites = ["a.example", "b.example", "c.example"]
    await turns(20)
    farm.control.end(ExitReason.FINISHED)
    await running
    assert sorted(farm.extended) == ["a.example", "b.example", "c.example"]


async def test_a_companion_that_fails_is_started_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a longer pause each time; it ends nothing."""
    pauses: list[float] = []

    async def pause(delay_s: float) -> None:
        pauses.append(delay_s)

    monkeypatch.setattr(asyncio, "sleep", pause)
    failing = [ValueError("not an address"), KeyError("x"), LookupError("gbk")]

    async def companion() -> None:
        if failing:
            raise failing.pop()

    await node._restarted(companion)
    assert pauses == [node.RESTART_S, 2 * node.RESTART_S, 4 * node.RESTART_S]
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        LookupError,
        KeyError,
        ValueError,
    ]


async def test_what_concerns_the_farm_passes() -> None:
    """A companion's FarmError ends the node, as anybody's."""

    async def companion() -> None:
        raise FrontierUnavailable("away")

    with pytest.raises(FrontierUnavailable):
        await node._restarted(companion)


async def test_a_companion_ends_with_its_node() -> None:
    """Also one that loses a cancellation."""
    begun = asyncio.Event()
    ended = asyncio.Event()

    async def companion() -> None:
        try:
            await swallowing(1, begun)
        finally:
            ended.set()

    keeping = asyncio.create_task(node._restarted(companion))
    await begun.wait()
    await node._cancel([keeping])
    assert keeping.cancelled()
    assert ended.is_set()
