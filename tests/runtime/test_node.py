"""The end of a node: what is told to end ends, or is named and left behind."""

import asyncio

import pytest

from farm.runtime import node


async def swallowing(times: int, begun: asyncio.Event) -> None:
    """Lose so many cancellations, as a library may that was just about to return."""
    while True:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "CANCEL_S", 0.05)


async def started(times: int) -> asyncio.Task[None]:
    """Return a task that is well under way."""
    begun = asyncio.Event()
    task = asyncio.create_task(swallowing(times, begun), name=f"swallows {times}")
    await begun.wait()
    return task


async def test_a_task_that_loses_its_cancellation_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """Once is no reason to give it up; those that ended are left in peace."""
    tasks = [await started(0), await started(node.CANCEL_TRIES - 1)]
    await node._cancel(tasks)
    assert [task.cancelled() for task in tasks] == [True, True]
    assert caplog.records == []


async def test_a_task_that_never_ends_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    """A drain must end: the process takes it with it."""
    stuck = await started(node.CANCEL_TRIES)
    await node._cancel([stuck])
    assert not stuck.done()
    assert [record.getMessage() for record in caplog.records] == [
        f"swallows {node.CANCEL_TRIES} did not end when told to"
    ]
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
