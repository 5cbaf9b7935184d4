"""The parts of a run: the sink, the counts of its visits, and the node, of one process or of several."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from farm.app.assembly import assemble_node, heartbeats
from farm.app.hooks import tracer, webhooks
from farm.app.preflight import RunPlan
from farm.app.processes import supervise
from farm.app.records import disk_quota
from farm.app.session import CrawlSession
from farm.model.clock import Clock
from farm.model.event import Emit, Event
from farm.monitor.merged import MergedEvents
from farm.monitor.outcomes import LoggedTroubles, RunOutcomes, RunTotals
from farm.monitor.published import ReportPublisher
from farm.monitor.snapshot import Snapshot
from farm.monitor.traces import Tracer
from farm.runtime.control import ByteBudget, Control
from farm.runtime.flow import EligibleReporter
from farm.runtime.node import Companion, Node
from farm.runtime.node_watch import NodeWatch
from farm.runtime.process_link import Glance
from farm.runtime.reaper import Reaper
from farm.runtime.webhooks import Webhooks
from farm.sinks.output import RecordSink
from farm.sinks.record import misses_script


@dataclass(frozen=True, slots=True)
class Assembly:
    """A run that is ready to start, with the sources of its summary."""

    node: Node
    control: Control
    sink: RecordSink
    outcomes: RunOutcomes
    totals: Callable[[], RunTotals]
    tell_lag: Emit
    """Receives the delays of this process's event loop."""
    glance: Glance
    """Returns a picture of what a context shows, by the name that the view has."""
    budget: ByteBudget | None
    """Counts the bytes through proxies; None without proxies."""
    hooks: Webhooks | None = None
    """Sends events to the user's webhook; None without one."""
    tracer: Tracer | None = None
    """Traces the visits; None without a collector."""


@asynccontextmanager
async def assemble(
    plan: RunPlan,
    session: CrawlSession,
    reaper: Reaper,
    tell: Emit,
    clock: Clock,
    view: Callable[[float], Snapshot],
) -> AsyncIterator[Assembly]:
    """Build the run; on exit its parts are closed in the reverse order, each within a deadline of its own.

    `view` returns the contents of the view, for `farm top` on other machines.
    """
    outcomes, control = RunOutcomes(misses_script), Control(staying=plan.settings.stay)
    folds: list[Emit] = [tell, outcomes.fold]

    def emit(event: Event) -> None:
        for fold in folds:
            fold(event)

    async with AsyncExitStack() as stack:
        heartbeat = await stack.enter_async_context(heartbeats(session, clock))
        sink = await _record_sink(plan, session.node)
        stack.push_async_callback(sink.close)
        # Sitemaps that a user named and that could not be read are reported again at the end.
        stack.enter_context(LoggedTroubles("farm.sitemaps", outcomes))
        watched: list[Companion] = [partial(sink.watch, emit, clock)]
        watched += disk_quota(plan, sink, control, emit, clock)
        watched.append(ReportPublisher(session.node, view, session.frontier.reports, control.want, clock).run)
        if plan.settings.metrics_port is not None:
            watched.append(EligibleReporter(session.frontier.eligible, emit, clock).run)
        hooks = webhooks(session, clock)
        if hooks is not None:
            folds.append(hooks.fold)
            watched.append(hooks.run)
        traced = tracer(session, clock)
        if traced is not None:
            folds.append(traced.fold)
            watched.append(traced.run)
        if plan.processes > 1:
            merged = MergedEvents(emit, plan.budget_bytes, clock.monotonic)
            node, glance = await stack.enter_async_context(
                supervise(session, sink, reaper, control, merged, emit, clock, watched)
            )
            totals, tell_lag = merged.totals, merged.tell_lag
            yield Assembly(node, control, sink, outcomes, totals, tell_lag, glance, None, hooks, traced)
            return
        watched.append(NodeWatch(session.frontier.seen_nodes, session.node, emit, clock).run)
        parts = await stack.enter_async_context(
            assemble_node(
                session,
                reaper,
                heartbeat,
                plan.stream.tap(sink, control) if plan.stream is not None else sink,
                control,
                emit,
                clock,
                watched,
            )
        )
        yield Assembly(
            parts.node, control, sink, outcomes, parts.totals, emit, parts.glance, parts.budget, hooks, traced
        )


async def _record_sink(plan: RunPlan, node: str) -> RecordSink:
    settings = plan.settings
    # What the user's code will emit is not known.
    declared = plan.declaration if plan.handling is None else None
    return await RecordSink.open(
        plan.output,
        settings.sink,
        fresh=settings.fresh,
        patience_s=settings.sink_patience,
        node=node,
        item_columns=declared.columns if declared is not None else None,
    )
