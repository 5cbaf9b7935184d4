"""What a visit needs of the other packages, as protocols.

The adapters fit structurally and are joined in `app`; no adapter is imported here. Every method may raise the
errors of `model.errors` and no others, and returns within a deadline of its own.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from farm.model.crawl import Identity, NodeState, Stats
from farm.model.egress import AllProxiesBanned, EgressFailure
from farm.model.memory import MemoryReading, ReclaimAction
from farm.model.outcome import Ack, Bury, Judgement, RedirectOutcome, Release, Retry, Settled
from farm.model.page import Detection, Link, RenderedPage
from farm.model.record import Batch, Record, Skip
from farm.model.task import Idle, Lease, LeaseRequest, UrlTask
from farm.policy.proxy_score import Outcome


class Frontier(Protocol):
    """The lease queue. Raises `FrontierUnavailable` once its patience is over."""

    async def add(self, tasks: Sequence[UrlTask]) -> int:
        """Accept what is new and return how many were."""
        ...

    async def lease(self, request: LeaseRequest) -> Lease | Idle:
        """Lease the best URL for this slot."""
        ...

    async def ack(
        self, lease: Lease, outcome: Ack, following: LeaseRequest | None = None
    ) -> tuple[Settled, Lease | Idle | None]:
        """Settle as done, links included; hand out the next lease in the same round trip if asked to."""
        ...

    async def nack(self, lease: Lease, outcome: Retry | Bury | Release) -> Settled:
        """Settle as not done: put off, given up, or given back."""
        ...

    async def may_begin(self, site: str, egress: str = "", *, begun: bool = False) -> float:
        """Ask whether a leased visit may begin now: 0, in how many seconds to ask again, less than 0: blocked.

        One that has `begun` already is only counted.
        """
        ...

    async def block(self, site: str, for_s: float, *, egress: str = "") -> None:
        """Let nobody visit a site for a while, or nobody by one egress address."""
        ...

    async def maintain(self) -> int:
        """Move what is due (delayed URLs, expired leases) and return how many URLs moved."""
        ...

    async def stats(self) -> Stats:
        """Count."""
        ...

    async def extend_scope(self, extension: str) -> None:
        """Tell every node that the scope has grown."""
        ...

    async def scope_sites(self) -> Collection[str]:
        """Return all extensions of the scope."""
        ...


class LeaseRenewer(Protocol):
    """Renews leases; synchronous, so that a thread of its own can do it when the event loop is busy."""

    def renew(self, leases: Sequence[Lease]) -> Sequence[bool | None]:
        """Extend each lease by the visibility timeout; False where it is lost, None where nobody could tell."""
        ...

    def heartbeat(self, node: Identity) -> NodeState:
        """Say that the node is alive."""
        ...


class SlotEgress(Protocol):
    """One slot's port of the gateway, on loopback."""

    @property
    def proxy_url(self) -> str:
        """The address that the slot's context is given as its proxy."""
        ...

    @property
    def bytes_received(self) -> int:
        """How many bytes came from outside since `begin`."""
        ...

    def begin(self, url: str = "", ask: Callable[[str], Awaitable[bool]] | None = None) -> None:
        """Start a visit: forget the failures and the bytes of the one before.

        With `ask` the documents that the visit to the URL asks for wait until it says that they may go out; it is
        given the host, with a port where there is one.
        """
        ...

    def failure(self, url: str) -> EgressFailure | None:
        """How the last attempt of this visit to reach the URL's host and port failed, if it did."""
        ...

    def shortfall(self, url: str) -> EgressFailure | None:
        """Say what a page that was shown is without, through the proxy's fault or by the cap."""
        ...


Answered = Callable[[int, Mapping[str, str]], Awaitable[None]]
"""Told how a document was answered: the status and the headers, their names in lower case."""


class Slot(Protocol):
    """One browser context, seen from the loop: it visits one URL at a time and replaces itself."""

    @property
    def name(self) -> str:
        """Stable name of the slot, part of the lease's identity."""
        ...

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the URL within the page deadline; raises `RenderError` or `SlotLost`.

        `answered` is told the status and the headers as soon as they are there.
        """
        ...

    def retire(self) -> None:
        """Give the context back between visits; the next visit opens a new one."""
        ...


class EgressRoute(Protocol):
    """The route by which a slot reaches the sites; where there are proxies, one is chosen between visits only."""

    @property
    def label(self) -> str | None:
        """The proxy's name in records, without credentials; None for a direct connection."""
        ...

    @property
    def address(self) -> str:
        """The frontier's name of this route; empty where there is only one."""
        ...

    def acquire(self, site: str | None) -> bool:
        """Choose a route for the next lease, for this site if possible; False where none is usable."""
        ...

    def wait_or_fail(self) -> None:
        """Wait for a usable route. Raises `AllProxiesDown` after the proxies' patience."""
        ...

    def acquire_for(self, site: str) -> AllProxiesBanned | None:
        """Choose a usable route to this site; return when one may try it again where none is usable."""
        ...

    def report(self, url_id: str, site: str, outcome: Outcome, latency_ms: float | None = None) -> int:
        """Report the outcome of a visit; return how many visits of this URL had the same outcome."""
        ...

    def yield_trial(self, site: str | None) -> None:
        """Let other slots try a proxy that is on trial: this one has no work for it."""
        ...

    def release(self) -> None:
        """Give the route up until the next `acquire`."""
        ...


class SlotPool(Protocol):
    """All slots and the engines they run on, as the governor sees them."""

    def open_slots(self) -> int:
        """Return how many slots have a context, or are opening one."""
        ...

    def note(self, reading: MemoryReading, *, has_spare_memory: bool) -> None:
        """Take a reading in; `has_spare_memory` says whether memory allows more contexts than there are slots."""
        ...

    def reclaim(self, action: ReclaimAction) -> None:
        """Carry an action out in the background."""
        ...


class Sink(Protocol):
    """Where the records go."""

    async def commit(self, batch: Batch) -> None:
        """Return when the batch is durable; raises `OutputUnwritable`, or `RenderError` for a bad record."""
        ...


class Scope(Protocol):
    """What may be crawled."""

    async def sort(
        self, links: Sequence[Link], referrer: UrlTask, *, nofollow: bool = False
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Canonicalise, drop repetitions, and part what is to be visited from what is not, and why."""
        ...


class RedirectJudge(Protocol):
    """What it means where a visit ended."""

    def judge(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        """Judge the page's final address."""
        ...


class Permission(Protocol):
    """What robots.txt says."""

    async def refusal(self, lease: Lease, url: str) -> Judgement | None:
        """Say why the address is not to be visited with this lease, now or ever; None where it may be."""
        ...


Detect = Callable[[RenderedPage], Detection | None]
"""Says what a page is, where it is not the one that was asked for."""


@dataclass(frozen=True, slots=True)
class VisitNotes:
    """What a record says of a visit beside the page; `proxy` is a label without credentials."""

    fetched_at: datetime
    timings_ms: Mapping[str, int]
    proxy: str | None
    detection: Detection | None


Recorder = Callable[[Lease, RenderedPage, VisitNotes], Awaitable[Record]]
"""Makes the record of a visit."""
