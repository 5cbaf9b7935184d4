"""SIGKILL of the farm and of its database, again and again, while each sink is written: every page once."""

import csv
import json
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from fastwarc.warc import ArchiveIterator

from farm.model.url import record_id
from farm.sinks.frames import framing_of
from farm.sinks.warc import WarcFormat
from fixtures.shop import Shop
from tests.e2e.farm_process import Finished, Running, read_lines, seen_pages, start
from tests.e2e.redis_server import RedisServer
from tests.sinks.postgres_server import PostgresServer

KILLS = 10
SLOW = pytest.mark.slow
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Start a server for the tests of this file."""
    server = PostgresServer()
    yield server
    server.remove()


def run(sink: str, out: Path, shop: Shop, *arguments: str) -> Running:
    """Start a run, not so fast that it is over before it can be killed."""
    flags = ("--contexts", "4", "--ramp-up", "0s", "--allow-network", "127.0.0.0/8", "--live", "off")
    given = (shop.url, *flags, "--output", str(out), *(arguments or ("--rate", "15/s")))
    return start("run", *given, folder=out, environment={"FARM_SINK": sink})


def of_sqlite(folder: Path) -> list[str]:
    """Return the ids in the table."""
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        return [id_ for (id_,) in connection.execute("SELECT id FROM pages")]


def of_parquet(folder: Path) -> list[str]:
    """Return the ids in the files; nothing else is in their folder."""
    assert {path.suffix for path in (folder / "parts").iterdir()} == {".parquet"}
    ids: list[str] = pq.read_table(folder / "parts", columns=["id"]).column(0).to_pylist()
    return ids


def of_csv(folder: Path) -> list[str]:
    """Return the ids in the rows."""
    csv.field_size_limit(sys.maxsize)
    with (folder / "shop.csv").open(encoding="utf-8", newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def of_warc(folder: Path) -> list[str]:
    """Return the ids of the entries; another reader finds every digest right, and a document of each page."""
    paths = list((folder / "warcs").iterdir())
    assert {path.suffix for path in paths} == {".gz"}
    ids = [key.hex() for path in paths for key in WarcFormat().ids(path)]
    read = Counter[str]()
    for path in paths:
        with path.open("rb") as file:
            # What is parsed as HTTP is no longer there as a block.
            for one in ArchiveIterator(file, parse_http=False):
                assert one.verify_block_digest()
                if named := one.headers.get("WARC-Crawl-Record-ID"):
                    read[named.partition(" ")[0]] += 1
    assert read.keys() == set(ids)
    return ids


def of_jsonl(folder: Path) -> list[str]:
    """Return the ids in the packed lines."""
    path = folder / "shop.jsonl.zst"
    with path.open("rb") as file:
        found = list(framing_of(path.name).whole(file))
    assert sum(frame_bytes for _, frame_bytes in found) == path.stat().st_size
    return [json.loads(line)["id"] for line, _ in found]


def of_postgres(url: str) -> list[str]:
    """Return the ids in the table."""
    with psycopg.connect(url, autocommit=True) as connection:
        return [id_ for (id_,) in connection.execute("SELECT id FROM pages")]


def ids_of(shop: Shop) -> dict[str, int]:
    """Return the id of each page of the shop, once."""
    return dict.fromkeys((record_id("default", url) for url in shop.oracle.urls), 1)


def killed(kills: int, shop: Shop, begin: Callable[[], Running]) -> Finished:
    """Kill as many runs in mid-crawl, each a few pages further on, and return the end of one that is not."""
    step = len(shop.oracle.urls) // (kills + 2)
    for _ in range(kills):
        before = len(shop.requests.pages())
        running = begin()
        seen_pages(shop, before + step)
        running.process.kill()
        assert running.finish().code == -signal.SIGKILL, "it was over before it was killed"
    finished = begin().finish(timeout_s=120)
    assert finished.code == 0, finished.output
    assert finished.summary["ledger"]["done"] == len(shop.oracle.urls)
    return finished


SINKS: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "sqlite": ("sqlite:///shop.db", of_sqlite),
    "parquet": ("parquet:parts", of_parquet),
    "csv": ("csv:shop.csv", of_csv),
    "warc": ("warc:warcs", of_warc),
    "jsonl.zst": ("jsonl:shop.jsonl.zst", of_jsonl),
}


@pytest.mark.parametrize(
    ("kind", "kills"), [("sqlite", 1), *(pytest.param(kind, KILLS, marks=SLOW) for kind in SINKS)]
)
def test_a_farm_that_is_killed_again_and_again_writes_every_page_once(
    shop: Shop, out: Path, kind: str, kills: int
) -> None:
    """Into a file, alone."""
    sink, ids = SINKS[kind]
    killed(kills, shop, lambda: run(sink, out, shop))
    assert Counter(ids(out.parent)) == ids_of(shop)
    assert not (out / "pages.jsonl").exists()
    skipped = [(line["url"], line["reason"]) for line in read_lines(out / "skipped.jsonl")]
    assert len(skipped) == len(set(skipped))


@SLOW
@pytest.mark.parametrize("kills", [KILLS])
def test_a_farm_that_is_killed_again_and_again_has_every_page_once_in_its_database(
    shop: Shop, out: Path, postgres: PostgresServer, kills: int
) -> None:
    """A transaction that was under way is as if it had not been, or is repeated without harm."""
    url = postgres.database("farm_killed")
    killed(kills, shop, lambda: run(url, out, shop))
    assert Counter(of_postgres(url)) == ids_of(shop)


@SLOW
@pytest.mark.parametrize("kills", [KILLS])
def test_a_database_that_is_killed_again_and_again_has_every_page_once(
    shop: Shop, out: Path, postgres: PostgresServer, kills: int
) -> None:
    """One run of the farm sees all of it, and waits."""
    url = postgres.database("server_killed")
    running = run(url, out, shop)
    step = len(shop.oracle.urls) // (kills + 2)
    for number in range(1, kills + 1):
        seen_pages(shop, number * step)
        postgres.kill()
        assert running.process.poll() is None, "it was over before the server was killed"
        postgres.start()
    finished = running.finish(timeout_s=120)
    assert finished.code == 0, finished.output
    assert Counter(of_postgres(url)) == ids_of(shop)


@SLOW
def test_two_nodes_write_one_data_set(
    shop: Shop, redis: RedisServer, tmp_path: Path, postgres: PostgresServer
) -> None:
    """Into one table, a node killed in the middle: every page once, from both nodes."""
    url = postgres.database("two_nodes")
    shared = ("--redis", redis.url, "--crawl", "shared", "--rate", "15/s")
    begun = len(shop.requests.pages())
    doomed = run(url, tmp_path / "one", shop, *shared, "--node", "one")
    seen_pages(shop, begun + 4)
    survivor = run(url, tmp_path / "two", shop, *shared, "--node", "two")
    with psycopg.connect(url, autocommit=True) as connection:
        seen_pages(shop, begun + 30)
        doomed.process.kill()
        assert doomed.finish().code == -signal.SIGKILL, "it was over before it was killed"
        finished = survivor.finish(timeout_s=120)
        assert finished.code == 0, finished.output
        rows = connection.execute("SELECT id, url, node FROM pages").fetchall()
    everything = dict.fromkeys(shop.oracle.urls, 1)
    assert Counter(url for _, url, _ in rows) == everything
    assert len({id_ for id_, _, _ in rows}) == len(everything)
    assert {node for _, _, node in rows} == {"one", "two"}
