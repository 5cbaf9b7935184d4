"""The events of several processes as those of one node."""

from typing import Any

import pytest

from farm.model.event import (
    AdmissionSet,
    FlowRead,
    LoopLagRead,
    MemoryRead,
    Notice,
    PageDone,
    Phase,
    Recycled,
    SlotPhase,
)
from farm.monitor.merged import MergedEvents, summed
from farm.monitor.outcomes import RunTotals


@pytest.fixture
def emitted() -> list[Any]:
    """Return the events that were emitted."""
    return []


@pytest.fixture
def merged(emitted: list[Any]) -> MergedEvents:
    """Return the fold of a node with a budget of 100 bytes."""
    return MergedEvents(emitted.append, 100, lambda: 9.0)


def test_slots_and_units_are_told_apart_by_their_process(merged: MergedEvents, emitted: list[Any]) -> None:
    """Both processes have a slot 01; other events are passed on as they are."""
    page = PageDone(1.0, "01", "http://a.example/", 200, 5, 6, settled=True)
    notice = Notice(1.0, "info", "so")
    merged.fold(1, [SlotPhase(1.0, "01", Phase.LEASING), page])
    merged.fold(2, [SlotPhase(1.0, "01", Phase.LEASING), Recycled(1.0, "context", "01", "pages", 3), notice])
    assert [getattr(one, "slot", getattr(one, "name", None)) for one in emitted] == [
        "1/01",
        "1/01",
        "2/01",
        "2/01",
        None,
    ]
    assert emitted[-1] == notice


def test_memory_is_summed_with_what_the_supervisor_takes(merged: MergedEvents, emitted: list[Any]) -> None:
    """Against the budget of the node."""
    merged.tell_own_memory(10)
    merged.fold(1, [MemoryRead(1.0, 20, 50, 3, 4, 0.5)])
    merged.fold(2, [MemoryRead(2.0, 30, 50, 5, 6, 0.5)])
    assert emitted[-1] == MemoryRead(2.0, 60, 100, 9, 10, 1.0)
    merged.fold(1, [MemoryRead(3.0, 1, 50, 3)])
    assert emitted[-1] == MemoryRead(3.0, 41, 100, 9, 6, 0.5)


def test_flow_and_limits_are_summed_and_of_lag_the_worst_is_told(
    merged: MergedEvents, emitted: list[Any]
) -> None:
    """A limit that binds one process is named."""
    merged.fold(1, [FlowRead(1.0, 2.0, 1.0, 2.0), AdmissionSet(1.0, 4, "contexts")])
    merged.fold(2, [FlowRead(1.0, 2.0, 3.0, 6.0), AdmissionSet(1.0, 2, "memory")])
    assert emitted[-2] == FlowRead(1.0, 4.0, 2.0, 8.0)
    assert emitted[-1] == AdmissionSet(1.0, 6, "memory")
    merged.tell_lag(LoopLagRead(1.0, 0.1, 0.5, 0.7))
    merged.fold(1, [LoopLagRead(2.0, 0.2, 0.3, 0.9)])
    assert emitted[-1] == LoopLagRead(2.0, 0.2, 0.5, 0.9)


def test_what_a_process_held_is_free_when_it_has_ended(merged: MergedEvents, emitted: list[Any]) -> None:
    """Its slots have stopped, and its memory counts no more."""
    merged.fold(1, [SlotPhase(1.0, "01", Phase.LEASING), MemoryRead(1.0, 20, 50, 3)])
    merged.fold(2, [MemoryRead(1.0, 30, 50, 5)])
    merged.ended(1, None)
    assert emitted[-1] == SlotPhase(9.0, "1/01", Phase.STOPPED)
    merged.fold(2, [MemoryRead(2.0, 30, 50, 5)])
    assert emitted[-1] == MemoryRead(2.0, 30, 100, 5, 0, 0.0)
    assert merged.totals() == RunTotals()


def test_what_processes_have_counted_is_added_up(merged: MergedEvents) -> None:
    """Of the extremes the worse ones stay."""
    one = RunTotals(
        {"files_open": 5, "files_allowed": 9, "least_free_bytes": {"/a": 1, "/b": 9}}, 2, {"x": 1}, {"s": 3}
    )
    other = RunTotals(
        {"files_open": 7, "files_allowed": 9, "least_free_bytes": {"/b": 4}},
        3,
        {"x": 1, "y": 2},
        {"s": 1, "t": 2},
    )
    merged.ended(1, one)
    merged.ended(2, other)
    assert (
        merged.totals()
        == summed(one, other)
        == RunTotals(
            {"files_open": 7, "files_allowed": 9, "least_free_bytes": {"/a": 1, "/b": 4}},
            5,
            {"x": 1, "y": 2},
            {"s": 3, "t": 2},
        )
    )
