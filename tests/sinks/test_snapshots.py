"""Snapshots of pages whose URLs are given up: the last ones, whole, and no more than may be kept."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable
from farm.model.page import PageSnapshot
from farm.model.record import Batch
from farm.sinks import snapshots
from farm.sinks.files import Files
from farm.sinks.output import RecordSink
from farm.sinks.snapshots import SnapshotFolder

BOTH = PageSnapshot(b"picture", "<p>one")


@pytest.fixture
def folder(tmp_path: Path) -> SnapshotFolder:
    """Open an empty one."""
    return SnapshotFolder(tmp_path, Files(tmp_path, tmp_path / "private"))


def _names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "snapshots").iterdir())


def test_a_later_snapshot_takes_the_place_of_an_earlier_one(folder: SnapshotFolder, tmp_path: Path) -> None:
    """All of it: a picture does not stay beside other HTML."""
    folder.write({"a": BOTH, "b": BOTH})
    folder.write({"a": PageSnapshot(html="<p>two\ud800")})
    assert _names(tmp_path) == ["a.html", "b.html", "b.jpg"]
    assert (tmp_path / "snapshots" / "a.html").read_text() == "<p>two?"


def test_the_oldest_give_way(
    folder: SnapshotFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By number; that is said once."""
    monkeypatch.setattr(snapshots, "MOST", 2)
    with caplog.at_level(logging.WARNING):
        for name in "abcd":
            folder.write({name: BOTH})
    assert _names(tmp_path) == ["c.html", "c.jpg", "d.html", "d.jpg"]
    assert [record.message.partition(" has ")[0] for record in caplog.records] == ["snapshots/"]


def test_their_bytes_are_bounded_over_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run has left is known by its files, the oldest first."""
    monkeypatch.setattr(snapshots, "MOST_BYTES", 2 * 13)
    files = Files(tmp_path, tmp_path / "private")
    SnapshotFolder(tmp_path, files).write({"b": BOTH, "a": BOTH})
    for number, path in enumerate(("b.jpg", "b.html", "a.jpg", "a.html")):
        os.utime(tmp_path / "snapshots" / path, (number, number))
    before = files.written_bytes
    SnapshotFolder(tmp_path, files).write({"c": BOTH})
    assert _names(tmp_path) == ["a.html", "a.jpg", "c.html", "c.jpg"]
    assert files.written_bytes == before


async def test_a_sink_keeps_what_a_failed_visit_brings(tmp_path: Path) -> None:
    """Without a record; a crawl that is started anew has none of it."""
    sink = await RecordSink.open(tmp_path)
    await sink.commit(Batch(snapshots={"a": BOTH}))
    await sink.close()
    assert _names(tmp_path) == ["a.html", "a.jpg"]
    assert (tmp_path / "pages.jsonl").read_text() == ""
    await (await RecordSink.open(tmp_path, fresh=True)).close()
    assert not (tmp_path / "snapshots").exists()


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_folder_that_others_use_too_ends_no_writer(
    folder: SnapshotFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    """A file that is gone when it is measured counts as none; a folder that cannot be read is one sentence."""

    def listed(looked_at: Path) -> Iterator[Path]:
        if is_refused:
            raise PermissionError(13, "Permission denied")
        yield looked_at / "gone.html"

    (tmp_path / "snapshots").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", listed)
        if is_refused:
            with pytest.raises(
                OutputUnwritable, match=r"snapshots cannot be read \(Permission denied\); check"
            ):
                folder.write({"a": BOTH})
            return
        folder.write({"a": BOTH})
    assert _names(tmp_path) == ["a.html", "a.jpg"]
