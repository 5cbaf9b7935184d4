"""Object stores as sources: what sinks have put into an S3, or somebody else has, merged and read in parts."""

import gzip
import json
import os
import threading
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
from warcio.archiveiterator import ArchiveIterator

from farm.cli.main import main
from farm.export import stored_file
from farm.export.stored_file import ObjectFile
from farm.model.errors import UsageError
from farm.model.record import Batch
from farm.sinks import object_store
from farm.sinks.object_store import ObjectReader
from tests.export.stored import Exported, fill, page
from tests.export.test_wacz import indexed, visited
from tests.sinks.object_records import made, named
from tests.sinks.object_server import BUCKET, SECRET, Front, ObjectServer

PAGES = [page(number, items=[{"name": f"Lamp {number}"}]) for number in range(1, 6)]
EXPECTED = [dict(one.fields) for one in PAGES]


def bare(server: ObjectServer | Front, prefix: str) -> str:
    """Return the URL of a prefix, without the kind of what is there."""
    return f"s3://{BUCKET}/{prefix}?endpoint_url={server.endpoint}"


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_what_a_sink_has_put_there_is_read_back(
    kind: str, object_server: ObjectServer, keys: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of several objects, by the sink's name, by the URL alone, and by the output folder; items too."""
    prefix = f"read/{kind}"
    name = named(kind, object_server.endpoint, prefix)
    for number, one in enumerate(PAGES):
        fill(tmp_path / str(number % 2), name, one)
    fill(tmp_path / "out", name)
    (tmp_path / "out/.farm/settings.json").write_text(json.dumps({"settings": {"sink": [name]}}))
    sources: list[str | Path] = [name, bare(object_server, prefix), bare(object_server, f"{prefix}/")]
    for source in (*sources, tmp_path / "out"):
        exported = Exported(capfd, source, "--to", "jsonl:-")
        assert sorted(exported.records, key=lambda line: line["url"]) == EXPECTED
        assert SECRET not in exported.err
        items = Exported(capfd, source, "--items", "--to", "jsonl:-").records
        assert sorted(item["name"] for item in items) == [f"Lamp {number}" for number in range(1, 6)]
    single = next(one for one in object_server.objects(f"{prefix}/") if "/" not in one)
    found = Exported(capfd, bare(object_server, f"{prefix}/{single}"), "--to", "jsonl:-").records
    assert len(found) == 1
    assert found[0] in EXPECTED


def test_prefixes_and_folders_become_one_data_set(
    object_server: ObjectServer, keys: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One row an id, of the highest revision, whatever the objects of each are."""
    fill(tmp_path / "a", named("jsonl", object_server.endpoint, "mixed/one"), *PAGES[:3])
    fill(tmp_path / "b", named("parquet", object_server.endpoint, "mixed/one"), *PAGES[2:4])
    fill(
        tmp_path / "c",
        named("parquet", object_server.endpoint, "mixed/two"),
        page(1, revision=1, title="new"),
    )
    fill(tmp_path / "d", "jsonl:", *PAGES[3:])
    sources = [bare(object_server, f"mixed/{prefix}") for prefix in ("one", "two")]
    both = Exported(capfd, *sources, tmp_path / "d", "--to", "jsonl:-")
    assert {line["url"]: line["title"] for line in both.records} == {
        one.url: "new" if number == 1 else one.fields["title"] for number, one in enumerate(PAGES, 1)
    }
    assert len(both.records) == 5
    assert both.err == "farm: 5 records in standard output, of 8 records in 3 sources\n"
    assert Exported(capfd, *sources, "--to", f"parquet:{tmp_path / 'out'}", "--pattern", "/[12]$").code == 0
    assert pq.read_table(tmp_path / "out").num_rows == 2


def test_what_no_object_has_yet_is_read_from_the_log_of_the_output_folder(
    object_server: ObjectServer, keys: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its items too, beside the objects and where there are none."""
    for kind in ("jsonl", "parquet"):
        name, out = named(kind, object_server.endpoint, f"logged/{kind}"), tmp_path / kind
        killed = made(out, name)
        killed.open()
        for one in PAGES[:2]:
            killed.write([killed.encode(Batch([one]))[0]])
        killed._release()
        killed._place.close()
        (out / ".farm/settings.json").write_text(json.dumps({"settings": {"sink": [name]}}))
        assert object_server.objects(f"logged/{kind}") == {}
        assert Exported(capfd, out, "--to", "jsonl:-").records == EXPECTED[:2]
        fill(tmp_path / f"{kind}-2", name, *PAGES[2:])
        assert Exported(capfd, out, "--to", "jsonl:-").records == [*EXPECTED[2:], *EXPECTED[:2]]
        items = Exported(capfd, out, "--items", "--to", "jsonl:-").records
        assert sorted(item["_page_id"] for item in items) == sorted(one.id for one in PAGES)


def test_warc_objects_become_an_archive(
    object_server: ObjectServer, keys: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the URL, and by the output folder with its records; every capture is where the index says."""
    name = named("warc", object_server.endpoint, "archived")
    records = [visited(number, title=f"Page {number}") for number in (1, 2)]
    out = fill(tmp_path / "out", name, *records)
    fill(out, "jsonl:", *records)
    (out / ".farm/settings.json").write_text(json.dumps({"settings": {"sink": ["jsonl:", name]}}))
    sources: list[str | Path] = [name, bare(object_server, "archived"), out]
    for number, source in enumerate(sources):
        to = tmp_path / f"{number}.wacz"
        assert Exported(capfd, source, "--to", f"wacz:{to}").code == 0
        with ZipFile(to) as archive:
            for _, said in indexed(archive):
                warc = archive.read(f"archive/{said['filename']}")
                place = int(said["offset"]), int(said["offset"]) + int(said["length"])
                (one,) = ArchiveIterator(BytesIO(warc[slice(*place)]), check_digests="raise")
                assert one.rec_headers["WARC-Target-URI"] == said["url"]
            pages = [json.loads(line) for line in archive.read("pages/pages.jsonl").splitlines()[1:]]
        assert [one["url"] for one in pages] == [one.fields["final_url"] for one in records]
        assert [one["title"] for one in pages] == (
            [f"Page {n}" for n in (1, 2)] if source == out else [one["url"] for one in pages]
        )
    assert ".warc.gz alone, which is for --to wacz:FILE" in Exported(capfd, name, "--to", "jsonl:-").sentence


def test_an_object_is_read_in_parts_and_of_columns_only_what_is_asked_for(
    object_server: ObjectServer,
    keys: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No more than a block is in memory, and the heads of rows do not cost their HTML."""
    monkeypatch.setattr(stored_file, "_BLOCK_BYTES", 10_000)
    parts: list[int] = []
    part = ObjectReader.part

    def counted(reader: ObjectReader, path: str, start: int, end: int) -> bytes:
        parts.append(end - start)
        return part(reader, path, start, end)

    monkeypatch.setattr(ObjectReader, "part", counted)
    lines = b"".join(json.dumps({**one, "html": "x" * 30_000}).encode() + b"\n" for one in EXPECTED)
    object_server.put("parts/lines/pages.jsonl", lines)
    assert len(Exported(capfd, bare(object_server, "parts/lines"), "--to", "jsonl:-").records) == 5
    assert max(parts) == 10_000
    assert sum(parts) >= 2 * len(lines)
    noise = [page(number, html=os.urandom(1_000_000).hex()) for number in (1, 2)]
    fill(tmp_path, named("parquet", object_server.endpoint, "parts/columns"), *noise)
    (content,) = object_server.objects("parts/columns/").values()
    parts.clear()
    refused = Exported(capfd, bare(object_server, "parts/columns"), "--status", "404", "--to", "jsonl:-")
    assert refused.records == []
    assert sum(parts) < len(content) / 2


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_an_object_without_a_wanted_record_is_read_once(
    kind: str,
    object_server: ObjectServer,
    keys: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """For the heads of its rows alone."""
    for number, one in enumerate(PAGES[:3], 1):
        fill(tmp_path / str(number), named(kind, object_server.endpoint, f"once/{kind}"), one)
    opened: list[str] = []
    open_it = ObjectFile.open

    def counted(file: ObjectFile) -> BinaryIO:
        opened.append(file.name)
        return open_it(file)

    monkeypatch.setattr(ObjectFile, "open", counted)
    wanted = ("--pattern", "/2$", "--to", "jsonl:-")
    assert Exported(capfd, bare(object_server, f"once/{kind}"), *wanted).records == [EXPECTED[1]]
    assert sorted(Counter(opened).values()) == [1, 1, 2]


def test_what_others_have_put_there(
    object_server: ObjectServer, keys: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Packed and plain lines; hidden objects and other things are left alone, nonsense is one sentence."""
    line = json.dumps(EXPECTED[0]).encode() + b"\n"
    object_server.put("others/good/.hidden.jsonl", b"nonsense")
    object_server.put("others/good/README.md", b"nonsense")
    object_server.put("others/good/deeper/x.jsonl", b"nonsense")
    object_server.put("others/good/empty.jsonl", b"")
    object_server.put("others/good/a.jsonl.gz", gzip.compress(line))
    assert Exported(capfd, bare(object_server, "others/good"), "--to", "jsonl:-").records == EXPECTED[:1]
    object_server.put("others/bad/a.jsonl", b"nonsense\n")
    object_server.put("others/worse/a.parquet", b"PAR1 nonsense")
    object_server.put("others/neither/a.txt", b"nonsense")
    for prefix, said in {
        "others/bad": f"s3://{BUCKET}/others/bad/a.jsonl: line 1 is not a record of a page.",
        "others/worse": f"s3://{BUCKET}/others/worse/a.parquet cannot be read",
        "others/neither": "has no records; check the address",
        "others/nothing": "has no records; check the address",
    }.items():
        refused = Exported(capfd, bare(object_server, prefix), "--to", f"csv:{tmp_path / 'out.csv'}")
        assert (refused.code, said in refused.sentence) == (2, True), refused.err
    for source, said in {
        f"s3://no-such-bucket/x?endpoint_url={object_server.endpoint}": "has no records; check the address",
        "s3://b/x?endpoint_url=minio": "s3: write s3://BUCKET/PREFIX, and after it ?endpoint_url=URL",
        "s3://k:secret@b/x": "credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "https://shop.example/pages.jsonl": "is not a source; download it",
        "nope://b/x": "cannot be reached (Protocol not known: nope)",
    }.items():
        refused = Exported(capfd, source, "--to", f"csv:{tmp_path / 'out.csv'}")
        assert (refused.code, said in refused.sentence) == (2, True), refused.err
    assert not (tmp_path / "out.csv").exists()


def test_a_store_that_is_busy_for_a_moment_ends_no_export(
    front: Front,
    object_server: ObjectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is asked again; one that stays so, hangs or refuses is one sentence."""
    fill(tmp_path, named("jsonl", front.endpoint, "busy"), *PAGES)
    front.methods = {"GET"}
    pauses: list[float] = []

    def over(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 2:
            front.fault = ""

    monkeypatch.setattr(object_store, "sleep", over)
    front.fault = "503"
    assert Exported(capfd, bare(front, "busy"), "--to", "jsonl:-").records == EXPECTED
    assert pauses == [0.1, 0.2]
    front.fault = "503"
    said = Exported(capfd, bare(front, "busy"), "--to", "jsonl:-").sentence
    assert said.endswith(
        "cannot be read (Please reduce your request rate.); check that it is there, and do it again."
    )
    assert len(pauses) == 2 + object_store.READ_ATTEMPTS - 1
    front.fault = "403"
    said = Exported(capfd, bare(front, "busy"), "--to", "jsonl:-").sentence
    assert "cannot be read (Access Denied); check the address, credentials and rights" in said


def test_an_object_that_hangs_or_changes_is_one_sentence(
    front: Front, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the deadline of a call, and by its size."""
    monkeypatch.setattr(object_store, "sleep", lambda _: None)
    monkeypatch.setattr(object_store, "READ_ATTEMPTS", 2)
    object_server.put("changing/a.jsonl", b"x" * 100)
    reader = ObjectReader("s3://it", f"s3://{BUCKET}/changing", {"endpoint_url": front.endpoint})
    ((path, size),) = reader.sizes().items()
    assert (path, size) == (f"{BUCKET}/changing/a.jsonl", 100)
    assert ObjectFile(reader, path, size).open().read() == b"x" * 100
    object_server.put("changing/a.jsonl", b"x" * 50)
    with pytest.raises(UsageError, match=r"^s3://it was changed while it was read; do it again"):
        ObjectFile(reader, path, size).open().read()
    monkeypatch.setattr(object_store, "CALL_S", 0.2)
    front.methods, front.fault = {"GET"}, "hang"
    with pytest.raises(
        UsageError, match=r"^s3://it cannot be read \(no answer in time\); check that it is there"
    ):
        reader.part(path, 0, 50)


def test_items_are_read_of_pages_in_objects(
    object_server: ObjectServer,
    keys: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """By `farm extract`, whose event loop does not wait for the store."""
    (tmp_path / "shop.toml").write_text('[item.a]\neach = "p"\n[item.a.fields]\nx = { css = "b" }\n')
    threads: set[str] = set()
    part = ObjectReader.part

    def watched(reader: ObjectReader, path: str, start: int, end: int) -> bytes:
        threads.add(threading.current_thread().name)
        return part(reader, path, start, end)

    monkeypatch.setattr(ObjectReader, "part", watched)
    for number, kind in enumerate(("jsonl", "parquet", "jsonl", "parquet"), 1):
        one = page(number, html=f"<p><b>{number}</b></p>" * number, evidence=None)
        fill(tmp_path / str(number), named(kind, object_server.endpoint, "extracted"), one)
    command = ["extract", str(tmp_path / "shop.toml"), "--from", bare(object_server, "extracted")]
    assert main(command) == 0
    read = capfd.readouterr()
    assert sorted(json.loads(line)["x"] for line in read.out.splitlines()) == list("1223334444")
    assert "10 items of 4 pages, 0 errors" in read.err
    # Arrow has threads of its own.
    assert "stored-pages_0" in threads
    assert "MainThread" not in threads
