"""`farm run`: crawl."""

import asyncio
import gc
import logging
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

import uvloop
from rich.console import Console

from farm.app import run_summary
from farm.app.assembly import Assembly, assemble
from farm.app.preflight import RunPlan, preflight
from farm.app.session import CrawlSession, is_over, note_end, open_session
from farm.cli.signals import REASONS, SIGNALLED, checkpoint, draining, run_interruptible
from farm.cli.streams import print_lines
from farm.model.clock import Clock, SystemClock
from farm.model.crawl import Stats
from farm.model.errors import CrawlGone, FarmError, FrontierUnavailable, NothingRecorded, OutputUnwritable
from farm.model.event import Event, StatsRead
from farm.model.secret import Secret
from farm.monitor.log import LOG_NAME, StateNews, log_event, start_logging
from farm.monitor.report import nothing_new, nothing_recorded, report_lines
from farm.monitor.snapshot import Tally
from farm.monitor.views import LiveView, PlainView, can_be_shown
from farm.resources.files import umask_of
from farm.runtime.control import ExitReason
from farm.runtime.reaper import Reaper
from farm.runtime.watchdog import LoopWatchdog, Signals
from farm.settings import stored
from farm.settings.commands import RunSettings
from farm.settings.load import load, set_by_file
from farm.settings.origin import with_flags
from farm.sinks.address import SinkAddress
from farm.sinks.standard_output import reserve
from farm.sinks.summary import write_summary

log = logging.getLogger("farm.run")
WORK_LEFT = 5
COUNT_S = 3.0
GARBAGE_AFTER = 10_000
"""Objects. By Python's own 700 it looks so often that it is 8 % of its time, and finds next to nothing."""


def main(arguments: Sequence[str]) -> int:
    """Crawl until there is an end and return the exit code of it."""
    settings = load(RunSettings, arguments, "farm run", "Crawl from the URLs; join the crawl if it exists.")
    plan = preflight(settings)
    if any(sink.kind == "stdout" for sink in plan.settings.sink) and reserve() and settings.live == "auto":
        # The view would be drawn over the records.
        plan = replace(plan, settings=plan.settings.model_copy(update={"live": "off"}))
    plan = replace(plan, warnings=(*plan.warnings, *_exposed(settings, arguments)))
    if given := set_by_file(RunSettings):
        plan = replace(plan, notes=(*plan.notes, f"farm.toml in this folder sets {', '.join(given)}"))
    return execute(plan)


def execute(plan: RunPlan, on_end: Callable[[], None] = lambda: None) -> int:
    """Carry a plan out and return the exit code.

    `on_end` is called in a thread when the crawl is closed, while a temporary output folder is still there.
    """
    os.umask(umask_of(plan.settings.file_mode))
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    try:
        return run_interruptible(_crawl(plan, on_end), uvloop.new_event_loop)
    except FarmError as error:
        error.args = (with_flags(str(error), plan.where),)
        raise


def _exposed(settings: RunSettings, arguments: Sequence[str]) -> tuple[str, ...]:
    """Say it where a secret stands in the list of processes, which every user of the machine can read."""
    given: Mapping[str, Sequence[Secret | SinkAddress]] = {
        "redis": (settings.redis,),
        "header": settings.header,
        "sink": settings.sink,
    }
    return tuple(
        f"Others can read --{name} in the list of processes; give it as FARM_{name.upper()} or in farm.toml."
        for name, secrets in given.items()
        if any(
            secret.reveal() in argument
            for secret in secrets
            if str(secret) != secret.reveal()
            for argument in arguments
        )
    )


async def _crawl(plan: RunPlan, on_end: Callable[[], None]) -> int:
    clock = SystemClock()
    reaper, watchdog = Reaper(), LoopWatchdog()
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
                    print_lines([nothing_new(stats, plan.where)])
                    return exit_code(ExitReason.FINISHED, stats)
                code = await _work(session.plan, session, reaper, watchdog, watched, clock)
        await asyncio.to_thread(on_end)
        return code
    finally:
        await asyncio.to_thread(reaper.close)


def _tell_beforehand(plan: RunPlan, session: CrawlSession) -> None:
    """Log what a user should know before the first page."""
    for warning in (*plan.warnings, *session.warnings):
        log.warning("%s", warning)
    for note in plan.notes:
        log.info("%s", note)


async def _work(
    plan: RunPlan,
    session: CrawlSession,
    reaper: Reaper,
    watchdog: LoopWatchdog,
    watched: ExitStack,
    clock: Clock,
) -> int:
    """Run the node with its view, take it apart, and sum up; what is `watched` ends after that."""
    started_at, tally = clock.wall(), Tally(clock.monotonic())

    def emit(event: Event) -> None:
        tally.fold(event)
        log_event(event)
        news.fold(event)

    news = StateNews(emit, plan.where)
    with ExitStack() as shown:
        live = _show(plan, tally, clock, shown)
        reaper.log_to((plan.output / LOG_NAME).absolute(), plan.settings.log_format)
        _tell_beforehand(plan, session)
        async with assemble(plan, session, reaper, emit, clock) as assembly:

            def last_words(number: int) -> None:
                snapshot = tally.snapshot(clock.monotonic())
                live.stop()
                summary = run_summary.summary_of(
                    plan,
                    session.node,
                    assembly,
                    snapshot,
                    snapshot.stats,
                    REASONS[signal.Signals(number)],
                    started_at,
                    clock.wall(),
                )
                with suppress(OutputUnwritable):
                    write_summary(plan.summary, summary)
                report = run_summary.report_of(plan, assembly, snapshot, snapshot.stats, "at_once")
                print_lines(report_lines(report))

            checkpoint()
            watchdog.report_lag(emit)
            signals = Signals(reaper, watchdog, draining(assembly.control, emit, clock), last_words)
            watched.callback(signals.close)
            signals.start()
            live.start()
            shown.callback(live.stop)
            reason, failure = await _run(assembly, plan.where)
            stats = await _last_stats(session, assembly, tally.snapshot(clock.monotonic()).stats, failure)
            if reason is ExitReason.FINISHED:
                await note_end(plan, session.frontier)
            emit(StatsRead(clock.monotonic(), stats))
            snapshot = tally.snapshot(clock.monotonic())
            live.stop()
        why = reason or _slug(failure)
        summary = run_summary.summary_of(
            plan, session.node, assembly, snapshot, stats, why, started_at, clock.wall()
        )
        is_idle = reason is ExitReason.FINISHED and not assembly.outcomes.settled
        await run_summary.write(plan, summary, is_idle=is_idle)
        report = run_summary.report_of(plan, assembly, snapshot, stats, "nothing_new" if is_idle else why)
        for line in report_lines(report):
            log.info("%s", line)
    if isinstance(live, LiveView):
        # The view took its screen with it: what the crawl came to stays in the terminal.
        print_lines(report_lines(report))
    if failure is not None:
        raise failure
    code = exit_code(reason or ExitReason.FINISHED, stats)
    if code == NothingRecorded.exit_code:
        raise NothingRecorded(f"{nothing_recorded(report)}.")
    return code


async def _run(assembly: Assembly, where: str) -> tuple[ExitReason | None, FarmError | None]:
    """Run the node; an error that a user can mend is kept until the rest is closed and summed up."""
    try:
        reason = await assembly.node.run()
        # Before the summary, which has what is in each sink, and that one could not be finished.
        await assembly.sink.close()
    except FarmError as error:
        log.error("%s", with_flags(str(error), where))  # noqa: TRY400 - a sentence for the user; the traceback says no more
        return None, error
    return reason, None


async def _last_stats(
    session: CrawlSession, assembly: Assembly, known: Stats, failure: FarmError | None
) -> Stats:
    """Count once more, the proxies' bytes too, unless Redis is what failed, or the crawl is there no more.

    Nobody who ends the farm waits for a Redis that is away: what was counted last is good enough then.
    """
    if isinstance(failure, FrontierUnavailable | CrawlGone):
        return known
    with suppress(FrontierUnavailable, TimeoutError):
        async with asyncio.timeout(COUNT_S):
            if assembly.budget is not None:
                await assembly.budget.check()
            return await session.frontier.stats()
    return known


def _show(plan: RunPlan, tally: Tally, clock: Clock, stack: ExitStack) -> LiveView | PlainView:
    """Set up the log and return the view that fits the terminal, not yet started."""
    console = Console()
    wanted = plan.settings.live
    is_live = wanted == "on" or (wanted == "auto" and can_be_shown(console))
    output = start_logging(
        plan.output,
        level=plan.settings.log_level,
        form=plan.settings.log_format,
        stderr=not (is_live or plan.is_temporary),
    )
    stack.callback(output.close)
    if is_live:
        return LiveView(tally.snapshot, f"{plan.crawl} · {plan.output}", clock, console)
    return PlainView(tally.snapshot, clock)


def exit_code(reason: ExitReason, stats: Stats) -> int:
    """Return what the process ends with: a limit counts only when it left work."""
    if reason in SIGNALLED:
        return SIGNALLED[reason]
    if reason is not ExitReason.FINISHED and stats.ledger.open:
        return WORK_LEFT
    return 0 if stats.rendered or stats.ledger.open else NothingRecorded.exit_code


def _slug(failure: FarmError | None) -> str:
    """Name an error as `summary.json` names reasons: `BrowserUnavailable` is `browser_unavailable`."""
    return re.sub(r"(?<=.)([A-Z])", r"_\1", type(failure).__name__).lower()
