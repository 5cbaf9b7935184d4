"""The progress of a visit, for the history of its URL if the visit is not done."""

from dataclasses import dataclass, field

from farm.model.outcome import Bury, FailedVisit, Release, Retry
from farm.model.page import RenderedPage


@dataclass(slots=True)
class VisitTrace:
    """Filled in during the visit; `node` and `context` run it, `proxy` is a label without credentials."""

    node: str
    context: str
    phase: str = "navigate"
    proxy: str | None = None
    status: int = 0
    is_spent: bool = False
    """Whether its context must be closed: the site recognises it by its cookies."""
    html: str = ""
    """The timings of the page, if one was read."""
    timings_ms: dict[str, int] = field(default_factory=dict)

    def answered(self, status: int) -> None:
        """Note the status of the document's answer, 0 without one, for a page that was not read."""
        if status and self.phase == "navigate":
            self.phase, self.status = "settle", status

    def shown(self, page: RenderedPage) -> None:
        """Note that the page was read."""
        self.phase, self.status, self.html = "judge", page.status, page.html
        for name in ("navigate", "settle"):
            self.timings_ms[name] = page.timings_ms.get(name, 0)

    def failed(self, settlement: Retry | Bury | Release) -> FailedVisit:
        """Return the history entry of the visit with this settlement."""
        if isinstance(settlement, Release):
            reason, detail = "released", settlement.reason
        else:
            reason, detail = str(settlement.reason), settlement.detail
        return FailedVisit(
            reason,
            detail,
            self.phase,
            self.node,
            self.context,
            self.proxy,
            self.status,
            dict(self.timings_ms),
        )
