"""What the workers of a node share, and the lock on an output folder."""

import asyncio
import os
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable, UsageError
from farm.runtime.control import Control, ExitReason
from farm.runtime.lock import FolderLock


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


def test_those_who_rest_are_counted() -> None:
    """So that many idle slots do not ask as often together as one would for each of them."""
    control = Control()
    with control.resting() as first, control.resting() as second:
        assert (first, second) == (1, 2)
    with control.resting() as again:
        assert again == 1
