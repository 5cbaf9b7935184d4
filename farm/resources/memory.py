"""The farm's memory: the use of each process in its tree, the machine's memory, and the cap of one renderer.

PSS (proportional set size) divides a shared page among its users; RSS would count it for each of forty renderers.
Reading the PSS of a process walks its page tables, 2 to 4 ms of CPU; reading its private resident memory takes 15
us. So the PSS of a process is read when the process is new, when its private memory has changed, and at intervals;
in between it is assumed to change as the private memory does. A CPU budget limits the PSS readings.

A page can allocate half a gigabyte a second, faster than any sampling. RLIMIT_DATA bounds the private memory of a
process: an allocation beyond it fails, the renderer exits, and the visit ends as a crash. It covers script heaps,
typed arrays, DOM and decoded pictures; it does not cover memory shared between processes (canvases on their way to
the screen), which the governor's readings do. V8's own heap limit is lower, so that a page with much garbage is
collected and not killed.
"""

import asyncio
import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from farm.model.memory import MIB, RENDERER_MOST_BYTES, MemoryReading, RendererUse
from farm.resources import processes
from farm.resources.cgroups import CGROUP_ROOT, OWN_CGROUP, group_folders

RENDERER_LEAST_BYTES = 256 * MIB
RENDERER_SHARE = 0.12
"""The share of the budget, smaller than the gap between the budget and the band in which contexts are recycled.

So one renderer that grows to its cap, at any speed, does not exceed the farm's budget. It is a share of the whole
budget, not of an engine's part: an engine's other renderers are as many as its contexts, and are small.
"""
_HEAP_SHARE = 0.75
TREE_EVERY_S = 1.0
CGROUP_EVERY_S = 1.0
PSS_AGED_S = 30.0
MOVED_BYTES = 8 * MIB
MOVED_SHARE = 0.1
PSS_CPU_SHARE = 0.005
PSS_CPU_SAVED_S = 0.1


@dataclass(frozen=True, slots=True)
class CgroupMemory:
    """The limit of the tightest group, and its use without the file cache that it can drop."""

    limit_bytes: int
    used_bytes: int


def read_cgroup(machine_bytes: int, root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> CgroupMemory | None:
    """Return the smallest limit below the machine's memory, of this group or an ancestor; None if there is none.

    Read from cgroup v2 or v1.
    """
    found = [one for folder in group_folders("memory", root, own) if (one := _read_group(folder)) is not None]
    binding = [one for one in found if one.limit_bytes < machine_bytes]
    return min(binding, key=lambda one: one.limit_bytes, default=None)


def machine_bytes() -> int:
    """Return the memory of the machine, or the limit of its cgroup if that is less, in bytes."""
    total = int(psutil.virtual_memory().total)
    group = read_cgroup(total)
    return group.limit_bytes if group else total


def renderer_cap_bytes(budget_bytes: int) -> int:
    """Return the memory cap of one renderer under a budget, in bytes."""
    return int(min(RENDERER_MOST_BYTES, max(RENDERER_LEAST_BYTES, RENDERER_SHARE * budget_bytes)))


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


@dataclass(frozen=True, slots=True)
class ProcessInventory:
    """The known processes: driver and browser of each engine, the slot of each renderer, and `others`.

    `light` are the light engines, each one process below this one.
    """

    engines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tabs: Mapping[int, str] = field(default_factory=dict)
    others: tuple[int, ...] = ()
    light: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Process:
    engine: str
    private_bytes: int = 0
    pss_bytes: int = 0
    private_then: int = 0
    read_at: float = float("-inf")
    is_renderer: bool = False
    is_limited: bool = False
    scans: int = 0

    @property
    def used_bytes(self) -> int:
        if self.read_at < 0:
            return self.private_bytes
        return max(0, self.pss_bytes + self.private_bytes - self.private_then)

    @property
    def moved_bytes(self) -> int:
        return abs(self.private_bytes - self.private_then)


class MemoryMeter:
    """Measures the process tree, and the free disk space of the `folders`. Not thread-safe.

    It runs in a thread, gets an inventory of the pool's processes, and does not touch the pool itself. A renderer
    belongs to the context whose page was opened with it (see `Tab`). `cap_bytes` is the memory cap for renderers
    that no slot opened.
    """

    def __init__(self, cap_bytes: int, folders: tuple[Path, ...] = ()) -> None:
        self._cap_bytes = cap_bytes
        self._folders = folders
        self._free_bytes: dict[str, int] = {}
        self._machine_bytes = int(psutil.virtual_memory().total)
        self._known: dict[int, _Process] = {}
        self._tree_at = self._cgroup_at = self._budgeted_at = float("-inf")
        self._limit_share = 0.0
        self._pss_budget_s = 10 * PSS_CPU_SAVED_S
        self._cpu_s = 0.0

    def sample(self, inventory: ProcessInventory) -> MemoryReading:
        """Return a reading; takes about a millisecond, and more if PSS readings are due."""
        began, now = time.thread_time(), time.monotonic()
        if now - self._tree_at >= TREE_EVERY_S:
            self._tree_at = now
            self._scan(inventory)
        for pid in inventory.tabs:
            self._known.setdefault(pid, _Process("", is_renderer=True, is_limited=True))
        for pid in list(self._known):
            try:
                self._known[pid].private_bytes = processes.private_bytes(pid)
            except OSError:
                del self._known[pid]
        self._read_pss(now)
        if now - self._cgroup_at >= CGROUP_EVERY_S:
            self._cgroup_at = now
            group = read_cgroup(self._machine_bytes)
            self._limit_share = group.used_bytes / group.limit_bytes if group else 0.0
            self._free_bytes = {
                str(folder): _free_bytes(folder) for folder in self._folders if folder.is_dir()
            }
        self._cpu_s += time.thread_time() - began
        return self._reading(inventory)

    def _scan(self, inventory: ProcessInventory) -> None:
        """Update the known processes from the process tree."""
        leaves = {pid for pid, one in self._known.items() if one.is_renderer}
        drivers = {pids[0]: name for name, pids in inventory.engines.items() if pids}
        found: dict[int, str] = {os.getpid(): ""}
        for root in (os.getpid(), *inventory.others):
            found |= dict.fromkeys((root, *processes.descendants(root, {*leaves, *drivers})), "")
        for name, pids in inventory.engines.items():
            for pid in pids:
                found |= dict.fromkeys((pid, *processes.descendants(pid, leaves)), name)
        for pid, engine in found.items():
            one = self._known.setdefault(pid, _Process(engine))
            one.engine = engine
            one.scans += 1
            if engine and not one.is_renderer:
                one.is_renderer = processes.is_renderer(pid)
            elif one.is_renderer and not one.is_limited:
                # Not in the first scan: it must have mapped its initial memory before growth is limited.
                one.is_limited = limit_growth(pid, self._cap_bytes) or one.scans > 1
        for pid in set(self._known) - set(found):
            del self._known[pid]

    def _read_pss(self, now: float) -> None:
        """Read the PSS of the processes that changed most or were not read for long, within the CPU budget."""
        self._pss_budget_s = min(
            PSS_CPU_SAVED_S, self._pss_budget_s + PSS_CPU_SHARE * min(10.0, now - self._budgeted_at)
        )
        self._budgeted_at = now
        due = [
            (pid, one)
            for pid, one in self._known.items()
            if now - one.read_at >= PSS_AGED_S
            or one.moved_bytes >= max(MOVED_BYTES, MOVED_SHARE * one.private_then)
        ]
        due.sort(key=lambda item: (item[1].read_at >= 0, -item[1].moved_bytes, item[1].read_at))
        for pid, one in due:
            if self._pss_budget_s <= 0:
                return
            began = time.thread_time()
            try:
                one.pss_bytes = processes.pss_bytes(pid)
            except OSError:
                # The process has ended, or is sandboxed and hides its maps: use the private memory instead.
                one.pss_bytes = one.private_bytes
            one.private_then, one.read_at = one.private_bytes, now
            self._pss_budget_s -= time.thread_time() - began

    def _reading(self, inventory: ProcessInventory) -> MemoryReading:
        engines = dict.fromkeys(inventory.engines, 0)
        renderers = []
        for pid, one in self._known.items():
            if one.is_renderer:
                renderers.append(RendererUse(pid, one.used_bytes, one.engine, inventory.tabs.get(pid, "")))
            elif one.engine in engines:
                engines[one.engine] += one.used_bytes
        light = {
            name: self._known[pid].used_bytes for name, pid in inventory.light.items() if pid in self._known
        }
        return MemoryReading(
            used_bytes=sum(one.used_bytes for one in self._known.values()),
            processes=len(self._known),
            renderers=tuple(renderers),
            engines=engines,
            limit_share=self._limit_share,
            fds=processes.open_files(),
            cpu_s=self._cpu_s,
            free_bytes=self._free_bytes,
            light=light,
        )


class MemorySampler:
    """Takes readings in a thread of its own: the event loop's shared threads may be waiting for a disk.

    `others` returns processes that belong to the farm besides those of the inventory.
    """

    def __init__(
        self,
        meter: MemoryMeter,
        inventory: Callable[[], ProcessInventory],
        others: Callable[[], tuple[int, ...]] = tuple,
    ) -> None:
        self._meter = meter
        self._inventory = inventory
        self._others = others
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="memory")

    async def sample(self) -> MemoryReading:
        """Return a reading of the current processes."""
        running = asyncio.get_running_loop()
        inventory = replace(self._inventory(), others=self._others())
        return await running.run_in_executor(self._thread, self._meter.sample, inventory)

    def close(self) -> None:
        """End the thread after the current reading."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _read_group(folder: Path) -> CgroupMemory | None:
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


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
