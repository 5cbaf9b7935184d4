"""Fakes of the ports of a worker: each notes its calls, and stops or fails where a test says so."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farm.model.crawl import Stats
from farm.model.errors import SlotLost
from farm.model.event import Event
from farm.model.handling import FollowedLink
from farm.model.outcome import Ack, Bury, FailedVisit, RedirectOutcome, Release, Retry, Settled, SkipReason
from farm.model.page import Answered, Detection, HashRouter, Link, PageSnapshot, RenderedPage
from farm.model.record import Batch, Record, Skip
from farm.model.task import Idle, Lease, LeaseRequest, UrlTask
from farm.policy.retry import RetryParams
from farm.runtime.control import Control
from farm.runtime.heartbeat import Heartbeat
from farm.runtime.ports import Frontier
from farm.runtime.user_code import UserCode
from farm.runtime.visit import VisitNotes, WorkerDeps, WorkerParams
from farm.runtime.worker import Worker
from tests.clock import ManualClock
from tests.runtime.egress_fakes import FakeRoute, FakeSlotEgress
from tests.runtime.test_heartbeat import Renewer

DEADLINE_S = 20.0
GIVEN_BACK = [("1", Release("the farm was stopped"))]
SITE = "a.example"
LINK = UrlTask(f"http://{SITE}/linked", SITE, "linked", 1)


def lease(name: str = "1", **values: Any) -> Lease:
    """Return a lease of the site."""
    return Lease(UrlTask(f"http://{SITE}/{name}", SITE, name), "node/01", 7, **values)


def page(status: int = 200, **values: Any) -> RenderedPage:
    """Return a page of the site."""
    given: dict[str, Any] = {"final_url": f"http://{SITE}/1", "headers": {}, "content_type": "text/html"}
    return RenderedPage(status=status, **(given | values))


@dataclass
class Steps:
    """What was called, in order; a call waits for ever or raises where the test says so.

    `stop_at` names a call that never returns: `reached` is set there. `failures` are raised by calls of that name,
    `hooks` are called by them.
    """

    stop_at: str = ""
    failures: dict[str, Exception] = field(default_factory=dict)
    hooks: dict[str, Callable[[], object]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def at(self, name: str) -> None:
        """Note the call."""
        self.made.append(name)
        self.hook(name)
        if name in self.failures:
            raise self.failures[name]
        if name == self.stop_at:
            self.reached.set()
            await asyncio.Event().wait()

    def hook(self, name: str) -> None:
        """Do what the test wants to happen here."""
        self.hooks.get(name, lambda: None)()


@dataclass
class FakeFrontier:
    """Hands out the leases in turn, then says that there is nothing more; `settled` are the settlements."""

    steps: Steps
    leases: list[Lease]
    idle: str = "empty"
    verdict: Settled = Settled.OK
    settled: list[tuple[str, Ack | Retry | Bury | Release]] = field(default_factory=list)
    failed: list[FailedVisit | None] = field(default_factory=list)
    blocks: list[tuple[str, float]] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    moved: int = 0
    sites: list[str] = field(default_factory=list)
    counted: Stats = field(default_factory=Stats)

    def _following(self) -> Lease | Idle:
        return self.leases.pop(0) if self.leases else Idle(self.idle, 0.0)

    async def add(self, tasks: Sequence[UrlTask]) -> int:
        """Accept all."""
        return len(tasks)

    async def lease(self, request: LeaseRequest) -> Lease | Idle:
        """Hand out the next one."""
        await self.steps.at("lease")
        return self._following()

    async def ack(
        self, lease: Lease, outcome: Ack, following: LeaseRequest | None = None
    ) -> tuple[Settled, Lease | Idle | None]:
        """Note the settlement."""
        await self.steps.at("ack")
        self.settled.append((lease.id, outcome))
        return self.verdict, None if following is None else self._following()

    async def nack(
        self, lease: Lease, outcome: Retry | Bury | Release, visit: FailedVisit | None = None
    ) -> Settled:
        """Note the settlement."""
        self.failed.append(visit)
        self.settled.append((lease.id, outcome))
        await self.steps.at("release" if isinstance(outcome, Release) else "nack")
        return self.verdict

    async def may_begin(self, site: str, egress: str = "", *, begun: bool = False) -> float:
        """Let every visit begin."""
        await self.steps.at("may_begin")
        return 0.0

    async def block(self, site: str, for_s: float, *, egress: str = "") -> None:
        """Note the block."""
        self.blocks.append((site, for_s))

    async def maintain(self) -> int:
        """Say that so many have moved."""
        await self.steps.at("maintain")
        return self.moved

    async def stats(self) -> Stats:
        """Return what the test has counted."""
        await self.steps.at("stats")
        return self.counted

    async def extend_scope(self, extension: str) -> None:
        """Note the extension."""
        await self.steps.at("extend_scope")
        self.extensions.append(extension)

    async def scope_sites(self) -> Collection[str]:
        """Return what the scope has grown by."""
        return self.sites


@dataclass
class FakeSlot:
    """Renders the pages in turn; an exception among them is raised."""

    steps: Steps
    egress: FakeSlotEgress
    pages: list[RenderedPage | Exception]
    name: str = "01"
    retired: int = 0
    lost: SlotLost | None = None
    shown: PageSnapshot | None = None
    rendered: list[str] = field(default_factory=list)

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Visit as a browser does: ask for the document, hear of its answer, show the page."""
        self.rendered.append(lease.id)
        if self.egress.ask is not None:
            await self.egress.ask(lease.task.site)
        await self.steps.at("render")
        shown = self.pages.pop(0) if self.pages else page()
        if isinstance(shown, Exception):
            raise shown
        if answered is not None:
            await answered(shown.final_url, shown.status, shown.headers)
        if "settle" in self.steps.failures:
            raise self.steps.failures["settle"]
        return shown

    async def snapshot(self) -> PageSnapshot | None:
        """Show what the test says, unless the context was closed."""
        await self.steps.at("snapshot")
        return None if self.retired else self.shown

    def retire(self) -> None:
        """Count it."""
        self.retired += 1

    async def live(self, on_lost: Callable[[], None]) -> object:
        """Give the page away; it is lost at once where the test says so."""
        await self.steps.at("live")
        if self.lost is not None:
            on_lost()
        return self

    def end_live(self, url: str) -> SlotLost | None:
        """Note it, and say how it was lost."""
        self.steps.made.append("end_live")
        return self.lost


@dataclass
class FakeSink:
    """Keeps the batches in memory."""

    steps: Steps
    batches: list[Batch] = field(default_factory=list)

    async def commit(self, batch: Batch) -> None:
        """Keep it."""
        await self.steps.at("commit")
        self.batches.append(batch)


@dataclass
class FakeSite:
    """What a worker asks and tells about sites: scope, redirects, robots.txt and paces."""

    steps: Steps
    landing: RedirectOutcome = field(default_factory=RedirectOutcome)
    refusals: list[Retry | Bury | Release | SkipReason | None] = field(default_factory=list)
    noted: list[tuple[str, int]] = field(default_factory=list)

    async def sort(
        self,
        links: Sequence[Link],
        referrer: UrlTask,
        *,
        nofollow: bool = False,
        router: HashRouter | None = None,
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Find one link on every page."""
        del links, referrer, router
        return ((), ()) if nofollow else ((LINK,), ())

    async def follow(
        self, links: Sequence[FollowedLink], referrer: UrlTask
    ) -> tuple[Sequence[UrlTask], Sequence[Skip]]:
        """Follow all."""
        return [UrlTask(one.url, SITE, one.url, label=one.label) for one in links], ()

    def judge(self, task: UrlTask, page: RenderedPage) -> RedirectOutcome:
        """Say what the test says."""
        self.steps.hook("land")
        return self.landing

    async def refusal(self, lease: Lease, url: str) -> Retry | Bury | Release | SkipReason | None:
        """Say what the test says, in turn."""
        await self.steps.at("robots")
        return self.refusals.pop(0) if self.refusals else None

    def note(self, site: str, began: float, status: int, latency_ms: float, egress: str = "") -> None:
        """Note the status."""
        self.noted.append((site, status))


async def record(lease: Lease, page: RenderedPage, notes: VisitNotes) -> Record:
    """Make a small record."""
    fields: Mapping[str, Any] = {
        "status": page.status,
        "proxy": notes.proxy,
        "bytes": page.bytes_received,
        "errors": [one.message for one in page.errors],
    }
    items = None if notes.items is None else [values for _, values in notes.items]
    return Record(lease.id, lease.task.url, fields, items=items)


class Bench:
    """One worker among fakes; what was done can be read from them. A `frontier` may be real."""

    def __init__(
        self,
        *leases: Lease,
        stop_at: str = "",
        visit_s: float = 60.0,
        frontier: Frontier | None = None,
        user_code: UserCode | None = None,
        snapshot_s: float = 0.0,
        domain_of: Callable[[str], str] = str,
    ) -> None:
        self.steps = Steps(stop_at)
        self.clock = ManualClock()
        self.control = Control()
        self.control.admit(1)
        self.frontier = FakeFrontier(self.steps, list(leases))
        self.egress = FakeSlotEgress()
        self.slot = FakeSlot(self.steps, self.egress, [])
        self.route = FakeRoute()
        self.sink = FakeSink(self.steps)
        self.site = FakeSite(self.steps)
        self.renewer = Renewer()
        self.heartbeat = Heartbeat(lambda: self.renewer, 30.0, self.clock)
        self.events: list[Event] = []
        self.detected: list[Detection | None] = []
        deps = WorkerDeps(
            frontier or self.frontier,
            self.sink,
            self.site,
            self.site,
            self.site,
            self.site,
            record,
            lambda _: self.detected.pop(0) if self.detected else None,
            self.heartbeat,
            self.events.append,
            self.clock,
            user_code,
            domain_of=domain_of,
        )
        params = WorkerParams("node", visit_s, 60.0, 0, RetryParams(), sink_s=300.0, snapshot_s=snapshot_s)
        self.worker = Worker(0, self.slot, self.egress, self.route, deps, self.control, params)

    @property
    def records(self) -> list[str]:
        """The ids of the committed records."""
        return [one.id for batch in self.sink.batches for one in batch.records]

    @property
    def held(self) -> int:
        """How many leases a beat would renew."""
        return self.heartbeat.beat(self.renewer)


async def worked(bench: Bench) -> Bench:
    """Run the worker until there is nothing to do any more."""
    async with asyncio.timeout(DEADLINE_S):
        await bench.worker.run()
    return bench
