"""What a worker is given, its dependencies and parameters, and the events by which it reports."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from farm.model.clock import Clock
from farm.model.event import Emit, PageDone, Phase, SlotPhase, VisitFailed
from farm.model.outcome import Bury, Release, Retry
from farm.model.page import Detection, RenderedPage
from farm.model.record import Record
from farm.model.task import Lease
from farm.policy.retry import RetryParams
from farm.runtime.heartbeat import Heartbeat
from farm.runtime.ports import Detect, Frontier, PaceObserver, Permission, RedirectJudge, Scope, Sink


@dataclass(frozen=True, slots=True)
class WorkerParams:
    """`visit_s` bounds a visit, rendering and user code included; `commit_s` the sink and Redis after it.

    `node` is this node's name, which makes the slots' names unique among all nodes, and `life` distinguishes them
    from those of an earlier run with the name: if that was suspended and continues, it must not request leases in
    the names of these slots, or their leases would be given back.
    """

    node: str
    visit_s: float
    commit_s: float
    limit: int
    retry: RetryParams
    life: str = ""
    spread_s: float = 0.0
    """After an outage of Redis the slots resume over this time, not all at once."""


@dataclass(frozen=True, slots=True)
class VisitNotes:
    """What a record says about a visit beside the page; `proxy` is a label without credentials."""

    fetched_at: datetime
    timings_ms: Mapping[str, int]
    proxy: str | None
    detection: Detection | None


Recorder = Callable[[Lease, RenderedPage, VisitNotes], Awaitable[Record]]
"""Makes the record of a visit."""


@dataclass(frozen=True, slots=True)
class WorkerDeps:
    """The parts of the farm that a worker uses, by their ports."""

    frontier: Frontier
    sink: Sink
    scope: Scope
    robots: Permission
    paces: PaceObserver
    redirects: RedirectJudge
    record: Recorder
    detect: Detect
    heartbeat: Heartbeat
    emit: Emit
    clock: Clock


class SlotEvents:
    """Emits the events of one slot; `begun` is when a visit's lease came, by the same clock."""

    def __init__(self, slot: str, emit: Emit, clock: Clock) -> None:
        self._slot = slot
        self._emit = emit
        self._clock = clock

    def phase(self, phase: Phase, url: str = "") -> None:
        """Emit the phase that the slot is in now."""
        self._emit(SlotPhase(self._clock.monotonic(), self._slot, phase, url))

    def done(self, url: str, page: RenderedPage, bytes_received: int, begun: float) -> None:
        """Emit `PageDone` for a page that was kept."""
        now = self._clock.monotonic()
        took_ms = round((now - begun) * 1000)
        self._emit(PageDone(now, self._slot, url, page.status, took_ms, bytes_received, page.settled))

    def failed(self, url: str, settlement: Retry | Bury | Release, begun: float) -> None:
        """Emit `VisitFailed` for a visit without a page, with what becomes of its URL."""
        now = self._clock.monotonic()
        took_ms = round((now - begun) * 1000)
        match settlement:
            case Retry(reason=reason, detail=detail):
                self._emit(VisitFailed(now, self._slot, url, reason, detail, "retry", took_ms))
            case Bury(reason=reason, detail=detail):
                self._emit(VisitFailed(now, self._slot, url, reason, detail, "dead", took_ms))
            case Release(reason=reason):
                self._emit(VisitFailed(now, self._slot, url, "released", reason, "released", took_ms))
