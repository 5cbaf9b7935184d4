"""Processes by id: their memory and CPU time, whether they run, and how to kill them.

Memory is read from /proc directly: 8 us for RSS, 2 to 4 ms for PSS. On systems without /proc psutil is used, with
RSS in place of PSS.
"""

import contextlib
import os
import resource
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "statm").exists()
HAS_CHILDREN = (PROC / "self" / "task" / str(os.getpid()) / "children").exists()
POLL_S = 0.01
LOWEST_PRIORITY = 19
MOST_FILES = 2**16
"""More than any run opens."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KIB = 1024


def private_bytes(pid: int) -> int:
    """Return the private resident memory in bytes, nearly all of a renderer's own use.

    Raises OSError if the process has ended.
    """
    if not HAS_PROC:
        return _psutil_rss(pid)
    fields = _line(f"/proc/{pid}/statm").split()
    resident = int(fields[1])
    if resident == 0:
        # A zombie, which holds no memory.
        raise ProcessLookupError(pid)
    return (resident - int(fields[2])) * _PAGE


def pss_bytes(pid: int) -> int:
    """Return the proportional set size in bytes; raises OSError if the process has ended or hides it."""
    if not HAS_PROC:
        return _psutil_rss(pid)
    with (PROC / str(pid) / "smaps_rollup").open("rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * _KIB
    raise ProcessLookupError(pid)


def data_bytes(pid: int) -> int:
    """Return the mapped private writable memory in bytes, which RLIMIT_DATA bounds; raises OSError."""
    with (PROC / str(pid) / "status").open("rb") as file:
        for line in file:
            if line.startswith(b"VmData:"):
                return int(line.split()[1]) * _KIB
    raise ProcessLookupError(pid)


def descendants(pid: int, leaves: Collection[int] = ()) -> list[int]:
    """Return the descendants of a process. `leaves` are included, but not their descendants."""
    if not HAS_CHILDREN:
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += [child for child in children if child not in leaves]
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        # A child belongs to the thread that started it, and several of the browser's threads start processes.
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - an object per thread costs more
            found += [int(part) for part in _line(f"/proc/{pid}/task/{thread}/children").split()]
    except OSError:
        return found
    return found


def _line(path: str) -> bytes:
    """Read a file of /proc in one call: Python's paths and buffers would double the cost."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 65536)
    finally:
        os.close(file)


def tree_cpu_s() -> float:
    """Return the CPU time in seconds of this process and all below it, those that have ended included.

    The time of a process that another one waited for is lost.
    """
    if not HAS_PROC:
        return _psutil_tree_cpu_s()
    ticks = 0
    for pid in (os.getpid(), *descendants(os.getpid())):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # Behind the name, which may hold anything: utime, stime, and both of children that were waited for.
            fields = _line(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def is_renderer(pid: int) -> bool:
    """Return whether the process is a Chromium renderer; a fork that has no command line yet is not."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes() if HAS_PROC else _psutil_line(pid)
    except OSError:
        return False
    return b"--type=renderer" in line


def open_files() -> int:
    """Return the number of open file descriptors of this process."""
    try:
        return len(os.listdir(PROC / "self" / "fd")) if HAS_PROC else psutil.Process().num_fds()  # noqa: PTH208
    except OSError:
        return 0


def fd_limit() -> int:
    """Return how many files this process may have open, at most `MOST_FILES`."""
    return _within_most(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def allow_most_files() -> int:
    """Raise the soft limit of open files to the hard one, up to `MOST_FILES`; return what is allowed now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _within_most(hard)
    if _within_most(soft) < most:
        # A system may have a lower limit of its own than the hard one.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return fd_limit()


def _within_most(files: int) -> int:
    # RLIM_INFINITY is less than any number.
    return MOST_FILES if files == resource.RLIM_INFINITY else min(files, MOST_FILES)


def works_elsewhere(pid: int, folder: Path) -> bool:
    """Return whether a process is another user's or has another working directory; one that is ending has none."""
    try:
        process = psutil.Process(pid)
        if process.uids().real != os.getuid():
            return True
        place = process.cwd()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    try:
        return place != "" and not os.path.samefile(place, folder)  # noqa: PTH121 - it may have been removed
    except OSError:
        return True


def is_running(pid: int) -> bool:
    """Return whether the process still runs: a zombie's other threads may, for a moment."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def started_at(pid: int) -> float:
    """Return the start of the process in seconds since the epoch; raises ProcessLookupError if it has ended."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(pid) from error


def children(pid: int) -> list[int]:
    """Return the live children of the process; raises ProcessLookupError if it has ended."""
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(pid) from error


def cpu_s(pid: int) -> float:
    """Return the CPU time of the process in seconds; raises ProcessLookupError if it has ended."""
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error
    return float(used.user + used.system)


def lower_priority(pid: int, by: int) -> None:
    """Lower the process's priority; raises ProcessLookupError if it has ended or belongs to another user."""
    try:
        process = psutil.Process(pid)
        process.nice(min(LOWEST_PRIORITY, process.nice() + by))
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error


def kill_groups(leaders: Sequence[int], within_s: float) -> None:
    """Kill the process groups of these leaders, and wait until none of their processes runs, at most `within_s`.

    A group is found by its id even if its leader is dead, and with it the orphans. Killed orphans become zombies
    of PID 1, which in many containers never collects them, so zombies are not waited for.
    """
    doomed = [process for process in psutil.process_iter() if _group(process.pid) in leaders]
    for process in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + within_s
    while any(is_running(process.pid) for process in doomed) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _psutil_rss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error


def _psutil_line(pid: int) -> bytes:
    try:
        return " ".join(psutil.Process(pid).cmdline()).encode()
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error


def _psutil_tree_cpu_s() -> float:
    own = psutil.Process()
    total_s = 0.0
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total_s += times.user + times.system + times.children_user + times.children_system
    return total_s
