"""A run of a crawl, from its plan to its results, for the command line and the Python API."""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from farm import __version__
from farm.app import run_summary
from farm.app.hooks import announce_end
from farm.app.operations import FrontierOperations
from farm.app.preflight import RunPlan
from farm.app.run_assembly import Assembly, assemble
from farm.app.session import CrawlSession, is_over, note_end, open_session
from farm.model.clock import Clock, SystemClock
from farm.model.crawl import Stats
from farm.model.errors import CrawlGone, FarmError, FrontierUnavailable, UsageError
from farm.model.event import Emit, Event, StatsRead
from farm.monitor.event_log import StateReporter, log_event
from farm.monitor.log import LOG_NAME
from farm.monitor.report import RunReport, report_lines
from farm.monitor.snapshot import Snapshot
from farm.monitor.tally import Tally
from farm.resources.installation import install_command
from farm.resources.processes import tree_cpu_s
from farm.runtime.control import ExitReason, checkpoint
from farm.runtime.process_link import Glance
from farm.runtime.reaper import Reaper
from farm.runtime.watchdog import LoopWatchdog
from farm.settings import stored
from farm.settings.origin import with_flags
from farm.sinks.summary import Summary

log = logging.getLogger("farm.run")
COUNT_S = 3.0
FLUSH_S = 5.0
"""How long the end of a run waits for the collector of its traces."""
GARBAGE_AFTER = 10_000
"""Objects between collections. With Python's default of 700 the collector takes 8 % of the time for no result."""


@dataclass(frozen=True, slots=True)
class RunningCrawl:
    """A run whose node is ready to work, for the observer."""

    plan: RunPlan
    session: CrawlSession
    assembly: Assembly
    tally: Tally
    reaper: Reaper
    watchdog: LoopWatchdog
    emit: Emit
    clock: Clock
    started_at: datetime
    closing: ExitStack
    """Closed after the crawl, and before the reaper."""
    cpu_before_s: float = 0.0
    """CPU time of this process before the run."""

    def summarise(self, snapshot: Snapshot, stats: Stats, reason: str) -> Summary:
        """Return the current summary."""
        return run_summary.summary_of(
            self.plan,
            self.session.node,
            self.assembly,
            snapshot,
            stats,
            reason,
            self.started_at,
            self.clock.wall(),
            max(0.0, tree_cpu_s() - self.cpu_before_s),
        )


class RunObserver(Protocol):
    """Observes a run. An exception of a method ends the run, which is then closed."""

    def opened(self, plan: RunPlan, tally: Tally, clock: Clock) -> None:
        """Begin to show the run: its crawl is open, and there is something to do."""
        ...

    def ready(self, run: RunningCrawl) -> None:
        """Announce that the node begins to work."""
        ...

    def ended(self) -> None:
        """Stop showing the run: the node has ended, and its summary is written next."""
        ...

    def close(self) -> None:
        """Release what `opened` acquired; called after `opened`, even if that raised."""
        ...


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The results of a run. Without a `report` there was nothing to do; `reason` is None if it failed."""

    stats: Stats
    reason: ExitReason | None
    summary: Summary
    report: RunReport | None = None
    failure: FarmError | None = None


async def run_crawl(
    plan: RunPlan, observer: RunObserver, on_end: Callable[[], None] = lambda: None
) -> RunEnd:
    """Run the crawl of a plan to its end and return its results, also if the run failed.

    `on_end` is called in a thread when the crawl is closed, while a temporary output folder is still there.
    Raises a FarmError if the run could not begin.
    """
    clock = SystemClock()
    watchdog, reaper = LoopWatchdog(), Reaper()
    if plan.is_temporary:
        reaper.folder(plan.output)
    try:
        with ExitStack() as watched:
            watched.callback(watchdog.close)
            watchdog.start()
            async with open_session(plan, reaper) as session:
                checkpoint()
                begun_with = (plan.settings, plan.private, plan.crawl, plan.agreed, plan.origins)
                await asyncio.to_thread(stored.keep, *begun_with)
                if await is_over(plan, session.frontier):
                    # Nothing is begun, not even a log: a supervisor may start us again and again.
                    stats = await session.frontier.stats()
                    now = clock.wall()
                    nothing = Summary(
                        plan.crawl, now, now, ExitReason.FINISHED, stats.ledger, dead=stats.dead_by_reason
                    )
                    return RunEnd(stats, ExitReason.FINISHED, nothing)
                end = await _work(session.plan, session, reaper, watchdog, watched, observer, clock)
        await asyncio.to_thread(on_end)
        return end
    finally:
        await asyncio.to_thread(reaper.close)


def _tell_beforehand(plan: RunPlan, session: CrawlSession) -> None:
    """Log what a user should know before the first page."""
    for warning in (*plan.warnings, *session.warnings):
        log.warning("%s", warning)
    for note in plan.notes:
        log.info("%s", note)


async def _serve_metrics(
    plan: RunPlan, session: CrawlSession, tally: Tally, clock: Clock, served: AsyncExitStack
) -> Callable[[Glance], None]:
    """Serve the numbers and the web page where it is asked for; return what has the page show contexts.

    Raises UsageError if it is not possible.
    """
    port = plan.settings.metrics_port
    if port is None:
        return lambda _: None
    try:
        from farm.monitor.metrics_server import MetricsServer
        from farm.monitor.rest_api import RestApi, in_the_loop
        from farm.monitor.web_page import token_of
    except ImportError:
        raise UsageError(
            f"--metrics-port needs packages that are not installed; {install_command('web')} installs them."
        ) from None
    token = token_of(plan.settings.token_file) if plan.settings.token_file is not None else ""
    loop = asyncio.get_running_loop()
    operations, do = FrontierOperations(session.crawl, session.frontier), in_the_loop(loop)
    server = MetricsServer(
        tally.snapshot,
        clock,
        __version__,
        plan.settings.metrics_host,
        port,
        plan.crawl,
        token,
        lambda state: do(operations.set_state(state)),
        RestApi(operations, token, do),
        lambda which, start, size: do(operations.letters(which, start, size)),
        plan.output,
    )
    await served.enter_async_context(server)
    log.info("metrics are served at %s, the view for a browser at %s", server.url, server.page_url)

    def show(glance: Glance) -> None:
        server.page.glance = lambda name: do(glance(name))

    return show


async def _work(
    plan: RunPlan,
    session: CrawlSession,
    reaper: Reaper,
    watchdog: LoopWatchdog,
    watched: ExitStack,
    observer: RunObserver,
    clock: Clock,
) -> RunEnd:
    """Run the node, inform the observer, close everything, and return the results."""
    cpu_before_s = tree_cpu_s()
    started_at, tally = clock.wall(), Tally(clock.monotonic(), plan.settings.limit)

    def emit(event: Event) -> None:
        tally.fold(event)
        log_event(event)
        news.fold(event)

    news = StateReporter(emit, plan.where)
    async with AsyncExitStack() as shown:
        shown.callback(observer.close)
        observer.opened(plan, tally, clock)
        reaper.log_to((plan.output / LOG_NAME).absolute(), plan.settings.log_format)
        _tell_beforehand(plan, session)
        show_contexts = await _serve_metrics(plan, session, tally, clock, shown)
        async with assemble(plan, session, reaper, emit, clock, tally.snapshot) as assembly:
            run = RunningCrawl(
                plan,
                session,
                assembly,
                tally,
                reaper,
                watchdog,
                emit,
                clock,
                started_at,
                watched,
                cpu_before_s,
            )
            checkpoint()
            show_contexts(assembly.glance)
            watchdog.report_lag(assembly.tell_lag)
            observer.ready(run)
            reason, failure = await _run(assembly, plan.where)
            stats = await _last_stats(session, assembly, tally.snapshot(clock.monotonic()).stats, failure)
            if reason is ExitReason.FINISHED:
                await note_end(plan, session.frontier)
            if assembly.hooks is not None:
                await announce_end(assembly.hooks, reason, stats)
            if assembly.tracer is not None:
                await assembly.tracer.flush(FLUSH_S)
            emit(StatsRead(clock.monotonic(), stats))
            snapshot = tally.snapshot(clock.monotonic())
            observer.ended()
        why = reason or _slug(failure)
        summary = run.summarise(snapshot, stats, why)
        is_idle = reason is ExitReason.FINISHED and not assembly.outcomes.settled
        await run_summary.write(plan, summary, is_idle=is_idle)
        report = run_summary.report_of(plan, assembly, snapshot, stats, "nothing_new" if is_idle else why)
        for line in report_lines(report):
            log.info("%s", line)
    return RunEnd(stats, reason, summary, report, failure)


async def _run(assembly: Assembly, where: str) -> tuple[ExitReason | None, FarmError | None]:
    """Run the node; an error that a user can correct is kept until everything is closed and summarised."""
    try:
        reason = await assembly.node.run()
        # Before the summary: the numbers of records are final only once the sinks are closed.
        await assembly.sink.close()
    except FarmError as error:
        log.error("%s", with_flags(str(error), where))  # noqa: TRY400 - a sentence for the user; the traceback says no more
        return None, error
    return reason, None


async def _last_stats(
    session: CrawlSession, assembly: Assembly, known: Stats, failure: FarmError | None
) -> Stats:
    """Read the counts once more, those of the proxies' bytes too, unless Redis failed or the crawl was deleted.

    The end of the farm does not wait for an unavailable Redis: the last counts are good enough then.
    """
    if isinstance(failure, FrontierUnavailable | CrawlGone):
        return known
    with suppress(FrontierUnavailable, TimeoutError):
        async with asyncio.timeout(COUNT_S):
            if assembly.budget is not None:
                await assembly.budget.check()
            return await session.frontier.stats()
    return known


def _slug(failure: FarmError | None) -> str:
    """Return the name of an error for `summary.json`: `BrowserUnavailable` is `browser_unavailable`."""
    return re.sub(r"(?<=.)([A-Z])", r"_\1", type(failure).__name__).lower()
