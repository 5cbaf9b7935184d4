"""The memory limit of the container: cgroup v2 or v1, of this group or an ancestor."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")


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
