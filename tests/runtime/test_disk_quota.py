"""The limit on what a crawl may take on the disk."""

import asyncio

from farm.model.clock import SystemClock
from farm.model.event import Event, Notice
from farm.runtime import disk_quota
from farm.runtime.control import Control, ExitReason
from farm.runtime.disk_quota import DiskQuota


async def test_the_run_ends_at_the_limit_and_not_before() -> None:
    """It is looked at again and again, and told once."""
    control, said, readings = Control(), list[Event](), iter([10, 99, 100])
    quota = DiskQuota(100, lambda: next(readings), control, said.append, SystemClock())
    disk_quota.EVERY_S, before = 0.0, disk_quota.EVERY_S
    try:
        await asyncio.wait_for(quota.run(), 30)
    finally:
        disk_quota.EVERY_S = before
    assert control.reason is ExitReason.DISK_LIMIT
    assert next(readings, None) is None
    assert [event.text for event in said if isinstance(event, Notice)] == [
        "--max-disk: the output folder has 100 bytes, the limit is 100"
    ]


async def test_a_run_that_ends_is_not_looked_at_any_more() -> None:
    """The node waits for nobody."""
    control, said = Control(), list[Event]()
    quota = asyncio.create_task(DiskQuota(100, lambda: 0, control, said.append, SystemClock()).run())
    control.end(ExitReason.FINISHED)
    await asyncio.wait_for(quota, 30)
    assert (control.reason, said) == (ExitReason.FINISHED, [])
