"""Plain lines instead of the live view."""

import logging
import threading

import pytest

from farm.model.clock import SystemClock
from farm.model.crawl import Ledger, Stats
from farm.model.event import (
    Emit,
    Event,
    Notice,
    PageDone,
    Recycled,
    RedisAway,
    RedisBack,
    VisitFailed,
)
from farm.monitor.plain import PlainView, log_event, progress_line
from farm.monitor.snapshot import Snapshot
from farm.monitor.tally import Tally

from .simulated import simulated

URL = "https://shop.example/a"


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (
            VisitFailed(1.0, "c1", URL, "timeout", "no answer\nat all", "dead"),
            logging.WARNING,
            f"gave up {URL} (timeout: no answer at all)",
        ),
        (VisitFailed(1.0, "c1", URL, "crash", "", "retry"), logging.INFO, f"will try {URL} again (crash)"),
        (VisitFailed(1.0, "c1", URL, "drain", "", "released"), logging.DEBUG, f"gave back {URL} (drain)"),
        (Recycled(1.0, "engine", "e1", "crash", 90), logging.INFO, "replaced engine e1 (crash)"),
        (Recycled(1.0, "context", "c1", "pages", 9), logging.DEBUG, "replaced context c1 (pages)"),
        (RedisAway(5.0, 4.0, "Redis is away"), logging.WARNING, "Redis is away"),
        (RedisBack(9.0, "Redis is back"), logging.INFO, "Redis is back"),
        (Notice(1.0, "error", "no room"), logging.ERROR, "no room"),
        (Notice(1.0, "odd", "100 %s"), logging.INFO, "100 %s"),
    ],
)
def test_events_that_somebody_may_want_to_read_are_logged(
    event: Event, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With their facts, for a log of JSON."""
    emit: Emit = log_event
    with caplog.at_level(logging.DEBUG, "farm"):
        emit(event)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, text)
    facts = record.__dict__["facts"]
    assert "at" not in facts
    assert facts


def test_a_page_that_is_done_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """The progress line counts it."""
    with caplog.at_level(logging.DEBUG, "farm"):
        log_event(PageDone(1.0, "c1", URL, 200, 1, 1, settled=True))
    assert caplog.records == []


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
