"""The farm's side of its last will: every process and folder it starts is named before it is used.

See `last_will` for what happens when the farm dies. What always holds: what was named is in the will until it is
freed, also when the program that keeps the will is itself killed: it is started again with all of it.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from farm.model.environment import kept
from farm.runtime import last_will

CLOSE_S = 8.0


class Warden:
    """Owns the last will's process. Not thread-safe; every call is a short write to a pipe."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
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

    def close(self) -> None:
        """Have the will executed now and wait for it: what has ended by itself is no trouble."""
        self._process.communicate(timeout=CLOSE_S)

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

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        # A session of its own: a terminal's Ctrl-C and hang-up are for the farm. It outlives the farm by a moment,
        # and must not keep open what somebody reads the farm's output from.
        return subprocess.Popen(
            [sys.executable, "-IS", last_will.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=kept(os.environ),
            start_new_session=True,
        )
