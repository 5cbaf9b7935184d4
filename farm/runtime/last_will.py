"""What a dead farm leaves behind is ended here: a program of its own that waits for the farm's death.

It holds the reading end of a pipe whose writing end only the farm has. However the farm ends, also by SIGKILL, the
kernel closes that end, and the reader kills every process group and removes every folder it was told of. Run as

    python -IS last_will.py

with the pipe as standard input, one line each: `kill PID` or `term PID` (the leader of a process group that is
killed, or first asked to end), `folder PATH`, and `free PID` for what has ended by itself. Standard library only.
"""

import os
import shutil
import signal
import sys
import time

TERM_S = 3.0
POLL_S = 0.05


def execute(kill: set[int], term: set[int], folders: set[str]) -> None:
    """End the groups and remove the folders; those asked politely get a few seconds."""
    for pid in kill:
        send(pid, signal.SIGKILL)
    for pid in term:
        send(pid, signal.SIGTERM)
    deadline = time.monotonic() + TERM_S
    while term and time.monotonic() < deadline:
        term = {pid for pid in term if send(pid, 0)}
        time.sleep(POLL_S)
    for pid in term:
        send(pid, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def send(group: int, number: int) -> bool:
    """Signal a process group and say whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    """Listen until the farm is gone."""
    # A signal that is meant for the farm must not stop the one who cleans up after it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kill: set[int] = set()
    term: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "folder":
            folders.add(rest)
        elif word == "kill":
            kill.add(int(rest))
        elif word == "term":
            term.add(int(rest))
        elif word == "free":
            kill.discard(int(rest))
            term.discard(int(rest))
    execute(kill, term, folders)


if __name__ == "__main__":
    main()
