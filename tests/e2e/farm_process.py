"""`farm` as a user runs it: a process of its own, watched from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fixtures.shop import Shop

FARM = (sys.executable, "-m", "farm.cli.main")
STARTED: list["Running"] = []
POLL_S = 0.05
PATIENCE_S = 60.0


@dataclass
class Finished:
    """How a run ended."""

    code: int
    output: str
    folder: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records, in the order of the file."""
        return read_lines(self.folder / "pages.jsonl")

    @property
    def skips(self) -> list[dict[str, Any]]:
        """The URLs that were skipped."""
        return read_lines(self.folder / "skipped.jsonl")

    @property
    def summary(self) -> dict[str, Any]:
        """`summary.json`."""
        loaded: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return loaded

    @property
    def urls(self) -> list[str]:
        """The records' URLs."""
        return [record["url"] for record in self.records]


@dataclass
class Running:
    """A farm that runs."""

    process: subprocess.Popen[str]
    folder: Path
    seen: set[psutil.Process] = field(default_factory=set)
    _said: list[str] = field(default_factory=list, init=False)
    _reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, name="output", daemon=True)
        self._reader.start()

    def family(self) -> set[psutil.Process]:
        """Return every process that the farm has started so far, as far as it was looked at."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.seen |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.seen

    def kill(self) -> None:
        """SIGKILL, with a look at what it has started just before."""
        self.family()
        self.process.kill()
        self.finish()

    def finish(self, timeout_s: float = PATIENCE_S) -> Finished:
        """Wait for the end of its output, and of the farm."""
        self._reader.join(timeout_s)
        assert not self._reader.is_alive(), f"no end within {timeout_s:g} s: {''.join(self._said)[-3000:]}"
        return Finished(self.process.wait(PATIENCE_S), "".join(self._said), self.folder)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the farm alone."""
        self.family()
        self.process.send_signal(number)

    def _read(self) -> None:
        """Read the output as it comes: a farm whose pipe is full would stand still."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self._said.extend(output)


def start(
    *arguments: str, folder: Path, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
) -> Running:
    """Start `farm` with the arguments, by the command `prefix` if there is one.

    Its output and error output are kept together, buffered as usual.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [*prefix, *FARM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        cwd=folder.parent,
        env={**inherited, **(environment or {})},
    )
    running = Running(process, folder)
    STARTED.append(running)
    return running


def end_all() -> None:
    """Kill what a failed test has left running."""
    while STARTED:
        running = STARTED.pop()
        if running.process.poll() is None:
            running.kill()


def crawl(folder: Path, *arguments: str, **settings: str) -> Running:
    """Start a run on loopback without the live view, with its output in `folder`."""
    given = {
        "contexts": "2",
        "ramp_up": "0s",
        "allow_network": "127.0.0.0/8",
        "live": "off",
        "output": str(folder),
    }
    flags = [
        part for name, value in (given | settings).items() for part in (f"--{name.replace('_', '-')}", value)
    ]
    return start("run", *arguments, *flags, folder=folder)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return a JSONL file's whole lines: none where there is no file, not the one that a killed node has torn."""
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in whole]


def logged(folder: Path) -> str:
    """Return the log of a run so far, nothing where there is none yet; half a character is a mark."""
    log = folder / "farm.log"
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def log_says(folder: Path, text: str) -> None:
    """Wait until the log of a run has the text."""
    until(lambda: text in logged(folder), f"{text!r} in the log")


def until(holds: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = PATIENCE_S) -> None:
    """Wait until it holds; AssertionError with `what` was waited for, or what it returns then, otherwise."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not holds():
        late = time.monotonic() >= deadline
        assert not late, f"{what if isinstance(what, str) else what()} did not come within {timeout_s:g} s"
        pause.wait(POLL_S)


def seen_pages(shop: Shop, number: int) -> None:
    """Wait until this many pages of the shop were requested."""
    assert shop.requests.wait_for(lambda journal: len(journal.pages()) >= number, 60)


def farm(*arguments: str, folder: Path) -> Finished:
    """Run a command to its end."""
    return start(*arguments, folder=folder).finish()
