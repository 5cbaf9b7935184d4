"""What is told of processes by their ids, where they run, are ending, or are somebody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from farm.resources import processes
from farm.resources.processes import tree_cpu_s


def test_a_process_works_where_it_was_started_until_it_ends(tmp_path: Path) -> None:
    """An ending one has no folder any more: it is not mistaken for one that works elsewhere."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=here, stdin=subprocess.PIPE) as process:
        assert not processes.works_elsewhere(process.pid, here)
        assert processes.works_elsewhere(process.pid, there)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.works_elsewhere(process.pid, here)
        assert not processes.works_elsewhere(process.pid, there)
        assert process.wait() == -signal.SIGKILL
    assert not processes.works_elsewhere(process.pid, here)


def test_a_removed_folder_is_elsewhere(tmp_path: Path) -> None:
    """Nothing tells that it was this one."""
    here = tmp_path / "here"
    here.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=here, stdin=subprocess.PIPE) as process:
        here.rmdir()
        assert processes.works_elsewhere(process.pid, here)
        process.kill()


@pytest.mark.skipif(os.geteuid() == 0, reason="root's are everywhere")
def test_another_users_process_is_elsewhere() -> None:
    """Whatever its folder is: that is hidden."""
    assert processes.works_elsewhere(1, Path("/"))


BURN = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"


def test_cpu_time_is_that_of_all_processes_below() -> None:
    """Of those that still run, and of those that have ended."""
    before = tree_cpu_s()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    ended = tree_cpu_s()
    assert ended - before > 0.15
    waits = f"{BURN}\nprint(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as alive:
        assert alive.stdout is not None
        alive.stdout.readline()
        assert tree_cpu_s() - ended > 0.15
        alive.communicate(b"\n")
