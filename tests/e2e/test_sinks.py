"""Records in the stores that people have, through kills, locks and outages."""

import csv
import gzip
import json
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from farm.sinks.warc import WarcFormat
from fixtures.shop import Shop
from tests.e2e.farm_process import FARM, Running, crawl, farm, log_says, read_lines, seen_pages, start
from tests.sinks.postgres_server import PASSWORD, USER, PostgresServer
from tests.small_disk import enlarge, small_disk


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Start a server for the tests of this file."""
    server = PostgresServer()
    yield server
    server.remove()


def urls(path: Path) -> list[str]:
    """Return the addresses in a database."""
    with closing(sqlite3.connect(path)) as connection:
        return [url for (url,) in connection.execute("SELECT url FROM pages")]


def test_a_crawl_that_is_killed_twice_has_every_page_once_in_each_sink(shop: Shop, out: Path) -> None:
    """SIGKILL at a third and at two thirds; later runs go on with the sinks of the first."""
    database, pages = out.parent / "shop.db", len(shop.oracle.urls)
    sinks = (
        "--sink",
        "sqlite:///shop.db",
        "--sink",
        "jsonl",
        "--sink",
        "parquet:parts",
        "--sink",
        "warc:warcs",
    )
    for number, part in enumerate((pages // 3, 2 * pages // 3)):
        running = crawl(out, shop.url, *(sinks if number == 0 else ()), contexts="4")
        seen_pages(shop, part)
        running.kill()
    finished = crawl(out, shop.url, contexts="4").finish()
    assert finished.code == 0, finished.output
    everything = dict.fromkeys(shop.oracle.urls, 1)
    assert Counter(urls(database)) == everything
    assert Counter(finished.urls) == everything
    parts = pq.read_table(out.parent / "parts", columns=["url"])
    assert Counter(parts.column("url").to_pylist()) == everything
    assert f"using options of earlier runs: --sink sqlite:///{database}" in finished.output
    assert f"of this run in sqlite:///{database}" in finished.output
    archives = list((out.parent / "warcs").iterdir())
    answered = WarcRecordType.response | WarcRecordType.revisit
    assert Counter(key.hex() for path in archives for key in WarcFormat().ids(path)) == Counter(
        record["id"] for record in finished.records
    )
    answers = {
        (
            one.headers["WARC-Target-URI"],
            one.http_headers.status_code,
            len(one.reader.read()) > 0 or one.record_type == WarcRecordType.revisit,
        )
        for path in archives
        for one in ArchiveIterator(BytesIO(path.read_bytes()), record_types=answered)
    }
    shown = [record for record in finished.records if record["html"]]
    assert answers >= {(record["final_url"], record["status"], True) for record in shown}
    written = finished.summary["sinks"]
    assert set(written) == {
        f"sqlite:///{database}",
        f"jsonl:{out}/pages.jsonl",
        f"parquet:{out.parent}/parts",
        f"warc:{out.parent}/warcs",
    }
    assert finished.summary["written"] == written[f"sqlite:///{database}"] > 0
    by_url = {record["url"]: record for record in finished.records}
    with closing(sqlite3.connect(database)) as connection:
        for url, links, title in connection.execute("SELECT url, links, title FROM pages"):
            assert (json.loads(links), title) == (by_url[url]["links"], by_url[url]["title"])


def test_a_locked_database_is_waited_for(shop: Shop, out: Path) -> None:
    """The log says so, no page is lost, and the crawl goes on when the lock is gone."""
    database = out.parent / "shop.db"
    crawl(out.parent / "first", shop.url, "--sink", "sqlite:///shop.db", limit="1").finish()
    before = len(shop.requests.pages())
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        running = crawl(out, shop.url, "--sink", "sqlite:///shop.db", depth="1", contexts="2")
        seen_pages(shop, before + 1)
        other.execute("BEGIN IMMEDIATE")
        log_says(out, f"waiting for sqlite:///{database} since ")
        assert running.process.poll() is None
        other.execute("ROLLBACK")
    finished = running.finish()
    assert finished.code == 0, finished.output
    assert f"sqlite:///{database} takes records again, after " in finished.output
    done = finished.summary["ledger"]["done"]
    assert len(set(urls(database))) == len(urls(database)) == done > 2


def test_a_database_that_stays_locked_ends_the_run_and_nothing_is_lost(shop: Shop, out: Path) -> None:
    """Exit 6 with one sentence after the patience; the next run visits what was not acknowledged."""
    database = out.parent / "shop.db"
    sinks = ("--sink", "sqlite:///shop.db", "--sink-patience", "1s")
    crawl(out.parent / "first", shop.url, *sinks, limit="1").finish()
    before = len(shop.requests.pages())
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        running = crawl(out, shop.url, *sinks, depth="1")
        seen_pages(shop, before + 1)
        other.execute("BEGIN IMMEDIATE")
        refused = running.finish()
        other.execute("ROLLBACK")
    assert refused.code == 6, refused.output
    assert refused.output.splitlines()[-1].startswith("farm: ")
    assert f"{database} is locked by another program" in refused.output.splitlines()[-1]
    assert "start the crawl again" in refused.output.splitlines()[-1]
    assert refused.summary["exit_reason"] == "output_unwritable"
    finished = crawl(out, shop.url, *sinks, depth="1").finish()
    assert finished.code == 0, finished.output
    assert finished.summary["ledger"]["dead"] == 0
    ids = [line["url"] for line in read_lines(out / "skipped.jsonl")]
    assert len(ids) == len(set(ids))
    assert len(urls(database)) == len(set(urls(database)))


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["jsonl:pages.jsonl", "csv:pages.csv", "sqlite:///shop.db", "parquet:parts"])
def test_a_full_disk_ends_the_run_and_the_next_one_completes_it(
    shop: Shop, tmp_path: Path, sink: str
) -> None:
    """Exit 6 with the remedy; once there is room every page is there, and none twice."""
    with small_disk(tmp_path / "disk", "256k") as disk:
        kind, _, name = sink.rpartition(":")
        named = f"sqlite:///{disk}/shop.db" if kind == "sqlite" else f"{kind}:{disk}/{name}"
        full = crawl(tmp_path / "out", shop.url, "--sink", named).finish()
        assert full.code == 6, full.output
        last = full.output.splitlines()[-1]
        assert last.startswith("farm: ")
        assert "cannot be written" in last
        assert "free some space" in last
        assert "Traceback" not in full.output
        assert 0 < full.summary["ledger"]["done"] < len(shop.oracle.urls)
        enlarge(disk, "64m")
        finished = crawl(tmp_path / "out", shop.url).finish()
        assert finished.code == 0, finished.output
        exported = farm(
            "export", named, "--to", "jsonl:all.jsonl", "--columns", "url", folder=tmp_path / "out"
        )
        assert exported.code == 0, exported.output
        stored = [record["url"] for record in read_lines(tmp_path / "all.jsonl")]
    assert Counter(stored) == dict.fromkeys(shop.oracle.urls, 1)


def into(database: str, out: Path, shop: Shop, *arguments: str) -> Running:
    """Start a crawl whose sink is named by the environment, as a password should be."""
    flags = ("--contexts", "4", "--ramp-up", "0s", "--allow-network", "127.0.0.0/8", "--live", "off")
    environment = {"FARM_SINK": database}
    return start(
        "run", shop.url, *flags, "--output", str(out), *arguments, folder=out, environment=environment
    )


def test_a_database_and_a_farm_that_are_killed_lose_no_page(
    postgres: PostgresServer, shop: Shop, out: Path
) -> None:
    """First the server in mid-crawl, then the farm: every page once, and the password nowhere."""
    database = postgres.database("killed")
    name, pages = database.replace(f"{USER}:{PASSWORD}@", ""), len(shop.oracle.urls)
    running = into(database, out, shop)
    seen_pages(shop, pages // 3)
    postgres.kill()
    log_says(out, f"waiting for {name} since ")
    postgres.start()
    log_says(out, f"{name} takes records again")
    seen_pages(shop, 2 * pages // 3)
    running.kill()
    unnamed = crawl(out, shop.url).finish()
    assert unnamed.code == 2
    assert "This crawl was created with --sink postgresql://***@127.0.0.1" in unnamed.output
    finished = into(database, out, shop).finish()
    assert finished.code == 0, finished.output
    with psycopg.connect(database) as connection:
        stored = [url for (url,) in connection.execute("SELECT url FROM pages")]
    assert Counter(stored) == dict.fromkeys(shop.oracle.urls, 1)
    assert finished.summary["sinks"].keys() == {name}
    assert finished.summary["settings"]["sink"] == [name.replace("//", "//***@")]
    assert not (out / "pages.jsonl").exists()
    left = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert [path for path, content in left.items() if PASSWORD.encode() in content] == []
    assert PASSWORD not in unnamed.output + finished.output


def test_a_database_that_refuses_is_one_sentence_before_any_page(
    postgres: PostgresServer, shop: Shop, out: Path
) -> None:
    """Exit 6, and nothing was fetched."""
    refused = into(postgres.url(password="wRoNg-hUnTeR2"), out, shop).finish()
    assert refused.code == 6, refused.output
    assert "password authentication failed" in refused.output.splitlines()[-1]
    assert "hUnTeR2" not in refused.output
    assert shop.requests.pages() == []


def test_records_can_be_read_from_standard_output(shop: Shop, out: Path) -> None:
    """Nothing else is there: the report and the log are on standard error; other sinks have the same records."""
    command = [*FARM, "run", shop.url, "--depth", "1", "--contexts", "2", "--allow-network", "127.0.0.0/8"]
    sinks = ("stdout:", "csv:", "jsonl:pages.jsonl.gz?rotate=10KiB")
    command += ["--output", str(out), *(part for sink in sinks for part in ("--sink", sink))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=out.parent, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = {record["id"]: record for record in map(json.loads, done.stdout.splitlines())}
    with (out / "pages.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    packed = sorted(out.parent.glob("pages*.jsonl.gz"))
    lines = [json.loads(line) for path in packed for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(packed) > 1
    assert len(lines) == len(rows) == len(found) > 3
    assert {record["id"]: record for record in lines} == found
    assert {row["id"]: row["title"] for row in rows} == {id_: one["title"] for id_, one in found.items()}
    assert f"{len(found)} pages of this run in stdout:" in done.stderr
    again = subprocess.run(command, capture_output=True, text=True, cwd=out.parent, timeout=60, check=False)
    assert again.stdout == ""
    assert "nothing new" in again.stderr


def test_all_that_pages_load_is_in_the_archive(shop: Shop, out: Path) -> None:
    """Scripts, styles and images of every page beside its document; two readers take the digests for right.

    What several pages load is there once, and found by every other page's record.
    """
    refused = crawl(out, shop.url, "--warc-all").finish()
    assert (refused.code, "--warc-all has no effect without --sink warc:DIR" in refused.output) == (2, True)
    sinks = ("--sink", "warc:warcs", "--sink", "jsonl", "--warc-all", "--block", "none")
    finished = crawl(out, shop.url, *sinks, depth="1").finish()
    assert finished.code == 0, finished.output
    (path,) = (out.parent / "warcs").iterdir()
    kinds: dict[str, Counter[str]] = {}
    payloads: dict[tuple[str, str], str] = {}
    referred = set()
    with path.open("rb") as file:
        for one in WarcioIterator(file, check_digests="raise"):
            length, head = len(one.content_stream().read()), one.rec_headers
            if one.rec_type == "response" and length:
                payloads[head["WARC-Target-URI"], head["WARC-Date"]] = head["WARC-Payload-Digest"]
            if one.rec_type == "revisit":
                refers_to = head["WARC-Refers-To-Target-URI"], head["WARC-Refers-To-Date"]
                assert payloads[refers_to] == head["WARC-Payload-Digest"]
                referred.add(refers_to[0])
            if one.rec_type == "revisit" or (one.rec_type == "response" and length):
                id_ = head["WARC-Crawl-Record-ID"].partition(" ")[0]
                mime = one.http_headers.get_header("Content-Type").partition(";")[0]
                kinds.setdefault(id_, Counter())[mime] += 1
    pages = {record["id"]: record for record in finished.records if record["html"]}
    assert pages
    for id_, record in pages.items():
        assert {"text/html", "text/css", "text/javascript"} <= kinds[id_].keys(), record["url"]
        assert "warc" not in record["truncated"]
    assert any("image/svg+xml" in found for found in kinds.values())
    assert any(url.partition("?")[0].endswith((".css", ".js")) for url in referred)
    fast = list(ArchiveIterator(BytesIO(path.read_bytes()), verify_digests=True))
    assert len(fast) > 2 * sum(map(Counter.total, kinds.values()))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_a_signal_ends_a_farm_whose_database_is_away(
    postgres: PostgresServer, shop: Shop, out: Path, how: str
) -> None:
    """Within the time of a drain and of closing, with its summary; the next run does the rest."""
    database = postgres.database(f"away_{how}")
    running = into(database, out, shop, "--depth", "1")
    seen_pages(shop, 2)
    if how == "killed":
        postgres.kill()
    else:
        postgres.signal(signal.SIGSTOP)
    log_says(out, "waiting for postgresql://")
    running.signal(signal.SIGINT)
    drained = running.finish(timeout_s=40)
    assert drained.code == 130, drained.output
    assert drained.summary["exit_reason"] == "sigint"
    if how == "killed":
        postgres.start()
    else:
        postgres.signal(signal.SIGCONT)
    finished = into(database, out, shop, "--depth", "1").finish()
    assert finished.code == 0, finished.output
    with psycopg.connect(database) as connection:
        stored = [url for (url,) in connection.execute("SELECT url FROM pages")]
    assert len(stored) == len(set(stored)) == finished.summary["ledger"]["done"]
