"""The governor: it decides on readings, acts, and tells what its measures freed and what else runs short."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from farm.model.event import AdmissionSet, Event, MemoryRead, Notice, Reclaimed
from farm.model.memory import MIB, Measure, MemoryReading, ReclaimAction, RendererUse
from farm.runtime.control import Control
from farm.runtime.governor import Governor, GovernorParams, ReclaimTracker, ResourceWatch
from tests.clock import ManualClock


@dataclass
class FakeSlotPool:
    """Slots that do not exist."""

    open: int = 4
    actions: list[ReclaimAction] = field(default_factory=list)
    has_spare_memory: bool = True

    def open_slots(self) -> int:
        """Return how many it pretends to have."""
        return self.open

    def note(self, reading: MemoryReading, *, has_spare_memory: bool) -> None:
        """Remember the last word on room."""
        self.has_spare_memory = has_spare_memory

    def reclaim(self, action: ReclaimAction) -> None:
        """Write the action down."""
        self.actions.append(action)


@asynccontextmanager
async def governing(
    reading: MemoryReading, params: GovernorParams, pool: FakeSlotPool, until: Callable[[Control], bool]
) -> AsyncIterator[tuple[Governor, Control, list[Event]]]:
    """Run a governor on one reading, over and over, until the control is as wanted."""
    control, events = Control(), list[Event]()

    async def sample() -> MemoryReading:
        return reading

    governor = Governor(params, sample, lambda: 0.0, pool, control, events.append, ManualClock())
    running = asyncio.create_task(governor.run())
    async with asyncio.timeout(10):
        while not until(control):
            await control.wait_for_change(control.changes, 0.05)
    yield governor, control, events
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_full_budget_takes_slots_away_and_says_so() -> None:
    """The limit, its reason, the peak, and no successors beside the contexts there are."""
    pool = FakeSlotPool()
    full = MemoryReading(900, 7)
    async with governing(full, GovernorParams(4, 0.0, 1000), pool, lambda c: 0 < c.limit < 4) as (
        g,
        _,
        events,
    ):
        assert g.peak_bytes == 900
        assert MemoryRead(0.0, 900, 1000, 7) in events
        assert [e.binding for e in events if isinstance(e, AdmissionSet)][-1] == "memory"
        assert not pool.has_spare_memory
        assert Measure.SHED not in {action.measure for action in pool.actions}
        # To admit fewer is the governor's own: the pool has no part in it.


async def test_a_timer_that_wakes_early_loses_no_slot() -> None:
    """The clock of this test does not move at all, as if each timer woke before its time."""
    params = GovernorParams(4, 0.004, 1000 * MIB)
    async with governing(MemoryReading(10, 3), params, FakeSlotPool(), lambda c: c.limit == 4) as (
        _,
        control,
        _,
    ):
        assert control.limit == 4


async def test_what_is_wanted_by_hand_is_a_limit() -> None:
    """At least one context works, and all of them once it is taken back."""
    params = GovernorParams(4, 0.0, 1000 * MIB)
    async with governing(MemoryReading(10, 3), params, FakeSlotPool(), lambda c: c.limit == 4) as (
        _,
        control,
        events,
    ):
        for wanted, limit in ((2, 2), (0, 1), (None, 4)):
            control.want(wanted)
            async with asyncio.timeout(10):
                while control.limit != limit:
                    await control.wait_for_change(control.changes, 0.05)
        assert [e.binding for e in events if isinstance(e, AdmissionSet)][-3:-1] == ["keys", "keys"]


async def test_an_automatic_number_begins_small() -> None:
    """And the processor is what binds it."""
    params = GovernorParams(8, 0.0, 1000 * MIB, first_contexts=2)
    async with governing(MemoryReading(10, 3), params, FakeSlotPool(), lambda c: c.limit == 2) as (
        _,
        _,
        events,
    ):
        assert [e.binding for e in events if isinstance(e, AdmissionSet)][-1] == "cpu"


async def test_files_that_run_out_are_told_once() -> None:
    """With the remedy."""
    params = GovernorParams(4, 0.0, 1000 * MIB, fds=100)
    async with governing(MemoryReading(10, 3, fds=90), params, FakeSlotPool(), lambda c: c.limit == 4) as (
        _,
        _,
        events,
    ):
        assert [e.text for e in events if isinstance(e, Notice)] == [
            "90 of 100 files are open; allow more with `ulimit -n`."
        ]


def test_the_tracker_tells_what_a_measure_gave_back() -> None:
    """Of a target that is gone all, of one that is there what it holds less."""
    events: list[Event] = []
    tracker = ReclaimTracker(events.append)
    before = MemoryReading(500, 5, (RendererUse(1, 300, "e", "01"), RendererUse(2, 100, "e", "02")))
    tracker.record(ReclaimAction(Measure.KILL, "01", "why", 300, 1), before, 0.0)
    tracker.record(ReclaimAction(Measure.COLLECT, "02", "why", 100, 2), before, 0.0)
    tracker.observe(before, 0.5)
    assert events == []
    after = MemoryReading(160, 4, (RendererUse(2, 60, "e", "02"),))
    tracker.observe(after, 0.75)
    tracker.observe(after, 1.0)
    assert events == [
        Reclaimed(0.75, "kill", "01", "why", 300),
        Reclaimed(1.0, "collect", "02", "why", 40),
    ]


def reading(fds: int = 0, **free_mib: int) -> MemoryReading:
    """Return a reading with so many files open, and so much room in each folder."""
    return MemoryReading(0, 1, fds=fds, free_bytes={name: mib * MIB for name, mib in free_mib.items()})


def texts(events: list[Event]) -> list[str]:
    """Return the texts of the notices, all of them warnings."""
    assert all(isinstance(event, Notice) and event.level == "warning" for event in events)
    return [event.text for event in events if isinstance(event, Notice)]


def test_files_that_run_short_are_told_once_until_they_recover() -> None:
    """At four fifths of what is allowed; a little less is no recovery."""
    events: list[Event] = []
    watch = ResourceWatch(100, {}, events.append)
    for number, fds in enumerate((79, 80, 95, 79, 80, 60, 81)):
        watch.observe(reading(fds), float(number))
    assert texts(events) == [f"{fds} of 100 files are open; allow more with `ulimit -n`." for fds in (80, 81)]
    assert watch.summary()["files_open"] == 95


def test_room_that_runs_short_is_told_by_its_folder() -> None:
    """Each folder for itself; the least that there was is kept."""
    events: list[Event] = []
    watch = ResourceWatch(0, {"tmp": 256 * MIB, "shm": 8 * MIB}, events.append)
    for number, free_mib in enumerate((4000, 256, 100, 300, 340, 200)):
        watch.observe(reading(tmp=free_mib, shm=64), float(number))
    assert texts(events) == [
        f"Only {free} MiB are free in tmp; free some space there." for free in (256, 200)
    ]
    assert watch.summary()["least_free_bytes"] == {"tmp": 100 * MIB, "shm": 64 * MIB}
