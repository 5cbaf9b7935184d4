"""Files in a folder where others may write too."""

import asyncio
import errno
import fcntl
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farm.model.crawl import Ledger
from farm.model.errors import OutputUnwritable, UsageError
from farm.monitor.log import start_logging
from farm.resources.files import (
    FolderLock,
    OutputSize,
    create_anew,
    folder_bytes,
    opened,
    own_folder,
    read_own,
    umask_of,
    whole_folder,
    write_atomically,
)
from farm.sinks.files import Files
from farm.sinks.output import RecordSink
from farm.sinks.summary import Summary, write_summary


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Write a file that a link leads to."""
    path = tmp_path / "target"
    path.write_text("mine")
    return path


def test_a_link_is_not_followed(tmp_path: Path, target: Path) -> None:
    """Neither to read nor to write."""
    link = tmp_path / "link"
    link.symlink_to(target)
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
        with pytest.raises(OSError, match="symbolic"):
            opened(link, flags)
    os.close(create_anew(link))
    assert not link.is_symlink()
    assert target.read_text() == "mine"


def test_a_file_of_another_owner_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Path
) -> None:
    """It may say anything."""
    assert read_own(target, 100) == b"mine"
    assert read_own(target, 2) == b"mi"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="belongs to another user and is not trusted"):
        read_own(target, 100)


@pytest.mark.parametrize("name", ["pages.jsonl", "skipped.jsonl", "farm.log"])
async def test_nothing_is_written_into_a_file_of_another_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In a folder where everybody may write, who made it reads what is put into it."""
    (tmp_path / name).touch()
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        about = list(real(descriptor))
        about[4] += os.path.samestat(real(descriptor), (tmp_path / name).stat())
        return os.stat_result(about)

    monkeypatch.setattr(os, "fstat", fstat)
    sentence = "it belongs to another user"
    if name == "farm.log":
        with pytest.raises(OutputUnwritable, match=sentence):
            start_logging(tmp_path)
    else:
        with pytest.raises(OutputUnwritable, match=sentence):
            await RecordSink.open(tmp_path)
    monkeypatch.undo()
    assert (tmp_path / name).read_bytes() == b""


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    """Opening one waits for a writer."""
    os.mkfifo(tmp_path / "pipe")
    assert read_own(tmp_path / "pipe", 100) == b""


def test_a_private_folder_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was open before is closed."""
    folder = tmp_path / "out" / ".farm"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    own_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UsageError, match="is a link and is not trusted"):
        own_folder(tmp_path / "link")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="belongs to another user"):
        own_folder(folder)
    with pytest.raises(UsageError, match="belongs to another user"):
        FolderLock(folder / "lock").take()


@pytest.mark.parametrize(("mode", "mask"), [(0o600, 0o077), (0o640, 0o027), (0o644, 0o022), (0o660, 0o007)])
def test_the_mask_of_a_mode(mode: int, mask: int) -> None:
    """Folders get leave to enter for whoever may read."""
    assert umask_of(mode) == mask


@pytest.mark.parametrize("name", ["pages.jsonl", "skipped.jsonl", ".farm/pages.index"])
def test_records_are_not_written_through_a_link(tmp_path: Path, target: Path, name: str) -> None:
    """What it leads to stays as it is."""
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    with pytest.raises(OutputUnwritable):
        asyncio.run(RecordSink.open(tmp_path / "out"))
    assert target.read_text() == "mine"


def test_neither_are_files_nor_the_summary(tmp_path: Path, target: Path) -> None:
    """A folder of pictures that is a link is refused, a draft that is one is replaced."""
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "screenshots").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputUnwritable, match="its folder is a link"):
        Files(out, out / ".farm").write("screenshots/a.png", b"x")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (out / f".summary.json.{os.getpid()}").symlink_to(target)
    now = datetime.now(UTC)
    write_summary(out / "summary.json", Summary("c", now, now, "finished", Ledger()))
    assert target.read_text() == "mine"
    assert (out / "summary.json").read_text().startswith("{")


def test_a_file_is_replaced_and_no_draft_stays(tmp_path: Path) -> None:
    """Whether it was there before or not."""
    path = tmp_path / "summary.json"
    for content in (b"first", b"second, longer"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The disk may be full at either step."""
    path, draft = tmp_path / "node", tmp_path / "node.new"
    path.write_bytes(b"old")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    owner: object = os if failing == "fsync" else Path
    monkeypatch.setattr(owner, failing, fails)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new", draft)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_synced_before_it_is_renamed_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another order a power loss could leave an empty file under the name, or the old one for good."""
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        steps.append("sync a folder" if os.path.isdir(f"/dev/fd/{descriptor}") else "sync the file")  # noqa: PTH112
        sync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomically(tmp_path / "a", b"content")
    assert steps == ["sync the file", "rename", "sync a folder"]


def test_a_folder_is_all_its_files_and_no_link(tmp_path: Path) -> None:
    """What is left out is so at the top alone."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "x").write_bytes(b"1" * 10)
    (tmp_path / "a" / "y").write_bytes(b"1" * 20)
    (tmp_path / "a" / "b" / "a").write_bytes(b"1" * 40)
    whole = folder_bytes(tmp_path)
    (tmp_path / "link").symlink_to("/usr")
    assert whole == 70
    assert folder_bytes(tmp_path) < 70 + 100
    assert folder_bytes(tmp_path, {"a", "link"}) == 10
    assert folder_bytes(tmp_path / "nowhere") == 0


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    """The second run learns the process id of the first; after the release it gets the lock."""
    first, second = (
        FolderLock(tmp_path / "out" / ".farm" / "lock"),
        FolderLock(tmp_path / "out" / ".farm" / "lock"),
    )
    first.take()
    with pytest.raises(UsageError, match=f"process id {os.getpid()}"):
        second.take()
    first.release()
    second.take()
    second.release()


def test_a_folder_that_cannot_be_made_is_the_outputs_fault(tmp_path: Path) -> None:
    """There is a file in place of the folder."""
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputUnwritable, match="choose another --output"):
        FolderLock(tmp_path / "out" / ".farm" / "lock").take()


def test_a_disk_without_locks_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system of another machine may have none."""

    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(OutputUnwritable, match=r"cannot be written to \(No locks available\)"):
        FolderLock(tmp_path / "out" / ".farm" / "lock").take()


def test_folders_of_many_files_are_counted_once_and_then_by_what_is_written(tmp_path: Path) -> None:
    """Those of an earlier run count as well; what is written before the first look counts once."""
    for name, size in (("pages.jsonl", 7), ("pdfs/1", 10), ("pdfs/2", 20), ("screenshots/1", 40)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    written = 20
    used_bytes = OutputSize(tmp_path, {"pdfs", "screenshots", "downloads"}, lambda: written)
    assert used_bytes() == 77
    (tmp_path / "pages.jsonl").write_bytes(b"x" * 107)
    # Not looked for again: this one is another program's.
    (tmp_path / "pdfs" / "3").write_bytes(b"x" * 1000)
    written += 3
    assert used_bytes() == 180


def test_a_folder_is_replaced_by_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every step the old one or the new one is there whole; a failure keeps the old one."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in ("a.parquet", "b.parquet"):
        (folder / name).write_text("old")
    seen: list[list[str]] = []
    rename = Path.rename

    def watched(source: Path, target: Path) -> Path:
        renamed = rename(source, target)
        seen.append(sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*.parquet")))
        return renamed

    monkeypatch.setattr(Path, "rename", watched)
    with whole_folder(folder, ".parquet", replace=True) as draft:
        (draft / "c.parquet").write_text("new")
    assert seen == [[".parts.draft/c.parquet", ".parts.replaced/a.parquet", ".parts.replaced/b.parquet"]]
    assert [one.name for one in tmp_path.rglob("*")] == ["parts", "c.parquet"]

    def full(source: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"), whole_folder(folder, ".parquet", replace=True) as draft:
        (draft / "d.parquet").write_text("newer")
    assert [one.name for one in tmp_path.rglob("*")] == ["parts", "c.parquet"]


def test_what_came_into_a_folder_meanwhile_is_kept(tmp_path: Path) -> None:
    """Nobody has said that it may go."""
    folder = tmp_path / "parts"
    folder.mkdir()

    def written() -> None:
        with whole_folder(folder, ".parquet", replace=True) as draft:
            (draft / "c.parquet").write_text("new")
            (folder / "thesis.tex").write_text("mine")

    with pytest.raises(FileExistsError):
        written()
    assert [one.name for one in tmp_path.rglob("*")] == ["parts", "thesis.tex"]


def test_a_disk_that_is_mounted_there_is_told_before_anything_is_written() -> None:
    """It cannot be replaced by a rename."""
    with pytest.raises(OSError, match="a disk is mounted there"), whole_folder(Path("/dev/shm"), ".x"):
        raise AssertionError
