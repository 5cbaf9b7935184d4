"""The cgroups of this process: the folders of their settings, and how many cores their CPU quota allows.

Versions 1 and 2 are read. In a container the root is often the process's own group.
"""

import math
from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def group_folders(controller: str, root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> list[Path]:
    """Return the folders of this process's group and its ancestors, for a controller such as `memory`."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        lines = []
    folders = [root, root / controller]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / controller
        if not controllers or controller in controllers.split(","):
            parts = [part for part in path.split("/") if part and part != ".."]
            folders += [base.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
    return folders


def cpu_quota(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> float:
    """Return how many cores this group and its ancestors may use; infinity if nothing limits them."""
    return min(_quotas(root, own), default=math.inf)


def _quotas(root: Path, own: Path) -> Iterator[float]:
    for folder in group_folders("cpu", root, own):
        for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            try:
                quota, period = " ".join(
                    (folder / name).read_text(encoding="ascii") for name in files
                ).split()
                # `max`, or -1, is none.
                if quota.isdigit() and int(period) > 0:
                    yield int(quota) / int(period)
            except (OSError, ValueError):
                continue
