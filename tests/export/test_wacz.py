"""A WACZ of WARC files: its parts, its index, and the sentences where there is nothing to put into it."""

import gzip
import json
import re
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import pytest
from warcio.archiveiterator import ArchiveIterator

from farm.export import wacz
from farm.export.cdxj import surt
from farm.model.page import PageExchange
from farm.model.record import Record
from tests.export.stored import Exported, fill, page


def visited(number: int, mime: str = "text/html; charset=utf-8", **fields: Any) -> Record:
    """Return a record with the document that the browser received, by a redirect."""
    one = page(number, final_url=f"https://shop.example/{number}?B=2&a=1", **fields)
    hop = PageExchange(one.url, "GET", 301, headers=(("Location", "x"),))
    body = f"<title>{number}</title>".encode()
    last = PageExchange(one.fields["final_url"], "GET", 200, headers=(("Content-Type", mime),), body=body)
    return Record(one.id, one.url, one.fields, exchanges=(hop, last))


def crawled(folder: Path, *records: Record) -> Path:
    """Make an output folder whose crawl has a WARC sink beside `pages.jsonl`."""
    fill(folder, f"warc:{folder.parent / 'warcs'}", *records)
    fill(folder, "jsonl:", *records)
    (folder / ".farm").mkdir(exist_ok=True)
    kept = {"crawl": "default", "settings": {"sink": ["jsonl:", f"warc:{folder.parent / 'warcs'}"]}}
    (folder / ".farm/settings.json").write_text(json.dumps(kept))
    return folder


def indexed(archive: ZipFile) -> list[tuple[str, dict[str, str]]]:
    """Return the captures by the index of blocks, as a replay tool finds them."""
    packed = archive.read("indexes/index.cdx.gz")
    meta, *blocks = archive.read("indexes/index.idx").decode().splitlines()
    assert meta == '!meta 0 {"format": "cdxj-gzip-1.0", "filename": "index.cdx.gz"}'
    found = []
    for line in blocks:
        key, _, rest = line.partition(" {")
        said = json.loads("{" + rest)
        block = packed[said["offset"] : said["offset"] + said["length"]]
        assert said["digest"] == f"sha256:{sha256(block).hexdigest()}"
        lines = gzip.decompress(block).decode().splitlines()
        assert lines[0].startswith(key + " {")
        found += [(one.partition(" {")[0], json.loads("{" + one.partition(" {")[2])) for one in lines]
    return found


def test_its_parts_are_what_the_format_says(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes and sizes are true, all is stored unpacked, every capture is where the index says."""
    monkeypatch.setattr(wacz, "_BLOCK_LINES", 3)
    records = [visited(number, title=f"Page {number}") for number in range(1, 6)]
    out = crawled(tmp_path / "out", *records)
    exported = Exported(capfd, out, "--to", f"wacz:{tmp_path / 'shop.wacz'}")
    assert exported.err == f"farm: 5 pages in {tmp_path / 'shop.wacz'}, of 1 WARC file\n"
    with ZipFile(tmp_path / "shop.wacz") as archive:
        assert {one.compress_type for one in archive.infolist()} == {ZIP_STORED}
        package = json.loads(archive.read("datapackage.json"))
        assert (package["profile"], package["wacz_version"]) == ("data-package", "1.1.1")
        parts = {one["path"]: archive.read(one["path"]) for one in package["resources"]}
        about = {"datapackage.json", "datapackage-digest.json"}
        assert parts.keys() == set(archive.namelist()) - about
        for one in package["resources"]:
            assert (one["bytes"], one["hash"]) == (
                len(parts[one["path"]]),
                f"sha256:{sha256(parts[one['path']]).hexdigest()}",
            )
        digest = json.loads(archive.read("datapackage-digest.json"))
        assert digest["hash"] == f"sha256:{sha256(archive.read('datapackage.json')).hexdigest()}"
        found = indexed(archive)
        assert [key for key, _ in found] == sorted(key for key, _ in found)
        assert len(found) == 10
        for key, said in found:
            warc = archive.read(f"archive/{said['filename']}")
            place = int(said["offset"]), int(said["offset"]) + int(said["length"])
            (one,) = ArchiveIterator(BytesIO(warc[slice(*place)]), check_digests="raise")
            assert (one.rec_type, one.rec_headers["WARC-Target-URI"]) == ("response", said["url"])
            assert one.http_headers.get_statuscode() == said["status"]
            assert key == f"{surt(said['url'])} 20260301000000"
        header, *pages = map(json.loads, archive.read("pages/pages.jsonl").splitlines())
        assert header["format"] == "json-pages-1.0"
        assert pages == [
            {
                "id": one.id,
                "url": one.fields["final_url"],
                "ts": one.fields["fetched_at"],
                "title": f"Page {n}",
            }
            for n, one in enumerate(records, 1)
        ]
    twice = Exported(capfd, out, "--to", f"wacz:{tmp_path / 'shop.wacz'}")
    assert (twice.code, "exists already" in twice.sentence) == (2, True)


def test_without_records_the_pages_are_the_html_documents(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a folder of WARC files, of several with files of one name, or of a single file."""
    fill(tmp_path, f"warc:{tmp_path}/one", visited(1), visited(2, "application/pdf"))
    fill(tmp_path, f"warc:{tmp_path}/two", visited(3))
    fill(tmp_path, f"warc:{tmp_path}/three", visited(4))
    (part,) = (tmp_path / "three").iterdir()
    part.rename(part.with_name(f"2-{part.name}"))
    to = ("--to", f"wacz:{tmp_path / 'x.wacz'}", "--force")
    pages: list[dict[str, str]] = []
    for named, names in (
        (
            [f"warc:{tmp_path}/one", tmp_path / "two"],
            ["1-part-n1-000001.warc.gz", "2-part-n1-000001.warc.gz"],
        ),
        (
            [tmp_path / "three", f"warc:{tmp_path}/one", tmp_path / "two"],
            [f"{before}part-n1-000001.warc.gz" for before in ("2-", "2-2-", "3-")],
        ),
        ([tmp_path / "two/part-n1-000001.warc.gz"], ["part-n1-000001.warc.gz"]),
    ):
        assert Exported(capfd, *named, *to).code == 0
        with ZipFile(tmp_path / "x.wacz") as archive:
            assert [name.partition("/")[2] for name in archive.namelist() if "archive/" in name] == names
            pages = [json.loads(line) for line in archive.read("pages/pages.jsonl").splitlines()[1:]]
    assert [one["url"] for one in pages] == [visited(3).fields["final_url"]]


def test_a_payload_that_is_there_once_is_found_by_every_capture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A `revisit` is in the index as one, and its page is a page; what it refers to is in the index too."""
    body = b"<title>same</title>" * 100
    records = []
    for number in (1, 2, 3):
        one = page(number)
        said = PageExchange(one.url, "GET", 200, headers=(("Content-Type", "text/html"),), body=body)
        records.append(Record(one.id, one.url, one.fields, exchanges=(said,)))
    fill(tmp_path, f"warc:{tmp_path}/warcs", *records)
    assert Exported(capfd, tmp_path / "warcs", "--to", f"wacz:{tmp_path / 'x.wacz'}").code == 0
    with ZipFile(tmp_path / "x.wacz") as archive:
        pages = [json.loads(line) for line in archive.read("pages/pages.jsonl").splitlines()[1:]]
        found = dict(indexed(archive))

        def record_of(said: dict[str, str]) -> Any:
            warc = archive.read(f"archive/{said['filename']}")
            place = int(said["offset"]), int(said["offset"]) + int(said["length"])
            return next(iter(ArchiveIterator(BytesIO(warc[slice(*place)]))))

        assert [one["url"] for one in pages] == [one.url for one in records]
        assert [said["mime"] for said in found.values()] == ["text/html", "warc/revisit", "warc/revisit"]
        assert {(said["status"], said["digest"]) for said in found.values()} == {
            ("200", next(iter(found.values()))["digest"])
        }
        for capture in found.values():
            one = record_of(capture)
            if one.rec_type == "revisit":
                date = re.sub("[^0-9]", "", one.rec_headers["WARC-Refers-To-Date"])[:14]
                one = record_of(found[f"{surt(one.rec_headers['WARC-Refers-To-Target-URI'])} {date}"])
            assert one.content_stream().read() == body


def test_what_cannot_be_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No WARC there, a file that is none, and filters, which whole files cannot have."""
    fill(tmp_path / "out", "jsonl:", page(1))
    to = ("--to", f"wacz:{tmp_path / 'x.wacz'}")
    said = Exported(capfd, tmp_path / "out", *to).sentence
    assert said.endswith("has no WARC files; crawl with --sink warc:DIR, or give the folder DIR itself.")
    said = Exported(capfd, tmp_path / "out", *to, "--status", "200").sentence
    assert said.startswith("--status does not go with --to wacz:")
    head = b"WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/\r\n"
    long = (
        head
        + b"Content-Type: application/http\r\n\r\nHTTP/1.1 "
        + b"2" * 5000
        + b" OK\r\nContent-Type: text/html\r\n\r\n"
    )
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/x.warc.gz").write_bytes(gzip.compress(long))
    exported = Exported(capfd, tmp_path / "odd", "--to", f"wacz:{tmp_path / 'odd.wacz'}")
    assert exported.err.startswith("farm: 0 pages in ")
    (tmp_path / "bad").mkdir()
    for content in (b"no gzip", gzip.compress(b"no warc"), gzip.compress(b"WARC/1.1\r\n\r\n")[:-3]):
        (tmp_path / "bad/x.warc.gz").write_bytes(content)
        said = Exported(capfd, tmp_path / "bad", *to).sentence
        assert "x.warc.gz cannot be read" in said
        assert not (tmp_path / "x.wacz").exists()


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://127.0.0.1:8000/a/B/", "1,0,0,127:8000)/a/b"),
        ("https://www.Shop.example/p/?b=2&a=1", "example,shop)/p?a=1&b=2"),
        ("https://www2.shop.example:443/p//x?", "example,shop)/p/x"),
        ("http://[::1]:80/a", "::1)/a"),
        ("http://shop.example/?PHPSESSID=0123456789abcdefghijklemopqrstuv&x=1", "example,shop)/?x=1"),
        ("http://shop.example/a%20b%2Fc?q=%C3%BC", "example,shop)/a%20b/c?q=%c3%bc"),
        ("http://shop.example/#/route", "example,shop)/"),
        ("http://shop.example/index.html?&a=1&&b", "example,shop)/index.html?&&a=1&b"),
        ("http://xn--bcher-kva.example/\u00fc", "example,xn--bcher-kva)/%c3%bc"),
    ],
)
def test_addresses_are_turned_as_replay_tools_turn_them(url: str, key: str) -> None:
    """As the package surt of the Internet Archive has it."""
    assert surt(url) == key
