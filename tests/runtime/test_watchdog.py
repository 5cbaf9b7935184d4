"""A blocked loop is logged with its stack, and every signal is handled. Real processes, real signals."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from farm.model.event import Event, LoopLagRead
from farm.monitor.log import LOG_NAME
from farm.runtime.watchdog import BEAT_S, LoopLag, LoopWatchdog
from tests.e2e.farm_process import until

PROGRAM = """
import asyncio, functools, math, re, sys, time
from pathlib import Path
import uvloop
from farm.monitor.log import start_logging
from farm.runtime.watchdog import LoopWatchdog, Signals
from farm.runtime.reaper import Reaper

how, loop, folder, child = sys.argv[1:5]

def turns_without_end():
    while True:
        pass

def holds_the_lock():
    re.match("(a+)+b", "a" * 60)

def computes_for_a_while():
    # Holds the lock for a time that doubles with each letter, until it was long enough to be noticed.
    letters, begun = 18, time.thread_time()
    while time.thread_time() - begun < 0.6:
        letters += 1
        begun = time.thread_time()
        re.match("(a+)+b", "a" * letters)

async def main():
    output = start_logging(Path(folder), form="json", stderr=False)
    reaper = Reaper(unhandled_s=1.5 if how == "locked" else 30.0)
    reaper.log_to(Path(folder) / "farm.log", "json")
    reaper.kill(int(child))
    # What is short here is noticed; another program that has the processor is not to be.
    is_blocked = how in {"stuck", "locked", "a while"}
    watchdog = LoopWatchdog(long_s=0.2 if is_blocked else 30.0, unhandled_s=0.7 if is_blocked else 30.0)
    watchdog.start()
    heard = asyncio.get_running_loop().create_future()
    leave_s = 0.5 if how == "late" else math.inf
    signals = Signals(reaper, watchdog, heard.set_result, leave_s=leave_s)
    signals.start()
    asyncio.get_running_loop().call_later(0.05, functools.partial(print, "ready", flush=True))
    if how == "stuck":
        asyncio.get_running_loop().call_later(0.1, turns_without_end)
    elif how == "locked":
        asyncio.get_running_loop().call_later(0.1, holds_the_lock)
    elif how == "a while":
        await asyncio.sleep(0.1)
        computes_for_a_while()
        await asyncio.sleep(1.0)
        heard.set_result(0)
    number = await heard
    print("heard", number, flush=True)
    if how in {"drains", "late"}:
        await asyncio.sleep(60)
    signals.close()
    watchdog.close()
    reaper.close()
    output.close()
    return 128 + number if number else 0

with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
    sys.exit(runner.run(main()))
"""
LOOPS = ["uvloop", "asyncio"]
SIGNALS = [signal.SIGTERM, signal.SIGINT]


class Farm:
    """The program above, with a process that its reaper names."""

    def __init__(self, how: str, loop: str, folder: Path) -> None:
        self.folder = folder
        self.child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how, loop, str(folder), str(self.child.pid)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self, line: str) -> None:
        """Wait for a line of its output."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == line

    def stands_still(self) -> None:
        """Wait until it says nothing more because it computes: its CPU time grows, and its output does not."""
        process = psutil.Process(self.process.pid)
        used = process.cpu_times().user
        until(lambda: process.cpu_times().user > used + 0.5, "half a second of computing")

    def ended(self) -> int:
        """Wait for the end and return its code as a shell shows it; what the will names has ended too."""
        code = self.process.wait(timeout=30)
        assert self.child.wait(timeout=10) == -signal.SIGKILL
        return code if code >= 0 else 128 - code

    def log(self) -> list[dict[str, str]]:
        """Return the lines of its log."""
        return [json.loads(line) for line in (self.folder / LOG_NAME).read_text().splitlines()]

    def close(self) -> None:
        """End both."""
        for process in (self.process, self.child):
            if process.poll() is None:
                process.kill()
            process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Farm]]:
    """Collect what a test starts."""
    farms: list[Farm] = []
    yield farms
    for farm in farms:
        farm.close()


def start(how: str, loop: str, folder: Path, started: list[Farm]) -> Farm:
    """Start the program and wait until it is ready."""
    started.append(Farm(how, loop, folder))
    started[-1].says("ready")
    return started[-1]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_loop_that_turns_hears_a_signal(
    tmp_path: Path, started: list[Farm], loop: str, number: signal.Signals
) -> None:
    """And ends by itself, with nothing to be said."""
    farm = start("turns", loop, tmp_path, started)
    farm.process.send_signal(number)
    farm.says(f"heard {int(number)}")
    assert farm.ended() == 128 + number
    assert not [line for line in farm.log() if line["level"] in {"warning", "error"}]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_second_signal_ends_at_once(tmp_path: Path, started: list[Farm], loop: str) -> None:
    """By the code of the first; the reaper cleans up."""
    farm = start("drains", loop, tmp_path, started)
    farm.process.send_signal(signal.SIGTERM)
    farm.says("heard 15")
    farm.process.send_signal(signal.SIGINT)
    assert farm.process.wait(timeout=30) == 128 + signal.SIGTERM
    assert farm.ended()


def test_an_end_that_takes_too_long_is_cut_short(tmp_path: Path, started: list[Farm]) -> None:
    """Without a second signal; the log says so, and the reaper cleans up."""
    farm = start("late", "uvloop", tmp_path, started)
    farm.process.send_signal(signal.SIGTERM)
    assert farm.ended() == 128 + signal.SIGTERM
    assert "has not ended in time" in farm.log()[-1]["text"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_loop_that_never_returns_is_ended_by_a_signal(
    tmp_path: Path, started: list[Farm], loop: str, number: signal.Signals
) -> None:
    """The log says where it stood, when it was noticed and when it was ended."""
    farm = start("stuck", loop, tmp_path, started)
    farm.stands_still()
    farm.process.send_signal(number)
    assert farm.ended() == 128 + number
    logged = [line["text"] for line in farm.log() if line["logger"] == "farm.loop"]
    assert "blocked" in logged[0]
    assert "turns_without_end" in logged[0]
    assert f"signal {int(number)}" in logged[-1]
    assert "turns_without_end" in logged[-1]


def test_a_second_signal_ends_a_loop_that_never_returns_at_once(tmp_path: Path, started: list[Farm]) -> None:
    """It needs no loop."""
    farm = start("stuck", "uvloop", tmp_path, started)
    farm.stands_still()
    farm.process.send_signal(signal.SIGTERM)
    farm.process.send_signal(signal.SIGTERM)
    assert farm.ended() == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP])
def test_code_that_never_gives_the_lock_back_is_ended_by_a_signal(
    tmp_path: Path, started: list[Farm], number: signal.Signals
) -> None:
    """No Python runs any more, in no thread: the reaper gets the signal and ends the farm by it."""
    farm = start("locked", "uvloop", tmp_path, started)
    farm.stands_still()
    farm.process.send_signal(number)
    assert farm.ended() == 128 + number
    logged = [line["text"] for line in farm.log() if line["logger"] == "farm.reaper"]
    assert logged == [f"the farm has not handled signal {int(number)} for 1.5 s, and is ended by it"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_turn_that_held_the_lock_is_told_with_its_stack(
    tmp_path: Path, started: list[Farm], loop: str
) -> None:
    """Afterwards, as nothing could be logged before; the stack was taken while it was blocked."""
    farm = start("a while", loop, tmp_path, started)
    assert farm.process.wait(timeout=60) == 0
    logged = [
        line["text"] for line in farm.log() if line["logger"] == "farm.loop" and "blocked" in line["text"]
    ]
    assert "computes_for_a_while" in logged[0]
    assert len(logged[0]) < 10_000


async def test_watching_costs_next_to_nothing() -> None:
    """A thousandth of a core at the most: a beat costs less than a thousandth of the time until the next."""
    watchdog = LoopWatchdog()
    watchdog.start()
    loop, beats = asyncio.get_running_loop(), 400
    begun = time.process_time()
    for _ in range(beats):
        assert watchdog._timer is not None
        watchdog._timer.cancel()
        watchdog._beat(loop)
    spent_s = time.process_time() - begun
    watchdog.close()
    assert spent_s / beats < BEAT_S / 1000


def test_the_lag_of_a_loop_is_read_by_percentile_and_longest() -> None:
    """The 99th percentile is right to a fifth; what is recent begins anew with each reading."""
    lag = LoopLag()
    for _ in range(980):
        lag.note(0.002)
    for _ in range(19):
        lag.note(0.05)
    lag.note(3.0)
    read = lag.read(1.0)
    assert (read.recent_s, read.longest_s) == (3.0, 3.0)
    assert 0.05 <= read.p99_s <= 0.06
    lag.note(0.004)
    again = lag.read(2.0)
    assert (again.recent_s, again.longest_s) == (0.004, 3.0)
    assert LoopLag().read(0.0) == LoopLagRead(0.0, 0.0, 0.0, 0.0)


async def test_a_loop_that_was_blocked_says_for_how_long() -> None:
    """At the next reading."""
    watchdog, told = LoopWatchdog(), asyncio.get_running_loop().create_future()

    def emit(event: Event) -> None:
        if isinstance(event, LoopLagRead) and event.longest_s >= 0.3 and not told.done():
            told.set_result(event)

    watchdog.report_lag(emit)
    watchdog.start()
    try:
        asyncio.get_running_loop().call_soon(time.sleep, 0.45)
        assert (await asyncio.wait_for(told, 30)).p99_s > 0
    finally:
        watchdog.close()
