"""Measures the memory of the farm's process tree: Python, drivers, every Chromium process, embedded Redis.

PSS (proportional set size) divides a shared page among its users; RSS would count it for each of forty renderers.
Reading the PSS of a process walks its page tables, 2 to 4 ms of CPU; reading its private resident memory takes 15
us. So the PSS of a process is read when the process is new, when its private memory has changed, and at intervals;
in between it is assumed to change as the private memory does. A CPU budget limits the PSS readings.

A renderer belongs to the context whose page was opened with it (see `Tab`). The meter runs in a thread; it gets an
inventory of the pool's processes, and does not touch the pool itself.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from farm.model.memory import MemoryReading, RendererUse
from farm.resources import processes
from farm.resources.memory_limit import limit_growth, read_cgroup

MIB = 2**20
TREE_EVERY_S = 1.0
CGROUP_EVERY_S = 1.0
AGED_S = 30.0
MOVED_BYTES = 8 * MIB
MOVED_SHARE = 0.1
PSS_CPU_SHARE = 0.005
PSS_CPU_SAVED_S = 0.1


@dataclass(frozen=True, slots=True)
class ProcessInventory:
    """The known processes: driver and browser of each engine, the slot of each renderer, and `others`."""

    engines: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tabs: Mapping[int, str] = field(default_factory=dict)
    others: tuple[int, ...] = ()


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

    `cap_bytes` is the memory cap for renderers that no slot opened.
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
            if now - one.read_at >= AGED_S
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
        return MemoryReading(
            used_bytes=sum(one.used_bytes for one in self._known.values()),
            processes=len(self._known),
            renderers=tuple(renderers),
            engines=engines,
            limit_share=self._limit_share,
            fds=processes.open_files(),
            cpu_s=self._cpu_s,
            free_bytes=self._free_bytes,
        )


class MemorySampler:
    """Takes readings in a thread of its own: the event loop's shared threads may be waiting for a disk."""

    def __init__(self, meter: MemoryMeter, inventory: Callable[[], ProcessInventory]) -> None:
        self._meter = meter
        self._inventory = inventory
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="memory")

    async def sample(self) -> MemoryReading:
        """Return a reading of the current processes."""
        running = asyncio.get_running_loop()
        return await running.run_in_executor(self._thread, self._meter.sample, self._inventory())

    def close(self) -> None:
        """End the thread after the current reading."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
