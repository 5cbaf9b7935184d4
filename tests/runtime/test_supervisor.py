"""The processes of a node as their supervisor has them, without a crawl."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farm.api.handlers import Handlers
from farm.app.processes import COMMAND
from farm.model.clock import SystemClock
from farm.model.crawl import ANY_INCARNATION, Identity
from farm.model.errors import UsageError
from farm.model.event import Event
from farm.model.record import Batch
from farm.resources.processes import is_running
from farm.runtime import supervisor
from farm.runtime.control import Control, ExitReason
from farm.runtime.reaper import Reaper
from farm.runtime.supervisor import NodeProcess, ProcessParams
from tests.frontier.support import eventually


@dataclass
class Granted:
    """The name is free."""

    granted: bool = True
    silent_s: float = 0.0


@dataclass
class Names:
    """Grants every name; `predecessors` are whom each replaced. At the last one of `most` the run is ended."""

    control: Control
    most: int
    predecessors: list[str] = field(default_factory=list)

    async def register(
        self, name: str, incarnation: str, predecessor: str = "", facts: Mapping[str, Any] | None = None
    ) -> Granted:
        """Grant it."""
        self.predecessors.append(predecessor)
        if len(self.predecessors) == self.most:
            self.control.end(ExitReason.STOPPED)
        return Granted()

    async def unregister(self, name: str, incarnation: str) -> int:
        """Give nothing back."""
        return 0


class Nothing:
    """Takes what a process brings and tells."""

    async def commit(self, batch: Batch) -> None:
        """Keep nothing."""

    def fold(self, process: int, events: Sequence[Event]) -> None:
        """Count nothing."""

    def ended(self, process: int, totals: Any | None) -> None:
        """Count nothing."""


def its_name(identity: Identity) -> object:
    """Return what a process is sent that needs nothing."""
    return identity.name


async def lived(
    tmp_path: Path, names: Names, *command: str, work: Callable[[Identity], object] = its_name
) -> None:
    """Run a process that is started by this command, until the run is ended; it is sent some work."""
    params = ProcessParams(1, "node/1", command, tmp_path / "process-1.err", {})
    reaper = Reaper()
    one = NodeProcess(
        params, work, names, Nothing(), Nothing(), names.control, reaper, lambda _: None, SystemClock()
    )
    try:
        async with asyncio.timeout(30):
            await one.run()
    finally:
        reaper.close()


async def test_a_process_that_cannot_be_started_is_one_that_has_died(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The system may have room for it later; the others go on meanwhile."""
    names = Names(Control(), 3)
    with caplog.at_level(logging.WARNING, "farm.supervisor"):
        await lived(tmp_path, names, str(tmp_path / "none"))
    assert names.predecessors[0] == ANY_INCARNATION
    told = "process 1 could not be started (No such file or directory); it is replaced at once"
    assert caplog.messages[0] == told


async def test_what_a_process_writes_on_standard_error_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler may print there for as long as the crawl lasts; the last words of a process are kept."""
    monkeypatch.setattr(supervisor, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(supervisor, "MOST_ERRORS_BYTES", 1000)
    code = """
import os, sys
os.write(2, b"x" * 2000)
while os.stat(sys.argv[1]).st_size >= 2000:
    pass
os.write(2, b"last words")
"""
    # The run ends with the third one, and what the first came to is told at the second.
    names = Names(Control(), 3)
    with caplog.at_level(logging.WARNING, "farm.supervisor"):
        await lived(tmp_path, names, sys.executable, "-c", code, str(tmp_path / "process-1.err"))
    assert "to its standard error; they are removed from" in caplog.messages[0]
    assert "ended with status 0 (last words); it is replaced at once" in caplog.messages[1]


async def test_a_process_that_cannot_read_its_work_ends_the_node(tmp_path: Path) -> None:
    """Such as one that cannot import the user's module: its successor could not either."""
    handlers = Handlers(follows_scope=False)
    handlers.app = "nowhere_at_all:farm"
    with pytest.raises(UsageError, match="there is no module nowhere_at_all"):
        await lived(tmp_path, Names(Control(), 2), *COMMAND, work=lambda _: handlers)


async def test_a_process_that_does_not_end_when_told_to_is_killed_whatever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cancels does so again, in the middle of that."""
    monkeypatch.setattr(supervisor, "LEAVES_S", 0.05)
    reaper, pids, control = Reaper(), list[int](), Control()
    monkeypatch.setattr(reaper, "kill", pids.append)
    command = (sys.executable, "-c", "import signal; signal.pause()")
    params = ProcessParams(1, "node/1", command, tmp_path / "process-1.err", {})
    names, nothing = Names(control, 2), Nothing()
    one = NodeProcess(
        params, its_name, names, nothing, nothing, control, reaper, lambda _: None, SystemClock()
    )
    running = asyncio.create_task(one.run())
    try:
        await eventually(lambda: bool(pids) and one._link is not None)
        running.cancel()
        await eventually(lambda: one._link is None)
        running.cancel()
        await asyncio.wait([running])
        await eventually(lambda: not is_running(pids[0]))
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        reaper.close()
