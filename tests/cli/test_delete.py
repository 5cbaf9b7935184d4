"""`farm delete` forgets a crawl, asks before, and takes no crawl from those who work on it."""

import io
import json
from pathlib import Path

import pytest

from farm.app.preflight import preflight
from farm.cli.main import main
from farm.model.outcome import FailureKind
from farm.resources.files import FolderLock
from farm.settings import stored
from farm.settings.commands import RunSettings
from tests.cli.outside import Outside

KINDS = (FailureKind.TLS,)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _run_left(folder: Path, *sinks: str) -> None:
    """Leave what a run with a private Redis leaves in its output folder."""
    settings = RunSettings(
        urls=("http://a.example/",), output=folder, sink=sinks or ("jsonl:",), sandbox=False
    )
    plan = preflight(settings)
    (folder / ".farm/redis").mkdir(parents=True)
    (folder / ".farm/redis/appendonly.aof").write_text("data")
    stored.keep(plan.settings, plan.private, plan.crawl, plan.agreed, plan.origins)
    (folder / "snapshots").mkdir()
    for name in ("pages.jsonl", "skipped.jsonl", "summary.json", "farm.log", "snapshots/a.html"):
        (folder / name).write_text("{}")


def _delete(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    return main(["delete", *arguments]), *capsys.readouterr()


def test_a_crawl_of_a_redis_is_forgotten_and_no_other(outside: Outside) -> None:
    """Every key of it."""
    outside.bury(KINDS)
    outside.redis("SET", "{other:0}:crawl", "x")
    asked = outside.farm("delete")
    assert asked.code == 2
    assert "(0 done, 3 open, 1 dead) permanently; give --yes" in asked.sentence
    deleted = outside.farm("delete", "--yes")
    assert (deleted.code, deleted.err) == (0, "")
    assert outside.redis("KEYS", "*") == [b"{other:0}:crawl"]
    assert "There is no crawl named 't'" in outside.farm("delete", "--yes").sentence


def test_a_crawl_that_is_worked_on_is_refused(outside: Outside) -> None:
    """By the name of who works on it."""
    outside.register("busy-node", "i1")
    refused = outside.farm("delete", "--yes")
    assert refused.code == 2
    assert "worked on by busy-node; end its nodes with `farm drain`" in refused.sentence
    outside.unregister("busy-node", "i1")
    assert outside.farm("delete", "--yes").code == 0


@pytest.mark.parametrize("left", ["part", "older"])
def test_what_cannot_be_opened_can_be_deleted(outside: Outside, left: str) -> None:
    """A part of a crawl, or one of another farm's."""
    if left == "part":
        outside.redis("DEL", "@crawl")
    else:
        outside.redis("HSET", "@crawl", "schema", "1")
    deleted = outside.farm("delete", "--yes")
    assert deleted.code == 0
    assert "in part" in deleted.out if left == "part" else "cannot be read" in deleted.out
    assert outside.redis("KEYS", "*") == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_it_is_deleted_only_after_a_yes(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """Of a person."""

    class Typing(io.StringIO):
        def isatty(self) -> bool:
            """Say that a person sits there."""
            return True

    monkeypatch.setattr("sys.stdin", Typing(answer))
    assert outside.farm("delete").code == code
    assert (outside.redis("KEYS", "*") == []) == (code == 0)


def test_records_stay_unless_they_are_to_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without them goes what a later run would go on with."""
    folder = tmp_path / "out"
    _run_left(folder)
    assert _delete(capsys, "--output", str(folder), "--yes")[0] == 0
    assert _files(folder) >= {"pages.jsonl", "skipped.jsonl", "summary.json", "farm.log", "snapshots/a.html"}
    assert not (folder / ".farm/redis").exists()
    assert not (folder / ".farm/settings.json").exists()
    assert _delete(capsys, "--output", str(folder), "--records", "--yes")[0] == 0
    assert not folder.exists()


def test_what_no_run_has_written_stays_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database may have the records of other crawls too."""
    folder = tmp_path / "out"
    _run_left(folder, f"csv:{folder / 'table.csv'}", f"sqlite:///{folder / 'all.db'}")
    (folder / "table.csv").write_text("id")
    (folder / "all.db").write_text("db")
    (folder / "notes.txt").write_text("mine")
    code, out, err = _delete(capsys, "--output", str(folder), "--records", "--yes", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["stays"] == ["all.db", "notes.txt", "pages.jsonl"]
    assert _files(folder) == {"all.db", "notes.txt", "pages.jsonl"}


def test_all_that_runs_write_to_a_folder_goes_and_nothing_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Earlier logs and failure reports too; whoever is given a folder does not know which files it names."""
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere.jsonl"
    _run_left(folder, "jsonl:", f"jsonl:{elsewhere}")
    elsewhere.write_text("{}")
    for name in ("farm.log.1", "farm.log.2", "failure-20260301T120000-7.txt"):
        (folder / name).write_text("left")
    code, out, _ = _delete(capsys, "--output", str(folder), "--records", "--yes", "--json")
    assert code == 0
    assert json.loads(out)["stays"] == [str(elsewhere)]
    assert not folder.exists()
    assert elsewhere.read_text() == "{}"


def test_a_folder_that_a_run_holds_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its process."""
    folder = tmp_path / "out"
    _run_left(folder)
    lock = FolderLock(folder / ".farm/lock")
    lock.take()
    code, _, err = _delete(capsys, "--output", str(folder), "--records", "--yes")
    lock.release()
    assert code == 2
    assert "is in use by the run with process id" in err
    assert (folder / "pages.jsonl").exists()


def test_a_folder_without_a_crawl_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is in it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/pages.jsonl").write_text("mine")
    code, _, err = _delete(capsys, "--output", str(tmp_path / "mine"), "--records", "--yes")
    assert code == 2
    assert "There is no crawl in" in err
    assert (tmp_path / "mine/pages.jsonl").exists()


def test_records_of_a_shared_crawl_are_named_by_their_folder(outside: Outside) -> None:
    """Each node has its own."""
    assert "name it with --output" in outside.farm("delete", "--records", "--yes").sentence


def test_a_deletion_that_failed_half_way_can_be_repeated(outside: Outside, tmp_path: Path) -> None:
    """The crawl is not in Redis any more, and the records are still there; that of another name is not meant."""
    folder = tmp_path / "out"
    _run_left(folder)
    named = ("delete", "--output", str(folder), "--records", "--yes")
    (folder / "pages.jsonl").unlink()
    (folder / "pages.jsonl").mkdir()
    failed = outside.farm(*named)
    assert failed.code == 6
    assert (
        f"{folder / 'pages.jsonl'} cannot be removed (Is a directory); check its permissions"
        in failed.sentence
    )
    assert outside.redis("KEYS", "*") == []
    (folder / "pages.jsonl").rmdir()
    asked = outside.farm(*named[:-1])
    assert asked.code == 2
    assert (
        f"would delete the records in {folder}, whose crawl 't' is deleted already permanently"
        in asked.sentence
    )
    own, outside.crawl = outside.crawl, ("--redis", outside.url, "--crawl", "other")
    assert "There is no crawl named 'other'" in outside.farm(*named).sentence
    outside.crawl = own
    assert (folder / "skipped.jsonl").exists()
    assert outside.farm(*named).code == 0
    assert not folder.exists()
