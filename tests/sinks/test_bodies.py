"""HTML as files in place of the records: once by content, durable before its record, read back as it was."""

import asyncio
import os
import shutil
import stat
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.record import Batch, Record
from farm.sinks import bodies
from farm.sinks.address import parse_sink
from farm.sinks.bodies import body_path, read_body, write_body
from farm.sinks.files import Files
from farm.sinks.frames import ZstdFraming
from farm.sinks.output import RecordSink
from tests.sinks.killed import record

HTML = "<p>grüße</p>" * 5_000


def page(number: int, html: str) -> Record:
    """Return a record whose HTML is a file."""
    path = body_path(html)
    one = record(number, html=None, files={"html": path})
    return Record(one.id, one.url, one.fields, body=(path, html))


def stored(folder: Path) -> list[Path]:
    """Return the files of HTML."""
    return sorted(path for path in (folder / "bodies").rglob("*") if path.is_file())


@pytest.mark.parametrize("suffix", ["zst", "gz"])
def test_html_is_named_by_its_content_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Packed, for this user alone; the programs that people have unpack it."""
    monkeypatch.setattr(bodies, "_suffix", lambda: suffix)
    digest = sha256(HTML.encode()).hexdigest()
    path = body_path(HTML)
    assert path == f"bodies/{digest[:2]}/{digest}.html.{suffix}"
    before = os.umask(0o077)
    try:
        write_body(tmp_path, Files(tmp_path, tmp_path / ".farm"), path, HTML)
    finally:
        os.umask(before)
    assert read_body(tmp_path, path) == HTML
    assert (tmp_path / path).stat().st_size < len(HTML) / 50
    assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600
    program = {"zst": "zstd", "gz": "gzip"}[suffix]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    unpacked = subprocess.run([program, "-dc", tmp_path / path], capture_output=True, timeout=30, check=True)
    assert unpacked.stdout.decode() == HTML


def test_without_zstandard_it_is_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is missing."""

    def missing(_: object) -> None:
        raise ImportError

    bodies._suffix.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(ZstdFraming, "__init__", missing)
        assert body_path(HTML).endswith(".html.gz")
    bodies._suffix.cache_clear()
    assert body_path(HTML).endswith(".html.zst")


async def test_the_same_html_is_stored_once_before_the_records_of_every_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over runs: a second one writes nothing that is there. A new start removes the folder."""
    addresses = [parse_sink(f"sqlite:///{tmp_path}/a.db"), parse_sink("jsonl")]
    sink = await RecordSink.open(tmp_path, addresses)
    await asyncio.gather(*(sink.commit(Batch((page(number, HTML),))) for number in range(1, 4)))
    await sink.commit(Batch((page(4, "<p>other"),)))
    written = sum(path.stat().st_size for path in stored(tmp_path))
    assert (len(stored(tmp_path)), sink.file_bytes) == (2, written)
    await sink.close()
    lines = (tmp_path / "pages.jsonl").read_text()
    assert (lines.count('"html":null'), lines.count(body_path(HTML))) == (4, 3)
    again = await RecordSink.open(tmp_path, addresses)
    monkeypatch.setattr(Files, "write", lambda *_: pytest.fail("it was written again"))
    await again.commit(Batch((page(5, HTML),)))
    assert again.file_bytes == 0
    await again.close()
    await (await RecordSink.open(tmp_path, addresses, fresh=True)).close()
    assert stored(tmp_path) == []


async def test_html_that_cannot_be_written_leaves_no_record(tmp_path: Path) -> None:
    """One sentence with the remedy."""
    (tmp_path / "bodies").write_text("in the way")
    sink = await RecordSink.open(tmp_path)
    with pytest.raises(
        OutputUnwritable, match=r"cannot be written \(.*\); free some space|check its permissions"
    ):
        await sink.commit(Batch((page(1, HTML),)))
    await sink.close()
    assert (tmp_path / "pages.jsonl").read_bytes() == b""


def test_half_of_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    """As in the records' own lines: a page can make one, and no UTF-8 holds it."""
    path = body_path("<p>\ud800")
    write_body(tmp_path, Files(tmp_path, tmp_path / ".farm"), path, "<p>\ud800")
    assert read_body(tmp_path, path) == "<p>\ufffd"


@pytest.mark.parametrize("what", ["../../etc/passwd", "missing", "changed", "torn", "other"])
def test_what_is_no_body_is_a_sentence(tmp_path: Path, what: str) -> None:
    """Records may come from anywhere, and their files may have been left behind."""
    path = body_path(HTML)
    target = tmp_path / path
    write_body(tmp_path, Files(tmp_path, tmp_path / ".farm"), path, HTML)
    if what.startswith(".."):
        path = f"bodies/../{what}"
    elif what == "missing":
        target.unlink()
    elif what == "torn":
        target.write_bytes(target.read_bytes()[:-9])
    else:
        other = body_path("<p>other")
        write_body(tmp_path, Files(tmp_path, tmp_path / ".farm"), other, "<p>other")
        target.write_bytes((tmp_path / other).read_bytes() if what == "other" else b"<p>plain")
    with pytest.raises(UsageError, match=r"cannot be read|is not the HTML that its name says"):
        read_body(tmp_path, path)
