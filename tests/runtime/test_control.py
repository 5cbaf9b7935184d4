"""What the workers of a node share, and the lock on an output folder."""

import asyncio

from farm.runtime.control import Control, ExitReason
from tests.turns import turns


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
    waiting = [asyncio.create_task(control.wait_for_change(control.changes, 60)) for _ in range(3)]
    await turns()
    control.admit(2)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert control.limit == 2


async def test_a_change_while_somebody_looks_is_not_missed() -> None:
    """New work that came between the look and the wait."""
    control = Control()
    since = control.changes
    control.notify_all()
    async with asyncio.timeout(5):
        await control.wait_for_change(since, 60)


async def test_a_pause_has_an_end() -> None:
    """Without any change."""
    control = Control()
    await control.wait_for_change(control.changes, 0.01)


async def test_one_of_those_who_rest_can_be_called() -> None:
    """A slot that finds work calls the next, not all at once: each call goes to another."""
    control = Control()
    idle = [asyncio.create_task(control.wait_for_work(control.changes, 60)) for _ in range(3)]
    await turns()
    assert control.idle_slots == 3
    control.notify_one()
    control.notify_one()
    async with asyncio.timeout(5):
        await asyncio.gather(*idle[:2])
    assert control.idle_slots == 1
    assert not idle[2].done()
    control.notify_all()
    async with asyncio.timeout(5):
        await idle[2]
    control.notify_one()


async def test_a_rest_has_an_end_and_misses_nothing() -> None:
    """It ends by itself, and does not begin where there was a change since."""
    control = Control()
    await control.wait_for_work(control.changes, 0.01)
    since = control.changes
    control.notify_all()
    async with asyncio.timeout(5):
        await control.wait_for_work(since, 60)
    assert control.idle_slots == 0


async def test_who_waits_for_a_moment_hears_of_the_end() -> None:
    """A slot that waits for its turn after an outage must not hold up a drain."""
    control = Control()
    assert not await control.ended(0.01)
    waiting = asyncio.create_task(control.ended(60))
    await turns()
    control.end(ExitReason.SIGTERM)
    async with asyncio.timeout(5):
        assert await waiting
