"""`Farm`: a crawl from Python, in the caller's event loop or in one of its own."""

import asyncio
import re
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar, Unpack

import uvloop

from farm.api.handlers import D, E, F, Handlers
from farm.api.options import Options
from farm.app.preflight import RunPlan, preflight
from farm.app.running import RunEnd, RunningCrawl, run_crawl
from farm.model.clock import Clock
from farm.model.errors import UsageError
from farm.monitor.display import Display
from farm.monitor.snapshot import Tally
from farm.resources.files import umask_of
from farm.runtime.control import Control, ExitReason
from farm.settings.commands import RunSettings
from farm.settings.load import load_keywords
from farm.sinks.summary import Summary

T = TypeVar("T")
Seeds = str | Iterable[str | Mapping[str, Any]]
"""Where to start: a URL, or several; each may be an object of a seeds file too, `{"url": ..., "meta": {...}}`."""
_REASONS = {
    signal.SIGINT: ExitReason.SIGINT,
    signal.SIGTERM: ExitReason.SIGTERM,
    signal.SIGHUP: ExitReason.SIGHUP,
}


class Farm:
    """A crawl with its options: every option of `farm run` by its name, with underscores.

    A keyword wins over the environment (`FARM_CONTEXTS`) and `farm.toml`, as a flag does. Nothing is printed, and
    no live view is shown unless `live` asks for it; the log is in the output folder. There may be several in a
    process, each with an output folder of its own. Raises UsageError for an option that is wrong.

    Where there are handlers, links are not followed by themselves, unless `follow` is "scope".
    """

    def __init__(self, *, follow: Literal["scope"] | None = None, **options: Unpack[Options]) -> None:
        if follow not in {None, "scope"}:
            raise UsageError(f'follow={follow!r}: write "scope", or leave it out.')
        given = {"live": "off", **{name: value for name, value in options.items() if value is not None}}
        self._settings = load_keywords(RunSettings, given)
        self._handlers = Handlers(follows_scope=follow == "scope")
        self._runs: set[_Quiet] = set()

    def page(
        self, pattern: str | re.Pattern[str] | None = None, *, label: str | None = None
    ) -> Callable[[F], F]:
        """Declare a handler: a coroutine function that gets a `Page`.

        `pattern` is a glob on the path of the URL, `*` for any text, or a compiled expression to be found in the
        URL; `label` is that of links followed by it. Of several patterns that match the first declared counts.
        """

        def declare(function: F) -> F:
            self._handlers.add(function, pattern, label)
            return function

        return declare

    def default(self, function: F) -> F:
        """Declare the handler of pages that no other one is for."""
        self._handlers.set_default(function)
        return function

    def before_navigation(self, function: F) -> F:
        """Declare a hook that is called before each navigation, with a `Page` that has no content yet."""
        self._handlers.add_before(function)
        return function

    def after_settle(self, function: F) -> F:
        """Declare a hook that is called with each page that is kept, error pages too, before its handler."""
        self._handlers.add_after(function)
        return function

    def on_dead(self, function: D) -> D:
        """Declare a hook that is called with each URL that this node gives up."""
        self._handlers.add_on_dead(function)
        return function

    def on_finished(self, function: E) -> E:
        """Declare a hook that is called with the summary at the end of a run; what it raises, `run` raises."""
        self._handlers.add_on_finished(function)
        return function

    async def run(self, seeds: Seeds = ()) -> Summary:
        """Crawl from the seeds to the end and return the summary, which is in `summary.json` too.

        Without seeds the crawl in the output folder, or in Redis, goes on. Raises a FarmError where the run cannot
        begin or cannot go on. A task that is cancelled gives back the pages under way; `stop` finishes them.
        """
        return (await self._run(seeds)).summary

    def run_sync(self, seeds: Seeds = ()) -> Summary:
        """Do as `run` does, in an event loop of its own: for scripts.

        In the main thread the first SIGINT, SIGTERM or SIGHUP has the pages under way finished, and the second
        gives them back; what is raised then is KeyboardInterrupt, or SystemExit with 128 and the signal's number.
        Where a loop runs already, as in a notebook, the run has a thread of its own.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._in_own_loop(lambda: self.run(seeds))
        return self._in_own_thread(lambda: self.run(seeds))

    def stop(self) -> None:
        """Have the pages under way finished and the runs ended; may be called from any thread."""
        for run in tuple(self._runs):
            run.stop(ExitReason.STOPPED)

    def _plan(self, seeds: Seeds) -> RunPlan:
        handling = self._handlers or None
        return preflight(self._settings, [seeds] if isinstance(seeds, str) else seeds, handling)

    async def _run(self, seeds: Seeds) -> RunEnd:
        run = _Quiet(self._settings)
        self._runs.add(run)
        try:
            plan = await asyncio.to_thread(self._plan, seeds)
            run.is_new = not plan.output.exists()
            end = await run_crawl(plan, run)
        finally:
            self._runs.discard(run)
        if end.failure is not None:
            raise end.failure
        await self._handlers.finished(end.summary)
        return end

    def _in_own_loop(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        received: list[signal.Signals] = []
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                result = runner.run(self._signalled(work(), received))
            except asyncio.CancelledError:
                if not received:
                    raise
            else:
                if not received:
                    return result
        if received[0] == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + received[0])

    def _in_own_thread(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with ThreadPoolExecutor(1, "farm") as threads:
            running = threads.submit(self._in_own_loop, work)
            try:
                return running.result()
            except KeyboardInterrupt:
                self.stop()
                raise

    async def _signalled(self, work: Coroutine[Any, Any, T], received: list[signal.Signals]) -> T:
        """Await the work; meanwhile handle signals, if this is the thread that has them."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        is_main = threading.current_thread() is threading.main_thread()
        before = {one: signal.getsignal(one) for one in _REASONS} if is_main else {}

        def on_signal(number: signal.Signals) -> None:
            received.append(number)
            stopped = [run.stop(_REASONS[number]) for run in tuple(self._runs)]
            if task is not None and (len(received) > 1 or not any(stopped)):
                task.cancel()

        handled = [one for one, action in before.items() if action is not signal.SIG_IGN]
        for number in handled:
            loop.add_signal_handler(number, on_signal, number)
        try:
            return await work
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])


class _Quiet:
    """Follows a run that shows nothing but its log. Satisfies the port `RunObserver`."""

    def __init__(self, settings: RunSettings) -> None:
        self._display = Display(
            settings.live, level=settings.log_level, form=settings.log_format, stderr=False, libraries=False
        )
        self.is_new = False
        """Whether the output folder is one that the run makes."""
        self._loop = asyncio.get_running_loop()
        self._control: Control | None = None
        self._reason: ExitReason | None = None

    def opened(self, plan: RunPlan, tally: Tally, clock: Clock) -> None:
        """Begin the log, and choose the view."""
        if self.is_new:
            # What is in it is as open to others as --file-mode says: the process's own mask is not the farm's.
            plan.output.mkdir(parents=True, exist_ok=True)
            plan.output.chmod(0o777 & ~umask_of(plan.settings.file_mode))
        self._display.open(plan.output, f"{plan.crawl} · {plan.output}", tally, clock)

    def ready(self, run: RunningCrawl) -> None:
        """Take the run, which may have been told to stop already."""
        self._control = run.assembly.control
        if self._reason is not None:
            self._control.end(self._reason)
        self._display.start()

    def stop(self, reason: ExitReason) -> bool:
        """End the run once the pages under way are finished; return whether its node is at work."""
        self._reason = self._reason or reason
        if self._control is None:
            return False
        self._loop.call_soon_threadsafe(self._control.end, reason)
        return True

    def ended(self) -> None:
        """Take the view away."""
        self._display.stop()

    def close(self) -> None:
        """End the view and the log."""
        self._display.close()
