"""What the kernel says of a process, read as cheaply as it gives it: 8 us for RSS, 2 to 4 ms for PSS.

On systems without /proc psutil answers the same questions, RSS standing in for PSS.
"""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import psutil

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "statm").exists()
HAS_CHILDREN = (PROC / "self" / "task" / str(os.getpid()) / "children").exists()
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KIB = 1024


def private_bytes(pid: int) -> int:
    """Return the resident memory that no file and no other process backs, nearly all of a renderer's own use.

    Raises OSError when the process is gone.
    """
    if not HAS_PROC:
        return _psutil_rss(pid)
    fields = _line(f"/proc/{pid}/statm").split()
    resident = int(fields[1])
    if resident == 0:
        # A zombie: it is there, and holds nothing.
        raise ProcessLookupError(pid)
    return (resident - int(fields[2])) * _PAGE


def pss_bytes(pid: int) -> int:
    """Return the proportional set size; raises OSError when the process is gone or hides it."""
    if not HAS_PROC:
        return _psutil_rss(pid)
    with (PROC / str(pid) / "smaps_rollup").open("rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * _KIB
    raise ProcessLookupError(pid)


def data_bytes(pid: int) -> int:
    """Return the private writable memory that is mapped, which RLIMIT_DATA bounds; raises OSError."""
    with (PROC / str(pid) / "status").open("rb") as file:
        for line in file:
            if line.startswith(b"VmData:"):
                return int(line.split()[1]) * _KIB
    raise ProcessLookupError(pid)


def descendants(pid: int, leaves: Collection[int] = ()) -> list[int]:
    """Return every living process below this one; below the `leaves`, which are returned, is not looked."""
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
        # A child hangs on the thread that started it, and threads of the browser start processes too.
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - an object per thread costs more
            found += [int(part) for part in _line(f"/proc/{pid}/task/{thread}/children").split()]
    except OSError:
        return found
    return found


def _line(path: str) -> bytes:
    """Return what the kernel says in one go: paths and buffers of Python would double the cost."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 65536)
    finally:
        os.close(file)


def is_renderer(pid: int) -> bool:
    """Whether the process is one of Chromium's renderers; a fork that has not yet said what it is is none."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes() if HAS_PROC else _psutil_line(pid)
    except OSError:
        return False
    return b"--type=renderer" in line


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    try:
        return len(os.listdir(PROC / "self" / "fd")) if HAS_PROC else psutil.Process().num_fds()  # noqa: PTH208
    except OSError:
        return 0


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
