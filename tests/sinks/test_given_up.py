"""A run whose end was given up while a thread of it still writes, and the run that comes after it."""

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.record import Batch
from farm.resources.files import FolderLock
from farm.sinks import batch, compaction, output
from farm.sinks.address import parse_sink
from farm.sinks.object_store import ObjectPlace
from farm.sinks.output import RecordSink, clear_output
from farm.sinks.places import LocalPlace
from farm.sinks.sqlite import SqliteStore
from farm.sinks.store import StoreAway
from tests.sinks.killed import record
from tests.sinks.object_records import ids, named, wanted
from tests.sinks.object_server import ObjectServer


class Hold:
    """Holds the first thread that comes to a point of the farm until it is released.

    `refusals` calls before it are told that the store is away.
    """

    def __init__(self, patch: pytest.MonkeyPatch, place: Any, name: str, refusals: int = 0) -> None:
        self._reached, self._released = threading.Event(), threading.Event()
        self._calls, self._refusals = count(), refusals
        self._original: Callable[..., Any] = getattr(place, name)
        # A method gets its store as well, which a bound one would not.
        patch.setattr(place, name, lambda *given: self._call(*given))  # noqa: PLW0108

    def _call(self, *given: Any) -> Any:
        number = next(self._calls)
        if number < self._refusals:
            raise StoreAway("the store is away")
        if number == self._refusals:
            self._reached.set()
            assert self._released.wait(60), "the test has not released the thread"
        return self._original(*given)

    async def reached(self) -> None:
        """Wait until a thread is held."""
        assert await asyncio.to_thread(self._reached.wait, 30)

    def release(self) -> None:
        """Let the thread go on."""
        self._released.set()


def left(folder: Path) -> list[Path]:
    """Return the logs and drafts below a folder."""
    return [path for path in folder.rglob("*part-*") if path.suffix != ".index"]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set when a run finds its output folder in use."""
    found = asyncio.Event()
    try_take = FolderLock.try_take

    def tried(lock: FolderLock) -> bool:
        is_taken = try_take(lock)
        if not is_taken:
            found.set()
        return is_taken

    monkeypatch.setattr(FolderLock, "try_take", tried)
    return found


async def opened_after(hold: Hold, refused: asyncio.Event, folder: Path, *sinks: str) -> RecordSink:
    """Return the sink of the next run; it is opened while a thread of the one before is held."""
    opening = asyncio.ensure_future(RecordSink.open(folder, [*map(parse_sink, sinks)]))
    waiting = asyncio.ensure_future(refused.wait())
    await asyncio.wait({opening, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    is_done = opening.done()
    hold.release()
    sink = await opening
    assert not is_done, "two runs would have written at once"
    return sink


@pytest.mark.parametrize("refusals", [0, 1])
async def test_the_next_run_begins_when_a_late_upload_has_ended(
    object_server: ObjectServer,
    keys: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: asyncio.Event,
    refusals: int,
) -> None:
    """In the first attempt of closing, or in a repetition: both runs would have made one draft."""
    name = named("jsonl", object_server.endpoint, f"late-upload-{refusals}")
    hold = Hold(monkeypatch, ObjectPlace, "publish", refusals)
    first = await RecordSink.open(tmp_path, [parse_sink(name)])
    await first.commit(Batch([record(1)]))
    ending = asyncio.ensure_future(first.close(60))
    await hold.reached()
    ending.cancel()
    with suppress(asyncio.CancelledError):
        await ending
    second = await opened_after(hold, refused, tmp_path, name)
    await second.commit(Batch([record(1), record(2)]))
    await second.close()
    there = object_server.objects(f"late-upload-{refusals}/")
    assert Counter(ids(there, tmp_path)) == wanted(1, 2)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "point", "sink"),
    [
        (compaction, "take_out", "jsonl:{}/b.jsonl"),
        (compaction, "take_out", "csv:{}/b.csv"),
        (LocalPlace, "publish", "parquet:{}/b"),
        (LocalPlace, "publish", "warc:{}/b"),
        (SqliteStore, "close", "sqlite:///{}/b.db"),
    ],
)
async def test_the_next_run_begins_when_a_late_store_is_closed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: asyncio.Event,
    place: Any,
    point: str,
    sink: str,
) -> None:
    """What the next run wrote into a file that the late thread replaces would be lost."""
    sinks = (f"sqlite:///{tmp_path}/a.db", sink.format(tmp_path))
    hold = Hold(monkeypatch, place, point)
    first = await RecordSink.open(tmp_path, [*map(parse_sink, sinks)])
    await first.commit(Batch([record(1, revision=0)]))
    await first.commit(Batch([record(1, revision=1)]))
    ending = asyncio.ensure_future(first.close(0.05))
    await hold.reached()
    with pytest.raises(
        OutputUnwritable, match=r"are safe, but the last changes were not written to .* within 0\.05 s"
    ):
        await ending
    second = await opened_after(hold, refused, tmp_path, *sinks)
    await second.commit(Batch([record(2, revision=0)]))
    await second.close()
    third = await RecordSink.open(tmp_path, [*map(parse_sink, sinks)])
    await third.close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert connection.execute("SELECT count(*) FROM pages").fetchone() == (2,)
    if not sink.startswith("sqlite"):
        assert third.stores[1].records == 2


async def test_a_run_that_does_not_end_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who opens the folder, and by who would delete what is in it."""
    monkeypatch.setattr(output, "OPENING_S", 0.01)
    hold = Hold(monkeypatch, SqliteStore, "close")
    sinks = [parse_sink(f"sqlite:///{tmp_path}/a.db")]
    first = await RecordSink.open(tmp_path, sinks)
    with pytest.raises(OutputUnwritable, match="the last changes were not written"):
        await first.close(0.01)
    with pytest.raises(
        OutputUnwritable,
        match=rf"^{tmp_path} is still being written to by a run that has ended \(process \d+\); wait until",
    ):
        await RecordSink.open(tmp_path, sinks)
    with pytest.raises(
        UsageError, match=rf"^{tmp_path} is in use by the run with process id \d+; wait for it"
    ):
        await asyncio.to_thread(clear_output, tmp_path, sinks)
    hold.release()
    monkeypatch.setattr(output, "OPENING_S", 30)
    await (await RecordSink.open(tmp_path, sinks)).close()
    await asyncio.to_thread(clear_output, tmp_path, sinks)


async def test_a_store_that_hangs_at_the_start_holds_no_cancelled_run_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder stays locked until the store was opened, and closed again."""
    monkeypatch.setattr(batch, "GROUP_S", 0.01)
    hold = Hold(monkeypatch, SqliteStore, "open")
    sinks = [parse_sink(f"sqlite:///{tmp_path}/a.db")]
    opening = asyncio.ensure_future(RecordSink.open(tmp_path, sinks))
    await hold.reached()
    opening.cancel()
    await asyncio.wait({opening}, timeout=30)
    assert opening.cancelled()
    assert not FolderLock(tmp_path / ".farm/sink.lock").try_take()
    hold.release()
    await (await RecordSink.open(tmp_path, sinks)).close()
