"""Several addresses of one host, tried in turn without waiting for the slow ones (happy eyeballs, simply).

What always holds: at most one connection comes out; every other attempt is over when it does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest

from farm.egress.guard import IPAddress
from farm.egress.wire import Wire

MAX_ADDRESSES = 8


async def first_of(
    addresses: Sequence[IPAddress], connect: Callable[[IPAddress], Awaitable[Wire]], stagger_s: float
) -> Wire:
    """Return the first connection that stands; raises the last `OSError` where none does.

    The next address is tried as soon as one fails, or has not answered for `stagger_s`.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])
    waiting = interleaved(addresses)[:MAX_ADDRESSES]
    running: set[asyncio.Future[Wire]] = set()
    failed: OSError | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(connect(waiting.pop(0))))
            done, _ = await asyncio.wait(
                running, timeout=stagger_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                running.discard(attempt)
                try:
                    return attempt.result()
                except OSError as error:
                    failed = error
    finally:
        await _give_up(running)
    raise failed or OSError("no address")


async def _give_up(attempts: set["asyncio.Future[Wire]"]) -> None:
    """Cancel the attempts that are no longer wanted; one that had just succeeded is closed again."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, Wire):
            outcome.abort()


def interleaved(addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """Let the families take turns, the resolver's first choice first."""
    first = [ip for ip in addresses if ip.version == addresses[0].version]
    second = [ip for ip in addresses if ip.version != addresses[0].version]
    return [ip for pair in zip_longest(first, second) for ip in pair if ip is not None]
