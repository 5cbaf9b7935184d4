"""The cap behind the governor: what the kernel lets one renderer have, however fast it allocates.

A page allocates half a gigabyte a second, so no sampling outruns it. RLIMIT_DATA bounds the private memory of a
process where it is asked for: the allocation fails, the renderer ends itself, and the visit ends as a crash. It
catches script heaps, typed arrays, DOM and decoded pictures alike; not memory shared between processes (canvases
on their way to the screen), which the governor's reading catches. V8's own limit lies below it, so that a page
with much garbage is collected and not killed.
"""

import contextlib
import resource
import sys

import psutil

from farm.browser import proc

MIB = 2**20
FLOOR_BYTES = 256 * MIB
CEILING_BYTES = 1024 * MIB
SHARE = 0.12
"""Of the budget: as much as lies between the shedding of contexts and the budget's end."""
_HEAP_SHARE = 0.75


def renderer_cap_bytes(budget_bytes: int) -> int:
    """Return what one renderer may hold under a budget."""
    return int(min(CEILING_BYTES, max(FLOOR_BYTES, SHARE * budget_bytes)))


def heap_mib(cap_bytes: int) -> int:
    """Return V8's limit for a heap under a cap, in the unit of its flag."""
    return int(cap_bytes * _HEAP_SHARE) // MIB


def leash(pid: int, cap_bytes: int) -> bool:
    """Let the renderer have so much more than it has mapped now; say whether the system does that.

    What it has mapped when it is new is stacks and reservations, 0.6 GB that are never touched.
    """
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError, psutil.Error, ValueError):
        most = proc.data_bytes(pid) + cap_bytes
        psutil.Process(pid).rlimit(resource.RLIMIT_DATA, (most, most))
        return True
    return False
