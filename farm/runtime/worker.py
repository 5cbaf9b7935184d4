"""A worker: one slot, one URL at a time, from lease to settlement.

    lease -> render -> judge -> commit to the sink -> ack with the links (and the next lease)

Invariants: every lease is settled, released, or left to its deadline when the process or Redis dies; a
record is durable before its URL is acknowledged; a URL that fails keeps its reason; a visit that has lost its
lease ends without a record.
"""

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import Callable
from dataclasses import replace

from farm.model.clock import Clock
from farm.model.errors import BrowserUnavailable, FarmError, OutputUnwritable, RenderError
from farm.model.event import Committed, Emit, Fate, PageDone, Phase, SlotPhases, VisitFailed
from farm.model.outcome import Ack, Bury, Release, Retry, Settled
from farm.model.page import RenderedPage
from farm.model.task import Idle, Lease, LeaseRequest
from farm.policy.admission import IDLE_S, RETIRE_IDLE_S, idle_backoff_s, resume_delay_s
from farm.runtime.control import Control, ExitReason
from farm.runtime.ports import EgressRoute, Slot, SlotEgress
from farm.runtime.visit import Visitor, VisitResult, WorkerDeps, WorkerParams, without_record
from farm.runtime.visit_trace import VisitTrace

log = logging.getLogger("farm.worker")
RELEASE_S = 2.0
STOPPED, LOST = Release("the farm was stopped"), Release("its lease was lost")
DETAIL_CHARS = 2_000
"""Of what is told of a visit that failed: some of it is what a server has sent."""


class Worker:
    """Runs until the control ends. Errors that concern the whole farm propagate."""

    def __init__(
        self,
        index: int,
        slot: Slot,
        egress: SlotEgress,
        route: EgressRoute,
        deps: WorkerDeps,
        control: Control,
        params: WorkerParams,
    ) -> None:
        self._index = index
        self._slot = slot
        self._egress = egress
        self._route = route
        self._deps = deps
        self._visitor = Visitor(slot, egress, route, deps, params)
        self._control = control
        self._params = params
        self._site: str | None = None
        self._asked = self._worked = 0.0
        self._phases = SlotPhases(slot.name, deps.emit, deps.clock)
        self._events = VisitEvents(slot.name, deps.emit, deps.clock)

    async def run(self) -> None:
        """Lease and visit until there is no more work."""
        lease: Lease | None = None
        try:
            while lease is not None or not self._control.ending:
                lease = await (self._visit(lease) if lease is not None else self._look())
        finally:
            self._route.release()
            self._phases.enter(Phase.STOPPED)

    async def _look(self) -> Lease | None:
        """Request a lease once; without one, wait until the next request can succeed."""
        since = self._control.changes
        if self._index >= self._control.limit:
            self._slot.retire()
            self._route.release()
            self._phases.enter(Phase.WAITING)
            await self._control.wait_for_change(since, 60.0)
            return None
        if self._control.held:
            self._route.release()
            self._phases.enter(Phase.IDLE)
            self._retire_if_idle()
            await self._control.wait_for_change(since, 60.0)
            return None
        if not self._route.acquire(self._site):
            self._route.wait_or_fail()
            self._phases.enter(Phase.IDLE)
            await self._control.wait_for_change(since, IDLE_S)
            return None
        answer = await self._deps.frontier.lease(self._request())
        if isinstance(answer, Lease):
            self._control.notify_one()
        return await self._take(answer, since)

    async def _take(self, answer: Lease | Idle | None, since: int) -> Lease | None:
        if isinstance(answer, Lease):
            return answer
        if answer is None:
            return None
        self._route.yield_trial(self._site)
        self._phases.enter(Phase.IDLE)
        match answer.reason:
            case "empty" if not (self._control.expecting or self._control.staying):
                self._control.end(ExitReason.FINISHED)
            case "limit":
                # Pages that are being visited elsewhere may still fail and leave room under the limit.
                if (await self._deps.frontier.stats()).ledger.leased == 0:
                    self._control.end(ExitReason.LIMIT)
            case "stopped" | "draining":
                self._control.end(ExitReason.STOPPED)
        expected_s = IDLE_S if answer.reason == "empty" else answer.retry_in_s
        self._retire_if_idle()
        wait_s = idle_backoff_s(expected_s, self._control.idle_slots + 1, random.random())  # noqa: S311
        await self._control.wait_for_work(since, wait_s)
        return None

    def _retire_if_idle(self) -> None:
        if self._deps.clock.monotonic() - self._worked >= RETIRE_IDLE_S:
            # The last page goes on working for as long as it is open.
            self._slot.retire()

    def _request(self) -> LeaseRequest:
        self._asked = self._deps.clock.monotonic()
        slot = f"{self._params.node}/{self._slot.name}.{self._params.life}"
        return LeaseRequest(slot, uuid.uuid4().hex, self._site, self._params.limit, self._route.address)

    async def _visit(self, lease: Lease) -> Lease | None:
        """Carry one lease to its settlement; return the next lease if it came in the same round trip."""
        begun = self._deps.clock.monotonic()
        self._site = lease.task.site
        try:
            result = await self._visited(lease, begun)
            if result is None or not await self._deps.heartbeat.confirm(lease, self._params.commit_s):
                # Another worker has the URL, so nothing is committed or settled.
                self._events.lost(lease.task.url, begun)
                if lease.alone:
                    # Until it is settled the node's other slots are leased nothing; nor may this one be again.
                    await self._deps.frontier.nack(lease, LOST)
                return None
            self._deps.heartbeat.hold(lease, self._params.sink_s + self._params.commit_s)
            self._phases.enter(Phase.COMMITTING, lease.task.url)
            result = await self._committed(result)
            self._worked = self._deps.clock.monotonic()
            return await self._settle(lease, result, begun)
        except (asyncio.CancelledError, BrowserUnavailable, OutputUnwritable):
            # None of them is the URL's fault. While Redis is unavailable, the lease expires.
            await self._give_back(lease)
            raise
        finally:
            self._deps.heartbeat.drop(lease)

    async def _visited(self, lease: Lease, begun: float) -> VisitResult | None:
        """Return how to settle the visit; None if its lease was lost meanwhile."""
        lease_ms, params = round((begun - self._asked) * 1000), self._params
        scope = asyncio.timeout(None)
        try:
            async with scope:
                # Until its robots.txt is known, a visit waits for the site and for Redis, not for a page.
                self._deps.heartbeat.hold(lease, params.commit_s, _expiry_of(scope))
                refusal = await self._deps.robots.refusal(lease, lease.task.url)
                if refusal is not None:
                    return self._noted(without_record(lease, refusal), "robots")
                self._deps.heartbeat.hold(lease, params.most_s)
                if await self._stopped_after_outage(lease_ms):
                    return VisitResult(STOPPED)
                return await self._visitor.visit(lease, lease_ms, begun)
        except TimeoutError:
            if not scope.expired():
                raise
            return None

    async def _stopped_after_outage(self, lease_ms: int) -> bool:
        """After an outage, wait until this slot may resume; return True if the farm ends meanwhile."""
        slots, spread_s = self._control.limit, self._params.spread_s
        wait_s = resume_delay_s(lease_ms / 1000, self._index, slots, spread_s, random.random())  # noqa: S311
        return wait_s > 0 and await self._control.ended(wait_s)

    async def _committed(self, result: VisitResult) -> VisitResult:
        """Commit the records and skips; a record that cannot be written buries its URL."""
        if not result.batch:
            return result
        try:
            await self._deps.sink.commit(result.batch)
        except RenderError as error:
            return self._noted(VisitResult(Bury(error.kind, error.detail)), "commit")
        self._deps.emit(Committed(self._deps.clock.monotonic(), result.batch))
        return result

    def _noted(self, result: VisitResult, phase: str) -> VisitResult:
        """Return how to settle a visit, with its history entry if it is not done."""
        settlement = result.settlement
        if isinstance(settlement, Ack):
            return result
        trace = VisitTrace(self._params.node, self._slot.name, phase, self._route.label)
        return replace(result, failed=trace.failed(settlement))

    async def _settle(self, lease: Lease, result: VisitResult, begun: float) -> Lease | None:
        frontier, settlement = self._deps.frontier, result.settlement
        if result.extension is not None:
            await frontier.extend_scope(result.extension)
        since = self._control.changes
        if not isinstance(settlement, Ack):
            settled = await frontier.nack(lease, settlement, result.failed)
            self._events.failed(lease.task.url, settlement, begun)
            self._warn_if_stale(lease, settled)
            if self._deps.user_code is not None and isinstance(settlement, Bury):
                await self._deps.user_code.dead(lease, settlement)
            return None
        # The next lease comes in the same round trip, unless this slot has to stop or to wait.
        goes_on = (
            not (self._control.ending or self._control.held)
            and self._index < self._control.limit
            and self._route.acquire(lease.task.site)
        )
        settled, answer = await frontier.ack(lease, settlement, self._request() if goes_on else None)
        if result.page is not None:
            self._events.done(lease.task.url, result.page, self._egress.bytes_received, begun)
        self._warn_if_stale(lease, settled)
        if settlement.links:
            self._control.notify_new_work()
        return await self._take(answer, since) if answer is not None else None

    async def _give_back(self, lease: Lease) -> None:
        """Release the lease while the farm stops; if Redis is slow, the lease expires by its deadline."""
        if self._deps.heartbeat.is_lost(lease):
            return
        try:
            # Not `asyncio.timeout`: before Python 3.11.4 a cancelled task does not get its TimeoutError.
            await asyncio.wait_for(self._deps.frontier.nack(lease, STOPPED), RELEASE_S)
        except (TimeoutError, FarmError):
            log.warning("%s was not released in time; its lease expires", lease.task.url)

    def _warn_if_stale(self, lease: Lease, settled: Settled) -> None:
        if settled is Settled.STALE:
            log.warning(
                "%s was settled by another worker meanwhile; nothing is counted twice", lease.task.url
            )


class VisitEvents:
    """Emits the results of one slot's visits; `begun` is when a visit's lease arrived, by the same clock."""

    def __init__(self, slot: str, emit: Emit, clock: Clock) -> None:
        self._slot = slot
        self._emit = emit
        self._clock = clock

    def done(self, url: str, page: RenderedPage, bytes_received: int, begun: float) -> None:
        """Emit `PageDone` for a page that was kept."""
        now = self._clock.monotonic()
        took_ms = round((now - begun) * 1000)
        self._emit(PageDone(now, self._slot, url, page.status, took_ms, bytes_received, page.settled))

    def failed(self, url: str, settlement: Retry | Bury | Release, begun: float) -> None:
        """Emit `VisitFailed` for a visit without a page, with the settlement of its URL."""
        match settlement:
            case Retry(reason=reason, detail=detail):
                self._failed(url, reason, detail, Fate.RETRY, begun)
            case Bury(reason=reason, detail=detail):
                self._failed(url, reason, detail, Fate.DEAD, begun)
            case Release(reason=reason):
                self._failed(url, "released", reason, Fate.RELEASED, begun)

    def lost(self, url: str, begun: float) -> None:
        """Emit `VisitFailed` for a visit whose lease was lost."""
        self._failed(url, "lost", "another worker has the URL", Fate.LOST, begun)

    def _failed(self, url: str, reason: str, detail: str, fate: Fate, begun: float) -> None:
        now = self._clock.monotonic()
        took_ms = round((now - begun) * 1000)
        self._emit(VisitFailed(now, self._slot, url, reason, detail[:DETAIL_CHARS], fate, took_ms))


def _expiry_of(scope: asyncio.Timeout) -> Callable[[], None]:
    """Return a callback that expires the timeout from another thread."""
    loop = asyncio.get_running_loop()

    def expire() -> None:
        with contextlib.suppress(RuntimeError):
            # The timeout has been left already.
            scope.reschedule(loop.time())

    def from_thread() -> None:
        with contextlib.suppress(RuntimeError):
            # The loop is closed: its workers have ended.
            loop.call_soon_threadsafe(expire)

    return from_thread
