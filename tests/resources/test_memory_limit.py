"""The container's memory limit, in both versions of cgroups."""

from pathlib import Path

from farm.resources.memory_limit import CgroupMemory, read_cgroup

GIB = 2**30


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
