"""Works while the event loop is blocked: logs its stack, and lets a signal end the farm.

Python code that blocks the loop leaves other threads running: the watchdog's logs where the loop is, and ends the
process with a signal's exit code where the loop does not handle that signal within `unhandled_s`. C code that
holds the GIL (a regular expression, a parser) stops those threads too, and Python's signal handlers. Three things
need no GIL: `faulthandler`, whose dump is logged as soon as the watchdog's thread runs again; the byte that the C
handler writes into the pipe to the reaper (`set_wakeup_fd`); and the default action of a signal. So there the
reaper ends the farm (see `reaper_process`). It cleans up, as whenever the farm dies.

The first signal goes to the loop; the second one ends the process at once, without the loop.
"""

import asyncio
import ctypes
import faulthandler
import logging
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import copy_context
from types import FrameType
from typing import Any

from farm.model.event import Emit, LoopLagRead
from farm.runtime.reaper import Reaper

log = logging.getLogger("farm.loop")
BEAT_S = 0.5
LAG_EVERY_S = 0.1
_LEAST_LAG_S = 0.001
_LAG_STEP = 1.2
LONG_S = 1.0
UNHANDLED_S = 10.0
LOG_EVERY_S = 10.0
FRAMES = 25
DUMP_CHARS = 20_000
FLUSH_S = 0.5
"""The time that the logging thread gets before the process ends."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_WORDS_S = 2.0
LEAVE_SHARE = 0.9


class LoopLag:
    """A histogram of an event loop's delays, in bounded memory: each class is a fifth wider than the last."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._recent_s = self._longest_s = 0.0

    def note(self, late_s: float) -> None:
        """Add one delay, in seconds."""
        self._recent_s = max(self._recent_s, late_s)
        self._longest_s = max(self._longest_s, late_s)
        self._counts[max(0, math.ceil(math.log(max(late_s, _LEAST_LAG_S) / _LEAST_LAG_S, _LAG_STEP)))] += 1

    def read(self, now: float) -> LoopLagRead:
        """Return a reading and reset the recent maximum. The 99th percentile is its class's upper end."""
        left, at = 0.99 * self._counts.total(), 0
        for at in sorted(self._counts):
            left -= self._counts[at]
            if left <= 0:
                break
        p99_s = min(self._longest_s, _LEAST_LAG_S * _LAG_STEP**at)
        recent_s, self._recent_s = self._recent_s, 0.0
        return LoopLagRead(now, recent_s, p99_s, self._longest_s)


class LoopWatchdog:
    """Watches the loop that runs in the thread in which `start` is called; `close` ends it.

    The loop notes the time twice a second, and a thread checks it as often, which together costs less than a
    thousandth of a core. A callback that takes too long is logged with its stack.
    """

    def __init__(self, *, long_s: float = LONG_S, unhandled_s: float = UNHANDLED_S) -> None:
        self._long_s = long_s
        self._unhandled_s = unhandled_s
        self._beaten = 0.0
        self._unhandled: tuple[int, float] | None = None
        self._logged_at = float("-inf")
        self._suppressed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="loop-watchdog", daemon=True
        )
        self._timer: asyncio.TimerHandle | None = None
        self._lag_timer: asyncio.TimerHandle | None = None
        self._lag = LoopLag()
        self._emit: Emit | None = None
        self._dump = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - until `close`
        self._loop_thread = 0
        self._loop_clock = 0

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._loop_thread = threading.get_ident()
        self._loop_clock = time.pthread_getcpuclockid(self._loop_thread)
        self._beat(asyncio.get_running_loop())
        self._sample(asyncio.get_running_loop(), time.monotonic())
        self._thread.start()

    def close(self) -> None:
        """End the thread; to be called in the loop's thread."""
        self._stop.set()
        for timer in (self._timer, self._lag_timer):
            if timer is not None:
                timer.cancel()
        faulthandler.cancel_dump_traceback_later()
        self._thread.join(LONG_S)
        self._dump.close()

    def report_lag(self, emit: Emit) -> None:
        """Emit a `LoopLagRead` twice a second from now on."""
        self._emit = emit

    def note_signal(self, number: int) -> None:
        """Note that a signal arrived; the loop has `unhandled_s` seconds to handle it."""
        if self._unhandled is None:
            self._unhandled = number, time.monotonic()

    def signal_handled(self) -> None:
        """Note that the loop has handled the signal."""
        self._unhandled = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten = time.monotonic()
        faulthandler.dump_traceback_later(self._long_s, file=self._dump.fileno())
        if self._emit is not None:
            self._emit(self._lag.read(self._beaten))
        self._timer = loop.call_later(BEAT_S, self._beat, loop)

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = time.monotonic()
        self._lag.note(max(0.0, now - due))
        self._lag_timer = loop.call_later(LAG_EVERY_S, self._sample, loop, now + LAG_EVERY_S)

    def _run(self) -> None:
        seen, looked, cpu_s = self._beaten, time.monotonic(), self._cpu_s()
        is_logged = False
        while not self._stop.wait(BEAT_S):
            now, beaten = time.monotonic(), self._beaten
            computed_s = self._cpu_s() - cpu_s
            # The whole process or machine was suspended: the loop was not blocked.
            was_asleep = now - looked > self._long_s + BEAT_S and computed_s < self._long_s / 2
            looked = now
            blocked_s = (now if beaten == seen else beaten) - seen - BEAT_S
            if blocked_s >= self._long_s and not is_logged and not was_asleep:
                is_logged = True
                self._warn(now, blocked_s, computed_s)
            if beaten != seen:
                if is_logged:
                    log.info("the event loop runs again, after %.1f s", blocked_s)
                    self._take_dump()
                seen, cpu_s, is_logged = beaten, self._cpu_s(), False
            self._end_if_unhandled(now)

    def _warn(self, now: float, blocked_s: float, computed_s: float) -> None:
        if now - self._logged_at < LOG_EVERY_S:
            self._suppressed += 1
            return
        more = f" ({self._suppressed} such warnings were not logged)" if self._suppressed else ""
        self._logged_at, self._suppressed = now, 0
        log.warning(
            "the event loop has been blocked for %.1f s, %.1f s of it computing%s: %s",
            blocked_s,
            computed_s,
            more,
            self._take_dump() or self._stack(),
        )

    def _end_if_unhandled(self, now: float) -> None:
        if self._unhandled is None or now - self._unhandled[1] < self._unhandled_s:
            return
        number = self._unhandled[0]
        log.error(
            "the event loop has not handled signal %d for %.0f s: the process ends without it, at %s",
            number,
            now - self._unhandled[1],
            self._stack(),
        )
        time.sleep(FLUSH_S)
        os._exit(128 + number)

    def _cpu_s(self) -> float:
        try:
            return time.clock_gettime(self._loop_clock)
        except OSError:
            return 0.0

    def _stack(self) -> str:
        """Return the stack of the loop's thread, the innermost frame first."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the only way to see another thread
        return " < ".join(_frames(frame)) or "(no stack)"

    def _take_dump(self) -> str:
        """Return the stack that the loop's thread had after `long_s`, empty without one, and clear the dump."""
        self._dump.seek(0)
        text = self._dump.read(DUMP_CHARS)
        self._dump.seek(0)
        self._dump.truncate()
        _, found, own = text.partition(f"0x{self._loop_thread:016x}")
        lines = own.partition("\n\n")[0].partition("\nThread ")[0].splitlines()[1 : FRAMES + 1]
        return " < ".join(_printable(line) for line in lines) if found else ""


class Signals:
    """Handles the signals from `start` to `close`; `on_signal` is called in the loop, once.

    `last_words` is called, with little time, when a second signal ends the process at once, or when it has not
    ended within `leave_s` of the first one. A SIGHUP that is ignored (`nohup farm run`) stays ignored.

    A handler is installed for one signal (`sysv_signal`) and again when that was handled; if it is not, the reaper
    sends the signal again, and the process ends by its default action.
    """

    def __init__(
        self,
        reaper: Reaper,
        watchdog: LoopWatchdog,
        on_signal: Callable[[int], None],
        last_words: Callable[[int], None] = lambda _: None,
        leave_s: float = math.inf,
    ) -> None:
        self._leave_s = leave_s
        self._leaving: threading.Timer | None = None
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
        if self._leaving is not None:
            self._leaving.cancel()
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
        if math.isfinite(self._leave_s):
            # The last words take the rest.
            after_s = LEAVE_SHARE * self._leave_s
            self._leaving = threading.Timer(after_s, self._end_late, (number,))
            self._leaving.daemon = True
            self._leaving.start()
        for each in self._before:
            self._install(each)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_loop, number)

    def _end_late(self, number: int) -> None:
        log.error("the run has not ended in time after signal %d: the process ends without the rest", number)
        time.sleep(FLUSH_S)
        self._end_at_once(number)

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


def _frames(frame: FrameType | None) -> Iterator[str]:
    for _ in range(FRAMES):
        if frame is None:
            return
        yield _printable(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}")
        frame = frame.f_back


def _printable(place: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in place.strip())[:200]


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
