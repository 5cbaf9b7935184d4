"""The budget of bytes by proxies: every node counts, and every node ends."""

import asyncio
from dataclasses import dataclass, field

import pytest

from farm.model.egress import ProxyBytes
from farm.model.event import Event, Notice, ProxyBytesRead
from farm.runtime import byte_budget
from farm.runtime.byte_budget import ByteBudget
from farm.runtime.control import Control, ExitReason
from tests.clock import ManualClock


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
    monkeypatch.setattr(byte_budget, "EVERY_S", 0.0)
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
    monkeypatch.setattr(byte_budget, "EVERY_S", 0.0)
    budget, control, _ = counting(Store(budget=10, others=100), [10], 0)
    await budget.check()
    assert not control.ending
    control.end(ExitReason.FINISHED)
    await asyncio.wait_for(budget.run(), 30)
    assert control.reason is ExitReason.FINISHED
