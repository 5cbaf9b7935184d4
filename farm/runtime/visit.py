"""One visit, from a lease to its settlement: render the page, judge it, sort its links and make its record.

The visit gathers facts and reports them to the learners; `policy.verdict` decides. Nothing is written here: the
worker commits the record and settles the lease.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from farm.model.clock import Clock
from farm.model.egress import EgressFailure
from farm.model.errors import RenderError, SlotLost
from farm.model.event import Emit
from farm.model.handling import PageHandled, PageSkipped
from farm.model.outcome import Ack, Bury, FailedVisit, FailureKind, Judgement, Release, Retry, SkipReason
from farm.model.page import Detection, PageSnapshot, RenderedPage
from farm.model.record import Batch, Record, Skip, VisitTimes, snapshot_files
from farm.model.task import Lease, UrlTask
from farm.policy import verdict
from farm.policy.retry import RetryParams
from farm.policy.verdict import Attempt, Failed
from farm.runtime.heartbeat import Heartbeat
from farm.runtime.pacing import DomainOf, VisitPacing, answering_site
from farm.runtime.ports import (
    Detect,
    EgressRoute,
    Frontier,
    PaceObserver,
    Permission,
    RedirectJudge,
    Scope,
    Sink,
    Slot,
    SlotEgress,
)
from farm.runtime.site_login import SiteLogin
from farm.runtime.user_code import UserCode
from farm.runtime.visit_trace import VisitTrace


@dataclass(frozen=True, slots=True)
class WorkerParams:
    """`visit_s` bounds a visit, rendering and user code included; `sink_s` the sink, `commit_s` Redis.

    `extract_s` is the additional time for the page's texts and items.

    `node` is this node's name, which makes the slots' names unique among all nodes, and `life` distinguishes them
    from those of an earlier run with the name: if that was suspended and continues, it must not request leases
    under the names of these slots, or their leases would be released.
    """

    node: str
    visit_s: float
    commit_s: float
    limit: int
    retry: RetryParams
    sink_s: float = 0.0
    extract_s: float = 0.0
    life: str = ""
    handler_s: float = 0.0
    """The additional time for the user's code."""
    snapshot_s: float = 0.0
    """How long the snapshot of a page whose URL is given up may take; 0: none is taken."""
    masked: Callable[[str], str] = str
    """Returns HTML with secrets masked, for a snapshot."""
    login_s: float = 0.0
    """How long a login may take before the visit, that of another node included."""
    spread_s: float = 0.0
    """After an outage of Redis the slots resume over this time, not all at once."""

    @property
    def most_s(self) -> float:
        """How long a visit may take, with everything that is done on its page."""
        return self.visit_s + self.spread_s + self.extract_s + self.handler_s + self.snapshot_s + self.login_s


@dataclass(frozen=True, slots=True)
class VisitNotes:
    """The facts of a visit in its record, beside the page; `proxy` is a label without credentials."""

    fetched_at: datetime
    times: VisitTimes
    proxy: str | None
    detection: Detection | None
    items: Sequence[tuple[str, Mapping[str, Any]]] | None = None
    """The items that the user's code emitted, with their kinds; None without such code."""


Recorder = Callable[[Lease, RenderedPage, VisitNotes], Awaitable[Record]]
"""Makes the record of a visit."""


@dataclass(frozen=True, slots=True)
class WorkerDeps:
    """The parts of the farm that a worker and its visits use, as ports."""

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
    user_code: UserCode | None = None
    login: SiteLogin | None = None
    domain_of: DomainOf = str


@dataclass(frozen=True, slots=True)
class VisitResult:
    """How to settle a visit, with its records and skips; `page` is set where it is done with a record."""

    settlement: Ack | Retry | Bury | Release
    batch: Batch = field(default_factory=Batch)
    page: RenderedPage | None = None
    extension: str | None = None
    failed: FailedVisit | None = None
    """The entry for the URL's history, if the visit is not done."""


class Visitor:
    """Visits one URL after the other with one slot."""

    def __init__(
        self, slot: Slot, egress: SlotEgress, route: EgressRoute, deps: WorkerDeps, params: WorkerParams
    ) -> None:
        self._slot = slot
        self._egress = egress
        self._route = route
        self._deps = deps
        self._params = params

    async def visit(self, lease: Lease, lease_ms: int, begun: float) -> VisitResult:
        """Visit the URL, report the results for its site and its proxy, and return how to settle it.

        `lease_ms` is how long the request for the lease took, `begun` when the lease arrived.
        """
        trace = VisitTrace(self._params.node, self._slot.name, timings_ms={"lease": lease_ms})
        result = await self._visited(lease, trace, begun)
        settlement = result.settlement
        if isinstance(settlement, Ack):
            return result
        trace.timings_ms["total"] = round((self._deps.clock.monotonic() - begun) * 1000)
        if self._keeps_snapshot(settlement):
            shown = await self._slot.snapshot()
            if trace.is_spent:
                self._slot.retire()
            if shown is None and trace.html:
                shown = PageSnapshot(html=self._params.masked(trace.html))
            if shown is not None:
                result = replace(result, batch=Batch(snapshots={lease.id: shown}))
        files = tuple(snapshot_files(result.batch.snapshots))
        return replace(result, failed=replace(trace.failed(settlement), snapshot=files))

    def _keeps_snapshot(self, settlement: object) -> bool:
        return self._params.snapshot_s > 0 and isinstance(settlement, Bury)

    async def _visited(self, lease: Lease, trace: VisitTrace, begun: float) -> VisitResult:
        jitter, site, params = random.random(), lease.task.site, self._params.retry  # noqa: S311
        all_banned = self._route.acquire_for(site)
        trace.proxy, address, page = self._route.label, self._route.address, None
        if all_banned is not None:
            attempt = Attempt(lease, jitter, all_banned=all_banned)
        elif isinstance(asked := await self._before(lease, trace, jitter), VisitResult):
            return asked
        else:
            deps = self._deps
            pacing = VisitPacing(lease, address, deps.frontier, jitter, params, deps.clock, deps.domain_of)
            attempt, page = await self._attempt(lease, pacing, trace, jitter)
            trace.timings_ms["wait"] = round(1000 * pacing.waited_s)
            login = deps.login
            if page is not None and login is not None and login.has_ended(lease, self._slot, page):
                return VisitResult(Release("the session of the site is over"))
            if (answer := verdict.answer_of(attempt)) is not None:
                took_ms = page.timings_ms.get("navigate", 0) - self._egress.waited_s * 1000 if page else 0.0
                self._deps.paces.note(site, pacing.began or begun, answer, max(0.0, took_ms), address)
        if page is not None and page.redirects:
            refusal = await self._deps.robots.refusal(lease, page.final_url)
            attempt = replace(attempt, refusal=refusal)
        outcome, count = verdict.outcome_of(attempt), 0
        if outcome is not None:
            navigate_ms = page.timings_ms.get("navigate") if page else None
            count = self._route.report(lease.id, site, outcome, navigate_ms)
        judged = verdict.decide(attempt, outcome, count, params)
        trace.is_spent = verdict.needs_new_context(outcome)
        if trace.is_spent and not self._keeps_snapshot(judged):
            self._slot.retire()
        if judged is not None:
            return self._unkept(attempt, judged, page)
        if page is None:
            raise AssertionError("a visit without a page is never kept")
        return await self._done(attempt, page, trace, begun)

    async def _attempt(
        self, lease: Lease, pacing: VisitPacing, trace: VisitTrace, jitter: float
    ) -> tuple[Attempt, RenderedPage | None]:
        """Render the page; return the facts of the visit, and the page if there is one."""
        url, egress, visit_s = lease.task.url, self._egress, self._params.visit_s
        requested, by_proxy = url, trace.proxy is not None
        egress.begin(url, pacing.ask, is_retry=lease.attempt > 1)
        try:
            async with asyncio.timeout(visit_s):
                page = await self._slot.render(lease, pacing.answered)
                trace.shown(page)
                page = page.explained(lambda url: _cause(egress.failure(url)))
                await pacing.count_redirects(page)
        except RenderError as error:
            failed, requested = Failed(error.kind, error.detail, on_request=True), error.url or url
        except SlotLost as error:
            failed = Failed(error.kind, error.detail, innocent=error.innocent)
        except TimeoutError:
            failed = Failed(FailureKind.TIMEOUT, f"the visit took more than {visit_s:g} s")
        else:
            return Attempt(
                lease,
                jitter,
                by_proxy,
                egress_failure=egress.shortfall(page.final_url),
                status=page.status,
                detection=self._deps.detect(page),
                delay_s=pacing.delay_s(page),
                broke_off=page.broke_off,
                is_taken=page.tiers is not None and page.tiers.is_taken,
                is_elsewhere=answering_site(lease.task, page.final_url, self._deps.domain_of)
                != lease.task.site,
            ), page
        trace.answered(pacing.status)
        return Attempt(lease, jitter, by_proxy, failed=failed, egress_failure=egress.failure(requested)), None

    def _unkept(self, attempt: Attempt, judged: Judgement, page: RenderedPage | None) -> VisitResult:
        """Settle a visit without a record. What leads out of the scope is skipped, whatever is answered there."""
        if page is None or not attempt.is_of_other_site or not isinstance(judged, Retry | Bury):
            return without_record(attempt.lease, judged, page)
        redirect = self._deps.redirects.judge(attempt.lease.task, page)
        result = without_record(attempt.lease, redirect.skip or judged, page)
        return replace(result, extension=redirect.extension)

    async def _done(
        self, attempt: Attempt, page: RenderedPage, trace: VisitTrace, begun: float
    ) -> VisitResult:
        """Keep a page: judge its final address, sort its links and make its record."""
        lease, clock = attempt.lease, self._deps.clock
        page = replace(page, bytes_received=self._egress.bytes_received)
        redirect = self._deps.redirects.judge(lease.task, page)
        if redirect.skip is not None:
            return without_record(lease, redirect.skip, page)
        code, handler_s = self._deps.user_code, None
        handled = PageHandled()
        if code is not None:
            since, trace.phase = clock.monotonic(), "handler"
            said = await code.handle(lease, page, attempt.detection, self._slot)
            handler_s = clock.monotonic() - since
            if isinstance(said, Failed):
                failed = replace(attempt, failed=said, egress_failure=None)
                return self._not_kept(lease, verdict.decide(failed, None, 0, self._params.retry))
            handled = said
            if handled.verdict is not None:
                return await self._by_request(attempt, handled, redirect.seen, page)
        kept = clock.monotonic()
        links, skips = await self._links(lease, page, handled, nofollow=redirect.nofollow)
        times = VisitTimes(clock, trace.timings_ms["lease"], begun, kept, handler_s)
        items = None if code is None else handled.items
        notes = VisitNotes(clock.wall(), times, trace.proxy, attempt.detection, items)
        record = await self._deps.record(lease, page, notes)
        settlement = Ack(links, redirect.seen, tiers=page.tiers)
        return VisitResult(settlement, Batch((record,), skips), page, redirect.extension)

    async def _links(
        self, lease: Lease, page: RenderedPage, handled: PageHandled, *, nofollow: bool
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Return the URLs to visit from the page's links, and the skipped ones with their reasons."""
        code, scope = self._deps.user_code, self._deps.scope
        links: Sequence[UrlTask] = ()
        skips: Sequence[Skip] = ()
        if code is None or code.follows_scope:
            links, skips = await scope.sort(
                page.links, lease.task, nofollow=nofollow, router=page.hash_router
            )
        if not handled.links:
            return links, skips
        # Explicit links come first: of two links to one address the first counts.
        followed, refused = await scope.follow(handled.links, lease.task)
        return (*followed, *links), (*refused, *skips)

    async def _before(self, lease: Lease, trace: VisitTrace, jitter: float) -> VisitResult | None:
        """Run the user's code before the navigation; return the visit's result if the code ends it."""
        code, login = self._deps.user_code, self._deps.login
        if login is not None and login.site == lease.task.site:
            if login.leads_out(lease.task):
                return without_record(lease, SkipReason.EXCLUDED)
            if not await login.ready(self._slot, self._egress):
                return VisitResult(Release("the login of the site is awaited"))
        if code is None or not code.runs_before:
            return None
        trace.phase = "handler"
        asked = await code.before(lease)
        trace.phase = "navigate"
        if isinstance(asked, Failed):
            attempt = Attempt(lease, jitter, failed=asked)
            return self._not_kept(lease, verdict.decide(attempt, None, 0, self._params.retry))
        if asked.verdict is None:
            return None
        return await self._by_request(Attempt(lease, jitter), asked, (), None)

    async def _by_request(
        self, attempt: Attempt, handled: PageHandled, seen: Sequence[str], page: RenderedPage | None
    ) -> VisitResult:
        """Settle a page that the user's code does not keep; the links of a skipped page are followed.

        Without a `page` it does not count towards the limit.
        """
        if not isinstance(handled.verdict, PageSkipped):
            if handled.verdict is None:
                raise AssertionError("a page that is kept has a record")
            return VisitResult(verdict.after_user_code(attempt, handled.verdict, self._params.retry))
        task = attempt.lease.task
        links, skips = await self._deps.scope.follow(handled.links, task)
        skip = Skip(task.url, SkipReason.HANDLER, task.referrer, task.depth, handled.verdict.why)
        tiers = page.tiers if page is not None else None
        settlement = Ack(links, seen, rendered=page is not None, tiers=tiers)
        return VisitResult(settlement, Batch(skips=(skip, *skips)))

    def _not_kept(self, lease: Lease, judged: Judgement | None) -> VisitResult:
        if judged is None:
            raise AssertionError("a visit that failed is never kept")
        return without_record(lease, judged)


def without_record(lease: Lease, judged: Judgement, page: RenderedPage | None = None) -> VisitResult:
    """Return the settlement of a visit without a record; a skip is recorded and acknowledged.

    What its `page` has shown of the renderers counts, but for a page that was taken as it is: none is kept here.
    """
    if not isinstance(judged, SkipReason):
        return VisitResult(judged)
    skip = Skip(lease.task.url, judged, lease.task.referrer, lease.task.depth)
    tiers = page.tiers.without_taken() if page is not None and page.tiers is not None else None
    return VisitResult(Ack(rendered=False, tiers=tiers), Batch(skips=(skip,)))


def _cause(failure: EgressFailure | None) -> str:
    return f"{failure.fault}: {failure.detail}" if failure is not None else ""
