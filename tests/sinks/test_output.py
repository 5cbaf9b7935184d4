"""Several stores behind one sink."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from farm.model.clock import SystemClock
from farm.model.errors import OutputUnwritable, RenderError
from farm.model.event import Event, SinkAway, SinkBack
from farm.model.outcome import SkipReason
from farm.model.record import Batch, Record, Skip
from farm.sinks.address import DEFAULT, parse_sink
from farm.sinks.output import RecordSink
from farm.sinks.sqlite import SqliteStore
from tests.sinks.killed import record

SKIP = Skip("https://other.example/", SkipReason.OUT_OF_SCOPE, None, 1)


def count(path: Path) -> int:
    """Return the number of rows."""
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("SELECT count(*) FROM pages").fetchone()[0]
        return number


@pytest.mark.parametrize("order", [1, -1])
async def test_a_commit_returns_when_all_have_it(tmp_path: Path, order: int) -> None:
    """Skips and files are in the output folder in any order of the stores, and records in each."""
    addresses = [DEFAULT, parse_sink(f"sqlite:///{tmp_path}/a.db"), parse_sink(f"jsonl:{tmp_path}/b.jsonl")]
    sink = await RecordSink.open(tmp_path / "out", addresses[::order])
    plain = record(1)
    path = f"screenshots/{record(2).id[:2]}/{record(2).id}.png"
    pictured = Record(record(2).id, record(2).url, record(2).fields, {path: b"png"})
    for number, one in enumerate([plain, pictured], start=1):
        await sink.commit(Batch([one], [SKIP]))
        assert count(tmp_path / "a.db") == number
        lines = (tmp_path / "out/pages.jsonl").read_bytes()
        assert (tmp_path / "b.jsonl").read_bytes() == lines
        assert lines.count(b"\n") == number
    await sink.commit(Batch(skips=[Skip("https://else.example/", SkipReason.DEPTH, None, 9)]))
    assert (tmp_path / "out" / path).read_bytes() == b"png"
    assert sink.skipped == {"out_of_scope": 1, "depth": 1}
    assert [(store.written, store.records) for store in sink.stores][::order] == [(2, 2), (2, None), (2, 2)]
    assert sink.file_bytes == 3
    await sink.close()


async def test_without_the_default_there_is_no_pages_jsonl(tmp_path: Path) -> None:
    """Skips are where they always are."""
    sink = await RecordSink.open(tmp_path, [parse_sink(f"sqlite:///{tmp_path}/a.db")])
    await sink.commit(Batch([record(1)], [SKIP]))
    await sink.close()
    assert set(os.listdir(tmp_path)) == {"a.db", "skipped.jsonl", ".farm"}  # noqa: PTH208


async def test_a_crawl_that_is_begun_anew_empties_what_is_its_own(tmp_path: Path) -> None:
    """Files of lines, but no database: others may have their records in it."""
    addresses = [DEFAULT, parse_sink(f"sqlite:///{tmp_path}/a.db"), parse_sink(f"jsonl:{tmp_path}/b.jsonl")]
    for number in (1, 2):
        sink = await RecordSink.open(tmp_path, addresses, fresh=True)
        await sink.commit(Batch([record(number)], [SKIP]))
        await sink.close()
        assert len((tmp_path / "pages.jsonl").read_bytes().splitlines()) == 1
        assert len((tmp_path / "b.jsonl").read_bytes().splitlines()) == 1
        assert count(tmp_path / "a.db") == number
        assert sink.skipped == {"out_of_scope": 1}


@pytest.mark.parametrize(
    "sink", ["jsonl:{}/shared.jsonl", "csv:{}/shared.csv", "parquet:{}/shared", "warc:{}/shared"]
)
async def test_a_crawl_that_is_begun_anew_leaves_another_alone_that_writes_to_the_same_place(
    tmp_path: Path, sink: str
) -> None:
    """It is refused: what the other has confirmed would be gone."""
    sinks = [parse_sink(sink.format(tmp_path))]
    live = await RecordSink.open(tmp_path / "a", sinks)
    await live.commit(Batch([record(1)]))
    with pytest.raises(OutputUnwritable, match="is being written to by another run; wait for its end, or"):
        await RecordSink.open(tmp_path / "b", sinks, fresh=True)
    await live.commit(Batch([record(2)]))
    await live.close()
    again = await RecordSink.open(tmp_path / "a", sinks)
    assert again.stores[0].records == 2
    await again.close()


async def test_a_record_that_one_store_cannot_write_is_its_pages_fault(tmp_path: Path) -> None:
    """Whichever store that is; the others go on."""
    sink = await RecordSink.open(tmp_path, [DEFAULT, parse_sink(f"sqlite:///{tmp_path}/a.db")])
    with pytest.raises(RenderError, match="as a row"):
        await sink.commit(Batch([record(1, status="no number")]))
    await sink.commit(Batch([record(2)]))
    await sink.close()
    assert count(tmp_path / "a.db") == 1


async def test_a_store_that_cannot_be_opened_leaves_the_others_closed(tmp_path: Path) -> None:
    """One sentence; no thread is left."""
    (tmp_path / "a.db").write_bytes(b"no database" * 100)
    before = set(threading.enumerate())
    with pytest.raises(OutputUnwritable, match="not a SQLite database"):
        await RecordSink.open(tmp_path, [DEFAULT, parse_sink(f"sqlite:///{tmp_path}/a.db")])
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


async def test_what_is_waited_for_is_told_once_and_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the name of the store; a commit that waits for it is then done."""
    asked, let = threading.Event(), threading.Event()
    write = SqliteStore.write

    def slow(store: SqliteStore, group: Sequence[Any]) -> None:
        asked.set()
        let.wait(30)
        write(store, group)

    monkeypatch.setattr(SqliteStore, "write", slow)
    sink = await RecordSink.open(tmp_path, [DEFAULT, parse_sink(f"sqlite:///{tmp_path}/a.db")])
    events: list[Event] = []
    told = asyncio.Event()

    def emit(event: Event) -> None:
        # On a busy machine the other store may be slow as well.
        if isinstance(event, SinkAway | SinkBack) and event.store.startswith("sqlite:"):
            events.append(event)
            told.set()

    watching = asyncio.ensure_future(sink.watch(emit, SystemClock(), away_after_s=0.01))
    committing = asyncio.ensure_future(sink.commit(Batch([record(1)])))
    await told.wait()
    assert not committing.done()
    let.set()
    await committing
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    away, back = events
    assert isinstance(away, SinkAway)
    assert isinstance(back, SinkBack)
    assert away.store == back.store == f"sqlite:///{tmp_path}/a.db"
    assert (tmp_path / "pages.jsonl").read_bytes().count(b"\n") == 1
    await sink.close()
