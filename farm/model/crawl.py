"""The state of a crawl: its ledger, as the frontier counts it, and its nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from farm.model.tiers import TierCounts


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every URL that was accepted is in exactly one of the five states."""

    accepted: int = 0
    queued: int = 0
    delayed: int = 0
    leased: int = 0
    done: int = 0
    dead: int = 0

    @property
    def balanced(self) -> bool:
        """Whether the sum of the states is what was accepted."""
        return self.accepted == self.queued + self.delayed + self.leased + self.done + self.dead

    @property
    def open(self) -> int:
        """How many URLs are still to be settled."""
        return self.queued + self.delayed + self.leased


@dataclass(frozen=True, slots=True)
class Stats:
    """A crawl's ledger and counters.

    `rendered` is the number of pages that count towards the limit; `duplicates` how many links the
    filter dropped; `expired` how many leases reached their deadline; `left_out` how many links did not fit into
    the queue. `is_full` says that Redis has hardly any memory left, so nothing new is queued. `tiers` are the
    results of `--render auto`.
    """

    ledger: Ledger = field(default_factory=Ledger)
    dead_by_reason: Mapping[str, int] = field(default_factory=dict)
    rendered: int = 0
    duplicates: int = 0
    expired: int = 0
    retried: int = 0
    sites: int = 0
    left_out: int = 0
    is_full: bool = False
    tiers: TierCounts = field(default_factory=TierCounts)
    state: str = "running"


HALTED = frozenset({"draining", "stopped"})
"""States of a crawl in which no node begins; they last until `farm resume`."""


def crawl_state(stats: Stats, *, is_fed: bool, is_worked: bool) -> str:
    """Return the state of a crawl: `running`, `paused`, `draining`, `stopped` or `finished`.

    Without an open URL it is finished, whatever state was set before, unless sitemaps are still being read
    (`is_fed`). A drain has ended once no node works on the crawl (`is_worked`); it is then shown as stopped.
    """
    if stats.ledger.accepted and not stats.ledger.open and not is_fed:
        return "finished"
    return "stopped" if stats.state == "draining" and not is_worked else stats.state


class NodeState(IntEnum):
    """The frontier's answer to a node's heartbeat."""

    REPLACED = 0
    """Another incarnation uses the name: this one must end."""
    ALIVE = 1
    RETURNED = 2
    """It was considered dead and was registered again; its earlier leases are lost."""
    DRAINED = 3
    """It must end (`farm drain --node`)."""


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node as the others see it: `state` is running, draining, lost or ended; last heard of `silent_s` ago."""

    name: str
    state: str
    contexts: int
    silent_s: float


@dataclass(frozen=True, slots=True)
class SitePace:
    """The learnt limits of a site: how many visits at once, and how many a second (0: no limit).

    `latency_ms` is the median of its last answers, `baseline_ms` that without load; 0 where it is unknown.
    `blocked_s` is for how long it must not be visited; `verdict` sums up its last answers
    (`refused`, `slow`, `failing`, `held`; empty if all is well).
    """

    site: str
    limit: int = 0
    rate: float = 0.0
    latency_ms: float = 0.0
    baseline_ms: float = 0.0
    blocked_s: float = 0.0
    verdict: str = ""


ANY_INCARNATION = "*"
"""In place of a predecessor's incarnation: the present holder of the name is known to be dead."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's name, and the incarnation that distinguishes this run from others of the name."""

    name: str
    incarnation: str
