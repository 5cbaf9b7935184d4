"""The hard memory limit of one renderer, which the kernel enforces however fast a page allocates.

A page can allocate half a gigabyte a second, faster than any sampling. RLIMIT_DATA bounds the private memory of a
process: an allocation beyond it fails, the renderer exits, and the visit ends as a crash. It covers script heaps,
typed arrays, DOM and decoded pictures; it does not cover memory shared between processes (canvases on their way to
the screen), which the governor's readings do. V8's own heap limit is lower, so that a page with much garbage is
collected and not killed.
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
"""The share of the budget: as much as lies between the band in which contexts are shed and the budget."""
_HEAP_SHARE = 0.75


def renderer_cap_bytes(budget_bytes: int) -> int:
    """Return the memory cap of one renderer under a budget, in bytes."""
    return int(min(CEILING_BYTES, max(FLOOR_BYTES, SHARE * budget_bytes)))


def heap_mib(cap_bytes: int) -> int:
    """Return V8's heap limit for a renderer with this cap, in MiB."""
    return int(cap_bytes * _HEAP_SHARE) // MIB


def limit_growth(pid: int, cap_bytes: int) -> bool:
    """Limit the renderer to `cap_bytes` more than it has mapped now; return whether the limit is set.

    A new renderer has mapped 0.6 GB of stacks and reservations that it never touches.
    """
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError, psutil.Error, ValueError):
        most = processes.data_bytes(pid) + cap_bytes
        psutil.Process(pid).rlimit(resource.RLIMIT_DATA, (most, most))
        return True
    return False
