"""The WARC sink: read back by warcio and FastWARC, killed at each step, cut at each byte."""

import shutil
import subprocess
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator

from farm.model.errors import OutputUnwritable
from farm.model.page import PageExchange
from farm.model.record import Batch, Record
from farm.sinks.address import parse_sink, store_of
from farm.sinks.store import Store
from farm.sinks.warc import WarcFormat
from tests.sinks.killed import record
from tests.sinks.killed_at import RECORDS, killed_at_each_step


def opened(folder: Path) -> Store[Any]:
    """Open a store below a folder."""
    store = store_of(parse_sink(f"warc:{folder / 'sink'}"), folder, folder / "private", "n1")
    store.open()
    return store


def page(number: int, *exchanges: PageExchange) -> Record:
    """Return a record with what was said on the network."""
    one = record(
        number, headers={"Content-Type": "text/html"}, status=200, final_url=f"https://shop.example/{number}"
    )
    return Record(one.id, one.url, one.fields, {}, exchanges)


def said(url: str, body: bytes = b"<p>", **fields: Any) -> PageExchange:
    """Return a document's exchange."""
    return PageExchange(url, "GET", 200, headers=(("Content-Type", "text/html"),), body=body, **fields)


def write(store: Store[Any], *records: Record) -> None:
    """Write records as one group."""
    store.write([store.encode(Batch([one]))[0] for one in records])


def told(path: Path) -> list[tuple[str, str | None, str | None, bytes]]:
    """Return type, URL, status and body of each WARC record; warcio checks digests and lengths."""
    with path.open("rb") as file:
        return [
            (
                one.rec_type,
                one.rec_headers.get_header("WARC-Target-URI"),
                f"{one.http_headers.protocol} {one.http_headers.statusline}" if one.http_headers else None,
                one.content_stream().read(),
            )
            for one in ArchiveIterator(file, check_digests="raise")
        ]


def ids(path: Path) -> list[str]:
    """Return the record's id of each entry."""
    return [key.hex() for key in WarcFormat().ids(path)]


def test_each_document_of_a_page_is_a_response_and_a_request(tmp_path: Path) -> None:
    """Bodies byte by byte, redirects with their heads, and the tools of others read it."""
    body = "grüße\0".encode("latin-1") * 1000
    hop = PageExchange(
        "https://shop.example/a", "GET", 302, headers=(("Location", "/b"), ("X-Ä", "ü\r\nZ: 1"))
    )
    last = said("https://shop.example/b", body, truncated="time")
    store = opened(tmp_path)
    write(store, page(1, hop, last), page(2))
    assert [path.name for path in (tmp_path / "sink").iterdir()] == ["part-n1-000001.warc.gz.open"]
    store.close()
    (path,) = (tmp_path / "sink").iterdir()
    assert path.name == "part-n1-000001.warc.gz"
    info, *records = told(path)
    assert info[0] == "warcinfo"
    assert records == [
        ("response", "https://shop.example/a", "HTTP/1.1 302 Found", b""),
        ("request", "https://shop.example/a", "GET /a HTTP/1.1", b""),
        ("response", "https://shop.example/b", "HTTP/1.1 200 OK", body),
        ("request", "https://shop.example/b", "GET /b HTTP/1.1", b""),
        ("response", "https://shop.example/2", "HTTP/1.1 200 OK", b""),
        ("request", "https://shop.example/2", "GET /2 HTTP/1.1", b""),
    ]
    content = path.read_bytes()
    fast = [
        (one.headers["WARC-Type"], one.headers.get("WARC-Truncated"), one.headers.get("WARC-Date"))
        for one in FastIterator(BytesIO(content), verify_digests=True)
    ]
    date = "2026-03-01T12:00:00.000Z".replace("12:", "00:")
    assert [(kind, cut) for kind, cut, _ in fast if kind == "response"] == [
        ("response", None),
        ("response", "time"),
        ("response", "unspecified"),
    ]
    assert {moment for kind, _, moment in fast if kind != "warcinfo"} == {date}
    command = [sys.executable, "-m", "warcio.cli", "check", str(path)]
    assert subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


def test_what_opens_a_session_is_not_in_it(tmp_path: Path) -> None:
    """Cookies, the user's own headers, credentials in addresses. Encodings that were undone have another name."""
    headers = (
        ("Set-Cookie", "sid=s3cret"),
        ("Content-Encoding", "br"),
        ("Link", "<https://u:s3cret@shop.example/>"),
    )
    asked = (
        ("Authorization", "s3cret"),
        ("X-Token", "s3cret"),
        ("User-Agent", "me"),
        ("Referer", "https://a:s3cret@b/"),
    )
    store = opened(tmp_path)
    write(
        store,
        page(1, PageExchange("https://u:s3cret@shop.example/x y\r\nZ", "GET", 299, asked, headers, b"body")),
    )
    store.close()
    with next((tmp_path / "sink").iterdir()).open("rb") as file:
        everything = "".join(f"{one.rec_headers}{one.http_headers}" for one in ArchiveIterator(file))
    assert "s3cret" not in everything
    assert "User-Agent: me" in everything
    assert "X-Archive-Orig-Content-Encoding: br" in everything
    assert "\r\nContent-Encoding" not in everything
    assert "https://shop.example/x%20y%0D%0AZ" in everything


def test_a_page_stands_once_and_the_numbers_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over groups, files and runs; a lost sidecar is read back."""
    monkeypatch.setattr(WarcFormat, "most_rows", 2)
    store = opened(tmp_path)
    write(store, page(1), page(1))
    write(store, page(1), page(2), page(3))
    store.close()
    for path in (tmp_path / "private").rglob("*.index"):
        path.unlink()
    again = opened(tmp_path)
    write(again, page(2), page(3), page(4))
    assert (again.written, again.records) == (1, 4)
    again.close()
    files = sorted((tmp_path / "sink").iterdir())
    assert [path.name for path in files] == [f"part-n1-00000{number}.warc.gz" for number in (1, 2)]
    assert Counter(id_ for path in files for id_ in ids(path)) == {record(n).id: 1 for n in (1, 2, 3, 4)}
    assert all(told(path)[0][0] == "warcinfo" for path in files)


def test_a_file_that_is_cut_anywhere_is_whole_again(tmp_path: Path) -> None:
    """Up to its last page with all of its WARC records; the rest comes with the repetition."""
    whole, kept = tmp_path / "whole", tmp_path / "kept"
    store = opened(whole)
    write(store, page(1, said("https://shop.example/a"), said("https://shop.example/b")))
    write(store, page(2, said("https://shop.example/c")))
    log = whole / "sink/part-n1-000001.warc.gz.open"
    content = log.read_bytes()
    for index in whole.rglob("*.index"):
        # Not synced, it may have nothing yet; where there is none the log is another output folder's.
        index.write_bytes(b"")
    whole.rename(kept)
    for size in range(0, len(content), 23):
        # Killed: what it had open is another file than what the next one finds.
        shutil.copytree(kept, whole)
        log.write_bytes(content[:size])
        again = opened(whole)
        assert again.records in {0, 1}
        write(again, page(1), page(2))
        assert again.records == 2
        assert told(log)[0][0] == "warcinfo"
        assert ids(log) == [record(1).id, record(2).id]
        whole.rename(tmp_path / str(size))


def test_a_file_of_others_is_refused(tmp_path: Path) -> None:
    """With a sentence, and left as it is."""
    (tmp_path / "sink").mkdir()
    for name in ("part-n1-000001.warc.gz", "part-n1-000001.warc.gz.open"):
        path = tmp_path / "sink" / name
        path.write_bytes(b"WARC/1.0 and more of somebody else")
        with pytest.raises(OutputUnwritable, match=r"did not write.* another --sink"):
            opened(tmp_path)
        assert path.read_bytes().startswith(b"WARC/1.0 and")
        path.unlink()


@pytest.mark.parametrize("then", ["n1", "another"])
def test_killed_at_each_step_every_page_stands_once(tmp_path: Path, then: str) -> None:
    """Whatever was confirmed is there, and nothing twice, after the repetition, also by another node name."""
    children = killed_at_each_step(tmp_path, "warc", then)
    assert len(children) > 10
    for sink, confirmed in children:
        counts = Counter(id_ for path in sink.iterdir() for id_ in ids(path))
        assert {path.suffix for path in sink.iterdir()} == {".gz"}
        assert set(counts.values()) == {1}
        assert counts.keys() >= confirmed
        assert len(counts) == RECORDS
