"""The PostgreSQL store: a real server, killed, paused, full of locks, and with tables of others."""

import asyncio
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from farm.app.preflight import preflight
from farm.model.errors import OutputUnwritable, RenderError, UsageError
from farm.model.record import COLUMNS, Batch
from farm.model.secret import SecretUrl
from farm.settings.commands import RunSettings
from farm.sinks import postgres as postgres_module
from farm.sinks.address import parse_sink
from farm.sinks.batch import BatchingWriter, StoreAway
from farm.sinks.output import RecordSink
from farm.sinks.postgres import PostgresStore
from tests.sinks.killed import killed, record
from tests.sinks.postgres_server import NOBODY, PASSWORD, USER, PostgresServer

COMMIT_S = 30


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Start a server for the tests of this file."""
    started = PostgresServer()
    yield started
    started.remove()


@pytest.fixture
def url(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """Make a database for the test."""
    return server.database(request.node.name)


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """Open a store."""
    opened = PostgresStore(SecretUrl(url))
    opened.open()
    yield opened
    opened.close()


def write(store: PostgresStore, *batches: Batch) -> None:
    """Write the batches as one group."""
    store.write([store.encode(batch)[0] for batch in batches])


def rows(url: str, query: str = "SELECT * FROM pages ORDER BY url") -> list[dict[str, Any]]:
    """Return the rows as dictionaries, by a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        if cursor.description is None:
            return []
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_a_record_is_a_row_of_typed_columns(store: PostgresStore, url: str) -> None:
    """What the server has no place for, NUL and half surrogates, becomes the replacement character."""
    links = [{"url": "https://shop.example/2", "text": "zwei\0\\u0000\ud800", "rel": "\\\\\0"}]
    fetched_at = "2026-03-01T12:00:00.123Z"
    write(
        store,
        Batch(
            [
                record(
                    *(1,),
                    links=links,
                    title='a\0\t\\N"ß',
                    settled=True,
                    proxy=None,
                    status=404,
                    fetched_at=fetched_at,
                )
            ]
        ),
    )
    (row,) = rows(url)
    assert list(row) == [column.name for column in COLUMNS]
    assert (row["title"], row["settled"], row["proxy"], row["status"]) == ('a\ufffd\t\\N"ß', True, None, 404)
    assert row["fetched_at"] == datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
    assert row["links"] == [{**links[0], "text": "zwei\ufffd\\u0000\ufffd", "rel": "\\\\\ufffd"}]
    assert rows(url, "SELECT links -> 0 ->> 'url' AS url FROM pages") == [{"url": "https://shop.example/2"}]


def test_an_id_stands_once_and_is_replaced(store: PostgresStore, url: str) -> None:
    """Within a group, over groups and over runs; an older revision replaces no newer one."""
    write(store, Batch([record(1, title="a"), record(2)]), Batch([record(1, title="b")]))
    assert [row["title"] for row in rows(url)] == ["b", ""]
    assert store.written == 2
    write(store, Batch([record(1, title="d", revision=2)]), Batch([record(1, title="c", revision=1)]))
    write(store, Batch([record(1, title="e", revision=1)]))
    assert [row["title"] for row in rows(url)] == ["d", ""]
    store.close()
    store.open()
    write(store, Batch([record(1, title="f", revision=3)]))
    assert [row["title"] for row in rows(url)] == ["f", ""]


def test_a_table_of_before_gets_the_columns_that_it_lacks(url: str) -> None:
    """Columns of the user's own stay, with what is in them; also in a schema of another name."""
    rows(url, "CREATE SCHEMA mine")
    made = "(own text DEFAULT 'new' NOT NULL, url varchar(99), meta json, depth numeric, id text UNIQUE)"
    rows(url, f"CREATE TABLE mine.pages {made}")
    rows(url, f"INSERT INTO mine.pages VALUES ('kept', 'u', '{{}}', 0, '{record(1).id}')")  # noqa: S608
    store = PostgresStore(SecretUrl(f"{url}?options=-csearch_path%3Dmine"))
    assert store.name == url.replace(f"{USER}:{PASSWORD}@", "")
    store.open()
    write(store, Batch([record(1, meta={"a": 1}), record(2)]))
    store.close()
    found = rows(url, "SELECT * FROM mine.pages ORDER BY url")
    assert [(row["own"], row["meta"]) for row in found] == [("kept", {"a": 1}), ("new", [])]
    assert set(found[0]) == {"own", *(column.name for column in COLUMNS)}
    assert rows(url, "SELECT to_regclass('public.pages') AS made") == [{"made": None}]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            "TABLE pages (id text PRIMARY KEY, status text)",
            "column status is text where bigint is needed; rename",
        ),
        ("TABLE pages (id text, url text)", "without a primary key on id; rename"),
        ("VIEW pages AS SELECT 'x'::text AS id", r"cannot be written to \(.*pages.*\); see to"),
    ],
)
def test_a_table_that_is_another_is_refused_and_left_alone(url: str, made: str, sentence: str) -> None:
    """One sentence with the remedy, and no column was added."""
    rows(url, f"CREATE {made}")
    before = rows(url, "SELECT count(*) AS n FROM pg_attribute WHERE attrelid = 'pages'::regclass")
    with pytest.raises(OutputUnwritable, match=sentence):
        PostgresStore(SecretUrl(url)).open()
    assert rows(url, "SELECT count(*) AS n FROM pg_attribute WHERE attrelid = 'pages'::regclass") == before


def test_who_is_refused_is_told_so_at_once_and_without_the_password(server: PostgresServer, url: str) -> None:
    """Wrong password, unknown user and database, no rights: final; a port where nobody listens: away."""
    name = url.rpartition("/")[2]
    server.execute("DROP ROLE IF EXISTS reader")
    server.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    refused = {
        server.url(name, password="wRoNg-hUnTeR2"): "password authentication failed",
        server.url(name, user="unknown"): "password authentication failed",
        server.url("absent"): 'database "absent" does not exist',
        server.url(name, user="reader"): "permission denied for schema public",
    }
    for given, why in refused.items():
        with pytest.raises(OutputUnwritable, match=rf"cannot be written to \(.*{why}.*\); see to") as caught:
            PostgresStore(SecretUrl(given)).open()
        assert not isinstance(caught.value, StoreAway)
        assert "hUnTeR2" not in str(caught.value)
    with pytest.raises(
        StoreAway, match=r"postgresql://127\.0\.0\.1:9/x does not take records \(.*refused.*\)"
    ):
        PostgresStore(SecretUrl(f"postgresql://u:{PASSWORD}@127.0.0.1:9/x")).open()


def test_what_is_no_address_is_a_usage_error_that_quotes_nothing() -> None:
    """Parts of a password may stand anywhere in it."""
    for text in (
        "postgresql://u:hUnTeR2@h:port/x",
        "postgresql://u@h/x?hUnTeR2=1",
        "postgres://u:%zzhUnTeR2@h",
    ):
        with pytest.raises(UsageError, match="is no address of a server; write postgresql://") as caught:
            preflight(RunSettings(urls=("http://a.example/",), sink=(text,)))
        assert "hUnTeR2" not in str(caught.value)
    with pytest.raises(ValueError, match="write postgresql://USER@HOST/DATABASE"):
        parse_sink("postgresql:db")


def test_a_value_that_the_server_refuses_is_its_pages_fault(url: str) -> None:
    """The others of its group are written, by the same connection."""
    rows(url, "CREATE TABLE pages (id text PRIMARY KEY, title varchar(3), own integer CHECK (own > 0))")
    store = PostgresStore(SecretUrl(url))
    store.open()
    with pytest.raises(RenderError, match=r"corrupt: .* does not take the record \(value too long for type"):
        write(store, Batch([record(1)]), Batch([record(2, title="long")]))
    assert rows(url) == []
    write(store, Batch([record(1)]))
    rows(url, "ALTER TABLE pages DROP COLUMN lang")
    with pytest.raises(OutputUnwritable, match="cannot be written to"):
        write(store, Batch([record(3)]))
    store.close()
    assert len(rows(url)) == 1


async def test_a_server_that_is_killed_and_comes_back_loses_nothing(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL while many commit; they wait, and go on by a new connection."""
    monkeypatch.setattr("farm.sinks.batch.LONGEST_RETRY_S", 0.2)
    writer = BatchingWriter(PostgresStore(SecretUrl(url)))
    await writer.open()
    confirmed: list[str] = []
    some = asyncio.Event()

    async def visit(first: int) -> None:
        for number in range(first, first + 40):
            await writer.commit(Batch([record(number)]))
            confirmed.append(record(number).id)
            if len(confirmed) >= 20:
                some.set()

    visits = [asyncio.ensure_future(visit(first * 40)) for first in range(8)]
    await some.wait()
    server.kill()
    assert len(confirmed) < 320
    await asyncio.to_thread(server.start)
    await asyncio.gather(*visits)
    await writer.close()
    assert len(confirmed) == 320
    ids = [row["id"] for row in rows(url, "SELECT id FROM pages")]
    assert sorted(ids) == sorted(confirmed)


async def test_a_server_that_does_not_come_back_is_one_sentence(url: str) -> None:
    """After the patience; what it says has no password in it."""
    server = PostgresServer()
    writer = BatchingWriter(PostgresStore(SecretUrl(server.url())), patience_s=0.3)
    await writer.open()
    await writer.commit(Batch([record(1)]))
    server.remove()
    with pytest.raises(
        OutputUnwritable, match=r"127.* does not take records \(.*\); the records that wait"
    ) as caught:
        await writer.commit(Batch([record(2)]))
    assert PASSWORD not in str(caught.value)
    await writer.close()


async def test_a_server_that_hangs_ends_a_commit(server: PostgresServer, url: str) -> None:
    """A stopped process holds its connections open and says nothing."""
    writer = BatchingWriter(PostgresStore(SecretUrl(url)), patience_s=0.1, grace_s=0.2)
    await writer.open()
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(OutputUnwritable, match=r"were not written to postgresql://127.* within 0\.3 s"):
            await writer.commit(Batch([record(1)]))
    finally:
        server.signal(signal.SIGCONT)
    await writer.close()


def test_a_lock_on_a_row_is_worth_another_try(
    url: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is a server that is shutting down; the group is not written in part."""
    monkeypatch.setattr(postgres_module, "_LOCK_S", 0.1)
    write(store, Batch([record(1)]))
    store.close()
    store.open()
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM pages FOR UPDATE")
        with pytest.raises(StoreAway, match="lock timeout"):
            write(store, Batch([record(2)]), Batch([record(1)]))
    assert len(rows(url)) == 1
    write(store, Batch([record(1)]))
    rows(
        url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'crawl-farm'",
    )
    with pytest.raises(StoreAway, match=r"terminating connection|closed the connection"):
        write(store, Batch([record(2)]))
    write(store, Batch([record(2)]))
    assert len(rows(url)) == 2


def test_a_server_that_takes_no_writes_is_away(server: PostgresServer, url: str) -> None:
    """As after a failover, until it is the primary again."""
    name = url.rpartition("/")[2]
    server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    store = PostgresStore(SecretUrl(url))
    with pytest.raises(
        StoreAway, match=r"does not take records \(cannot execute .* in a read-only transaction\)"
    ):
        store.open()
    server.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    store.open()
    write(store, Batch([record(1)]))
    store.close()


@pytest.fixture
def small_disk(server: PostgresServer) -> Iterator[Path]:
    """Mount a disk of four megabytes that the server may use; needs root."""
    folder = server.folder / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_server_without_room_is_waited_for(
    server: PostgresServer, url: str, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may make some; what was confirmed is there, and the sentence says what is missing."""
    monkeypatch.setattr("farm.sinks.batch.LONGEST_RETRY_S", 0.2)
    place = small_disk / "tables"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    server.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
    rows(url, "CREATE TABLE pages (id text PRIMARY KEY) TABLESPACE small")
    writer = BatchingWriter(PostgresStore(SecretUrl(url)), patience_s=0.5)
    await writer.open()
    confirmed = 0

    async def fill() -> None:
        nonlocal confirmed
        for number in range(200):
            await writer.commit(Batch([record(number, html=os.urandom(40_000).hex())]))
            confirmed += 1

    with pytest.raises(
        OutputUnwritable, match=r"does not take records \(could not .*\); the records that wait"
    ):
        await fill()
    await writer.close()
    assert len(rows(url, "SELECT id FROM pages")) == confirmed > 10
    rows(url, "DROP TABLE pages")
    server.execute("DROP TABLESPACE small")


def test_nodes_that_start_together_complete_one_table(url: str) -> None:
    """And write to it at once, the same ids in different orders."""
    barrier = threading.Barrier(4)
    failures: list[Exception] = []

    def work(first: int) -> None:
        store = PostgresStore(SecretUrl(url))
        try:
            barrier.wait(COMMIT_S)
            store.open()
            numbers = range(10) if first % 2 else range(9, -1, -1)
            for number in numbers:
                write(store, Batch([record(number), record((number + 5) % 10)]))
        except (OutputUnwritable, RenderError) as error:
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(COMMIT_S)
    assert failures == []
    assert len(rows(url)) == 10


def test_a_writer_killed_in_mid_write_has_lost_nothing_that_it_confirmed(
    url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SIGKILL, three times: what was confirmed is there, once, and no connection is left after it."""
    confirmed = killed(tmp_path_factory.mktemp("out"), url)
    ids = [row["id"] for row in rows(url, "SELECT id FROM pages")]
    assert confirmed <= set(ids)
    assert len(ids) == len(set(ids))


async def test_a_record_reaches_jsonl_and_the_table_alike(
    url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With a large page; what is JSON in the line is JSON in the row."""
    out = tmp_path_factory.mktemp("out")
    sink = await RecordSink.open(out, [parse_sink("jsonl"), parse_sink(url)])
    await sink.commit(Batch([record(1, html="ä" * 3_000_000, links=[{"url": "u", "text": "", "rel": ""}])]))
    await sink.close()
    line = json.loads((out / "pages.jsonl").read_bytes())
    (row,) = rows(url)
    row["fetched_at"] = line["fetched_at"]
    assert row == line
