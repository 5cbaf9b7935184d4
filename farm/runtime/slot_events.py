"""The events of one slot: its phases, the visits that brought a page, and those that failed."""

from farm.model.clock import Clock
from farm.model.event import Emit, PageDone, Phase, SlotPhase, VisitFailed
from farm.model.outcome import Bury, Release, Retry
from farm.model.page import RenderedPage


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
