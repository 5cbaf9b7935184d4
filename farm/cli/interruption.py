"""Signals until an event loop has handlers of its own: they raise, and are remembered where that is swallowed.

Code that Python calls from C may lose an exception: a signal that came while pydantic built a schema, or while a
destructor ran, was without effect.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from farm.cli.streams import tell

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


class Interrupted(KeyboardInterrupt):
    """A signal came. Of KeyboardInterrupt itself Python may end by the signal, whatever the exit code."""


def received() -> int | None:
    """Return the signal that came, if one did."""
    return _received[0] if _received else None


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """End what runs within by SystemExit with 128 and the number of the signal that came; a second one kills.

    A signal that is ignored stays so.
    """
    _received.clear()

    def leave(number: int, _: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_DFL)
        _received.append(number)
        raise Interrupted

    before = {one: action for one in SIGNALS if (action := signal.getsignal(one)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        if _received:
            if _received[0] == signal.SIGINT:
                tell("interrupted.")
            raise SystemExit(128 + _received[0]) from None
