"""The limits of memory: what the machine or its container has, and what one renderer may take of it.

The container's limit is read from cgroup v2 or v1, of this group or an ancestor.

A page can allocate half a gigabyte a second, faster than any sampling. RLIMIT_DATA bounds the private memory of a
process: an allocation beyond it fails, the renderer exits, and the visit ends as a crash. It covers script heaps,
typed arrays, DOM and decoded pictures; it does not cover memory shared between processes (canvases on their way to
the screen), which the governor's readings do. V8's own heap limit is lower, so that a page with much garbage is
collected and not killed.
"""

import contextlib
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from farm.model.memory import MIB, RENDERER_MOST_BYTES
from farm.resources import processes

ROOT = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")
FLOOR_BYTES = 256 * MIB
SHARE = 0.12
"""The share of the budget: less than lies between the band in which contexts are recycled and the budget.

So one renderer that grows to its cap, at whatever speed, does not bring the farm over its budget. It is a share of
the whole and not of an engine's part: an engine's other renderers are as many as its contexts, and are small.
"""
_HEAP_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class CgroupMemory:
    """The limit of the tightest group, and its use without the file cache that it can drop."""

    limit_bytes: int
    used_bytes: int


def read_cgroup(machine_bytes: int, root: Path = ROOT, own: Path = SELF) -> CgroupMemory | None:
    """Return the smallest limit below the machine's memory; None if there is none."""
    found = [one for folder in _folders(root, own) if (one := _read(folder)) is not None]
    binding = [one for one in found if one.limit_bytes < machine_bytes]
    return min(binding, key=lambda one: one.limit_bytes, default=None)


def machine_bytes() -> int:
    """Return the memory of the machine, or the limit of its cgroup if that is less, in bytes."""
    total = int(psutil.virtual_memory().total)
    group = read_cgroup(total)
    return group.limit_bytes if group else total


def renderer_cap_bytes(budget_bytes: int) -> int:
    """Return the memory cap of one renderer under a budget, in bytes."""
    return int(min(RENDERER_MOST_BYTES, max(FLOOR_BYTES, SHARE * budget_bytes)))


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


def _folders(root: Path, own: Path) -> list[Path]:
    """Return the folders of the group and its ancestors; in a container often just the root."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        lines = []
    folders = [root, root / "memory"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / "memory"
        if not controllers or "memory" in controllers.split(","):
            parts = [part for part in path.split("/") if part and part != ".."]
            folders += [base.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
    return folders


def _read(folder: Path) -> CgroupMemory | None:
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            text = (folder / limit).read_text(encoding="ascii").strip()
            if not text.isdigit():
                continue
            used = int((folder / usage).read_text(encoding="ascii"))
            stat = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):
            continue
        droppable = next((int(line.split()[1]) for line in stat if line.startswith(f"{cache} ")), 0)
        return CgroupMemory(int(text), max(0, used - droppable))
    return None
