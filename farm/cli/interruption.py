"""Signals before an event loop has its own handlers: they raise, and are remembered in case that is swallowed.

Code that C calls may lose an exception: a signal that arrived while pydantic built a schema, or while a destructor
ran, would have no effect.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


class Interrupted(KeyboardInterrupt):
    """A signal arrived. After a KeyboardInterrupt Python may end by the signal, whatever the exit code."""


def received() -> int | None:
    """Return the received signal, if there is one."""
    return _received[0] if _received else None


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """End the block with SystemExit and the code 128 plus the number of a received signal; a second one kills.

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
                # Here, so that nothing but this module has to be imported before signals are handled.
                from farm.cli.streams import tell

                tell("interrupted.")
            raise SystemExit(128 + _received[0]) from None
