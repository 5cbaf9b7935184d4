"""The events of a farm; the live view, the summary and the log are folds of them.

`at` is the monotonic clock of the process, in seconds. A URL in an event carries no credentials.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from farm.model.clock import Clock
from farm.model.crawl import NodeSeen, SitePace, Stats
from farm.model.egress import ProxyBytes, ProxyUse
from farm.model.record import Batch


class LastReading:
    """An event with the current value of something: a snapshot has the last one of each kind."""

    __slots__ = ()


class Phase(StrEnum):
    """What a slot is doing."""

    WAITING = "waiting"
    """Held back by admission: the ramp, the budget or the CPU."""
    STARTING = "starting"
    LEASING = "leasing"
    IDLE = "idle"
    NAVIGATING = "navigating"
    SETTLING = "settling"
    COMMITTING = "committing"
    RECYCLING = "recycling"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SlotPhase:
    """A slot entered a phase; `url` is the URL of its visit, empty without one."""

    at: float
    slot: str
    phase: Phase
    url: str = ""


@dataclass(frozen=True, slots=True)
class PageDone:
    """A page was rendered, committed and acknowledged."""

    at: float
    slot: str
    url: str
    status: int
    total_ms: int
    bytes_received: int
    settled: bool


class Fate(StrEnum):
    """How a URL is settled whose visit returned no page."""

    RETRY = "retry"
    DEAD = "dead"
    RELEASED = "released"
    """The lease was released: the visit says nothing about the URL."""
    LOST = "lost"
    """Another worker has the URL: nothing of this visit is kept."""


@dataclass(frozen=True, slots=True)
class VisitFailed:
    """A visit returned no page; `fate` says how its URL is settled."""

    at: float
    slot: str
    url: str
    reason: str
    detail: str
    fate: Fate
    total_ms: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """The result of a visit is durable in each store: its record, or why there is none, and the skipped URLs."""

    at: float
    batch: Batch


@dataclass(frozen=True, slots=True)
class Skipped(LastReading):
    """How many different URLs the runs in this output folder have skipped, by reason."""

    at: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Recycled:
    """A unit (`context` or `engine`) was replaced, and why (`pages`, `memory`, `site`, ...).

    `took_ms` is how long its slot was without one, `freed_bytes` what the old one held at the last reading.
    """

    at: float
    unit: str
    name: str
    reason: str
    took_ms: int
    freed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Reclaimed(LastReading):
    """A measure against tight memory (`collect`, `recycle`, `shed`, `engine`, `kill`), and its effect.

    `freed_bytes` is by how much its target had shrunk when it was observed again.
    """

    at: float
    measure: str
    target: str
    reason: str
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryRead(LastReading):
    """A reading of the whole process tree against the budget; `processes` is how many it counted.

    `attributed_bytes` of it belong to contexts; `meter_cpu_s` is the CPU time of all readings so far.
    """

    at: float
    used_bytes: int
    budget_bytes: int
    processes: int
    attributed_bytes: int = 0
    meter_cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StatsRead:
    """A reading of the crawl's numbers, over all nodes."""

    at: float
    stats: Stats


@dataclass(frozen=True, slots=True)
class EligibleRead(LastReading):
    """How many URLs of the crawl could be leased now, over all nodes."""

    at: float
    urls: int


@dataclass(frozen=True, slots=True)
class FlowRead(LastReading):
    """The flow of this node's visits: how many end a second, how long each takes, how many are under way."""

    at: float
    per_s: float
    took_s: float
    under_way: float


@dataclass(frozen=True, slots=True)
class LoopLagRead(LastReading):
    """The delay of the event loop in seconds: the maximum since the last reading, and of the run."""

    at: float
    recent_s: float
    p99_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class NodesRead(LastReading):
    """A reading of the other nodes of the crawl: the live ones, and those that were lost recently."""

    at: float
    nodes: tuple[NodeSeen, ...]


@dataclass(frozen=True, slots=True)
class ProcessorRead(LastReading):
    """A reading of the machine's processor: how busy it was since the last one, in [0, 1]."""

    at: float
    busy_share: float


@dataclass(frozen=True, slots=True)
class PacesRead:
    """The learnt limits of the sites that were visited since the last reading."""

    at: float
    paces: tuple[SitePace, ...]


@dataclass(frozen=True, slots=True)
class ProxiesRead(LastReading):
    """A reading of this node's proxies: how many there are in each state, and those that matter most."""

    at: float
    states: Mapping[str, int]
    proxies: tuple[ProxyUse, ...]


@dataclass(frozen=True, slots=True)
class ProxyBytesRead(LastReading):
    """A reading of the bytes through proxies, over all nodes and runs of the crawl."""

    at: float
    bytes: ProxyBytes


@dataclass(frozen=True, slots=True)
class AdmissionSet(LastReading):
    """How many slots may work, and which limit is the smallest (`contexts`, `ramp`, `memory`, ...)."""

    at: float
    limit: int
    binding: str


@dataclass(frozen=True, slots=True)
class RedisAway:
    """Redis has not answered since `since`; calls wait for it."""

    at: float
    since: float
    text: str


@dataclass(frozen=True, slots=True)
class RedisBack:
    """Redis answers again."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class SinkAway:
    """A store has taken no record since `since`, for the reason `why` if it says one; visits wait for it."""

    at: float
    since: float
    store: str
    why: str


@dataclass(frozen=True, slots=True)
class SinkBack:
    """A store takes records again, after `away_s` seconds."""

    at: float
    store: str
    away_s: float


@dataclass(frozen=True, slots=True)
class Ending(LastReading):
    """This node received a request to end (`sigint`, ...); visits under way are finished or released."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for a person; `level` is `info`, `warning` or `error`."""

    at: float
    level: str
    text: str


Event = (
    SlotPhase
    | PageDone
    | VisitFailed
    | Committed
    | Skipped
    | Recycled
    | Reclaimed
    | MemoryRead
    | StatsRead
    | EligibleRead
    | FlowRead
    | LoopLagRead
    | NodesRead
    | ProcessorRead
    | PacesRead
    | ProxiesRead
    | ProxyBytesRead
    | AdmissionSet
    | RedisAway
    | RedisBack
    | SinkAway
    | SinkBack
    | Ending
    | Notice
)
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class SlotPhases:
    """Emits `SlotPhase` for one slot."""

    slot: str
    emit: Emit
    clock: Clock

    def enter(self, phase: Phase, url: str = "") -> None:
        """Emit the current phase of the slot and the URL of its visit."""
        self.emit(SlotPhase(self.clock.monotonic(), self.slot, phase, url))
