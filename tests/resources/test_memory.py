"""The container's memory limit, in both versions of cgroups, and what one renderer may hold."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from farm.model.memory import MIB, RENDERER_MOST_BYTES, over_cap
from farm.policy.memory import MemoryParams
from farm.resources.memory import (
    RENDERER_LEAST_BYTES,
    CgroupMemory,
    heap_mib,
    read_cgroup,
    renderer_cap_bytes,
)

GIB = 1024 * MIB


def group(folder: Path, limit: str, used: int, cache: int, *, version: int) -> None:
    """Write a group's files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        ("memory.max", "memory.current")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"{'' if version == 2 else 'total_'}inactive_file {cache}\n")


def test_the_tightest_group_above_binds(tmp_path: Path) -> None:
    """Version 2: a parent's limit holds for its children; what the kernel can drop does not count."""
    own = tmp_path / "self"
    own.write_text("0::/outer/inner\n")
    group(tmp_path / "cg" / "outer", str(2 * GIB), 5 * GIB // 4, GIB // 4, version=2)
    group(tmp_path / "cg" / "outer" / "inner", "max", GIB // 2, 0, version=2)
    assert read_cgroup(8 * GIB, tmp_path / "cg", own) == CgroupMemory(2 * GIB, GIB)


def test_version_1_and_a_path_that_is_not_visible_inside(tmp_path: Path) -> None:
    """A container sees its own group as the root of the mount."""
    own = tmp_path / "self"
    own.write_text("4:memory:/docker/abc\n0::/\n")
    group(tmp_path / "cg" / "memory", str(GIB), GIB // 2, 0, version=1)
    assert read_cgroup(8 * GIB, tmp_path / "cg", own) == CgroupMemory(GIB, GIB // 2)


def test_no_limit_below_the_machine_is_none(tmp_path: Path) -> None:
    """Version 1 says so with a number that no machine has."""
    own = tmp_path / "self"
    own.write_text("4:memory:/\n")
    group(tmp_path / "cg" / "memory", str(2**63 - 4096), GIB, 0, version=1)
    assert read_cgroup(8 * GIB, tmp_path / "cg", own) is None


def test_the_cap_grows_with_the_budget() -> None:
    """A share of it, between two bounds: a large document passes where there is much."""
    caps = [renderer_cap_bytes(gib * GIB) // MIB for gib in (1, 6, 18, 24, 64)]
    assert caps == [256, 737, 2211, 2949, 4096]
    assert heap_mib(4 * GIB) == 3072


@given(st.integers(384 * MIB, 1024 * GIB))
def test_a_renderer_that_grows_to_its_cap_stays_within_the_budget(budget_bytes: int) -> None:
    """It begins at the latest where contexts are recycled; only the floor may break this, on a small machine."""
    cap = renderer_cap_bytes(budget_bytes)
    assert RENDERER_LEAST_BYTES <= cap <= RENDERER_MOST_BYTES
    assert cap == RENDERER_LEAST_BYTES or cap <= (1 - MemoryParams().recycle) * budget_bytes


def test_the_remedy_is_told_where_there_is_one() -> None:
    """No budget gives a renderer more than the most."""
    assert over_cap(1024 * MIB) == "more than the renderer's 1024 MiB; give more by --memory"
    assert over_cap(RENDERER_MOST_BYTES) == "more than the renderer's 4096 MiB, the most that there is"
