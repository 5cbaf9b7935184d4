"""An unexpected exception: one line, and one file that has the facts and no secret."""

import errno
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from farm.cli import failure_report, run
from farm.cli import main as command_line
from farm.cli.main import main

TOKEN, PASSWORD = "t0ken-of-the-user", "pa55word"
NO_PLACE = "/proc/nowhere"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have temporary files in a folder of the test's."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(failure_report, "_runs", [])
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tmp"


def _broken_run(out: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a crawl that fails where nobody expects it, after it has made its folder."""
    out.mkdir(exist_ok=True)
    (out / "farm.log").write_text(f"first line\nasked with {TOKEN}\nlast line\n")

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError(f"with {TOKEN} at redis://joe:{PASSWORD}@127.0.0.1/ and {PASSWORD}")

    monkeypatch.setattr(run, "run_crawl", broken)
    given = (
        "run",
        "http://a.example/",
        "--header",
        f"X-Token: {TOKEN}",
        "--no-sandbox",
        "--output",
        str(out),
    )
    return main([*given, *arguments])


def test_a_run_leaves_one_file_in_its_output_folder(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With versions, traceback, settings and the end of the log; all secrets are masked."""
    out = tmp_path / "out"
    assert _broken_run(out, monkeypatch, "--redis", f"redis://joe:{PASSWORD}@127.0.0.1:1/0") == 1
    said = capsys.readouterr().err
    [path] = out.glob("failure-*.txt")
    assert re.fullmatch(
        rf"farm: an unexpected error: ZeroDivisionError: with \*\*\* .*; {path} has .*\n", said
    )
    text = path.read_text()
    assert re.findall(r"^(\w+)\n-+$", text, re.MULTILINE) == ["what", "versions", "error", "settings", "log"]
    assert "in broken\n" in text
    assert "farm run --header --no-sandbox --output --redis\n" in text
    assert re.search(r"^playwright \d", text, re.MULTILINE)
    assert '"header": [\n    "X-Token: ***"\n  ]' in text
    assert "asked with ***\nlast line" in text
    assert TOKEN not in text + said
    assert PASSWORD not in text + said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(temporary.iterdir()) == []


def test_the_last_ten_reports_are_kept(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor starts a run again and again."""
    out = tmp_path / "out"
    out.mkdir()
    for number in range(12):
        (out / f"failure-20260101T0000{number:02}-1.txt").write_text("old")
    assert _broken_run(out, monkeypatch) == 1
    left = sorted(path.name for path in out.glob("failure-*"))
    assert len(left) == 10
    assert left[0] == "failure-20260101T000003-1.txt"


def _broken(arguments: Sequence[str]) -> int:
    raise KeyError(f"no {arguments[0]}")


def test_another_command_leaves_a_temporary_file(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no folder of its own."""
    monkeypatch.setattr(command_line, "dispatch", _broken)
    assert main(["status", "--redis", f"redis://:{PASSWORD}@127.0.0.1/"]) == 1
    [path] = temporary.iterdir()
    assert str(path) in capsys.readouterr().err
    assert "KeyError: 'no status'" in path.read_text()
    assert "farm status --redis\n" in path.read_text()
    assert PASSWORD not in path.read_text()


def test_without_a_place_for_it_the_traceback_is_printed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is all that there is."""
    monkeypatch.setattr(command_line, "dispatch", _broken)
    monkeypatch.setattr(tempfile, "tempdir", NO_PLACE)
    assert main(["status"]) == 1
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):")
    assert list(temporary.iterdir()) == []


RUN = ("run", "http://a.example/", "--no-sandbox")


def _sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that was said."""
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err[:6]) == ("", 1, "farm: ")
    return err[6:-1]


def test_a_disk_that_is_full_is_no_failure_of_the_farm(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever a command meets it."""

    def full(_: Sequence[str]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/part")

    monkeypatch.setattr(command_line, "dispatch", full)
    assert main(["status"]) == 6
    assert _sentence(capsys).startswith(
        "/data/part cannot be written (No space left on device); free some space"
    )
    assert list(temporary.iterdir()) == []


def test_a_run_without_a_place_for_temporary_files_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a machine whose one disk is full."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [NO_PLACE])
    assert main([*RUN, "--output", "out"]) == 6
    assert "name another by TMPDIR" in _sentence(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_current_folder_that_was_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By another terminal, for example."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main([*RUN, "--output", "out"]) == 2
    assert _sentence(capsys) == "The current folder does not exist any more; change to another one."


@pytest.mark.parametrize("flags", [("--output", "caf\udce9"), ("--sink", "sqlite:///caf\udce9.db")])
def test_a_name_that_is_not_utf_8_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, str],
) -> None:
    """Before anything is made: the settings of a run are kept as JSON."""
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, *flags]) == 2
    assert "caf\\udce9" in (said := _sentence(capsys))
    assert "is not UTF-8" in said
    assert list(tmp_path.iterdir()) == []
