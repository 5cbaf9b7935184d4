"""A PostgreSQL that is killed, paused, locked or full, and farms that are killed while they write to it."""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from farm.model.errors import OutputUnwritable, RenderError, UsageError
from farm.model.record import Batch, Record
from farm.model.secret import SecretUrl
from farm.sinks import postgres as postgres_module
from farm.sinks.batch import BatchingWriter
from farm.sinks.postgres import PostgresReader, PostgresStore
from farm.sinks.store import StoreAway
from tests.sinks import pooler
from tests.sinks.killed import killed, record
from tests.sinks.postgres_server import NOBODY, PASSWORD, PostgresServer, rows, write

COMMIT_S = 30


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
    try:
        await writer.open()
        await writer.commit(Batch([record(1)]))
    finally:
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


async def test_an_answer_has_a_deadline(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that are read meanwhile are one sentence; a store is away, and has them later."""
    store = PostgresStore(SecretUrl(url))
    store.open()
    for number in range(5):
        write(store, Batch([record(number)]))
    found = PostgresReader(SecretUrl(url)).rows("pages", ["id"], at_once=1)
    assert next(found)["id"] == record(0).id
    monkeypatch.setattr(postgres_module, "ANSWER_S", 0.2)
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(UsageError, match=r"cannot be read \(no answer in time\)"):
            list(found)
        with pytest.raises(StoreAway, match=r"does not take records \(no answer in time\)"):
            write(store, Batch([record(6)]))
    finally:
        server.signal(signal.SIGCONT)
    write(store, Batch([record(6)]))
    assert len(rows(url)) == 6
    store.close()


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


@pytest.mark.parametrize("records", [1, 2])
def test_a_connection_that_was_not_set_up_takes_no_record(
    store: PostgresStore, url: str, records: int
) -> None:
    """A pooler may give one whose server confirms too early; then each transaction is set up by itself."""
    batch = Batch([record(number) for number in range(records)])
    store.close()
    with psycopg.connect(url, autocommit=True) as other:
        store._connection = other
        with pytest.raises(StoreAway, match="behind a pooler"):
            write(store, batch)
    assert rows(url) == []
    write(store, batch)
    assert len(rows(url)) == records


@pytest.mark.skipif(pooler.PROGRAM is None, reason="PgBouncer is not installed")
@pytest.mark.parametrize("has_items", [True, False])
async def test_behind_a_pooler_that_pools_transactions_nothing_is_lost_or_left(
    server: PostgresServer, url: str, *, has_items: bool
) -> None:
    """Temporary table, settings and prepared statements are another connection's each time."""
    database = url.rpartition("/")[2]
    with pooler.pooled(server, database) as address:
        others = [psycopg.connect(address, autocommit=True) for _ in range(3)]
        # As many connections as the pool keeps, so that a transaction finds another one than the last.
        with ExitStack() as stack:
            for other in others:
                stack.enter_context(other.transaction())
                other.execute("SELECT 1")
        writer = BatchingWriter(PostgresStore(SecretUrl(address)))
        await writer.open()
        for number in range(40):
            items = [{"_id": f"{record(number).id}-1", "_page_id": record(number).id, "name": f"n{number}"}]
            one = record(number)
            await writer.commit(
                Batch([Record(one.id, one.url, one.fields, items=items if has_items else None)])
            )
        await writer.close()
        settings = {other.execute("SHOW statement_timeout").fetchone() for other in others for _ in range(4)}
        for other in others:
            other.close()
    assert len(rows(url, "SELECT DISTINCT id FROM pages")) == 40
    if has_items:
        assert len(rows(url, "SELECT DISTINCT name FROM items")) == 40
    # One connection alone was set up before the pooler was noticed.
    assert ("0",) in settings
