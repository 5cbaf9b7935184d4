"""How a node's memory is read: in a thread of its own, because the shared ones may be waiting for a disk."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from farm.browser.meter import Meter
from farm.browser.pool import Pool
from farm.model.memory import MemoryReading


def sampling(
    pool: Pool, redis_pid: int | None, meter: Meter, stack: AsyncExitStack
) -> Callable[[], Awaitable[MemoryReading]]:
    """Return what reads the memory of the farm with its embedded Redis; the stack ends the thread."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="meter")
    stack.callback(thread.shutdown, wait=False, cancel_futures=True)
    others = (redis_pid,) if redis_pid is not None else ()

    async def sample() -> MemoryReading:
        return await asyncio.get_running_loop().run_in_executor(thread, meter.sample, pool.herd(others))

    return sample
