"""`farm run`: crawl."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import uvloop

from farm.app import run_summary
from farm.app.preflight import RunPlan, preflight
from farm.app.running import GARBAGE_AFTER, RunningCrawl, run_crawl
from farm.cli.failure_report import begun
from farm.cli.signals import REASONS, SIGNALLED, draining, run_interruptible
from farm.cli.streams import print_lines, tell
from farm.cli.view_keys import KeyCommands, contexts_after
from farm.model.clock import Clock
from farm.model.crawl import Stats
from farm.model.errors import FarmError, NothingRecorded, OutputUnwritable
from farm.model.event import Notice
from farm.model.secret import Secret
from farm.monitor.display import Display
from farm.monitor.report import nothing_new, nothing_recorded, report_lines
from farm.monitor.snapshot import Snapshot
from farm.monitor.tally import Tally
from farm.resources.files import umask_of
from farm.runtime.control import Control, ExitReason
from farm.runtime.user_code import told
from farm.runtime.watchdog import Signals
from farm.settings.commands import RunSettings
from farm.settings.load import load, set_by_file
from farm.settings.origin import with_flags
from farm.sinks.address import SinkAddress
from farm.sinks.standard_output import reserve
from farm.sinks.summary import Summary, write_summary

Finished = Callable[[Summary], Coroutine[Any, Any, None]]
WORK_LEFT = 5


def main(arguments: Sequence[str]) -> int:
    """Crawl to the end and return the exit code."""
    about = "Crawl from the URLs; join the crawl if it exists."
    settings, farm = load(RunSettings, arguments, "farm run", about), None
    if settings.app is not None:
        from farm.api.farm import load_app

        farm = load_app(settings.app)
        settings = load(RunSettings, arguments, "farm run", about, farm.options)
    handlers = farm.handlers if farm is not None else None
    plan = preflight(settings, handling=handlers, login=handlers.login if handlers is not None else None)
    if any(sink.kind == "stdout" for sink in plan.settings.sink) and reserve() and settings.live == "auto":
        # The view would be drawn over the records.
        plan = replace(plan, settings=plan.settings.model_copy(update={"live": "off"}))
    plan = replace(plan, warnings=(*plan.warnings, *_exposed(settings, arguments)))
    if given := set_by_file(RunSettings):
        plan = replace(plan, notes=(*plan.notes, f"farm.toml in this folder sets {', '.join(given)}"))
    return execute(plan, finished=farm.handlers.finished if farm is not None else None)


def execute(
    plan: RunPlan, on_end: Callable[[], None] = lambda: None, finished: Finished | None = None
) -> int:
    """Run a plan and return the exit code.

    `on_end` is called in a thread when the crawl is closed, while a temporary output folder is still there;
    `finished` is called with the summary at the end.
    """
    begun(plan)
    os.umask(umask_of(plan.settings.file_mode))
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    try:
        return run_interruptible(_crawl(plan, on_end, finished), uvloop.new_event_loop)
    except FarmError as error:
        error.args = (with_flags(str(error), plan.where),)
        raise


def _exposed(settings: RunSettings, arguments: Sequence[str]) -> tuple[str, ...]:
    """Warn about a secret in the arguments, which every user of the machine can read."""
    given: Mapping[str, Sequence[Secret | SinkAddress]] = {
        "redis": (settings.redis,),
        "header": settings.header,
        "sink": settings.sink,
        "webhook": (settings.webhook,) if settings.webhook is not None else (),
        "otlp": (settings.otlp,) if settings.otlp is not None else (),
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


async def _crawl(plan: RunPlan, on_end: Callable[[], None], finished: Finished | None) -> int:
    terminal = _Terminal(plan)
    end = await run_crawl(plan, terminal, on_end)
    if finished is not None and end.failure is None:
        (failure,) = await asyncio.gather(finished(end.summary), return_exceptions=True)
        if failure is not None:
            tell(f"the hook for the end of a run failed: {told(failure)}")
    if end.report is None:
        print_lines([nothing_new(end.stats, plan.where)])
        return exit_code(ExitReason.FINISHED, end.stats)
    if terminal.display.is_live:
        # The view has cleared its screen: the results stay in the terminal.
        print_lines(report_lines(end.report))
    if end.failure is not None:
        raise end.failure
    code = exit_code(end.reason or ExitReason.FINISHED, end.stats)
    if code == NothingRecorded.exit_code:
        raise NothingRecorded(f"{nothing_recorded(end.report)}.")
    return code


class _Terminal:
    """The display and the signals of a run in a terminal. Implements the port `RunObserver`."""

    def __init__(self, plan: RunPlan) -> None:
        settings = plan.settings
        self.display = Display(
            settings.live,
            level=settings.log_level,
            form=settings.log_format,
            stderr=not plan.is_temporary,
        )
        self._keys = KeyCommands()

    def opened(self, plan: RunPlan, tally: Tally, clock: Clock) -> None:
        """Start the log, and choose the view."""
        title = f"{plan.crawl} · {plan.output}"
        self.display.open(plan.output, title, tally, clock, self._keys if not plan.is_temporary else None)

    def ready(self, run: RunningCrawl) -> None:
        """Install signal handlers that drain the run, and start the view."""

        def last_words(number: int) -> None:
            snapshot = run.tally.snapshot(run.clock.monotonic())
            self.display.stop()
            summary = run.summarise(snapshot, snapshot.stats, REASONS[signal.Signals(number)])
            with suppress(OutputUnwritable):
                write_summary(run.plan.summary, summary)
            report = run_summary.report_of(run.plan, run.assembly, snapshot, snapshot.stats, "at_once")
            print_lines(report_lines(report))

        on_signal = draining(run.assembly.control, run.emit, run.clock)
        leave_s = run.plan.settings.drain_timeout
        signals = Signals(run.reaper, run.watchdog, on_signal, last_words, leave_s)
        run.closing.callback(signals.close)
        signals.start()
        self._keys.begin(
            run.session.frontier,
            partial(_want_contexts, run.assembly.control),
            lambda level, text: run.emit(Notice(run.clock.monotonic(), level, text)),
            tells_state=False,
            where=run.session.plan.where,
        )
        self.display.start()

    def ended(self) -> None:
        """Stop the view."""
        self._keys.end()
        self.display.stop()

    def close(self) -> None:
        """End the view and the log."""
        self.display.close()


async def _want_contexts(control: Control, change: int, snapshot: Snapshot, _: str) -> str:
    """Let more or fewer contexts of this node work; return a sentence about the result."""
    wanted = contexts_after(change, snapshot.admission.limit, len(snapshot.slots))
    control.want(wanted)
    return f"{wanted} of {len(snapshot.slots)} contexts may work"


def exit_code(reason: ExitReason, stats: Stats) -> int:
    """Return the exit code of the process: a limit counts only if it left work."""
    if reason in SIGNALLED:
        return SIGNALLED[reason]
    if reason is not ExitReason.FINISHED and stats.ledger.open:
        return WORK_LEFT
    return 0 if stats.rendered or stats.ledger.open else NothingRecorded.exit_code
