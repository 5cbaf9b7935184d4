"""The protocols of the other packages, as the loop uses them.

Adapters implement them structurally, and `app` wires them; none is imported here. Every method may raise only
errors of `model.errors`, and returns within a deadline of its own.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from farm.model.crawl import Identity, NodeState, Stats
from farm.model.egress import AllProxiesBanned, EgressFailure, Fetched, FetchFailed
from farm.model.errors import SlotLost
from farm.model.handling import DeadPage, FollowedLink, PageHandled, VisitedPage
from farm.model.memory import MemoryReading, ReclaimAction
from farm.model.outcome import Ack, Bury, FailedVisit, Judgement, RedirectOutcome, Release, Retry, Settled
from farm.model.page import Answered, Detection, HashRouter, Link, PageSnapshot, RenderedPage
from farm.model.record import Batch, Skip
from farm.model.task import Idle, Lease, LeaseRequest, UrlTask
from farm.policy.proxies import Outcome


class Frontier(Protocol):
    """The lease queue. Raises `FrontierUnavailable` once its deadline for Redis is over."""

    async def add(self, tasks: Sequence[UrlTask]) -> int:
        """Add the URLs that are new; return how many were."""
        ...

    async def lease(self, request: LeaseRequest) -> Lease | Idle:
        """Lease the best URL for this slot; return `Idle` if there is none."""
        ...

    async def ack(
        self, lease: Lease, outcome: Ack, following: LeaseRequest | None = None
    ) -> tuple[Settled, Lease | Idle | None]:
        """Settle as done, links included; with `following` return the next lease from the same round trip."""
        ...

    async def nack(
        self, lease: Lease, outcome: Retry | Bury | Release, visit: FailedVisit | None = None
    ) -> Settled:
        """Settle as not done: delayed, given up, or released; the facts of the visit are kept in its history."""
        ...

    async def may_begin(self, site: str, egress: str = "", *, begun: bool = False) -> float:
        """Return 0 if a leased visit may begin now, else in how many seconds to ask again; less than 0: blocked.

        A visit that has `begun` already is only counted.
        """
        ...

    async def block(self, site: str, for_s: float, *, egress: str = "") -> None:
        """Block a site for `for_s` seconds on all nodes, or for one egress address."""
        ...

    async def maintain(self) -> int:
        """Move what is due (delayed URLs, expired leases) and return how many URLs moved."""
        ...

    async def stats(self) -> Stats:
        """Return the ledger and the counters of the crawl."""
        ...

    async def extend_scope(self, extension: str) -> None:
        """Add to the scope of every node."""
        ...

    async def scope_sites(self) -> Collection[str]:
        """Return all additions to the scope; the same object as before where there are no new ones."""
        ...


class LeaseRenewer(Protocol):
    """Renews leases; synchronous, for a thread that renews while the event loop is busy."""

    def renew(self, leases: Sequence[Lease]) -> Sequence[bool | None]:
        """Extend each lease by the visibility timeout; False if it is lost, None if that is unknown."""
        ...

    def heartbeat(self, node: Identity) -> NodeState:
        """Record that the node is alive; return its state."""
        ...


class SlotEgress(Protocol):
    """One slot's port of the gateway, on loopback."""

    @property
    def proxy_url(self) -> str:
        """The proxy URL for the slot's context."""
        ...

    @property
    def bytes_received(self) -> int:
        """How many bytes were received from outside since `begin`."""
        ...

    @property
    def waited_s(self) -> float:
        """How long the documents of the page that is kept waited for `ask`, in seconds."""
        ...

    def begin(
        self, url: str = "", ask: Callable[[str], Awaitable[bool]] | None = None, *, is_retry: bool = False
    ) -> None:
        """Start a visit: reset failures and byte count. In a retry no failure is remembered from before.

        With `ask`, a request for a document waits until `ask` returns True for its host (with a port where there
        is one); False refuses the request.
        """
        ...

    def failure(self, url: str) -> EgressFailure | None:
        """Return how the visit's last connection to the URL's host and port failed, None if it did not."""
        ...

    def shortfall(self, url: str) -> EgressFailure | None:
        """Return why a part of the page is missing, because of the proxy or the cap; None if none is."""
        ...


class Slot(Protocol):
    """One browser context: it visits one URL at a time and replaces itself."""

    @property
    def name(self) -> str:
        """Stable name of the slot, part of the lease's identity."""
        ...

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit the URL within the page deadline; raises `RenderError` or `SlotLost`.

        `answered` receives the head of the answer as soon as it arrives.
        """
        ...

    async def snapshot(self) -> PageSnapshot | None:
        """Return a snapshot of the last visit's page, secrets masked; None if it is gone or never existed."""
        ...

    def retire(self) -> None:
        """Close the context between visits; the next visit opens a new one."""
        ...

    async def live(self, on_lost: Callable[[], None]) -> Any:
        """Return the browser's page in its state after the visit; it stays open until `end_live`.

        `on_lost` is called if it is lost before. Raises `SlotLost` if it is already lost.
        """
        ...

    def end_live(self, url: str) -> SlotLost | None:
        """End the use of the live page; return how it was lost meanwhile, None if it was not."""
        ...


class EgressRoute(Protocol):
    """The route by which a slot reaches the sites; a proxy is changed only between visits."""

    @property
    def label(self) -> str | None:
        """The proxy's name in records, without credentials; None for a direct connection."""
        ...

    @property
    def address(self) -> str:
        """The frontier's name of this route; empty if there is only one."""
        ...

    def acquire(self, site: str | None) -> bool:
        """Choose a route for the next lease, for this site if possible; False if none is usable."""
        ...

    def wait_or_fail(self) -> None:
        """Wait for a usable route. Raises `AllProxiesDown` after the proxies' patience."""
        ...

    def acquire_for(self, site: str) -> AllProxiesBanned | None:
        """Choose a usable route to this site; if there is none, return when one may try the site again."""
        ...

    def report(self, url_id: str, site: str, outcome: Outcome, latency_ms: float | None = None) -> int:
        """Report the outcome of a visit; return how many visits of this URL had the same outcome."""
        ...

    def yield_trial(self, site: str | None) -> None:
        """Release a proxy on trial for other slots: this one has no work for it."""
        ...

    def release(self) -> None:
        """Release the route until the next `acquire`."""
        ...


class SlotPool(Protocol):
    """All slots and their engines, for the governor."""

    def open_slots(self) -> int:
        """Return how many slots have a context, or are opening one."""
        ...

    def note(self, reading: MemoryReading, *, has_spare_memory: bool) -> None:
        """Process a reading; `has_spare_memory` says whether memory allows more contexts than there are slots."""
        ...

    def reclaim(self, action: ReclaimAction) -> None:
        """Carry an action out in the background."""
        ...


class Sink(Protocol):
    """The store of the records."""

    async def commit(self, batch: Batch) -> None:
        """Return when the batch is durable; raises `OutputUnwritable`, or `RenderError` for a bad record."""
        ...


class Scope(Protocol):
    """The rules of what may be crawled."""

    async def sort(
        self,
        links: Sequence[Link],
        referrer: UrlTask,
        *,
        nofollow: bool = False,
        router: HashRouter | None = None,
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Canonicalise and deduplicate links; return the URLs to visit, and the others with their reasons.

        `router` is the router of the page with the links, if its script routes by the fragment.
        """
        ...

    async def follow(
        self, links: Sequence[FollowedLink], referrer: UrlTask
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Return the links of the user's code that are to be visited, and the others with their reasons."""
        ...


class PageHandling(Protocol):
    """The user's code for pages. Its exceptions fail the visit."""

    @property
    def handles_pages(self) -> bool:
        """Whether there is code for pages, before their navigation or once they have settled."""
        ...

    @property
    def follows_scope(self) -> bool:
        """Whether links in scope are followed automatically too."""
        ...

    @property
    def digest(self) -> str:
        """A digest to compare the code of two nodes; empty without any."""
        ...

    @property
    def runs_before(self) -> bool:
        """Whether there is code to run before a navigation."""
        ...

    def before(self, visited: VisitedPage, /) -> Coroutine[Any, Any, PageHandled]:
        """Run the code before the navigation."""
        ...

    @property
    def runs_on_dead(self) -> bool:
        """Whether there is code to run for a URL that is given up."""
        ...

    def running(self, stop: Callable[[], None], /) -> AbstractContextManager[None]:
        """Let the code end the run by `stop`, which any thread may call, for as long as the context is open."""
        ...

    def dead(self, page: DeadPage, /) -> Coroutine[Any, Any, PageHandled]:
        """Run the code for a URL that was given up."""
        ...

    def handle(self, visited: VisitedPage, /) -> Coroutine[Any, Any, PageHandled]:
        """Run the code for the page, and return its results."""
        ...


class RedirectJudge(Protocol):
    """Judges the final addresses of visits."""

    def judge(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        """Return the consequences of the page's final address."""
        ...


class Permission(Protocol):
    """The permissions of robots.txt."""

    async def refusal(self, lease: Lease, url: str) -> Judgement | None:
        """Return why the address must not be visited with this lease, now or ever; None if it may be."""
        ...


Detect = Callable[[RenderedPage], Detection | None]
"""Returns the detection of a page that is not the requested one, else None."""


class SharedCache(Protocol):
    """A cache that all nodes share, with claims: robots.txt by origin, and the sitemaps that were read."""

    async def read(self, origin: str) -> bytes | None:
        """Return the cached text; None if there is none, or it has expired."""
        ...

    async def write(self, origin: str, text: bytes, for_s: float) -> None:
        """Store a text for `for_s` seconds, and end the claim."""
        ...

    async def claim(self, origin: str, for_s: float) -> bool:
        """Return whether the caller has the claim to fetch it."""
        ...

    async def yield_claim(self, origin: str) -> None:
        """End the claim: another node may fetch."""
        ...


class PaceObserver(Protocol):
    """Learns from settled visits."""

    def note(self, site: str, began: float, status: int, latency_ms: float, egress: str = "") -> None:
        """Note a visit that has ended; `status` is 0 without an answer."""
        ...


Fetch = Callable[[str, int], Awaitable[Fetched | FetchFailed]]
"""Fetches a URL without a browser, with a limit of the body in bytes."""
