"""What a farm looks like at one moment: immutable, so that whoever shows it cannot disturb it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from farm.model.crawl import Stats
from farm.model.egress import ProxyBytes
from farm.model.event import Notice, Phase, VisitFailed

AT_WORK = frozenset({Phase.LEASING, Phase.NAVIGATING, Phase.SETTLING, Phase.COMMITTING})
"""The phases in which a slot has a page, or is getting one."""

BIN_S = 2
"""The width of one bar of the page rate's history, in seconds."""


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot: its phase and since when, what it works on and since when; `url` is empty where nothing."""

    name: str
    phase: Phase
    since: float
    url: str = ""
    url_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Numbers of this process, and in `stats` those of the whole crawl.

    `history` are pages per bin of `BIN_S` seconds, the newest last and only whole bins; the rates are
    made of them. Of Little's law `visits_per_s` is lambda, `visit_s` W and `under_way` L. `single_site` is
    the site of all pages so far as long as it is only one.
    """

    now: float
    started: float
    slots: tuple[SlotView, ...] = ()
    stats: Stats = field(default_factory=Stats)
    pages_done: int = 0
    visits_failed: int = 0
    pages_per_s: float = 0.0
    pages_per_s_overall: float = 0.0
    history: tuple[int, ...] = ()
    page_ms_p50: int = 0
    page_ms_p95: int = 0
    bytes_received: int = 0
    memory_used_bytes: int = 0
    memory_budget_bytes: int = 0
    memory_peak_bytes: int = 0
    processes: int = 0
    recycled: Mapping[str, int] = field(default_factory=dict)
    relieved: Mapping[str, int] = field(default_factory=dict)
    relieved_bytes: int = 0
    visits_per_s: float = 0.0
    visit_s: float = 0.0
    under_way: float = 0.0
    admission_limit: int | None = None
    binding: str = ""
    proxied: ProxyBytes = field(default_factory=ProxyBytes)
    """What the crawl's proxies carried, over all nodes and runs."""
    failures: tuple[VisitFailed, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    away_since: float | None = None
    """Since when Redis has not answered; None while it does."""
    is_ending: bool = False
    """Whether this node was told to end, and finishes what is under way."""
    single_site: str | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return max(0.0, self.now - self.started)

    @property
    def at_work(self) -> int:
        """How many slots have a page, or are getting one."""
        return sum(slot.phase in AT_WORK for slot in self.slots)

    @property
    def phases(self) -> dict[Phase, int]:
        """How many slots are in each phase that occurs, in the order of a visit."""
        counts = Counter(slot.phase for slot in self.slots)
        return {phase: counts[phase] for phase in Phase if counts[phase]}
