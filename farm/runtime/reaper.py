"""The farm's side of the reaper: every process and folder of the farm is registered before it is used.

See `reaper_process` for what happens when the farm dies. Invariants: an entry stays on the reaper's list
until it is freed, also when the reaper itself is killed: it is restarted with the whole list.
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

    def __init__(self, unhandled_s: float = reaper_process.UNHANDLED_S) -> None:
        self._unhandled_s = unhandled_s
        self._lines: dict[str, None] = {}
        # Not blocking: a signal's handler writes to it. Both ends live as long as the farm, so that they serve
        # the next process too, if the reaper is killed.
        self._signal_pipe_fd, self.signals_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The reaper's process id."""
        return self._process.pid

    def kill(self, pid: int) -> None:
        """Register the leader of a process group that is killed if the farm dies."""
        self._register(f"kill {pid}")

    def terminate(self, pid: int) -> None:
        """Register the leader of a process group that is sent SIGTERM, and killed if it does not end."""
        self._register(f"term {pid}")

    def free(self, pid: int) -> None:
        """Remove a process from the list: it has ended."""
        self._lines.pop(f"kill {pid}", None)
        self._lines.pop(f"term {pid}", None)
        self._write(f"free {pid}")

    def folder(self, path: Path) -> None:
        """Register a folder that is removed with its contents."""
        self._register(f"folder {path}")

    def log_to(self, path: Path, form: str) -> None:
        """Set the log in which the reaper writes that it ended a farm that handled no signal."""
        self._register(f"log {form} {path}")

    def signal_handled(self) -> None:
        """Report that the signal in `signals_fd` was handled: the reaper need not end the farm."""
        self._write("handled")

    def close(self) -> None:
        """Let the reaper clean up now, and wait for it; processes that have ended are skipped."""
        self._process.communicate(timeout=CLOSE_S)
        os.close(self._signal_pipe_fd)
        os.close(self.signals_fd)

    def _register(self, line: str) -> None:
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
        # A session of its own: a terminal's Ctrl-C and hang-up are for the farm. The reaper outlives the farm by a
        # moment, and must not keep the farm's output open for its reader.
        return subprocess.Popen(
            [
                sys.executable,
                "-IS",
                reaper_process.__file__,
                str(self._signal_pipe_fd),
                str(self._unhandled_s),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=kept(os.environ),
            pass_fds=(self._signal_pipe_fd,),
            start_new_session=True,
        )
