"""Whatever a sink has written is read back, as far as it is whole; what is something else is one sentence."""

import gzip
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from farm.export import line_files
from farm.export.find import find_sources
from farm.export.source import Source
from farm.model.errors import UsageError
from farm.model.record import Batch
from farm.sinks.address import parse_sink, store_of
from tests.export.stored import Exported, fill, page
from tests.sinks.postgres_server import PASSWORD, PostgresServer

PAGES = [page(number) for number in range(1, 6)]
EXPECTED = [dict(one.fields) for one in PAGES]


def sources(*named: Path | str) -> list[Source]:
    """Return the sources of these names; no folder keeps what its sinks were."""
    return find_sources(map(str, named), lambda _: ())


@pytest.mark.parametrize(
    "sink",
    [
        "jsonl:{}/pages.jsonl",
        "jsonl:{}/pages.jsonl.gz?rotate=1KiB",
        "jsonl:{}/shop.jsonl.zst",
        "csv:{}/pages.csv",
        "sqlite:///{}/shop.db",
        "parquet:{}/parts",
    ],
)
def test_every_sink_is_read_back(tmp_path: Path, capfd: pytest.CaptureFixture[str], sink: str) -> None:
    """Types, nulls and line ends included, by the sink's own words and by the path."""
    sink = sink.format(tmp_path)
    fill(tmp_path, sink, *PAGES)
    address = sink.partition("?")[0]
    assert Exported(capfd, address, "--to", "jsonl:-").records == EXPECTED
    path = parse_sink(address).path
    assert path is not None
    if path.exists() and "rotate" not in sink:
        assert Exported(capfd, path, "--to", "jsonl:-").records == EXPECTED
    else:
        assert len(list(tmp_path.glob("pages-00000?.jsonl.gz"))) >= 1


@pytest.mark.parametrize("sink", ["", "sqlite:///{}/of/shop.db", "parquet:{}/of/parts", "csv:"])
def test_an_output_folder_has_its_records_where_its_sinks_put_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], sink: str
) -> None:
    """Also where these are elsewhere: the folder keeps what they were."""
    out = tmp_path / "out"
    fill(out, sink.format(tmp_path) or "jsonl:", *PAGES)
    kept = {
        "crawl": "default",
        "settings": {"sink": [f"warc:{tmp_path}/w", sink.format(tmp_path)]} if sink else {},
    }
    (out / ".farm").mkdir(exist_ok=True)
    (out / ".farm/settings.json").write_text(json.dumps(kept))
    assert Exported(capfd, "--output", out, "--to", "jsonl:-").records == EXPECTED


def test_a_folder_whose_database_has_a_password_says_that_it_is_not_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The user has it."""
    (tmp_path / ".farm").mkdir()
    kept = {"settings": {"sink": ["postgresql://***@db.example/x"]}}
    (tmp_path / ".farm/settings.json").write_text(json.dumps(kept))
    said = Exported(capfd, tmp_path, "--to", "jsonl:-").sentence
    assert said.endswith("are in postgresql://***@db.example/x, whose password is not kept; give all of it.")


def test_what_a_killed_run_has_not_made_a_file_of_is_read_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Records in the log of a Parquet sink, beside those in its files."""
    sink = f"parquet:{tmp_path / 'parts'}"
    fill(tmp_path, sink, *PAGES[:2])
    fill(tmp_path, sink, *PAGES[2:], close=False)
    assert not (tmp_path / "parts/part-n1-000002.parquet").exists()
    assert Exported(capfd, tmp_path / "parts", "--to", "jsonl:-").records == EXPECTED


def test_a_log_that_becomes_a_file_meanwhile_is_read_nevertheless(tmp_path: Path) -> None:
    """That file was not there when the files were listed; once it is listed, the log is not missed."""
    address, found = parse_sink(f"parquet:{tmp_path / 'parts'}"), list[list[Source]]()
    fill(tmp_path, str(address), *PAGES)
    last = page(9, items=[{"a": 1}])
    store = store_of(address, tmp_path, tmp_path / ".farm", "n1")
    store.open()
    store.write([store.encode(Batch([last]))[0]])
    found.append(sources(tmp_path / "parts"))
    store.close()
    found.append(sources(tmp_path / "parts"))
    for files, *logs in found:
        stored = [head.id for one in (files, *logs) for head in one.heads()]
        assert stored == [one.id for one in (*PAGES, last)]
        assert [item["_page_id"] for one in (files, *logs) for item in one.items()] == [last.id]
    (log,) = found[0][1:]
    assert [one["id"] for one in log.records(iter([(0, last.id)]))] == [last.id]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst", "csv"])
def test_a_torn_end_is_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str], ending: str) -> None:
    """As it is left by a kill, or by a run that is writing now."""
    path = tmp_path / f"pages.{ending}"
    fill(tmp_path, f"{ending.partition('.')[0]}:{path}", *PAGES)
    whole = path.read_bytes()
    # A line that is whole counts, whatever lacks behind it.
    for cut in (1, 10, 40) if path.suffix in {".jsonl", ".csv"} else (40,):
        path.write_bytes(whole[:-cut])
        assert Exported(capfd, path, "--to", "jsonl:-").records == EXPECTED[:-1]


def test_a_database_of_a_server_is_read(
    server: PostgresServer, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without its password in any message."""
    assert Exported(capfd, url, "--to", "jsonl:-").sentence.startswith("postgresql://127.0.0.1:")
    fill(Path.cwd() / "out", url, *PAGES)
    found = Exported(capfd, url, "--to", "jsonl:-")
    assert found.records == [fields | {"links": fields["links"]} for fields in EXPECTED]
    assert PASSWORD not in found.err
    server.kill()
    said = Exported(capfd, url, "--to", "jsonl:-").sentence
    server.start()
    assert "cannot be read" in said
    assert PASSWORD not in said


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_is_no_record_is_one_sentence_with_its_place(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and nothing is written."""
    (tmp_path / "a.jsonl").write_text(
        '{"id":"1","url":"u","fetched_at":"2026-03-01T00:00:00.000Z"}\n{"id":1}\n'
    )
    (tmp_path / "b.jsonl").write_text(
        '{"id":"1","url":"u","fetched_at":"2026-03-01T00:00:00.000Z"}\nnonsense\n'
    )
    (tmp_path / "c.jsonl").write_text(
        '{"id":"1","url":"u","fetched_at":"2026-03-01T00:00:00.000Z","revision":"x"}\n'
    )
    (tmp_path / "d.jsonl").write_text('{"id":"1","url":"u","fetched_at":"2026-99-01T00:00:00.000Z"}\n')
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text('id,url,fetched_at\n1,u,2026-03-01T00:00:00.000Z\n1,"u"x,t\n')
    (tmp_path / "c.csv").write_text("id,url,fetched_at,settled\n1,u,t,perhaps\n")
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"{}\n") + b"\x1f\x8bjunk" * 9)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/x.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "log").mkdir()
    (tmp_path / "log/.part-n1-000001.log").write_text(
        '{"id":"1","url":"u","fetched_at":"2026-03-01T00:00:00.000Z","headers":"nonsense"}\n'
    )
    (tmp_path / "empty/.farm").mkdir(parents=True)
    (tmp_path / "empty/.farm/settings.json").write_text('{"settings":{"sink":["nonsense"]}}')
    os.mkfifo(tmp_path / "pipe.jsonl")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE pages (x)")
    (tmp_path / "b.db").write_bytes(b"SQLite format 3\0" + b"x" * 100)
    for name, said in {
        "a.jsonl": "a.jsonl: line 2 is not a record of a page.",
        "b.jsonl": "b.jsonl: line 2 is not a record of a page.",
        "c.jsonl": "c.jsonl: line 1 is not a record of a page.",
        "d.jsonl": "d.jsonl: line 1 is not a record of a page.",
        "a.csv": "has no header with fetched_at, id, url",
        "b.csv": "b.csv: line 2 is not a record of a page.",
        "c.csv": "c.csv: line 1 is not a record of a page.",
        "a.gz": "a.gz cannot be read (Not a gzipped file",
        "b.jsonl.gz": "not a record of a page",
        "parts": "x.parquet cannot be read",
        "log": "log cannot be read (the row 1 has a text that is not JSON)",
        "empty": "empty has no records",
        "pipe.jsonl": "is not a file that can be read twice",
        "a.db": "a.db has no table pages with",
        "b.db": "b.db cannot be read (file is not a database)",
        "c.db": "There is no",
        "csv:": "names no place",
        "parquet:nothing": "There is no folder",
        "sqlite://x": "sqlite: write sqlite:///FILE",
    }.items():
        source = name if ":" in name else str(tmp_path / name)
        refused = Exported(capfd, source, "--to", f"csv:{tmp_path / 'out.csv'}")
        assert (refused.code, said in refused.sentence) == (2, True), (name, refused.err)
        assert not (tmp_path / "out.csv").exists()


def test_a_line_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another kind may be one line, and a few bytes may unpack to anything."""
    monkeypatch.setattr(line_files, "LONGEST_LINE", 1000)
    (tmp_path / "a.jsonl").write_text('{"id":"' + "x" * 2000)
    (tmp_path / "a.csv").write_text('id,url,fetched_at\n"' + "x\n" * 1000)
    with pytest.raises(UsageError, match="a line has more than 1,000 bytes"):
        list(sources(tmp_path / "a.jsonl")[0].heads())
    with pytest.raises(UsageError, match="a row has more than 1,000 bytes"):
        list(sources(tmp_path / "a.csv")[0].heads())


def test_long_rows_are_not_in_memory_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a Parquet file as many at once as have some megabytes, but one at least."""
    sizes: list[int] = []
    batches = pq.ParquetFile.iter_batches

    def counted(file: pq.ParquetFile, batch_size: int, columns: list[str]) -> Iterator[Any]:
        sizes.append(batch_size)
        yield from batches(file, batch_size=batch_size, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    for number, html in enumerate(("", os.urandom(500_000).hex(), os.urandom(9_000_000).hex())):
        fill(tmp_path, f"parquet:{tmp_path / str(number)}", page(1, html=html), page(2, html=html))
        (source,) = sources(tmp_path / str(number))
        assert len(list(source.heads())) == 2
        assert [len(one["html"]) for one in source.records(iter([(0, PAGES[0].id), (1, PAGES[1].id)]))] == [
            len(html)
        ] * 2
    assert (sizes[0], sizes[1]) == (10_000, 100)
    assert 20 < sizes[3] < 40
    assert sizes[5] == 1


def test_a_file_that_changes_meanwhile_is_said(tmp_path: Path) -> None:
    """Another record may not be mistaken for the one that was chosen."""
    fill(tmp_path, "jsonl:", *PAGES)
    (source,) = sources(tmp_path)
    assert len(list(source.heads())) == len(PAGES)
    with pytest.raises(UsageError, match="was changed while it was read"):
        list(source.records(iter([(0, PAGES[1].id)])))
    with pytest.raises(UsageError, match="was changed while it was read"):
        list(source.records(iter([(9, PAGES[1].id)])))
    assert list(source.records(iter([(3, PAGES[3].id)]))) == [EXPECTED[3]]
