"""Runs from Python: their log, their end, and an event loop if there is none."""

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import uvloop

from farm.api.loading import is_loading
from farm.app.preflight import RunPlan
from farm.app.running import GARBAGE_AFTER, RunningCrawl
from farm.model.clock import Clock
from farm.model.errors import UsageError
from farm.monitor.display import Display
from farm.monitor.tally import Tally
from farm.resources.files import umask_of
from farm.runtime.control import Control, ExitReason
from farm.settings.commands import RunSettings

T = TypeVar("T")
REASONS = {
    signal.SIGINT: ExitReason.SIGINT,
    signal.SIGTERM: ExitReason.SIGTERM,
    signal.SIGHUP: ExitReason.SIGHUP,
}


class RunFollower:
    """Observes a run that only has a log. Implements the port `RunObserver`."""

    def __init__(self, settings: RunSettings) -> None:
        self._display = Display(
            settings.live, level=settings.log_level, form=settings.log_format, stderr=False, libraries=False
        )
        self.is_new = False
        """Whether the run created the output folder."""
        self._loop = asyncio.get_running_loop()
        self._control: Control | None = None
        self._reason: ExitReason | None = None

    def opened(self, plan: RunPlan, tally: Tally, clock: Clock) -> None:
        """Start the log, and choose the view."""
        if self.is_new:
            # What is in it is as open to others as --file-mode says: the process's own mask is not the farm's.
            plan.output.mkdir(parents=True, exist_ok=True)
            plan.output.chmod(0o777 & ~umask_of(plan.settings.file_mode))
        self._display.open(plan.output, f"{plan.crawl} · {plan.output}", tally, clock)

    def ready(self, run: RunningCrawl) -> None:
        """Keep the run, which may have to stop already."""
        self._control = run.assembly.control
        if self._reason is not None:
            self._control.end(self._reason)
        self._display.start()

    def stop(self, reason: ExitReason) -> bool:
        """End the run once the pages under way are finished; return whether its node is working."""
        self._reason = self._reason or reason
        if self._control is None:
            return False
        self._loop.call_soon_threadsafe(self._control.end, reason)
        return True

    def ended(self) -> None:
        """Stop the view."""
        self._display.stop()

    def close(self) -> None:
        """End the view and the log."""
        self._display.close()


def run_to_end(work: Callable[[], Coroutine[Any, Any, T]], stop: Callable[[ExitReason], bool]) -> T:
    """Run the work in an event loop of its own, in a thread if a loop is running; return its result.

    `stop` is called by signals and returns whether that has an effect; the next signal cancels the work. Raises
    KeyboardInterrupt or SystemExit after a signal, and UsageError while the module is imported for `--app`.
    """
    if is_loading.get():
        raise UsageError('it runs a crawl while it is imported; put that under `if __name__ == "__main__":`')
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _in_own_loop(work, stop)
    with ThreadPoolExecutor(1, "farm") as threads:
        running = threads.submit(_in_own_loop, work, stop)
        try:
            return running.result()
        except KeyboardInterrupt:
            stop(ExitReason.SIGINT)
            raise


def _in_own_loop(work: Callable[[], Coroutine[Any, Any, T]], stop: Callable[[ExitReason], bool]) -> T:
    received: list[signal.Signals] = []
    with _rare_collections(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            result = runner.run(_signalled(work(), stop, received))
        except asyncio.CancelledError:
            if not received:
                raise
        else:
            if not received:
                return result
    if received[0] == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + received[0])


@contextmanager
def _rare_collections() -> Generator[None, None, None]:
    """Let Python's garbage collector run less often meanwhile, like `farm run`."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _signalled(
    work: Coroutine[Any, Any, T], stop: Callable[[ExitReason], bool], received: list[signal.Signals]
) -> T:
    """Await the work; meanwhile handle signals, if this is the main thread."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    is_main = threading.current_thread() is threading.main_thread()
    before = {one: signal.getsignal(one) for one in REASONS} if is_main else {}

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if not (stop(REASONS[number]) and len(received) == 1) and task is not None:
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
