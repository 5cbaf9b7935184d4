"""Plain lines instead of the live view, for logs and pipes: what happened as it happens, and how it goes.

Both are log records, so that they reach `farm.log` and standard error alike, as text or as JSON.
"""

import logging
from typing import Any

from farm.model.clock import Clock
from farm.model.event import (
    AdmissionSet,
    Emit,
    Event,
    MemoryRead,
    Notice,
    Reclaimed,
    Recycled,
    RedisAway,
    RedisBack,
    StatsRead,
    VisitFailed,
)
from farm.monitor.figures import amount, clock, lapse, one_line, rate, size, span
from farm.monitor.snapshot import Snapshot
from farm.monitor.view import Source, View

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_log = logging.getLogger("farm.events")
_progress = logging.getLogger("farm.progress")


def log_event(event: Event) -> None:  # noqa: C901 - one case for each event
    """Log an event that somebody may want to read; an `Emit`, to be given every event."""
    match event:
        case VisitFailed(fate="dead"):
            _tell(logging.WARNING, f"gave up {event.url} ({_why(event)})", event)
        case VisitFailed(fate="retry"):
            _tell(logging.INFO, f"will try {event.url} again ({_why(event)})", event)
        case VisitFailed():
            _tell(logging.DEBUG, f"gave back {event.url} ({_why(event)})", event)
        case Recycled():
            level = logging.INFO if event.unit == "engine" else logging.DEBUG
            _tell(level, f"replaced {event.unit} {event.name} ({event.reason})", event)
        case Reclaimed(measure=measure):
            level = logging.DEBUG if measure == "collect" else logging.INFO
            target = f" {event.target}" if event.target else ""
            _tell(level, f"{measure}{target} ({event.reason}): {size(event.freed_bytes)} given back", event)
        case AdmissionSet():
            _tell(logging.DEBUG, f"{event.limit} contexts may work, by {event.binding}", event)
        case MemoryRead():
            text = f"{size(event.used_bytes)} of {size(event.budget_bytes)} in {event.processes} processes"
            _tell(logging.DEBUG, text, event)
        case RedisAway():
            _tell(logging.WARNING, event.text, event)
        case RedisBack():
            _tell(logging.INFO, event.text, event)
        case Notice():
            _tell(_LEVELS.get(event.level, logging.INFO), one_line(event.text), event)
        case _:
            pass


_STATE_NEWS = {
    "running": "the crawl goes on",
    "paused": "the crawl was paused: no new page is taken before `farm resume`",
    "draining": "the crawl is drained: the pages under way are finished, and this node ends",
    "stopped": "the crawl was stopped: the pages under way are finished, and this node ends",
}


class StateNews:
    """Tells, once each, what somebody has made of the crawl from elsewhere; `fold` is an `Emit`."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._state = "running"

    def fold(self, event: Event) -> None:
        """Emit a notice where the state that was read is another than before."""
        if isinstance(event, StatsRead) and event.stats.state != self._state:
            self._state = event.stats.state
            text = _STATE_NEWS.get(self._state, f"the crawl is {self._state}")
            self._emit(Notice(event.at, "info", text))


def progress_line(snapshot: Snapshot) -> str:
    """Return how a crawl goes, in one line."""
    ledger = snapshot.stats.ledger
    parts = [
        clock(snapshot.elapsed_s),
        f"{amount(ledger.done)} done",
        f"{amount(ledger.dead)} dead",
        f"{amount(ledger.queued)} queued",
        f"{amount(ledger.delayed)} delayed",
        f"{amount(ledger.leased)} leased",
        rate(snapshot.pages_per_s),
        f"page {lapse(snapshot.page_ms_p50)}",
        f"{snapshot.at_work} of {len(snapshot.slots)} contexts at work",
    ]
    if snapshot.visits_per_s:
        visit = lapse(snapshot.visit_s * 1000)
        parts.append(f"L {snapshot.under_way:.1f} = {rate(snapshot.visits_per_s)} x {visit}")
    if snapshot.memory_budget_bytes:
        parts.append(f"{size(snapshot.memory_used_bytes)} of {size(snapshot.memory_budget_bytes)}")
    if snapshot.admission_limit is not None and snapshot.admission_limit < len(snapshot.slots):
        parts.append(f"held back by {snapshot.binding}")
    if snapshot.is_ending:
        parts.append("stopping")
    elif snapshot.stats.state != "running":
        parts.append(snapshot.stats.state)
    if snapshot.away_since is not None:
        parts.append(f"Redis away for {span(snapshot.now - snapshot.away_since)}, leasing paused")
    return " · ".join(parts)


class PlainView(View):
    """Logs a progress line every `every_s` seconds, the first after that time, and one at the end."""

    def __init__(self, source: Source, clock: Clock, every_s: float = 10.0) -> None:
        super().__init__(source, clock, "progress")
        self._every_s = every_s

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(self._every_s)
            snapshot = self._snapshot()
            _progress.info(progress_line(snapshot), extra={"facts": _facts(snapshot)})


def _tell(level: int, text: str, event: Event) -> None:
    if _log.isEnabledFor(level):
        facts = {name: getattr(event, name) for name in event.__slots__ if name != "at"}
        _log.log(level, "%s", text, extra={"facts": facts})


def _why(event: VisitFailed) -> str:
    return f"{event.reason}: {one_line(event.detail)}" if event.detail else event.reason


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    ledger = snapshot.stats.ledger
    return {
        **{name: getattr(ledger, name) for name in ledger.__slots__},
        "pages_per_s": round(snapshot.pages_per_s, 2),
        "memory_used_bytes": snapshot.memory_used_bytes,
    }
