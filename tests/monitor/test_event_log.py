"""Events as records of the log."""

import logging

import pytest

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
from farm.monitor.event_log import log_event

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
