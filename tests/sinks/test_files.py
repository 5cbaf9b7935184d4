"""The files that records name: whole, durable before their record, and harmless when they come twice."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable
from farm.model.record import Batch, Record
from farm.sinks.files import Files
from farm.sinks.output import RecordSink
from farm.sinks.record import FOLDERS

ID = "9f" * 16

# A process that may write no file of more than a thousand bytes: a disk that becomes full in the middle of one.
FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from farm.model.record import Batch, Record
from farm.model.errors import OutputUnwritable
from farm.sinks.output import RecordSink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

async def main():
    sink = await RecordSink.open(Path(sys.argv[1]))
    record = Record("ab" * 16, "u", {"id": "ab" * 16, "url": "u"}, {"screenshots/ab/x.png": bytes(5000)})
    try:
        await sink.commit(Batch((record,)))
    except OutputUnwritable as error:
        print(error, error.exit_code)
    await sink.close()

asyncio.run(main())
"""


def everything(folder: Path) -> list[str]:
    """Return all files in a folder, by their paths."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_written_whole_and_its_draft_is_gone(tmp_path: Path) -> None:
    """In a folder that is made for it."""
    files = Files(tmp_path, tmp_path / ".farm")
    files.write("screenshots/9f/one.png", b"one")
    files.write("screenshots/9f/one.png", b"again")
    files.write("pdfs/00/two.pdf", b"two")
    assert everything(tmp_path) == ["pdfs/00/two.pdf", "screenshots/9f/one.png"]
    assert (tmp_path / "screenshots/9f/one.png").read_bytes() == b"again"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_what_was_there_and_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """One sentence with the remedy."""
    files = Files(tmp_path, tmp_path / ".farm")
    files.write("screenshots/9f/one.png", b"one")

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner: object = os if failing == "fsync" else Path
    monkeypatch.setattr(owner, failing, fails)
    with pytest.raises(
        OutputUnwritable, match=r"one\.png cannot be written \(No space left on device\); free some space"
    ):
        files.write("screenshots/9f/one.png", b"two")
    monkeypatch.undo()
    assert everything(tmp_path) == ["screenshots/9f/one.png"]
    assert (tmp_path / "screenshots/9f/one.png").read_bytes() == b"one"


def test_what_a_crash_has_left_half_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """Drafts belong to no record."""
    draft = tmp_path / ".farm" / "drafts" / "7"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"half")
    Files(tmp_path, tmp_path / ".farm")
    assert everything(tmp_path) == []


def test_a_full_disk_ends_the_run_without_a_record_and_without_half_a_file(tmp_path: Path) -> None:
    """A real limit: what a record names is there, or the record is not."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "x.png cannot be written (File too large); free some space" in done.stdout
    assert done.stdout.rstrip().endswith(" 6")
    assert (tmp_path / "pages.jsonl").read_bytes() == b""
    assert [name for name in everything(tmp_path) if name.endswith(".png") or "drafts" in name] == []


async def test_the_file_is_there_when_the_record_is_and_goes_with_the_crawl(tmp_path: Path) -> None:
    """Written by the sink; removed where the crawl is started anew."""
    sink = await RecordSink.open(tmp_path)
    path = f"screenshots/{ID[:2]}/{ID}.png"
    record = Record(ID, "u", {"id": ID, "url": "u", "files": {"screenshot": path}}, {path: b"png"})
    await sink.commit(Batch((record,)))
    assert (tmp_path / path).read_bytes() == b"png"
    await sink.close()
    assert path.encode() in (tmp_path / "pages.jsonl").read_bytes()
    await (await RecordSink.open(tmp_path, fresh=True)).close()
    assert not any((tmp_path / name).exists() for name in FOLDERS.values())
    assert (tmp_path / "pages.jsonl").read_bytes() == b""
