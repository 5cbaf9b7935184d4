"""The reaper: a program that waits for the farm's death and ends its remaining processes.

It holds the reading end of a pipe whose writing end only the farm has. However the farm ends, also by SIGKILL, the
kernel closes that end, and the reaper kills every registered process group and removes every registered folder.
Run as

    python -IS reaper_process.py FD UNHANDLED_S

with the pipe as standard input, one line each: `kill PID` or `term PID` (the leader of a process group that is
killed, or first sent SIGTERM), `folder PATH`, and `free PID` for a process that has ended.

FD is a pipe into which the farm's signal handler writes a byte for each signal. If the farm does not write
`handled` within UNHANDLED_S seconds, nothing in it runs any more: it is sent the signal again, which has no
handler then, and is killed if that does not end it. `log FORM PATH` names the log for that. Standard library only.
"""

import json
import os
import select
import shutil
import signal
import sys
import time
from datetime import UTC, datetime

TERM_S = 3.0
POLL_S = 0.05
UNHANDLED_S = 12.0
"""Longer than the farm's own watchdog waits: that can log the stack, the reaper cannot."""
KILL_S = 2.0
READ_BYTES = 65536
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that the farm handles, which it tells; a byte of another one says nothing."""


def execute(kill: set[int], term: set[int], folders: set[str]) -> None:
    """End the groups and remove the folders; those that are sent SIGTERM get a few seconds."""
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
    """Signal a process group; return whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class CleanupList:
    """The processes to end and folders to remove, from the farm's lines; `sent` and `handled` count signals."""

    def __init__(self) -> None:
        self.kill: set[int] = set()
        self.term: set[int] = set()
        self.folders: set[str] = set()
        self.log = ("", "")
        self.sent = self.handled = 0

    def take(self, line: str) -> None:
        """Process one line."""
        word, _, rest = line.partition(" ")
        if word == "folder":
            self.folders.add(rest)
        elif word == "kill":
            self.kill.add(int(rest))
        elif word == "term":
            self.term.add(int(rest))
        elif word == "free":
            self.kill.discard(int(rest))
            self.term.discard(int(rest))
        elif word == "log":
            form, _, path = rest.partition(" ")
            self.log = form, path
        elif word == "handled":
            # Either pipe may be read first.
            self.handled = max(self.handled + 1, self.sent)


def append_log(log: tuple[str, str], text: str) -> None:
    """Append a line to the farm's log in its format: the farm itself cannot any more."""
    form, path = log
    if not path:
        return
    now = datetime.now(UTC)
    at = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    line = f"{at} error    farm.reaper: {text}"
    if form == "json":
        line = json.dumps({"at": at, "level": "error", "logger": "farm.reaper", "text": text})
    try:
        with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs this process its quick start
            file.write(line + "\n")
    except OSError:
        return


def end(farm: int, unhandled: int) -> None:
    """End a farm that handles no signal: by that signal, then by SIGKILL."""
    for number, wait_s in ((unhandled, KILL_S), (signal.SIGKILL, 0.0)):
        if os.getppid() != farm:
            return
        os.kill(farm, number)
        deadline = time.monotonic() + wait_s
        while os.getppid() == farm and time.monotonic() < deadline:
            time.sleep(POLL_S)


def main() -> None:
    """Read until the farm is gone, then clean up."""
    # A signal for the farm must not stop the reaper.
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    farm, signals = os.getppid(), int(sys.argv[1])
    unhandled_s = float(sys.argv[2])
    cleanup, rest, unhandled, since = CleanupList(), b"", 0, 0.0
    while True:
        is_unhandled = cleanup.sent > cleanup.handled
        left_s = max(0.0, since + unhandled_s - time.monotonic()) if is_unhandled else None
        ready, _, _ = select.select([0, signals], [], [], left_s)
        if is_unhandled and not ready:
            append_log(
                cleanup.log,
                f"the farm has not handled signal {unhandled} for {unhandled_s:g} s, and is ended by it",
            )
            end(farm, unhandled)
            cleanup.handled = cleanup.sent
        if signals in ready:
            for byte in os.read(signals, READ_BYTES):
                if byte in ENDING:
                    unhandled, since, cleanup.sent = byte, time.monotonic(), cleanup.sent + 1
        if 0 in ready:
            came = os.read(0, READ_BYTES)
            if not came:
                break
            *lines, rest = (rest + came).split(b"\n")
            for line in lines:
                cleanup.take(os.fsdecode(line))
    execute(cleanup.kill, cleanup.term, cleanup.folders)


if __name__ == "__main__":
    main()
