"""The reaper: what a dead farm leaves behind is ended, however it died."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from farm.runtime.reaper import Reaper

PATIENCE_S = 30.0
IMMORTAL = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
)
MORTAL = "import signal; print(1, flush=True); signal.pause()"
HOLDER = """
import sys
from pathlib import Path
from farm.runtime.reaper import Reaper
reaper = Reaper()
reaper.kill(int(sys.argv[1])); reaper.terminate(int(sys.argv[2])); reaper.folder(Path(sys.argv[3]))
print(reaper.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Collect processes that a test starts, and end them."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)


def leader(source: str, started: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Start the leader of a process group and wait until it is ready for signals."""
    process = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    return process


def test_a_killed_farm_takes_its_processes_and_folders_with_it(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    """SIGKILL cannot be caught by the farm; the pipe that closes is noticed by the one who waits for it."""
    doomed, polite = leader(IMMORTAL, started), leader(MORTAL, started)
    folder = tmp_path / "profile"
    (folder / "inside").mkdir(parents=True)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(doomed.pid), str(polite.pid), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    started.append(holder)
    assert holder.stdout is not None
    keeper = psutil.Process(int(holder.stdout.readline()))
    holder.kill()
    assert doomed.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    assert polite.wait(timeout=PATIENCE_S) == -signal.SIGTERM
    keeper.wait(timeout=PATIENCE_S)
    assert not folder.exists()


def test_what_was_freed_is_left_alone(started: list[subprocess.Popen[str]]) -> None:
    """Its number may belong to somebody else by now."""
    process = leader(MORTAL, started)
    reaper = Reaper()
    reaper.kill(process.pid)
    reaper.free(process.pid)
    reaper.close()
    assert process.poll() is None


def test_a_process_that_does_not_end_when_asked_is_killed(started: list[subprocess.Popen[str]]) -> None:
    """After a few seconds."""
    process = leader(IMMORTAL, started)
    reaper = Reaper()
    reaper.terminate(process.pid)
    reaper.close()
    assert process.wait(timeout=PATIENCE_S) == -signal.SIGKILL


def test_a_will_whose_keeper_was_killed_is_written_again(started: list[subprocess.Popen[str]]) -> None:
    """With all that was in it."""
    first, second = leader(MORTAL, started), leader(MORTAL, started)
    reaper = Reaper()
    reaper.kill(first.pid)
    before = reaper.pid
    os.kill(before, signal.SIGKILL)
    psutil.Process(before).wait(timeout=PATIENCE_S)
    reaper.kill(second.pid)
    assert reaper.pid != before
    reaper.close()
    assert first.wait(timeout=PATIENCE_S) == second.wait(timeout=PATIENCE_S) == -signal.SIGKILL


def test_the_keeper_does_not_hear_a_terminals_signals() -> None:
    """Ctrl-C is for the farm."""
    reaper = Reaper()
    assert os.getsid(reaper.pid) == reaper.pid
    reaper.close()
