"""The panels of the overview: the processor, the flow, what comes a second, the other nodes, events."""

import pytest

from farm.model.crawl import Ledger, NodeSeen, Stats
from farm.model.event import (
    AdmissionSet,
    Fate,
    FlowRead,
    LoopLagRead,
    NodesRead,
    PageDone,
    Phase,
    ProcessorRead,
    SlotPhase,
    StatsRead,
    VisitFailed,
)
from farm.monitor.tally import Tally
from farm.monitor.views import progress_line

from .simulated import simulated
from .test_screen import drawn


def test_littles_law_is_shown_where_no_limit_binds() -> None:
    """How many visits are under way, how many end a second, how long one takes; else which limit it is."""
    tally = Tally(0.0)
    for number in range(4):
        tally.fold(SlotPhase(1.0, f"{number:02d}", Phase.NAVIGATING, "http://a.example/"))
    tally.fold(FlowRead(2.0, 2.5, 1.2, 3.0))
    tally.fold(AdmissionSet(2.0, 4, "contexts"))
    assert "L 3.0 = 2.5/s x 1.2 s" in "\n".join(drawn(tally.snapshot(3.0), 80, 24))
    tally.fold(AdmissionSet(3.0, 2, "proxies"))
    tally.fold(StatsRead(3.0, Stats(Ledger(accepted=9, queued=5, leased=4))))
    text = "\n".join(drawn(tally.snapshot(3.0), 80, 24))
    assert "2 may work" in text
    assert "Held by    the proxies: 2 of 4 contexts may work" in text
    assert "L 3.0 = 2.5/s x 1.2 s" in progress_line(tally.snapshot(3.0))


def test_a_loop_that_runs_late_is_said() -> None:
    """It delays every page; a little of it is nothing to look at."""
    tally = Tally(0.0)
    tally.fold(LoopLagRead(1.0, 0.02, 0.01, 2.0))
    assert "late" not in "\n".join(drawn(tally.snapshot(1.0), 80, 24))
    tally.fold(LoopLagRead(2.0, 0.24, 0.01, 2.0))
    assert "loop 240 ms late" in "\n".join(drawn(tally.snapshot(2.0), 80, 24))


@pytest.mark.parametrize(("width", "height", "words"), [(80, 24, "processor 83 %"), (120, 40, "83 % busy")])
def test_how_busy_the_processor_is_and_what_comes_a_second_is_shown(
    width: int, height: int, words: str
) -> None:
    """In a small terminal the share alone, where there is room."""
    tally = Tally(0.0)
    assert words not in "\n".join(drawn(tally.snapshot(1.0), width, height))
    tally.fold(ProcessorRead(1.0, 0.834))
    for second in range(1, 9):
        tally.fold(PageDone(float(second), "01", "http://a.example/", 200, 90, 100_000, settled=True))
    text = "\n".join(drawn(tally.snapshot(10.0), width, height))
    assert words in text
    assert "781 KiB · 78 KiB/s" in text


def test_a_narrow_column_shows_which_page_failed() -> None:
    """Its detail is on the page of dead letters."""
    tally = simulated(2, 12)
    url = "https://shop.example/catalogue/shelf-1/shirt"
    tally.fold(VisitFailed(111.0, "c1", url, "http_5xx", "status 500", Fate.DEAD))
    narrow, wide = ("\n".join(drawn(tally.snapshot(112.0), *size)) for size in ((120, 40), (200, 60)))
    assert "status 500" not in narrow
    assert "status 500" in wide
    assert "/shelf-1/shirt" in narrow


def test_the_other_nodes_are_shown() -> None:
    """A lost one by that word; without other nodes there is no such table."""
    tally = simulated(2, 12)
    assert "other nodes" not in "\n".join(drawn(tally.snapshot(112.0), 120, 40))
    seen = [("b", "running"), ("c", "lost"), ("d", "draining")]
    tally.fold(NodesRead(111.0, tuple(NodeSeen(name, state, 4, 1.0) for name, state in seen)))
    snapshot = tally.snapshot(112.0)
    lines = [line.rpartition("│")[2].strip() for line in drawn(snapshot, 120, 40)]
    at = next(index for index, line in enumerate(lines) if "other nodes" in line) + 2
    assert [line.split()[:2] for line in lines[at : at + 3]] == [
        ["b", "running"],
        ["c", "lost"],
        ["d", "draining"],
    ]
    # What a node does not know of the others has no column.
    assert lines[at - 1].split() == ["node", "state", "contexts"]
    assert "2 other nodes, 1 lost" in progress_line(snapshot)
