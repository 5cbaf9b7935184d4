"""What signals do to a run: the first drains it, the second ends it at once, and both are answered."""

import signal
from collections.abc import Callable

from farm.model.clock import Clock
from farm.model.event import Emit, Ending, Notice
from farm.runtime.control import Control, ExitReason

SIGNALLED = {ExitReason.SIGINT: 130, ExitReason.SIGTERM: 143, ExitReason.SIGHUP: 129}
REASONS = {
    signal.SIGINT: ExitReason.SIGINT,
    signal.SIGTERM: ExitReason.SIGTERM,
    signal.SIGHUP: ExitReason.SIGHUP,
}
_NAMES = {ExitReason.SIGINT: "Ctrl-C"}


def draining(control: Control, emit: Emit, clock: Clock) -> Callable[[int], None]:
    """Return what the first signal does: say so, and let the pages under way be finished."""

    def drain(number: int) -> None:
        reason = REASONS[signal.Signals(number)]
        now, name = clock.monotonic(), _NAMES.get(reason, reason.upper())
        emit(Ending(now, reason))
        text = f"{name}: finishing the pages under way and stopping; once more stops at once"
        emit(Notice(now, "info", text))
        control.end(reason)

    return drain
