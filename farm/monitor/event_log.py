"""The log lines of events; and notices about a state of the crawl that was set elsewhere."""

import logging

from farm.model.event import (
    AdmissionSet,
    Emit,
    Event,
    Fate,
    MemoryRead,
    Notice,
    Reclaimed,
    Recycled,
    RedisAway,
    RedisBack,
    SinkAway,
    SinkBack,
    StatsRead,
    VisitFailed,
)
from farm.monitor.figures import one_line, size, span

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_events = logging.getLogger("farm.events")


def log_event(event: Event) -> None:  # noqa: C901, PLR0912 - one case for each event
    """Log an event, if it has a line; an `Emit` for all events."""
    match event:
        case VisitFailed(fate=Fate.DEAD):
            _tell(logging.WARNING, f"gave up {event.url} ({_why(event)})", event)
        case VisitFailed(fate=Fate.RETRY):
            _tell(logging.INFO, f"will try {event.url} again ({_why(event)})", event)
        case VisitFailed(fate=Fate.LOST):
            text = f"{event.url}: the lease was lost during the visit; no record is written"
            _tell(logging.WARNING, text, event)
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
        case SinkAway():
            why = f": {one_line(event.why)}" if event.why else ""
            _tell(
                logging.WARNING, f"waiting for {event.store} since {span(event.at - event.since)}{why}", event
            )
        case SinkBack():
            _tell(logging.INFO, f"{event.store} takes records again, after {span(event.away_s)}", event)
        case Notice():
            _tell(_LEVELS.get(event.level, logging.INFO), one_line(event.text), event)
        case _:
            pass


_STATE_NEWS = {
    "running": "the crawl goes on",
    "paused": "the crawl was paused: no new page is taken before `farm resume {where}`",
    "draining": "the crawl is drained: the pages under way are finished, and this node ends",
    "stopped": "the crawl was stopped: the pages under way are finished, and this node ends",
}


class StateReporter:
    """Emits a notice for each state of the crawl that was set elsewhere; `fold` is an `Emit`."""

    def __init__(self, emit: Emit, where: str) -> None:
        """`where` are the flags that name the crawl to any command."""
        self._emit = emit
        self._where = where
        self._state = "running"

    def fold(self, event: Event) -> None:
        """Emit a notice if the state that was read has changed."""
        if isinstance(event, StatsRead) and event.stats.state != self._state:
            self._state = event.stats.state
            text = _STATE_NEWS.get(self._state, f"the crawl is {self._state}")
            text = text.replace("{where}", self._where)
            self._emit(Notice(event.at, "info", text))


def _tell(level: int, text: str, event: Event) -> None:
    if _events.isEnabledFor(level):
        facts = {name: getattr(event, name) for name in event.__slots__ if name != "at"}
        _events.log(level, "%s", text, extra={"facts": facts})


def _why(event: VisitFailed) -> str:
    return f"{event.reason}: {one_line(event.detail)}" if event.detail else event.reason
