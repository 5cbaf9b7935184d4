"""`farm top` in a terminal, on a crawl in a real Redis."""

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from farm.model.event import AdmissionSet, MemoryRead, Notice, Phase, SlotPhase
from farm.model.outcome import FailureKind
from farm.monitor.published import encoded
from farm.monitor.tally import Tally
from tests.cli.outside import NAME, Outside

PATIENCE_S = 60.0
# A session of its own, whose terminal is the one that it is given.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Seen:
    """A terminal of 120x40, and what was written on it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.text = ""

    def until(self, pattern: str) -> str:
        """Return all that was written once the pattern is in it."""
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.text):
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"no {pattern!r} in {self.text[-3000:]!r}"
            if select.select([self._fd], [], [], left_s)[0]:
                self.text += os.read(self._fd, 1 << 16).decode(errors="replace")
        return self.text

    def press(self, keys: str) -> None:
        """Press keys; what was written before is forgotten."""
        self.text = ""
        os.write(self._fd, keys.encode())


@contextmanager
def top(*flags: str) -> Iterator[tuple[Seen, "subprocess.Popen[bytes]"]]:
    """Run the command in a terminal."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = [sys.executable, "-c", IN_TERMINAL, sys.executable, "-m", "farm.cli.main", "top", *flags]
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    with subprocess.Popen(command, stdin=there, stdout=there, stderr=there, env=environment) as running:
        os.close(there)
        try:
            yield Seen(here), running
        finally:
            running.kill()
            running.wait()
            os.close(here)


def publish(outside: Outside, name: str, contexts: int) -> None:
    """Register a node at work, and publish what it looks like."""
    tally = Tally(0.0)
    for number in range(contexts):
        tally.fold(SlotPhase(1.0, f"{number:02d}", Phase.SETTLING, f"http://a.example/{name}{number}"))
    tally.fold(MemoryRead(1.0, 3 << 30, 4 << 30, 9))
    tally.fold(AdmissionSet(1.0, contexts, "contexts"))
    tally.fold(Notice(1.0, "warning", f"a word of {name}\x1b[2J"))

    async def published(frontier: RedisFrontier) -> None:
        await frontier.nodes.register(name, f"life-of-{name}", "", {"contexts": contexts})
        await frontier.reports.publish(name, encoded(tally.snapshot(2.0)))

    outside.frontier(published)


def test_a_crawl_is_watched_and_steered_from_anywhere(outside: Outside) -> None:
    """All its nodes in one view; keys pause it, ask a node for fewer contexts, and show its dead letters."""
    [dead] = outside.bury([FailureKind.TIMEOUT])
    assert not outside.frontier(lambda frontier: frontier.reports.is_watched())
    publish(outside, "alpha", 3)
    publish(outside, "beta", 2)
    with top(*outside.crawl) as (seen, running):
        seen.until(r"nodes.*alpha.*running.*beta.*running")
        for words in (r"5 .*of 5 at work", "3.0/4.0 GiB", "a word of alpha", "6.0 GiB.*of 8.0 GiB"):
            seen.until(words)
        assert "\x1b[2J" not in seen.text
        seen.press("p")
        seen.until("paused on all nodes")
        assert outside.farm("status").out.startswith(f"crawl {NAME} (paused")
        seen.press("4\x1b[B-")
        seen.until("contexts that may work: beta 1 of 2")
        assert outside.frontier(lambda frontier: frontier.reports.is_watched())
        assert outside.frontier(lambda frontier: frontier.reports.wanted("beta")) == 1
        assert outside.frontier(lambda frontier: frontier.reports.wanted("beta")) is None
        assert outside.frontier(lambda frontier: frontier.reports.wanted("alpha")) is None
        seen.press("5")
        seen.until("timeout.*said so")
        seen.press("\r")
        seen.until(f"farm dead replay {dead}")
        seen.press("qq")
        seen.until("sites")
        seen.press("pq")
        # It could not end with a terminal that is full.
        seen.until(re.escape("\x1b[?1049l"))
        assert running.wait(PATIENCE_S) == 0
    assert "running" in outside.farm("status").out


def test_without_a_terminal_there_is_a_sentence(outside: Outside) -> None:
    """A pipe gets no view."""
    said = outside.farm("top")
    assert said.code == 2
    assert said.sentence == "`farm top` needs a terminal; `farm status` prints the numbers once."


def test_a_crawl_of_its_own_redis_is_watched_while_a_run_is_at_work(tmp_path: Path) -> None:
    """A view that started the server itself would keep the next run from its folder."""
    (tmp_path / "out" / ".farm" / "redis").mkdir(parents=True)
    with top("--output", str(tmp_path / "out")) as (seen, running):
        seen.until(r"No run is at work in .*out; `farm status --output .*out` has its numbers\.")
        assert running.wait(PATIENCE_S) == 2


def test_a_private_redis_is_named_by_its_output_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the view of the run, and not by its socket."""
    monkeypatch.chdir(tmp_path)
    server = EmbeddedRedis(Path("out/.farm/redis"))
    url = asyncio.run(server.start())
    try:
        Outside(url, Path("out"), capsys).create("http://a.example/")
        with top("--output", "out", "--crawl", NAME) as (seen, _):
            assert "farm-redis-" not in seen.until(rf"{NAME} · out\b")
    finally:
        asyncio.run(server.stop())
