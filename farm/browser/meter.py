"""What the farm's whole process tree uses: Python, drivers and every Chromium process, embedded Redis included.

PSS (proportional set size) counts a shared page once, divided among its users; RSS would count it for each of
forty renderers. Reading PSS walks the page tables, about 2 ms a process, so the meter runs in a thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class Reading:
    """`used_bytes` over `processes` processes."""

    used_bytes: int
    processes: int


def read_tree(extra: Callable[[], list[int]] = list) -> Reading:
    """Sum the PSS of this process, its descendants, and those of the `extra` process ids."""
    me = psutil.Process()
    tree: set[psutil.Process] = {me, *me.children(recursive=True)}
    for pid in extra():
        try:
            tree.add(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    used = processes = 0
    for process in tree:
        try:
            used += _pss(process)
            processes += 1
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        except psutil.AccessDenied:
            # A sandboxed renderer may hide its maps from an ordinary user; its RSS errs on the safe side.
            used += process.memory_info().rss
            processes += 1
    return Reading(used, processes)


def _pss(process: psutil.Process) -> int:
    full = process.memory_full_info()
    return int(getattr(full, "pss", 0) or full.rss)


def machine_bytes() -> int:
    """Return the memory that the farm may see: the machine's, or its cgroup's where that is less."""
    total = int(psutil.virtual_memory().total)
    for path in CGROUP_LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total
