"""Runs a command and stays until the last process that came of it has ended. Standard library only.

    python -IS reaper.py COMMAND...

Orphans become this process's children (Linux's child subreaper), so the tree below it is complete as long as
it runs, and the CPU of every process that has ended is accounted to a process of that tree, also of short-lived
ones. Exits with the command's status; processes that outlive the command are killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 3.0


def main(command: list[str]) -> int:
    """Run the command and clear up after it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.kill())
    status = 1
    ends = float("inf")
    while True:
        try:
            pid, code = os.waitpid(-1, 0 if ends == float("inf") else os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == child.pid:
            status, ends = os.waitstatus_to_exitcode(code), time.monotonic() + GRACE_S
        if pid == 0:
            if time.monotonic() > ends:
                _kill_children()
            time.sleep(0.02)


def _kill_children() -> None:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
