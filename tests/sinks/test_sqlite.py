"""The SQLite store: real files, real locks, a full disk."""

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.record import COLUMNS, Batch
from farm.sinks import sqlite as sqlite_module
from farm.sinks.address import parse_sink
from farm.sinks.output import RecordSink
from farm.sinks.sqlite import SqliteStore
from farm.sinks.store import StoreAway
from tests.sinks.killed import killed, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a database that is not there yet, in a folder that is not there yet."""
    return tmp_path / "new" / "shop.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Open a store."""
    opened = SqliteStore(path)
    opened.open()
    yield opened
    opened.close()


def write(store: SqliteStore, *batches: Batch) -> None:
    """Write the batches as one group."""
    store.write([store.encode(batch)[0] for batch in batches])


def rows(path: Path, query: str = "SELECT * FROM pages ORDER BY url") -> list[dict[str, Any]]:
    """Return the rows as dictionaries, by a connection of its own."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def test_a_record_is_a_row_with_its_columns(store: SqliteStore, path: Path) -> None:
    """In the declared order; what is JSON can be asked by SQLite's own functions."""
    links = [{"url": "https://shop.example/2", "text": "zwei\0\ud800", "rel": ""}]
    write(store, Batch([record(1, links=links, title="a\0\ud800ß", settled=True, proxy=None, status=404)]))
    (row,) = rows(path)
    assert list(row) == [column.name for column in COLUMNS]
    assert (row["title"], row["settled"], row["proxy"], row["status"]) == ("a\0\ufffdß", 1, None, 404)
    assert row["text"] == "ü\n"
    assert json.loads(row["links"]) == [{**links[0], "text": "zwei\0\ufffd"}]
    asked = rows(path, "SELECT links ->> '$[0].url' AS url, typeof(noindex) AS kind FROM pages")
    assert asked == [{"url": "https://shop.example/2", "kind": "integer"}]


def test_an_id_stands_once_and_is_replaced(store: SqliteStore, path: Path) -> None:
    """Within a group, over groups and over runs; an older revision replaces no newer one."""
    write(store, Batch([record(1, title="a"), record(2)]), Batch([record(1, title="b")]))
    assert [row["title"] for row in rows(path)] == ["b", ""]
    assert store.written == 2
    write(store, Batch([record(1, title="c", revision=1)]))
    write(store, Batch([record(1, title="d", revision=0)]))
    assert [row["title"] for row in rows(path)] == ["c", ""]
    store.clear()
    assert len(rows(path)) == 2


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": 1 << 63}, "not an integer of 64 bits"),
        ({"status": "200"}, "not an integer of 64 bits"),
        ({"title": b"x"}, "bytes is not a text"),
        ({"meta": {"a": object()}}, "not JSON serializable"),
    ],
)
def test_a_record_that_cannot_be_a_row_is_its_pages_fault(
    store: SqliteStore, fields: dict[str, Any], why: str
) -> None:
    """Also one that is larger than any database takes."""
    with pytest.raises(RenderError, match=rf"corrupt: the record cannot be written as a row \(.*{why}"):
        store.encode(Batch([record(1, **fields)]))


def test_a_table_of_before_gets_the_columns_that_it_lacks(path: Path) -> None:
    """Columns of the user's own stay, with what is in them."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE pages (mine BLOB, url varchar(99), id TEXT UNIQUE, settled BOOLEAN)")
        connection.execute("INSERT INTO pages VALUES ('kept', 'u', ?, 0)", [record(1).id])
    store = SqliteStore(path)
    store.open()
    write(store, Batch([record(1, settled=True), record(2)]))
    store.close()
    assert [(row["mine"], row["settled"]) for row in rows(path)] == [("kept", 1), (None, 0)]
    assert set(rows(path)[0]) == {"mine", *(column.name for column in COLUMNS)}


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            "CREATE TABLE pages (id TEXT PRIMARY KEY, status TEXT)",
            "column status is TEXT where INTEGER is needed",
        ),
        ("CREATE TABLE pages (id TEXT, url TEXT)", "without a primary key on id"),
        ("CREATE VIEW pages AS SELECT 1 AS id", r"cannot be written \("),
    ],
)
def test_a_table_that_is_another_is_refused_and_left_alone(path: Path, made: str, sentence: str) -> None:
    """One sentence with the remedy."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(made)
    with pytest.raises(OutputUnwritable, match=f"{sentence}.*; .* name another file$"):
        SqliteStore(path).open()
    assert [row["sql"] for row in rows(path, "SELECT sql FROM sqlite_master WHERE name = 'pages'")] == [made]


def test_what_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    """It is somebody's file."""
    path.parent.mkdir()
    path.write_bytes(b"my diary, page one" * 100)
    with pytest.raises(
        OutputUnwritable, match=r"shop\.db is not a SQLite database; move it away, or name another"
    ):
        SqliteStore(path).open()
    assert path.read_bytes() == b"my diary, page one" * 100
    with pytest.raises(
        OutputUnwritable, match=r"cannot be written \(.*\); free some space and check its permissions"
    ):
        SqliteStore(path / "below").open()


def test_a_locked_file_is_worth_another_try(
    path: Path, monkeypatch: pytest.MonkeyPatch, store: SqliteStore
) -> None:
    """The group is not written in part, and is written once the lock is gone."""
    monkeypatch.setattr(sqlite_module, "_LOCK_WAIT_S", 0.01)
    store.close()
    store.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreAway, match="locked by another program"):
            write(store, Batch([record(1)]))
        other.execute("ROLLBACK")
    write(store, Batch([record(1)]))
    assert len(rows(path)) == 1


async def test_two_farms_write_to_one_file_and_wait_for_each_other(path: Path, tmp_path: Path) -> None:
    """Each from threads of its own; nothing fails and every row is there."""
    addresses = [parse_sink(f"sqlite:///{path}")]
    sinks = [await RecordSink.open(tmp_path / name, addresses) for name in ("one", "two")]

    async def visit(sink: RecordSink, first: int) -> None:
        for number in range(first, first + 20):
            await sink.commit(Batch([record(number)]))

    await asyncio.gather(*(visit(sink, first * 20) for first, sink in enumerate(sinks * 4)))
    for sink in sinks:
        await sink.close()
    assert len(rows(path)) == 160
    assert {name.name for name in path.parent.iterdir()} == {"shop.db"}


def test_two_programs_complete_one_table_at_once(path: Path) -> None:
    """Neither fails by a column that the other has just added."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE pages (id TEXT PRIMARY KEY)")
    failures: list[BaseException] = []
    monitor = threading.Barrier(6)

    def complete() -> None:
        monitor.wait()
        for _ in range(1_000):
            try:
                store = SqliteStore(path)
                store.open()
                store.close()
            except StoreAway:
                # SQLite does not wait for the lock that WAL begins with: the writer asks again.
                continue
            except OutputUnwritable as error:
                failures.append(error)
            return
        failures.append(AssertionError("locked for ever"))

    threads = [threading.Thread(target=complete) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_that_is_moved_takes_no_more_records(path: Path, store: SqliteStore, is_folder: bool) -> None:
    """They would be where nobody looks for them; also where its folder has become a file."""
    write(store, Batch([record(1)]))
    if is_folder:
        path.parent.rename(path.parent.with_name("kept")).with_name(path.parent.name).touch()
    else:
        path.rename(path.with_name("kept.db"))
    with pytest.raises(OutputUnwritable, match="moved or removed while the farm was writing"):
        write(store, Batch([record(2)]))


def test_a_writer_killed_in_mid_write_has_lost_nothing_that_it_confirmed(tmp_path: Path) -> None:
    """SIGKILL, three times: what was confirmed is there, once, and the file is sound."""
    path = tmp_path / "shop.db"
    confirmed = killed(tmp_path, f"sqlite:///{path}", "jsonl:")
    ids = [row["id"] for row in rows(path)]
    assert confirmed <= set(ids)
    assert len(ids) == len(set(ids))
    assert rows(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    *whole, _ = (tmp_path / "pages.jsonl").read_bytes().split(b"\n")  # the last line may be torn
    assert confirmed <= {json.loads(line)["id"] for line in whole}


def test_a_file_that_may_only_be_read_is_one_sentence(path: Path, store: SqliteStore) -> None:
    """By the permissions, or by the system; root may write to any file."""
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE pages")
    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda _, **more: connect(f"file:{path}?mode=ro", uri=True, **more))
        with pytest.raises(
            OutputUnwritable, match=r"cannot be written \(attempt to write a readonly database\)"
        ):
            store.open()
    store.open()


async def test_a_value_that_is_too_long_for_the_file_is_its_pages_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own limit, which may be lower than the farm's; other pages of the group are there."""
    connect = sqlite3.connect

    def limited(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **named)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    sink = await RecordSink.open(tmp_path / "out", [parse_sink(f"sqlite:///{tmp_path}/shop.db")])
    texts = ["x", "x" * 20_000, "y"]
    commits = [sink.commit(Batch([record(number, text=text)])) for number, text in enumerate(texts)]
    found = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(one) for one in found] == [type(None), RenderError, type(None)]
    assert "does not take the record (string or blob too big)" in str(found[1])
    await sink.close()
    assert [row["text"] for row in rows(tmp_path / "shop.db")] == ["x", "y"]


async def test_a_full_disk_ends_the_run_and_leaves_the_file_sound(small_disk: Path, tmp_path: Path) -> None:
    """What was confirmed is there, and the sentence names the file and the remedy."""
    path = small_disk / "shop.db"
    sink = await RecordSink.open(tmp_path / "out", [parse_sink(f"sqlite:///{path}")])
    confirmed = 0

    async def fill() -> None:
        nonlocal confirmed
        for number in range(100):
            await sink.commit(Batch([record(number, html=os.urandom(20_000).hex())]))
            confirmed += 1

    with pytest.raises(
        OutputUnwritable, match=r"shop\.db cannot be written \(.*disk is full\); free some space"
    ):
        await fill()
    await sink.close()
    assert 1 <= confirmed < 30
    assert rows(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert len(rows(path)) == confirmed
