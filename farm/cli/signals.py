"""What signals do to a command, at any moment and not only once it runs, and to a run whose node is ready.

The first SIGINT, SIGTERM or SIGHUP cancels the command, which takes apart what it has started; the second ends the
process at once. The exit code is 128 and the signal's number. A run replaces these handlers by its own when its
node is ready: a drain then takes the place of the cancellation, and both signals are answered.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from farm.cli import interruption
from farm.model.clock import Clock
from farm.model.event import Emit, Ending, Notice
from farm.runtime.control import Control, ExitReason

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALLED = {ExitReason.SIGINT: 130, ExitReason.SIGTERM: 143, ExitReason.SIGHUP: 129}
REASONS = {
    signal.SIGINT: ExitReason.SIGINT,
    signal.SIGTERM: ExitReason.SIGTERM,
    signal.SIGHUP: ExitReason.SIGHUP,
}
_NAMES = {ExitReason.SIGINT: "Ctrl-C"}


def run_interruptible(
    work: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Run the work in an event loop of its own and return its result, as `asyncio.run` does.

    Raises SystemExit with the exit code where a signal cancelled it. A SIGHUP that is ignored (`nohup`) stays so.
    """
    received: list[int] = []
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        try:
            return runner.run(_cancelled_by_signals(work, received))
        except asyncio.CancelledError:
            if not received:
                raise
    raise SystemExit(128 + received[0])


async def _cancelled_by_signals(work: Coroutine[Any, Any, T], received: list[int]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        raise AssertionError("a coroutine runs in a task")

    def on_signal(number: int) -> None:
        if received:
            os._exit(128 + received[0])
        received.append(number)
        task.cancel()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal, number)
    if (earlier := interruption.received()) is not None:
        work.close()
        raise SystemExit(128 + earlier)
    return await work


def draining(control: Control, emit: Emit, clock: Clock) -> Callable[[int], None]:
    """Return the handler of the first signal: it reports the signal, and drains the run."""

    def drain(number: int) -> None:
        reason = REASONS[signal.Signals(number)]
        now, name = clock.monotonic(), _NAMES.get(reason, reason.upper())
        emit(Ending(now, reason))
        text = f"{name}: finishing the pages under way and stopping; once more stops at once"
        emit(Notice(now, "info", text))
        control.end(reason)

    return drain
