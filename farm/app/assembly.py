"""The node of one process: its parts, each opened after those that it needs."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from farm.app.limits import crawl_limits
from farm.app.preflight import RunPlan
from farm.app.records import PageParsers, page_parsers, recorder
from farm.app.rendering import masking
from farm.app.session import CrawlSession
from farm.app.slots import NodeSlots, hash_routes, node_slots, site_login
from farm.app.traffic import (
    Proxies,
    byte_budget,
    link_sorter,
    pace_learner,
    proxies_of,
    robots_checker,
    sitemap_feed,
)
from farm.browser.errors import ignore_driver_exit
from farm.browser.snapshots import SNAPSHOT_S
from farm.detect import detect
from farm.egress import Gateway, GatewayParams
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.clock import Clock
from farm.model.event import Emit, Event
from farm.model.url import HashRoutes
from farm.monitor.outcomes import RunTotals
from farm.policy.admission import CpuParams
from farm.policy.memory import MemoryParams
from farm.policy.retry import RetryParams
from farm.resources.host_load import CpuUsage, HostLoad
from farm.resources.memory import MemoryMeter, MemorySampler, machine_bytes, renderer_cap_bytes
from farm.resources.processes import fd_limit
from farm.runtime.control import ByteBudget, Control, ending_from_thread
from farm.runtime.egress_route import DirectRoute
from farm.runtime.flow import FlowMeter, FlowReporter, OwnLimits
from farm.runtime.governor import Governor, GovernorParams
from farm.runtime.heartbeat import Heartbeat
from farm.runtime.node import Companion, Node, NodeParams, NodeSink
from farm.runtime.process_link import Glance
from farm.runtime.reaper import Reaper
from farm.runtime.robots import VisitPermission
from farm.runtime.site_login import LOGIN_S, WAIT_S, SiteLogin
from farm.runtime.user_code import CANCEL_S, UserCode
from farm.runtime.visit import WorkerDeps, WorkerParams
from farm.runtime.worker import Worker
from farm.scope.duplicate_templates import DuplicateTemplates
from farm.scope.links import RedirectPolicy
from farm.scope.rules import registrable_domain
from farm.settings.commands import RunSettings

FOLDER_BYTES = 256 * 2**20
"""About as much as the pages of an engine write to its folder, shared memory included."""
SHARED_MEMORY = {"/dev/shm": 8 * 2**20}  # noqa: S108 - looked at; Playwright's Chromium shares memory by files
VISITS_SHARE = 0.6
"""The share of the drain timeout for the pages under way; the rest is for releasing leases and closing."""
VISIT_GRACE_S = 30.0
"""Added to the page deadline: opening a context, waiting for an engine, closing what hangs."""
HANDLER_CALLS = 3
"""How often a visit takes the time of the user's code: before the navigation, on the page, and before that, while
a large page waits for its turn."""
SPREAD_S = 10.0
"""The longest time over which the slots resume after an outage of Redis."""


LIFE = 8
"""How many digits of a node's incarnation are in the names of its slots."""


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The node of one process, ready to run; `totals` returns what its parts have counted so far."""

    node: Node
    totals: Callable[[], RunTotals]
    set_budget: Callable[[int], None]
    """Sets the memory budget, in bytes."""
    budget: ByteBudget | None
    """Counts the bytes through proxies; None without proxies."""
    glance: Glance
    """Returns a picture of what a context shows."""


@asynccontextmanager
async def heartbeats(session: CrawlSession, clock: Clock) -> AsyncIterator[Heartbeat]:
    """Send the node's heartbeats and renew its leases until the end.

    Enter it before anything that may take long: a silent node is considered dead.
    """
    heartbeat = Heartbeat(
        lambda: RedisLeaseRenewer(session.redis_url, session.crawl),
        (await session.frontier.terms()).visibility_s,
        clock,
        node=session.presence.identity,
        replaced=session.presence.replaced,
        drained=session.presence.drained,
    )
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.close()


@asynccontextmanager
async def assemble_node(
    session: CrawlSession,
    reaper: Reaper,
    heartbeat: Heartbeat,
    sink: NodeSink,
    control: Control,
    tell: Emit,
    clock: Clock,
    companions: Sequence[Companion] = (),
) -> AsyncIterator[NodeParts]:
    """Build the node; on exit its parts are closed in the reverse order, each within a deadline of its own.

    `companions` run beside the node as long as it does.
    """
    plan, settings, meter = session.plan, session.plan.settings, FlowMeter()
    flow = FlowReporter(session.node, meter, session.frontier.flow, tell, clock)
    host_load = HostLoad(clock)

    def emit(event: Event) -> None:
        for fold in (tell, flow.fold, host_load.fold):
            fold(event)

    ignore_driver_exit(asyncio.get_running_loop())
    session.frontier.on_outage(emit)
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="farm-"))
        reaper.folder(folder)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        gateway = Gateway(plan.guard, _gateway_params(settings))
        await gateway.start()
        stack.push_async_callback(gateway.close)
        cap_bytes = renderer_cap_bytes(plan.budget_bytes)
        parsers = page_parsers(plan, cap_bytes, reaper)
        if parsers is not None:
            stack.push_async_callback(parsers.pool.close)
        login = site_login(session, clock)
        slots = node_slots(session, parsers, cap_bytes, folder, reaper, emit, clock, login)
        stack.push_async_callback(slots.close)
        session.presence.on_drain(ending_from_thread(control, emit, clock))
        if plan.handling is not None:
            stop = ending_from_thread(control, emit, clock, "the user's code stops this node")
            stack.enter_context(plan.handling.running(stop))
        retry = RetryParams(retries=session.crawl.settings["retries"])
        proxies = proxies_of(plan, emit, clock)
        budget = await byte_budget(session, gateway, control, emit, clock) if proxies else None
        robots = robots_checker(session, gateway, proxies, retry, clock)
        stack.push_async_callback(robots.close)
        templates = DuplicateTemplates(hash_routes=hash_routes(session) is HashRoutes.AUTO)
        links = link_sorter(session, robots, templates, clock.wall().year)
        pacer = pace_learner(session, host_load, emit, clock)
        deps = WorkerDeps(
            frontier=session.frontier,
            sink=sink,
            scope=links,
            robots=VisitPermission(robots, templates.should_skip),
            paces=pacer,
            redirects=RedirectPolicy(session.rules, links),
            domain_of=registrable_domain,
            record=recorder(plan, session.node, links, templates, parsers),
            detect=detect,
            heartbeat=heartbeat,
            emit=emit,
            clock=clock,
            user_code=_user_code(plan, cap_bytes),
            login=login,
        )
        feed = sitemap_feed(plan, session, gateway, proxies, robots, links, sink, control)
        workers = await _workers(
            plan,
            slots,
            gateway,
            proxies,
            deps,
            control,
            _worker_params(session, slots, retry, parsers, login),
        )
        sampler = _memory_sampler(slots, session, cap_bytes, folder)
        stack.callback(sampler.close)
        limits = crawl_limits(session.crawl.settings, settings.site, has_proxies=proxies is not None)
        own_limits = OwnLimits(limits, meter, proxies.pool if proxies else None, clock)
        params = _governor_params(plan, cap_bytes, folder)
        busy_share = CpuUsage().busy_share
        governor = Governor(
            params, sampler.sample, busy_share, slots.for_governor, control, emit, clock, own_limits
        )
        node = Node(
            workers,
            governor,
            session.frontier,
            session.rules.extend,
            lambda: sink.skipped,
            control,
            emit,
            clock,
            NodeParams(VISITS_SHARE * settings.drain_timeout, settings.time_limit, settings.limit),
            [
                pacer.run,
                flow.run,
                session.presence.run,
                *([partial(proxies.pool.follow, proxies.file, session.frontier.bans)] if proxies else []),
                *(one for one in (budget and budget.run, feed and feed.run) if one),
                *companions,
                *([session.server.keep] if session.server else []),
            ],
        )

        def totals() -> RunTotals:
            resources = governor.resources.summary()
            return RunTotals(resources, templates.repeated, pacer.throttled, links.unvisited_routes)

        yield NodeParts(node, totals, governor.set_budget, budget, slots.glance)


def _user_code(plan: RunPlan, cap_bytes: int) -> UserCode | None:
    return None if plan.handling is None else UserCode(plan.handling, plan.user_code_s, cap_bytes)


def _worker_params(
    session: CrawlSession,
    slots: NodeSlots,
    retry: RetryParams,
    parsers: PageParsers | None,
    login: SiteLogin | None,
) -> WorkerParams:
    plan, settings = session.plan, session.plan.settings
    return WorkerParams(
        visit_s=slots.renderings * settings.page_timeout + VISIT_GRACE_S,
        commit_s=settings.redis_patience + VISIT_GRACE_S,
        extract_s=parsers.wait_s + VISIT_GRACE_S if parsers is not None else 0.0,
        sink_s=settings.sink_patience,
        node=session.node,
        life=session.presence.identity.incarnation[:LIFE],
        limit=settings.limit,
        retry=retry,
        handler_s=HANDLER_CALLS * (plan.user_code_s + CANCEL_S) if plan.handling else 0.0,
        snapshot_s=SNAPSHOT_S if settings.snapshots else 0.0,
        masked=masking(plan.secrets, login.state_for if login is not None else None),
        login_s=LOGIN_S + WAIT_S if plan.secrets.login is not None else 0.0,
        spread_s=min(SPREAD_S, settings.ramp_up),
    )


async def _workers(
    plan: RunPlan,
    slots: NodeSlots,
    gateway: Gateway,
    proxies: Proxies | None,
    deps: WorkerDeps,
    control: Control,
    params: WorkerParams,
) -> list[Worker]:
    """Return a worker for each context, with its own port of the gateway and its own egress route."""
    workers = []
    for index in range(plan.contexts):
        name = f"{index + 1:02d}"
        slot_proxy = await gateway.open(name, proxies.first if proxies else None)
        route = proxies.route(slot_proxy) if proxies else DirectRoute()
        slot = slots.open(name, slot_proxy)
        workers.append(Worker(index, slot, slot_proxy, route, deps, control, params))
    return workers


def _memory_sampler(slots: NodeSlots, session: CrawlSession, cap_bytes: int, folder: Path) -> MemorySampler:
    meter = MemoryMeter(cap_bytes, (folder, *map(Path, SHARED_MEMORY)))
    return MemorySampler(meter, slots.inventory, session.server.pids if session.server else tuple)


def _governor_params(plan: RunPlan, cap_bytes: int, folder: Path) -> GovernorParams:
    pace_s = plan.settings.ramp_up / plan.contexts
    return GovernorParams(
        plan.contexts,
        plan.settings.ramp_up,
        plan.budget_bytes,
        MemoryParams(renderer_cap_bytes=cap_bytes, grow_every_s=pace_s),
        CpuParams(seek=plan.first_contexts is not None),
        plan.first_contexts,
        free_bytes={str(folder): FOLDER_BYTES, **SHARED_MEMORY},
        fds=fd_limit(),
    )


def _gateway_params(settings: RunSettings) -> GatewayParams:
    size = settings.max_page_size
    cap = size.of(machine_bytes()) if size is not None else 0
    return GatewayParams(ca_file=settings.ca_file, visit_bytes=cap)
