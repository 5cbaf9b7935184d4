"""Two wires joined into a tunnel: bytes go from one transport to the other without a coroutine between.

What always holds: a side that reads slowly slows the other one down (`Wire.join`); when one side is gone, the
other one gets what was still on its way; a tunnel in which nothing moves for `idle_s` is given up.
"""

import asyncio
from collections.abc import Callable

from farm.egress.errors import WireSilent
from farm.egress.wire import Wire


async def relay(near: Wire, far: Wire, idle_s: float, on_far_end: Callable[[], object]) -> None:
    """Carry bytes both ways until both connections are gone; raises `WireSilent`, and then closes neither.

    `on_far_end` is called before the browser can see that the other side ended, so that whoever asks the
    gate why a page failed finds the answer there.
    """
    near.join(far)
    far.join(near, on_far_end)
    moved = -1
    while not near.lost.done() and not far.lost.done():
        if near.moved + far.moved == moved:
            raise WireSilent(f"silent for {idle_s:g} s")
        moved = near.moved + far.moved
        await asyncio.wait({near.lost, far.lost}, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
    near.close()
    far.close()
    await asyncio.wait({near.lost, far.lost}, timeout=idle_s)
