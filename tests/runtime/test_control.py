"""How a run is steered: who works, who waits, and what ends it."""

import asyncio
from dataclasses import dataclass, field

import pytest

from farm.model.clock import SystemClock
from farm.model.egress import ProxyBytes
from farm.model.event import Event, Notice, ProxyBytesRead
from farm.runtime import control as module
from farm.runtime.control import ByteBudget, Control, DiskQuota, ExitReason
from tests.clock import ManualClock
from tests.turns import turns


async def test_the_first_reason_to_end_counts() -> None:
    """A signal during a drain for the limit is still the limit."""
    control = Control()
    control.end(ExitReason.LIMIT)
    control.end(ExitReason.SIGTERM)
    assert control.reason is ExitReason.LIMIT
    assert control.ending
    await control.ended()


async def test_a_change_wakes_those_who_wait() -> None:
    """All of them, at once."""
    control = Control()
    waiting = [asyncio.create_task(control.wait_for_change(control.changes, 60)) for _ in range(3)]
    await turns()
    control.admit(2)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert control.limit == 2


async def test_a_change_while_somebody_looks_is_not_missed() -> None:
    """New work that came between the look and the wait."""
    control = Control()
    since = control.changes
    control.notify_all()
    async with asyncio.timeout(5):
        await control.wait_for_change(since, 60)


async def test_a_pause_has_an_end() -> None:
    """Without any change."""
    control = Control()
    await control.wait_for_change(control.changes, 0.01)


async def test_one_of_those_who_rest_can_be_called() -> None:
    """A slot that finds work calls the next, not all at once: each call goes to another."""
    control = Control()
    idle = [asyncio.create_task(control.wait_for_work(control.changes, 60)) for _ in range(3)]
    await turns()
    assert control.idle_slots == 3
    control.notify_one()
    control.notify_one()
    async with asyncio.timeout(5):
        await asyncio.gather(*idle[:2])
    assert control.idle_slots == 1
    assert not idle[2].done()
    control.notify_all()
    async with asyncio.timeout(5):
        await idle[2]
    control.notify_one()


async def test_new_work_calls_one_of_those_who_rest() -> None:
    """And whoever is looking just now looks again: it may have been told that there is none."""
    control = Control()
    idle = [asyncio.create_task(control.wait_for_work(control.changes, 60)) for _ in range(3)]
    await turns()
    since = control.changes
    control.notify_new_work()
    async with asyncio.timeout(5):
        await idle[0]
        await control.wait_for_work(since, 60)
    assert control.idle_slots == 2
    control.end(ExitReason.FINISHED)
    async with asyncio.timeout(5):
        await asyncio.gather(*idle)


async def test_a_rest_has_an_end_and_misses_nothing() -> None:
    """It ends by itself, and does not begin where there was a change since."""
    control = Control()
    await control.wait_for_work(control.changes, 0.01)
    since = control.changes
    control.notify_all()
    async with asyncio.timeout(5):
        await control.wait_for_work(since, 60)
    assert control.idle_slots == 0


async def test_who_waits_for_a_moment_hears_of_the_end() -> None:
    """A slot that waits for its turn after an outage must not hold up a drain."""
    control = Control()
    assert not await control.ended(0.01)
    waiting = asyncio.create_task(control.ended(60))
    await turns()
    control.end(ExitReason.SIGTERM)
    async with asyncio.timeout(5):
        assert await waiting


@dataclass
class Store:
    """What all have carried: `others` besides the one that adds."""

    budget: int = 0
    others: int = 0
    said: list[tuple[str, int, int | None]] = field(default_factory=list)

    async def add(self, run: str, carried_bytes: int, budget_bytes: int | None = None) -> ProxyBytes:
        """Add."""
        self.said.append((run, carried_bytes, budget_bytes))
        self.budget = self.budget if budget_bytes is None else budget_bytes
        return ProxyBytes(self.others + carried_bytes, self.budget)


def counting(store: Store, carried: list[int], given: int | None) -> tuple[ByteBudget, Control, list[Event]]:
    """Return a budget that reads one of `carried` at each check."""
    control, events, readings = Control(), list[Event](), iter(carried)
    budget = ByteBudget("me", lambda: next(readings), store, given, control, events.append, ManualClock(5.0))
    return budget, control, events


async def test_the_run_ends_when_all_together_have_carried_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says which and how much, and gives the budget once."""
    monkeypatch.setattr(module, "PROXY_BYTES_EVERY_S", 0.0)
    store = Store(others=900)
    budget, control, events = counting(store, [0, 50, 1100, 1500], 2000)
    await budget.check()
    assert not control.ending
    await asyncio.wait_for(budget.run(), 30)
    assert control.reason is ExitReason.PROXY_BYTES
    assert store.said == [("me", 0, 2000), ("me", 50, None), ("me", 1100, None)]
    texts = [event.text for event in events if isinstance(event, Notice)]
    assert texts == ["--proxy-bytes: 2,000 bytes went by the proxies, the limit is 2,000"]
    assert [event.bytes.used for event in events if isinstance(event, ProxyBytesRead)] == [900, 950, 2000]
    await budget.check()
    assert len([event for event in events if isinstance(event, Notice)]) == 1, (
        "what comes late is only counted"
    )
    assert store.said[-1] == ("me", 1500, None)


async def test_without_a_budget_is_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run that ends is not counted any more by itself."""
    monkeypatch.setattr(module, "PROXY_BYTES_EVERY_S", 0.0)
    budget, control, _ = counting(Store(budget=10, others=100), [10], 0)
    await budget.check()
    assert not control.ending
    control.end(ExitReason.FINISHED)
    await asyncio.wait_for(budget.run(), 30)
    assert control.reason is ExitReason.FINISHED


async def test_the_run_ends_at_the_limit_and_not_before() -> None:
    """It is looked at again and again, and told once."""
    control, said, readings = Control(), list[Event](), iter([10, 99, 100])
    quota = DiskQuota(100, lambda: next(readings), control, said.append, SystemClock())
    module.DISK_EVERY_S, before = 0.0, module.DISK_EVERY_S
    try:
        await asyncio.wait_for(quota.run(), 30)
    finally:
        module.DISK_EVERY_S = before
    assert control.reason is ExitReason.DISK_LIMIT
    assert next(readings, None) is None
    assert [event.text for event in said if isinstance(event, Notice)] == [
        "--max-disk: the output folder has 100 bytes, the limit is 100"
    ]


async def test_a_run_that_ends_is_not_looked_at_any_more() -> None:
    """The node waits for nobody."""
    control, said = Control(), list[Event]()
    quota = asyncio.create_task(DiskQuota(100, lambda: 0, control, said.append, SystemClock()).run())
    control.end(ExitReason.FINISHED)
    await asyncio.wait_for(quota, 30)
    assert (control.reason, said) == (ExitReason.FINISHED, [])
