"""`farm list`: the crawls in the folders below, or in a Redis."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farm.cli.main import main
from farm.model.crawl import Ledger
from farm.model.outcome import FailureKind
from farm.resources.files import FolderLock
from farm.sinks import output_folders
from farm.sinks.summary import Summary, write_summary
from tests.cli.outside import Outside

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
DONE = Summary("shop", AT, AT, "finished", Ledger(accepted=12, queued=1, delayed=2, leased=0, done=8, dead=1))


def made(folder: Path, summary: Summary | None = DONE) -> Path:
    """Make an output folder as a run leaves it."""
    (folder / ".farm").mkdir(parents=True)
    (folder / "pages.jsonl").write_bytes(b"x" * 5000)
    if summary is not None:
        write_summary(folder / "summary.json", summary)
    return folder


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    """Return what the command says as JSON."""
    capsys.readouterr()
    assert main(["list", "--json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_crawls_are_found_in_the_folders_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the state in which the last run has left them; what is no summary of ours is skipped."""
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "crawls/done")
    made(tmp_path / "crawls/done/files/within")
    made(tmp_path / "crawls/killed", summary=None)
    made(tmp_path / "deep/er/and/limited", replace(DONE, exit_reason="limit"))
    (made(tmp_path / "other", summary=None) / "summary.json").write_text(
        '{"ledger": {"done": 1}, "crawl": []}'
    )
    foreign = '{"finished_at": "2026-03-01", "crawl": "c", "exit_reason": "r", "ledger": %s}'
    for name, ledger in (("texts", '{"done": "8"}'), ("list", "[1]")):
        (made(tmp_path / "foreign" / name, summary=None) / "summary.json").write_text(foreign % ledger)
    (made(tmp_path / "broken", summary=None) / "summary.json").write_text("[")
    made(tmp_path / ".hidden/crawl")
    assert [(one["path"], one["state"]) for one in listed(capsys)] == [
        ("broken", "interrupted"),
        ("crawls/done", "finished"),
        ("crawls/killed", "interrupted"),
        ("deep/er/and/limited", "limit"),
        ("foreign/list", "interrupted"),
        ("foreign/texts", "interrupted"),
        ("other", "interrupted"),
    ]
    [one] = listed(capsys, "crawls/done")
    assert one["ledger"] == {"accepted": 12, "queued": 1, "delayed": 2, "leased": 0, "done": 8, "dead": 1}
    assert (one["crawl"], one["finished_at"]) == ("shop", "2026-03-01T12:30:00.000Z")
    assert isinstance(one["size_bytes"], int)
    assert one["size_bytes"] > 10_000
    assert main(["list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 8
    assert all(word in shown[2] for word in ("crawls/done", "finished", "8", "3", "2026-03-01 12:30"))


def test_a_run_that_holds_its_folder_is_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And is not disturbed."""
    folder = made(tmp_path / "crawl")
    lock = FolderLock(folder / ".farm/lock")
    lock.take()
    assert [one["state"] for one in listed(capsys, str(tmp_path))] == ["running"]
    lock.release()
    assert [one["state"] for one in listed(capsys, str(tmp_path))] == ["finished"]


def test_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so; too many folders, or none at all, are one sentence."""
    assert main(["list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no crawls\n"
    assert main(["list", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("farm: There is no folder ")
    monkeypatch.setattr(output_folders, "MOST_FOLDERS", 3)
    (tmp_path / "a/b/c").mkdir(parents=True)
    assert main(["list", str(tmp_path)]) == 2
    assert "more than 3 folders" in capsys.readouterr().err


def test_crawls_in_a_redis(outside: Outside, capsys: pytest.CaptureFixture[str]) -> None:
    """As farm status says of each."""
    outside.bury([FailureKind.TLS])
    outside.redis("HSET", "{not a name:0}:crawl", "schema", "1")
    outside.redis("HSET", "{older:0}:crawl", "schema", "1")
    outside.redis("HSET", "{garbled:0}:crawl", "schema", "x", "settings", "y")
    *unreadable, one = listed(capsys, "--redis", outside.url)
    assert [(crawl["crawl"], crawl["state"], crawl["ledger"]) for crawl in unreadable] == [
        ("garbled", "unreadable", None),
        ("older", "unreadable", None),
    ]
    assert (one["crawl"], one["state"]) == ("t", "running")
    assert one["ledger"] == {"accepted": 4, "queued": 3, "delayed": 0, "leased": 0, "done": 0, "dead": 1}
    assert main(["list", "--redis", outside.url]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["list", "--redis", outside.url, "somewhere"]) == 2
    assert "leave the folders or --redis out" in capsys.readouterr().err
