"""A thread that watches the event loop: a turn that takes too long is logged with the stack of the loop's thread.

The loop notes the time four times a second, and the thread looks at that note as often, which together costs less
than a thousandth of a core. C code that keeps the interpreter's lock (a regular expression, a parser) stops this
thread too; for that case `faulthandler` has a thread of its own that needs no lock, and what it wrote is logged
as soon as this one runs again.

A signal that the loop does not take within `unheard_s` ends the process here, with the exit code of that signal:
the reaper process cleans up, as it does whenever the farm dies. Where not even this thread runs, the reaper does
both (see `reaper_process`).
"""

import asyncio
import faulthandler
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from types import FrameType

log = logging.getLogger("farm.loop")
BEAT_S = 0.25
LONG_S = 1.0
UNHEARD_S = 10.0
LOG_EVERY_S = 10.0
FRAMES = 25
DUMP_CHARS = 20_000
SAY_S = 0.5
"""What the thread that writes the log gets to do so before the process ends."""


class LoopWatchdog:
    """Watches the loop that runs in the thread in which `start` is called; `close` ends it."""

    def __init__(self, *, long_s: float = LONG_S, unheard_s: float = UNHEARD_S) -> None:
        self._long_s = long_s
        self._unheard_s = unheard_s
        self._beaten = 0.0
        self._unheard: tuple[int, float] | None = None
        self._said_at = float("-inf")
        self._unsaid = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop-watchdog", daemon=True)
        self._timer: asyncio.TimerHandle | None = None
        self._dump = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - until `close`
        self._loop_thread = 0
        self._loop_clock = 0

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._loop_thread = threading.get_ident()
        self._loop_clock = time.pthread_getcpuclockid(self._loop_thread)
        self._beat(asyncio.get_running_loop())
        self._thread.start()

    def close(self) -> None:
        """End the thread; to be called in the loop's thread."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()
        self._thread.join(LONG_S)
        self._dump.close()

    def note_signal(self, number: int) -> None:
        """Note that a signal has come; it is the loop's to take it within the time that it has."""
        if self._unheard is None:
            self._unheard = number, time.monotonic()

    def signal_heard(self) -> None:
        """Note that the loop has taken the signal."""
        self._unheard = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten = time.monotonic()
        faulthandler.dump_traceback_later(self._long_s, file=self._dump.fileno())
        self._timer = loop.call_later(BEAT_S, self._beat, loop)

    def _run(self) -> None:
        seen, looked, cpu_s = self._beaten, time.monotonic(), self._cpu_s()
        is_told = False
        while not self._stop.wait(BEAT_S):
            now, beaten = time.monotonic(), self._beaten
            computed_s = self._cpu_s() - cpu_s
            # The whole process slept, or its machine: the loop has not stood still.
            was_asleep = now - looked > self._long_s + BEAT_S and computed_s < self._long_s / 2
            looked = now
            stood_s = (now if beaten == seen else beaten) - seen - BEAT_S
            if stood_s >= self._long_s and not is_told and not was_asleep:
                is_told = True
                self._tell(now, stood_s, computed_s)
            if beaten != seen:
                if is_told:
                    log.info("the event loop turns again, after %.1f s", stood_s)
                    self._dumped()
                seen, cpu_s, is_told = beaten, self._cpu_s(), False
            self._end_if_unheard(now)

    def _tell(self, now: float, stood_s: float, computed_s: float) -> None:
        if now - self._said_at < LOG_EVERY_S:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} such turns went unsaid)" if self._unsaid else ""
        self._said_at, self._unsaid = now, 0
        log.warning(
            "the event loop has stood still for %.1f s, %.1f s of it computing%s: %s",
            stood_s,
            computed_s,
            more,
            self._dumped() or self._stack(),
        )

    def _end_if_unheard(self, now: float) -> None:
        if self._unheard is None or now - self._unheard[1] < self._unheard_s:
            return
        number = self._unheard[0]
        log.error(
            "the event loop has not taken signal %d for %.0f s: the process ends without it, at %s",
            number,
            now - self._unheard[1],
            self._stack(),
        )
        time.sleep(SAY_S)
        os._exit(128 + number)

    def _cpu_s(self) -> float:
        try:
            return time.clock_gettime(self._loop_clock)
        except OSError:
            return 0.0

    def _stack(self) -> str:
        """Return where the loop's thread is, the innermost place first."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the only way to see another thread
        return " < ".join(_places(frame)) or "(no stack)"

    def _dumped(self) -> str:
        """Return where the loop's thread was when it had stood for `long_s`, if it had, and forget it."""
        self._dump.seek(0)
        text = self._dump.read(DUMP_CHARS)
        self._dump.seek(0)
        self._dump.truncate()
        _, found, own = text.partition(f"0x{self._loop_thread:016x}")
        lines = own.partition("\n\n")[0].partition("\nThread ")[0].splitlines()[1 : FRAMES + 1]
        return " < ".join(_shown(line) for line in lines) if found else ""


def _places(frame: FrameType | None) -> Iterator[str]:
    for _ in range(FRAMES):
        if frame is None:
            return
        yield _shown(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}")
        frame = frame.f_back


def _shown(place: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in place.strip())[:200]
