"""The threads that show a run: on the whole screen, or by lines of progress."""

import io
import logging
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from farm.model.clock import SystemClock
from farm.model.crawl import Ledger, NodeSeen, Stats
from farm.model.event import NodesRead
from farm.monitor.snapshot import Snapshot
from farm.monitor.tally import Tally
from farm.monitor.terminal import Terminal, can_be_shown
from farm.monitor.views import LiveView, PlainView, progress_line

from .simulated import simulated


class Screenful(io.StringIO):
    """A terminal in memory; `broken` makes every write fail."""

    def __init__(self, *, broken: bool = False, gate: threading.Event | None = None) -> None:
        super().__init__()
        self.broken = broken
        self.gate = gate
        self.asked = threading.Event()

    def write(self, text: str) -> int:
        """Take text, once it may."""
        self.asked.set()
        if self.broken:
            raise BrokenPipeError
        if self.gate is not None:
            self.gate.wait()
        return super().write(text)

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def console(terminal: io.StringIO) -> Console:
    """Return a console of 80x24 on this terminal."""
    return Terminal(file=terminal, force_terminal=True, width=80, height=24, color_system=None)


def test_the_view_takes_the_screen_and_gives_it_back() -> None:
    """The cursor is hidden meanwhile; nothing is cleared, and of a second frame only what has changed is drawn."""
    terminal = Screenful()
    frames = threading.Semaphore(0)
    tally = Tally(0.0)

    def source(now: float) -> Snapshot:
        frames.release()
        return tally.snapshot(now)

    with LiveView(source, "shop.example", SystemClock(), console(terminal)):
        for _ in range(3):
            assert frames.acquire(timeout=20)
    text = terminal.getvalue()
    assert text.startswith("\x1b[?1049h")
    assert text.endswith("\x1b[?1049l")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.count("recent events") == 1
    assert "\x1b[2J" not in text


def test_a_terminal_that_is_gone_ends_the_view_and_nothing_else() -> None:
    """The crawl goes on without one."""
    view = LiveView(Tally(0.0).snapshot, "x", SystemClock(), console(Screenful(broken=True)))
    with view:
        view._thread.join(20)
        assert not view._thread.is_alive()


def test_a_terminal_that_takes_nothing_does_not_hold_up_the_end() -> None:
    """Ctrl-S, or a line that hangs."""
    gate = threading.Event()
    terminal = Screenful(gate=gate)
    view = LiveView(Tally(0.0).snapshot, "x", SystemClock(), console(terminal))
    view.start()
    assert terminal.asked.wait(20)
    view.stop(0.01)
    assert view._thread.is_alive()
    gate.set()
    view._thread.join(20)
    assert not view._thread.is_alive()


def test_only_a_real_terminal_gets_the_view() -> None:
    """A pipe and a dumb terminal get plain lines."""
    assert can_be_shown(console(Screenful()))
    assert not can_be_shown(Console(file=io.StringIO()))
    dumb = Console(file=Screenful(), force_terminal=True, _environ={"TERM": "dumb"})
    assert not can_be_shown(dumb)


def test_a_progress_line_says_how_it_goes() -> None:
    """In one line."""
    line = progress_line(simulated(8, 60).snapshot(160.0))
    assert line.startswith("1:00 · ")
    for part in (
        " done · ",
        " dead · ",
        " queued · ",
        "/s · page ",
        "of 8 contexts at work",
        "held back by memory",
    ):
        assert part in line
    away = progress_line(Snapshot(now=9.0, started=0.0, away_since=4.0))
    assert away.endswith(" · Redis away for 5s, leasing paused")
    calm = progress_line(Snapshot(now=1.0, started=0.0))
    assert (
        calm
        == "0:01 · 0 done · 0 dead · 0 queued · 0 delayed · 0 leased · 0.0/s · page 0 ms · 0 of 0 contexts at work"
    )


def test_the_other_nodes_are_counted_in_a_progress_line() -> None:
    """One in the singular; the lost are not among them."""
    seen = [
        NodeSeen(f"n{number}", state, 2, 0.0) for number, state in enumerate(("running", "lost", "running"))
    ]
    one, two = (
        progress_line(Snapshot(1.0, 0.0, readings={NodesRead: NodesRead(0.5, tuple(nodes))}))
        for nodes in (seen[:1], seen)
    )
    assert one.endswith(" · 1 other node")
    assert two.endswith(" · 2 other nodes, 1 lost")


def test_progress_is_told_at_intervals_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Also when the end comes before the first interval."""
    asked = threading.Semaphore(0)
    tally = Tally(0.0)

    def source(now: float) -> Snapshot:
        asked.release()
        return tally.snapshot(now)

    with caplog.at_level(logging.INFO, "farm"):
        with PlainView(source, SystemClock(), every_s=0.001):
            for _ in range(3):
                assert asked.acquire(timeout=20)
        told = len(caplog.records)
        assert told >= 3
        with PlainView(tally.snapshot, SystemClock()):
            pass
        assert len(caplog.records) == told + 1
    assert caplog.records[-1].__dict__["facts"]["done"] == 0


def test_the_facts_of_progress_are_the_ledger() -> None:
    """For a log of JSON."""
    snapshot = Snapshot(now=1.0, started=0.0, stats=Stats(Ledger(accepted=3, done=3)))
    assert "3 done" in progress_line(snapshot)


def test_nothing_is_held_back_where_nothing_is_queued() -> None:
    """The contexts are fewer than they may be, and no page waits for one."""
    snapshot = simulated(8, 60).snapshot(160.0)
    ledger = replace(snapshot.stats.ledger, queued=0)
    idle = replace(snapshot, stats=replace(snapshot.stats, ledger=ledger))
    assert "held back by memory" in progress_line(snapshot)
    assert "held back" not in progress_line(idle)
