"""What cgroups allow, in folders laid out as the kernel has them."""

import math
from pathlib import Path

import pytest

from farm.resources import host_load
from farm.resources.cgroups import cpu_quota


def laid_out(folder: Path, own: str, **files: str) -> tuple[Path, Path]:
    """Write files below a root, and what says which groups are our own; return where these are."""
    for name, text in files.items():
        path = folder / "cg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    return folder / "cg", folder / "own"


def test_the_tightest_quota_of_version_2_counts(tmp_path: Path) -> None:
    """An ancestor may allow less than the group itself."""
    places = {"kube/cpu.max": "150000 100000\n", "kube/pod/cpu.max": "max 100000\n"}
    assert cpu_quota(*laid_out(tmp_path, "0::/kube/pod\n", **places)) == 1.5


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    """Its path is that of the machine, and leads nowhere."""
    assert cpu_quota(*laid_out(tmp_path, "0::/../elsewhere\n", **{"cpu.max": "50000 100000\n"})) == 0.5


def test_version_1_has_two_files(tmp_path: Path) -> None:
    """And -1 for none."""
    files = {"cpu/pod/cpu.cfs_quota_us": "400000\n", "cpu/pod/cpu.cfs_period_us": "100000\n"}
    none = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert cpu_quota(*laid_out(tmp_path, "4:cpu,cpuacct:/pod\n0::/\n", **files, **none)) == 4


@pytest.mark.parametrize("text", ["max 100000\n", "", "x y\n", "1 0\n", "1\n", "\xff 1"])
def test_what_is_no_quota_limits_nothing(tmp_path: Path, text: str) -> None:
    """Nor does a file that is garbled."""
    assert cpu_quota(*laid_out(tmp_path, "0::/\n", **{"cpu.max": text})) == math.inf


def test_a_part_of_a_core_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more cores are used than the machine has, nor than the quota allows; at least one."""
    cores = host_load.core_count()
    for quota, usable in ((0.5, 1), (1.0, 1), (math.inf, cores), (cores + 0.5, cores), (cores - 0.5, cores)):
        monkeypatch.setattr(host_load, "cpu_quota", lambda quota=quota: quota)
        assert host_load.usable_cores() == usable
