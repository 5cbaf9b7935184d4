"""Lines are sorted beyond the memory: by runs in files, which are merged level by level."""

import tempfile
from pathlib import Path
from random import Random

import pytest

from farm.frontier import external_sort
from farm.frontier.external_sort import ExternalSort
from farm.model.errors import OutputUnwritable


@pytest.mark.parametrize("count", [0, 9, 10, 11, 1_003])
def test_lines_are_given_in_order(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, repeated ones too, as often as they are asked for, and no more than a run of them is kept."""
    monkeypatch.setattr(external_sort, "RUN_LINES", 10)
    monkeypatch.setattr(external_sort, "MOST_RUNS", 3)
    random = Random(count)
    lines = [b"%d \\ \xff" % random.randrange(500) for _ in range(count)]
    with ExternalSort() as found:
        for line in lines:
            found.add([line])
            assert len(found._lines) < 10
            assert all(len(level) < 3 for level in found._levels)
        assert list(found) == sorted(lines)
        found.add([b"0"])
        assert list(found) == sorted([*lines, b"0"])
        files = [run for level in found._levels for run in level]
    assert all(run.closed for run in files)


def test_a_folder_that_takes_no_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name, and what to do."""
    monkeypatch.setattr(external_sort, "RUN_LINES", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with ExternalSort() as lines, pytest.raises(OutputUnwritable, match=r"absent \(.*\); free .* TMPDIR\.$"):
        lines.add([b"a"])
