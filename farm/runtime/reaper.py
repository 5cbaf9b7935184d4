"""The farm's side of the reaper: every process and folder that the farm makes is named to it before it is used.

See `reaper_process` for what happens when the farm dies. What always holds: what was named stays on the reaper's
list until it is freed, also when the reaper itself is killed: it is started again with the whole list.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from farm.model.secret import kept
from farm.runtime import reaper_process

CLOSE_S = 8.0


class Reaper:
    """Owns the reaper's process. Not thread-safe; every call is a short write to a pipe."""

    def __init__(self, unheard_s: float = reaper_process.UNHEARD_S) -> None:
        self._unheard_s = unheard_s
        self._lines: dict[str, None] = {}
        # Not blocking: a signal's handler writes to it. Both ends live as long as the farm, so that they serve
        # the next process too, if the one that keeps the will is killed.
        self._heard_fd, self.signals_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The process that keeps the will."""
        return self._process.pid

    def kill(self, pid: int) -> None:
        """Name the leader of a process group that is killed if the farm dies."""
        self._say(f"kill {pid}")

    def terminate(self, pid: int) -> None:
        """Name the leader of a process group that is asked to end, and killed if it does not."""
        self._say(f"term {pid}")

    def free(self, pid: int) -> None:
        """Take a process out of the will: it has ended."""
        self._lines.pop(f"kill {pid}", None)
        self._lines.pop(f"term {pid}", None)
        self._write(f"free {pid}")

    def folder(self, path: Path) -> None:
        """Name a folder that is removed with everything in it."""
        self._say(f"folder {path}")

    def log_to(self, path: Path, form: str) -> None:
        """Name the log in which it is said that the farm was ended because it heard no signal."""
        self._say(f"log {form} {path}")

    def signal_heard(self) -> None:
        """Say that the signal that `signals_fd` told of was heard: nobody has to end the farm for it."""
        self._write("heard")

    def close(self) -> None:
        """Have the will executed now and wait for it: what has ended by itself is no trouble."""
        self._process.communicate(timeout=CLOSE_S)
        os.close(self._heard_fd)
        os.close(self.signals_fd)

    def _say(self, line: str) -> None:
        self._lines[line] = None
        self._write(line)

    def _write(self, line: str) -> None:
        try:
            self._send(line)
        except BrokenPipeError:
            self._pipe.close()
            self._process.wait(timeout=CLOSE_S)
            self._process = self._start()
            self._send(*self._lines)

    def _send(self, *lines: str) -> None:
        self._pipe.write("".join(f"{line}\n" for line in lines).encode())

    @property
    def _pipe(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise AssertionError("the pipe is opened with the process")
        return self._process.stdin

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: a terminal's Ctrl-C and hang-up are for the farm. It outlives the farm by a moment,
        # and must not keep open what somebody reads the farm's output from.
        return subprocess.Popen(
            [sys.executable, "-IS", reaper_process.__file__, str(self._heard_fd), str(self._unheard_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=kept(os.environ),
            pass_fds=(self._heard_fd,),
            start_new_session=True,
        )
