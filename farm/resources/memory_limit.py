"""The hard memory limit of one renderer, which the kernel enforces however fast a page allocates.

A page allocates half a gigabyte a second, so no sampling outruns it. RLIMIT_DATA bounds the private memory of a
process where it is asked for: the allocation fails, the renderer ends itself, and the visit ends as a crash. It
covers script heaps, typed arrays, DOM and decoded pictures alike; not memory shared between processes (canvases
on their way to the screen), which the governor's readings cover. V8's own limit lies below it, so that a page
with much garbage is collected and not killed.
"""

import contextlib
import resource
import sys

import psutil

from farm.resources import processes

MIB = 2**20
FLOOR_BYTES = 256 * MIB
CEILING_BYTES = 1024 * MIB
SHARE = 0.12
"""Of the budget: as much as lies between the shedding of contexts and the budget's end."""
_HEAP_SHARE = 0.75


def renderer_cap_bytes(budget_bytes: int) -> int:
    """Return how many bytes one renderer may hold under a budget."""
    return int(min(CEILING_BYTES, max(FLOOR_BYTES, SHARE * budget_bytes)))


def heap_mib(cap_bytes: int) -> int:
    """Return V8's heap limit in MiB for a renderer under this cap."""
    return int(cap_bytes * _HEAP_SHARE) // MIB


def limit_growth(pid: int, cap_bytes: int) -> bool:
    """Limit the renderer to `cap_bytes` more than it has mapped now; return whether the limit is in force.

    What a new renderer has mapped is stacks and reservations, 0.6 GB that are never touched.
    """
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError, psutil.Error, ValueError):
        most = processes.data_bytes(pid) + cap_bytes
        psutil.Process(pid).rlimit(resource.RLIMIT_DATA, (most, most))
        return True
    return False
