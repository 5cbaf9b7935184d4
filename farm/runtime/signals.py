"""SIGINT, SIGTERM and SIGHUP: handled by the event loop, and by the reaper process where the loop is blocked.

The first signal goes to the loop; the second one ends the process at once, without the loop. Python's handler runs
between two steps of Python code in the main thread, so code that holds the GIL for minutes would leave every
signal unhandled. Two things need no interpreter: the byte that the C handler writes into the pipe to the reaper
(`set_wakeup_fd`), and the default action of a signal. So a handler is installed for one signal (`sysv_signal`) and
again when that was handled; if it is not, the reaper sends the signal again, and the process ends by it.
"""

import asyncio
import ctypes
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from farm.runtime.loop_watchdog import LoopWatchdog
from farm.runtime.reaper import Reaper

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_WORDS_S = 2.0


class Signals:
    """Handles the signals from `start` to `close`; `on_signal` is called in the loop, once.

    `last_words` is called, for a moment, when a second signal ends the process at once. A SIGHUP that is ignored
    (`nohup farm run`) stays ignored.
    """

    def __init__(
        self,
        reaper: Reaper,
        watchdog: LoopWatchdog,
        on_signal: Callable[[int], None],
        last_words: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._reaper = reaper
        self._watchdog = watchdog
        self._on_signal = on_signal
        self._last_words = last_words
        self._first: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1

    def start(self) -> None:
        """Install the handlers, in the main thread and with the loop running in it."""
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            before = signal.getsignal(number)
            if number == signal.SIGHUP and before is signal.SIG_IGN:
                continue
            self._before[number] = before
            self._install(number)
        # In place of the loop's own: the loop wakes four times a second for the watchdog anyway.
        self._wakeup_before = signal.set_wakeup_fd(self._reaper.signals_fd, warn_on_full_buffer=False)

    def close(self) -> None:
        """Restore the handlers that were installed before."""
        signal.set_wakeup_fd(self._wakeup_before, warn_on_full_buffer=False)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._loop = None

    def _install(self, number: int) -> None:
        signal.signal(number, self._handle)
        _once(number)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal, in the middle of anything that the loop's thread does."""
        if self._first is not None:
            self._end_at_once(self._first)
        self._first = number
        self._watchdog.note_signal(number)
        for each in self._before:
            self._install(each)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_loop, number)

    def _end_at_once(self, number: int) -> None:
        # A disk or a terminal that hangs, or a lock that the interrupted code holds, must not keep the second
        # signal from its effect.
        speaker = threading.Thread(target=self._last_words, args=(number,), daemon=True)
        speaker.start()
        speaker.join(LAST_WORDS_S)
        os._exit(128 + number)

    def _on_loop(self, number: int) -> None:
        self._watchdog.signal_handled()
        self._reaper.signal_handled()
        self._on_signal(number)


def _once(number: int) -> None:
    """Let the installed handler serve one signal; the next one has its default action."""
    libc = ctypes.CDLL(None)
    try:
        install = libc.sysv_signal
    except AttributeError:
        return  # not glibc: a process that handles no signal is killed by the reaper instead
    install.restype = ctypes.c_void_p
    install.argtypes = (ctypes.c_int, ctypes.c_void_p)
    with_python = install(number, None)
    install(number, with_python)
