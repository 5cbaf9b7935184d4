"""A worker: one slot, one URL at a time, from lease to settlement.

    lease -> render -> judge -> commit to the sink -> ack with the links (and the next lease)

What always holds: a lease that was taken is settled, or left to its deadline when the process dies; a record is
durable before its URL is acknowledged; a URL that fails keeps its reason.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from farm.model.detection import Detection
from farm.model.egress import GateFailure, GateFault
from farm.model.errors import RenderError, SlotLost
from farm.model.event import Phase
from farm.model.outcome import Ack, Bury, FailureKind, Release, Retry, Settled, SkipReason
from farm.model.page import RenderedPage
from farm.model.record import Batch, Skip
from farm.model.task import Idle, Lease, LeaseRequest
from farm.policy.aimd import REFUSALS
from farm.policy.proxy_score import Outcome, after_error, after_fault, after_page
from farm.policy.retry import (
    after_block,
    after_failure,
    after_gate_failure,
    after_shortfall,
    after_shut_out,
    after_status,
    retry_after_s,
)
from farm.policy.turns import IDLE_S, LET_GO_S, ask_again_s, come_back_s
from farm.runtime.control import Control, ExitReason
from farm.runtime.ports import Gate, Slot, VisitNotes, Way
from farm.runtime.rooms import Rooms, WorkerParams
from farm.runtime.telling import Telling
from farm.runtime.turn import Turn

log = logging.getLogger("farm.worker")
RELEASE_S = 2.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How a visit is to be settled, and what it leaves behind; `page` where it is done with a record."""

    settlement: Ack | Retry | Bury | Release
    batch: Batch = field(default_factory=Batch)
    page: RenderedPage | None = None
    extension: str | None = None


class Worker:
    """Runs until the control ends. Errors that concern the whole farm pass through."""

    def __init__(
        self,
        index: int,
        slot: Slot,
        gate: Gate,
        way: Way,
        rooms: Rooms,
        control: Control,
        params: WorkerParams,
    ) -> None:
        self._index = index
        self._slot = slot
        self._gate = gate
        self._way = way
        self._rooms = rooms
        self._control = control
        self._params = params
        self._site: str | None = None
        self._asked = self._worked = 0.0
        self._went_by: str | None = None
        self._tell = Telling(slot.name, rooms.emit, rooms.clock)

    async def run(self) -> None:
        """Lease and visit until there is nothing to do any more."""
        lease: Lease | None = None
        try:
            while lease is not None or not self._control.ending:
                lease = await (self._visit(lease) if lease is not None else self._look())
        finally:
            self._way.leave()
            self._tell.phase(Phase.STOPPED)

    async def _look(self) -> Lease | None:
        """Ask for a lease once; without one, wait until asking again makes sense."""
        since = self._control.changes
        if self._index >= self._control.limit:
            self._slot.retire()
            self._way.leave()
            self._tell.phase(Phase.WAITING)
            await self._control.pause(since, 60.0)
            return None
        if not self._way.ready(self._site):
            self._way.bear()
            self._tell.phase(Phase.IDLE)
            await self._control.pause(since, IDLE_S)
            return None
        answer = await self._rooms.frontier.lease(self._request())
        if isinstance(answer, Lease):
            self._control.call_one()
        return await self._take(answer, since)

    async def _take(self, answer: Lease | Idle | None, since: int) -> Lease | None:
        if isinstance(answer, Lease):
            return answer
        if answer is None:
            return None
        self._way.rest(self._site)
        self._tell.phase(Phase.IDLE)
        match answer.reason:
            case "empty" if not self._control.expecting:
                self._control.end(ExitReason.FINISHED)
            case "limit":
                # Pages that are being visited elsewhere may still fail and leave room under the limit.
                if (await self._rooms.frontier.stats()).ledger.leased == 0:
                    self._control.end(ExitReason.LIMIT)
            case "stopped" | "draining":
                self._control.end(ExitReason.STOPPED)
        expected_s = IDLE_S if answer.reason == "empty" else answer.retry_in_s
        if self._rooms.clock.monotonic() - self._worked >= LET_GO_S:
            # What its last page does by itself goes on for as long as it is open.
            self._slot.retire()
        rest_s = ask_again_s(expected_s, self._control.resting + 1, random.random())  # noqa: S311
        await self._control.rest(since, rest_s)
        return None

    def _request(self) -> LeaseRequest:
        self._asked = self._rooms.clock.monotonic()
        slot = f"{self._params.node}/{self._slot.name}"
        return LeaseRequest(slot, uuid.uuid4().hex, self._site, self._params.limit, self._way.address)

    async def _visit(self, lease: Lease) -> Lease | None:
        """Carry one lease to its settlement and return the next one, if it came with it."""
        begun = self._rooms.clock.monotonic()
        lease_ms = round((begun - self._asked) * 1000)
        self._site = lease.task.site
        # Until its robots.txt is known a visit waits for the sites and for Redis, not for a page.
        self._rooms.heartbeat.hold(lease, self._params.commit_s)
        try:
            verdict = await self._refused(lease, lease.task.url)
            if verdict is None:
                self._rooms.heartbeat.hold(lease, self._params.visit_s + self._params.spread_s)
                verdict = await self._come_back(lease_ms)
                verdict = verdict or await self._judged(lease, lease_ms, begun)
            self._rooms.heartbeat.hold(lease, self._params.commit_s)
            self._tell.phase(Phase.COMMITTING, lease.task.url)
            verdict = await self._committed(verdict)
            self._worked = self._rooms.clock.monotonic()
            return await self._settle(lease, verdict, begun)
        except asyncio.CancelledError:
            await self._give_back(lease)
            raise
        finally:
            self._rooms.heartbeat.drop(lease)

    async def _come_back(self, lease_ms: int) -> _Verdict | None:
        """Wait for this slot's turn where all slots waited for their leases; give the URL back at the end."""
        slots, spread_s = self._control.limit, self._params.spread_s
        wait_s = come_back_s(lease_ms / 1000, self._index, slots, spread_s, random.random())  # noqa: S311
        is_over = wait_s > 0 and await self._control.ended(wait_s)
        return _Verdict(Release("the farm was stopped")) if is_over else None

    async def _judged(self, lease: Lease, lease_ms: int, begun: float) -> _Verdict:
        """Render and judge; every failure of the visit becomes a verdict."""
        url, attempt, jitter = lease.task.url, lease.attempt, random.random()  # noqa: S311
        params = self._params.retry
        shut_out = self._way.take(lease.task.site)
        if shut_out is not None:
            return _Verdict(after_shut_out(shut_out, lease.throttled, params))
        self._went_by = self._way.label
        turn = Turn(lease, self._way.address, self._rooms.frontier, params, self._rooms.clock)
        self._gate.begin(url, turn.ask)
        asked, kind = None, FailureKind.TIMEOUT
        detail = f"the visit took more than {self._params.visit_s:g} s"
        try:
            async with asyncio.timeout(self._params.visit_s):
                page = await self._slot.render(lease, turn.answered)
                await turn.count_redirects(page)
            found = self._rooms.detect(page)
            self._learn(lease, page, found, turn, begun)
            verdict = self._short(lease, page, jitter)
            if verdict is None and page.redirects:
                verdict = await self._refused(lease, page.final_url)
            return verdict or self._done(lease, page, found, lease_ms, begun, jitter)
        except RenderError as error:
            kind, detail, asked = error.kind, error.detail, error.url or url
        except SlotLost as error:
            kind, detail = error.kind, error.detail
            if error.innocent:
                return _Verdict(Release(detail))
        except TimeoutError:
            pass  # as it is said above
        failure = self._gate.failure(asked or url)
        through = asked is None or kind is FailureKind.TLS
        if failure is not None and (not through or failure.fault is GateFault.TOO_LARGE):
            return self._not_through(lease, failure, jitter)
        if kind in {FailureKind.NETWORK, FailureKind.TIMEOUT}:
            self._rooms.paces.note(lease.task.site, turn.began or begun, 0, 0.0, self._way.address)
        self._report(lease, after_error(kind))
        return _Verdict(after_failure(kind, detail, attempt, jitter, params))

    def _short(self, lease: Lease, page: RenderedPage, jitter: float) -> _Verdict | None:
        """Judge what is missing on a page that was shown; None where it is whole, or as whole as it gets."""
        failure = self._gate.shortfall(page.final_url)
        if failure is None:
            return None
        if failure.fault is not GateFault.TUNNEL:
            return self._not_through(lease, failure, jitter)
        count = self._report(lease, Outcome.PARTIAL)
        released = after_shortfall(failure, count, self._params.retry)
        return None if released is None else _Verdict(released)

    def _not_through(self, lease: Lease, failure: GateFailure, jitter: float) -> _Verdict:
        """Judge a visit that the gateway did not get through."""
        count = self._report(lease, after_fault(failure.fault))
        judged = after_gate_failure(failure, lease.attempt, jitter, self._params.retry, count)
        return self._late_skip(lease, judged) if isinstance(judged, SkipReason) else _Verdict(judged)

    def _report(self, lease: Lease, outcome: Outcome, latency_ms: float | None = None) -> int:
        return self._way.report(lease.id, lease.task.site, outcome, latency_ms)

    def _kept_out(self, lease: Lease, page: RenderedPage, found: Detection | None) -> _Verdict | None:
        """Judge a page that a proxy brought: None where it is to be taken as it is."""
        outcome = after_page(page.status, blocked=found is not None and found.blocks)
        count = self._report(lease, outcome, page.timings_ms.get("navigate"))
        if outcome not in {Outcome.BLOCKED, Outcome.DOUBTED}:
            return None
        # With the cookies that it was given, the next visit would be known again whatever its address.
        self._slot.retire()
        block = found if outcome is Outcome.BLOCKED else None
        judged = after_block(block, page.status, count, self._params.retry)
        return None if judged is None else _Verdict(judged)

    async def _refused(self, lease: Lease, url: str) -> _Verdict | None:
        """Ask what robots.txt says; a verdict where it refuses."""
        refusal = await self._rooms.robots.refusal(lease, url)
        if refusal is None:
            return None
        return self._late_skip(lease, refusal) if isinstance(refusal, SkipReason) else _Verdict(refusal)

    def _learn(
        self, lease: Lease, page: RenderedPage, found: Detection | None, turn: Turn, begun: float
    ) -> None:
        """Have it learnt how the site answered; a block that is not an address's own is as good as no answer."""
        is_block = found is not None and found.blocks and page.status not in REFUSALS and not self._went_by
        took_ms = max(0.0, page.timings_ms.get("navigate", 0) - turn.waited_s * 1000)
        status = 0 if is_block else page.status
        self._rooms.paces.note(lease.task.site, turn.began or begun, status, took_ms, self._way.address)

    def _done(
        self,
        lease: Lease,
        page: RenderedPage,
        found: Detection | None,
        lease_ms: int,
        begun: float,
        jitter: float,
    ) -> _Verdict:
        """Judge a page that was rendered: its status, where it ended, and what it links to."""
        page = replace(page, bytes_received=self._gate.bytes_received)
        clock, params, proxy = self._rooms.clock, self._params.retry, self._went_by
        if proxy is not None:
            verdict = self._kept_out(lease, page, found)
            if verdict is not None:
                return verdict
        wait_s = retry_after_s(page.headers.get("retry-after"), clock.wall(), params)
        put_off = after_status(page.status, wait_s, lease.attempt, lease.throttled, jitter, params)
        if put_off is not None:
            return _Verdict(put_off)
        landing = self._rooms.landings.land(lease.task, page)
        if landing.skip is not None:
            return self._late_skip(lease, landing.skip)
        extracting = clock.monotonic()
        links, skips = self._rooms.scope.sort(page.links, lease.task, nofollow=landing.nofollow)
        now = clock.monotonic()
        timings: Mapping[str, int] = {
            "lease": lease_ms,
            **page.timings_ms,
            "extract": round((now - extracting) * 1000),
            "total": round((now - begun) * 1000),
        }
        notes = VisitNotes(clock.wall(), timings, proxy, found)
        record = self._rooms.record(lease, page, notes)
        return _Verdict(Ack(links, landing.seen), Batch((record,), skips), page, landing.extension)

    def _late_skip(self, lease: Lease, reason: SkipReason) -> _Verdict:
        skip = Skip(lease.task.url, reason, lease.task.referrer, lease.task.depth)
        return _Verdict(Ack(rendered=False), Batch(skips=(skip,)))

    async def _committed(self, verdict: _Verdict) -> _Verdict:
        """Make what the visit leaves behind durable; a record that cannot be written is its page's fault."""
        if not verdict.batch.records and not verdict.batch.skips:
            return verdict
        try:
            await self._rooms.sink.commit(verdict.batch)
        except RenderError as error:
            return _Verdict(Bury(error.kind, error.detail))
        return verdict

    async def _settle(self, lease: Lease, verdict: _Verdict, begun: float) -> Lease | None:
        frontier, settlement = self._rooms.frontier, verdict.settlement
        if verdict.extension is not None:
            await frontier.extend_scope(verdict.extension)
        since = self._control.changes
        if not isinstance(settlement, Ack):
            settled = await frontier.nack(lease, settlement)
            self._tell.failed(lease.task.url, settlement, begun)
            self._tell_stale(lease, settled)
            return None
        # The next lease comes with the same round trip, unless this slot is to stop or to wait.
        goes_on = (
            not self._control.ending
            and self._index < self._control.limit
            and self._way.ready(lease.task.site)
        )
        settled, answer = await frontier.ack(lease, settlement, self._request() if goes_on else None)
        if verdict.page is not None:
            self._tell.done(lease.task.url, verdict.page, self._gate.bytes_received, begun)
        self._tell_stale(lease, settled)
        if settlement.links:
            self._control.wake()
        return await self._take(answer, since) if answer is not None else None

    async def _give_back(self, lease: Lease) -> None:
        """Release the lease while the farm is being stopped; if Redis is slow, its deadline returns it."""
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._rooms.frontier.nack(lease, Release("the farm was stopped"))
        except TimeoutError:
            log.warning("%s was not released in time; its lease runs out by itself", lease.task.url)

    def _tell_stale(self, lease: Lease, settled: Settled) -> None:
        if settled is Settled.STALE:
            log.warning(
                "%s was settled by another worker meanwhile; nothing is counted twice", lease.task.url
            )
