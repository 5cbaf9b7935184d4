"""What is written, in each format, whole or not at all."""

import csv
import gzip
import io
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from backports import zstd

from farm.export import writers
from farm.model.record import COLUMNS
from farm.sinks import parquet
from tests.e2e.farm_process import until
from tests.export.stored import LINKS, Exported, fill, page

PAGES = [page(number) for number in range(1, 6)]
FARM = (sys.executable, "-m", "farm.cli.main", "export")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Make an output folder."""
    return fill(tmp_path / "out", "jsonl:", *PAGES)


def asked(query: str) -> list[tuple[Any, ...]]:
    """Ask DuckDB."""
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def test_csv_is_read_by_others(stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By DuckDB and Python, packed too; columns as requested, in their order."""
    path = tmp_path / "shop.csv"
    assert Exported(capfd, stored, "--to", f"csv:{path}").code == 0
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["title"] for row in rows] == [one.fields["title"] for one in PAGES]
    assert list(rows[0]) == [column.name for column in COLUMNS]
    found = asked(
        f"SELECT url, links ->> '$[0].url' FROM read_csv('{path}', header = true, all_varchar = true)"  # noqa: S608
    )
    assert found == [(one.url, LINKS[0]["url"]) for one in PAGES]
    some = tmp_path / "some.csv.gz"
    Exported(capfd, stored, "--to", f"csv:{some}", "--columns", "title,url", "--pattern", "/1$")
    assert gzip.decompress(some.read_bytes()).decode() == f'title,url\n"a ""1"",\r\né",{PAGES[0].url}\n'


def test_jsonl_is_as_a_run_writes_it(stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Byte by byte."""
    path = tmp_path / "all.jsonl.zst"
    assert Exported(capfd, stored, "--to", f"jsonl:{path}").code == 0
    assert zstd.decompress(path.read_bytes()) == (stored / "pages.jsonl").read_bytes()


def test_parquet_is_read_by_duckdb(
    stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of a decent size each, with the declared types; of some columns too."""
    monkeypatch.setattr(writers, "FILE_BYTES", 1)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    monkeypatch.setattr(parquet, "_SLICE_ROWS", 2)
    folder = tmp_path / "parts"
    folder.mkdir()
    assert Exported(capfd, stored, "--to", f"parquet:{folder}").code == 0
    assert len(list(folder.iterdir())) > 1
    found = asked(
        f"SELECT url, links ->> '$[0].url', typeof(fetched_at) FROM '{folder}/*.parquet' ORDER BY url"  # noqa: S608
    )
    assert found == [(one.url, LINKS[0]["url"], "TIMESTAMP WITH TIME ZONE") for one in PAGES]
    some = tmp_path / "some"
    assert Exported(capfd, stored, "--to", f"parquet:{some}", "--columns", "url,status").code == 0
    assert pq.read_table(some).column_names == ["url", "status"]
    assert Exported(capfd, stored, "--pattern", "nothing", "--to", f"parquet:{tmp_path / 'none'}").code == 0
    assert pq.read_table(tmp_path / "none").num_rows == 0


def test_links_are_the_edges_of_a_graph(
    stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the pages that are wanted, as JSON or as rows by the name."""
    lines = Exported(capfd, stored, "--pattern", "/[12]$", "--to", "links:-").records
    edges = [
        {"source": one.url, "target": link["url"], "text": link["text"], "rel": link["rel"]}
        for one in PAGES[:2]
        for link in LINKS
    ]
    assert lines == edges
    path = tmp_path / "links.csv.gz"
    Exported(capfd, stored, "--pattern", "/[12]$", "--to", f"links:{path}?formulas=escape")
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode(), newline="")))
    assert rows == [edge | {"text": f"'{edge['text']}" if edge["text"] else ""} for edge in edges]


def test_formulas_are_escaped_where_it_is_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As `--sink csv:` does."""
    fill(tmp_path / "out", "jsonl:", page(1, title="=1+1"))
    for query, shown in (("", "=1+1"), ("?formulas=escape", "'=1+1")):
        path = tmp_path / f"x{len(query)}.csv"
        Exported(capfd, tmp_path / "out", "--columns", "title", "--to", f"csv:{path}{query}")
        assert path.read_text() == f"title\n{shown}\n"


def test_what_is_there_is_replaced_by_force_alone(
    stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder only where it has nothing else in it."""
    path, folder = tmp_path / "x.jsonl", tmp_path / "parts"
    path.write_text("mine")
    folder.mkdir()
    (folder / "part-000009.parquet").write_text("mine")
    for to in (f"jsonl:{path}", f"parquet:{folder}"):
        refused = Exported(capfd, stored, "--to", to)
        assert (refused.code, "exists already; remove it" in refused.sentence) == (2, True)
    assert path.read_text() == (folder / "part-000009.parquet").read_text() == "mine"
    for to in (f"jsonl:{path}", f"parquet:{folder}"):
        assert Exported(capfd, stored, "--to", to, "--force").code == 0
    assert path.read_bytes() == (stored / "pages.jsonl").read_bytes()
    assert pq.read_table(folder).num_rows == len(PAGES)
    (folder / "thesis.tex").write_text("mine")
    assert Exported(capfd, stored, "--to", f"parquet:{folder}", "--force").code == 2
    assert (folder / "thesis.tex").exists()
    assert Exported(capfd, stored, "--to", f"csv:{tmp_path}", "--force").code == 6
    assert sorted(os.listdir(tmp_path)) == ["out", "parts", "x.jsonl"]  # noqa: PTH208


def test_of_a_link_to_a_folder_what_it_leads_to_is_replaced(
    stored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The link stays, and so does what was there where the export fails."""
    folder, link = tmp_path / "parts", tmp_path / "latest"
    folder.mkdir()
    link.symlink_to(folder)
    (folder / "part-000009.parquet").write_text("mine")
    torn = tmp_path / "torn.jsonl"
    torn.write_text("nonsense\n")
    assert Exported(capfd, torn, "--to", f"parquet:{link}", "--force").code == 2
    assert (folder / "part-000009.parquet").read_text() == "mine"
    assert Exported(capfd, stored, "--to", f"parquet:{link}", "--force").code == 0
    assert link.is_symlink()
    assert pq.read_table(folder).num_rows == len(PAGES)
    assert sorted(os.listdir(tmp_path)) == ["latest", "out", "parts", "torn.jsonl"]  # noqa: PTH208


@pytest.mark.parametrize("to", ["jsonl:x.jsonl", "csv:x.csv", "parquet:parts", "links:l.csv.gz"])
def test_a_disk_that_is_full_leaves_nothing(stored: Path, tmp_path: Path, to: str) -> None:
    """Exit 6 and one sentence; a limit on files' sizes is such a disk."""
    noise = [page(n, title=os.urandom(20_000).hex(), links=LINKS * 2000) for n in range(10, 40)]
    fill(stored, "jsonl:", *noise)
    done = subprocess.run(
        [*FARM, str(stored), "--to", to],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000)),
    )
    assert done.returncode == 6, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written (File too large); free some space" in done.stderr
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208


@pytest.mark.parametrize("to", ["csv:x.csv", "parquet:parts"])
def test_killed_in_the_middle_it_leaves_nothing_that_looks_whole(tmp_path: Path, to: str) -> None:
    """A hidden draft alone, which the next export takes over; two of them at once do not disturb each other."""
    out = tmp_path / "out"
    out.mkdir()
    line = json.dumps(
        {"id": "%032x", "url": "https://x/%d", "fetched_at": "2026-03-01T00:00:00.000Z", "text": "x" * 2000}
    )
    with (out / "pages.jsonl").open("w") as file:
        file.writelines(line.replace("%032x", f"{n:032x}").replace("%d", str(n)) + "\n" for n in range(8_000))
    place = tmp_path / to.partition(":")[2]
    draft = place.with_name(f".{place.name}.draft")
    with subprocess.Popen([*FARM, "out", "--to", to], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        until(draft.exists, "the draft")
        process.send_signal(signal.SIGSTOP)
        second = subprocess.run(
            [*FARM, "out", "--to", to], cwd=tmp_path, capture_output=True, timeout=60, check=False
        )
        process.kill()
    assert (second.returncode, b"is being written by another export" in second.stderr) == (2, True)
    assert not place.exists()
    again = subprocess.run(
        [*FARM, "out", "--to", to], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert again.returncode == 0, again.stderr
    assert not draft.exists()
    reader = (
        f"read_csv('{place}', header = true, all_varchar = true)"
        if to.startswith("csv")
        else f"'{place}/*.parquet'"
    )
    assert asked(f"SELECT count(DISTINCT id), count(*) FROM {reader}") == [(8_000, 8_000)]  # noqa: S608


def test_a_reader_that_goes_away_is_no_error(stored: Path) -> None:
    """As in `farm export … | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*FARM, str(stored), "--to", "jsonl:-"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
