"""What the workers of a node share, and the lock on an output folder."""

import asyncio
import os
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.event import AdmissionSet, Event, MemoryRead
from farm.policy.memory import MemoryParams
from farm.runtime.control import Control, ExitReason
from farm.runtime.governor import Governor, GovernorParams
from farm.runtime.lock import FolderLock
from tests.runtime.test_heartbeat import ManualClock


async def test_the_first_reason_to_end_counts() -> None:
    """A signal during a drain for the limit is still the limit."""
    control = Control()
    control.end(ExitReason.LIMIT)
    control.end(ExitReason.SIGTERM)
    assert control.reason is ExitReason.LIMIT
    assert control.ending
    await control.ended()


async def test_a_change_wakes_those_who_wait() -> None:
    """All of them, at once."""
    control = Control()
    waiting = [asyncio.create_task(control.pause(control.changes, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    control.admit(2)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert control.limit == 2


async def test_a_change_while_somebody_looks_is_not_missed() -> None:
    """New work that came between the look and the wait."""
    control = Control()
    since = control.changes
    control.wake()
    async with asyncio.timeout(5):
        await control.pause(since, 60)


async def test_a_pause_has_an_end() -> None:
    """Without any change."""
    control = Control()
    await control.pause(control.changes, 0.01)


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    """The second is told who the first is; after the release it may have it."""
    first, second = (
        FolderLock(tmp_path / "out" / ".farm" / "lock"),
        FolderLock(tmp_path / "out" / ".farm" / "lock"),
    )
    first.take()
    with pytest.raises(UsageError, match=f"process id {os.getpid()}"):
        second.take()
    first.release()
    second.take()
    second.release()


def test_a_folder_that_cannot_be_made_is_the_outputs_fault(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputUnwritable, match="choose another --output"):
        FolderLock(tmp_path / "out" / ".farm" / "lock").take()


async def test_the_governor_admits_along_the_ramp_and_by_memory() -> None:
    """No ramp: all at once; a reading over the budget takes one away."""
    control, events, read = Control(), list[Event](), asyncio.Event()
    loop = asyncio.get_running_loop()

    def sample() -> tuple[int, int]:
        loop.call_soon_threadsafe(read.set)
        return 950, 7

    governor = Governor(
        GovernorParams(4, 0.0, 1000, MemoryParams()), sample, control, events.append, ManualClock()
    )
    running = asyncio.create_task(governor.run())
    async with asyncio.timeout(10):
        await read.wait()
        while control.limit != 3:
            await control.pause(control.changes, 1.0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert governor.peak_bytes == 950
    assert MemoryRead(0.0, 950, 1000, 7) in events
    assert [e.binding for e in events if isinstance(e, AdmissionSet)] == ["contexts", "memory"]
