"""Segments on their way to an S3 while the next log takes records: who waits for what, and what is left of it."""

import asyncio
import threading
from collections import Counter
from pathlib import Path

import pytest

from farm.model.errors import OutputUnwritable
from farm.model.record import Batch
from farm.sinks import object_store, parquet, segments
from farm.sinks.address import parse_sink
from farm.sinks.batch import BatchingWriter
from farm.sinks.jsonl import JsonlFormat
from farm.sinks.output import RecordSink
from farm.sinks.parquet import ParquetFormat
from farm.sinks.store import StoreAway
from tests.e2e.farm_process import until
from tests.sinks.killed import record
from tests.sinks.object_records import KINDS, ids, made, named, wanted, write
from tests.sinks.object_server import Front, ObjectServer


def logs(folder: Path) -> list[str]:
    """Return the numbers of the logs in an output folder."""
    found = [path.name for path in folder.rglob("*part-*") if path.name.endswith((".log", ".warc.gz.open"))]
    return sorted(name.split("-")[-1][:6] for name in found)


@pytest.mark.parametrize("kind", KINDS)
async def test_commits_do_not_wait_for_an_upload(
    kind: str, front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it hangs records are confirmed as they come, until the next log is full; each is there once then."""
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    sink = await RecordSink.open(tmp_path, [parse_sink(named(kind, front.endpoint, f"beside-{kind}"))])
    front.fault = "hang"
    await sink.commit(Batch([record(0)]))
    await asyncio.to_thread(front.seen, "hang")
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 100_000)
    for number in range(1, 5):
        await sink.commit(Batch([record(number)]))
    assert object_server.objects(f"beside-{kind}/") == {}
    assert logs(tmp_path) == ["000001", "000002"]
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    full = asyncio.ensure_future(sink.commit(Batch([record(5)])))
    await asyncio.to_thread(until, lambda: sink._first.waits()[0] > 0, "the writer before the full log")
    assert not full.done()
    assert logs(tmp_path) == ["000001", "000002"]
    front.fault = ""
    front.released.set()
    await full
    await sink.close()
    there = object_server.objects(f"beside-{kind}/")
    assert Counter(ids(there, tmp_path)) == wanted(*range(6))
    by_object = {name.split("-")[-1][:6]: len(ids({name: there[name]}, tmp_path)) for name in there}
    assert by_object == {"000001": 1, "000002": 4, "000003": 1}
    assert logs(tmp_path) == []


def test_an_outage_is_said_while_nobody_waits_for_it(
    front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is over for those who ask when it is; a full log is refused meanwhile, and not forgotten."""
    monkeypatch.setattr(ParquetFormat, "most_rows", 1)
    store = made(tmp_path, named("parquet", front.endpoint, "said"))
    store.open()
    assert store.waits() == (0.0, "")
    front.fault = "503"
    write(store, 1)
    until(lambda: store.waits()[0] > 0, "the first refusal")
    assert store.waits()[1].endswith("does not take records (Please reduce your request rate.)")
    for _ in range(2):
        with pytest.raises(StoreAway, match="reduce your request rate"):
            write(store, 2)
    assert logs(tmp_path) == ["000001", "000002"]
    front.fault = ""
    until(lambda: store.waits() == (0.0, ""), "the end of the outage")
    write(store, 2, 3)
    store.close()
    assert Counter(ids(object_server.objects("said/"), tmp_path)) == wanted(1, 2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_that_is_repeated_has_a_later_revision_once(
    kind: str, front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log had it before the store was away."""
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    prefix = f"repeated-{kind}"
    store = made(tmp_path, named(kind, front.endpoint, prefix))
    store.open()
    front.fault = "503"
    write(store, 1)
    group = [store.encode(Batch([record(number, revision=1)]))[0] for number in (1, 2)]
    for _ in range(2):
        with pytest.raises(StoreAway, match="reduce your request rate"):
            store.write(group)
    front.fault = ""
    until(lambda: store.waits() == (0.0, ""), "the end of the outage")
    store.write(group)
    store.write([store.encode(Batch([record(2, revision=2)]))[0]])
    store.close()
    assert Counter(ids(object_server.objects(f"{prefix}/"), tmp_path)) == wanted(1, 1, 2, 2)


def test_a_log_that_could_not_be_begun_is_begun_by_the_next_group(
    object_server: ObjectServer, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full for a moment, when the one before became an object by its age."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    store = made(tmp_path, named("parquet", object_server.endpoint, "begun"))
    store.open()
    write(store, 1)
    with monkeypatch.context() as patched:
        patched.setattr(segments, "AppendLog", full)
        for _ in range(2):
            with pytest.raises(OutputUnwritable, match=r"cannot be written \(No space left on device\)"):
                store.flush()
            until(lambda: not store._is_uploading, "the end of the upload")
    write(store, 1, 2)
    store.close()
    assert Counter(ids(object_server.objects("begun/"), tmp_path)) == wanted(1, 2)
    assert logs(tmp_path) == []


@pytest.mark.parametrize("after", ["write", "close"])
def test_what_ends_an_upload_for_good_is_raised_once_it_is_known(
    front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """By the next group or the end; the next run puts both logs there."""
    name = named("jsonl", front.endpoint, f"refused-{after}")
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    store = made(tmp_path, name)
    store.open()
    front.fault = "403"
    write(store, 1)
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1 << 20)
    until(lambda: not store._is_uploading, "the end of the upload")
    if after == "write":
        with pytest.raises(OutputUnwritable, match=r"cannot be written to \(Access Denied\)"):
            write(store, 2)
    with pytest.raises(
        OutputUnwritable, match=r"\(Access Denied\).*; the last records are in .*, and the next run puts them"
    ):
        store.close()
    front.fault = ""
    again = made(tmp_path, name)
    again.open()
    assert Counter(ids(object_server.objects(f"refused-{after}/"), tmp_path)) == wanted(1)
    again.close()


def test_an_upload_that_fails_at_the_end_is_gone_on_with(
    front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing is repeated while there is time: of two logs none is lost, and none becomes two objects."""
    name = named("parquet", front.endpoint, "at-the-end")
    monkeypatch.setattr(ParquetFormat, "most_rows", 1)
    store = made(tmp_path, name)
    store.open()
    front.fault = "503"
    write(store, 1)
    monkeypatch.setattr(ParquetFormat, "most_rows", 9)
    write(store, 2)
    for _ in range(2):
        with pytest.raises(StoreAway, match="the last records are in "):
            store.close()
    front.fault = ""
    store.close()
    there = object_server.objects("at-the-end/")
    assert sorted(len(ids({one: there[one]}, tmp_path)) for one in there) == [1, 1]
    assert Counter(ids(there, tmp_path)) == wanted(1, 2)
    assert logs(tmp_path) == []


def test_an_upload_that_breaks_by_an_error_of_the_farm_keeps_nobody_waiting(
    object_server: ObjectServer, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who commits next hears that it has stopped; the thread's own hook has the rest."""
    reported = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: reported.set())
    monkeypatch.setattr(ParquetFormat, "most_rows", 1)
    store = made(tmp_path, named("parquet", object_server.endpoint, "broken"))
    store.open()
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write_rows", lambda *_: 1 / 0)
        write(store, 1)
        assert reported.wait(30)
        with pytest.raises(OutputUnwritable, match="the sink's upload has stopped; see the log"):
            write(store, 2)
    store.close()
    assert Counter(ids(object_server.objects("broken/"), tmp_path)) == wanted(1)


def test_a_draft_that_fills_the_disk_is_removed(
    object_server: ObjectServer, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log needs the room."""

    def fills(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = made(tmp_path, named("jsonl", object_server.endpoint, "full"))
    store.open()
    write(store, 1)
    with monkeypatch.context() as patched:
        patched.setattr(JsonlFormat, "convert", fills)
        with pytest.raises(OutputUnwritable, match=r"cannot be written \(No space left on device\)"):
            store.close()
    assert [path.name for path in tmp_path.rglob("*.open")] == []
    again = made(tmp_path, named("jsonl", object_server.endpoint, "full"))
    again.open()
    again.close()
    assert Counter(ids(object_server.objects("full/"), tmp_path)) == wanted(1)


async def test_a_crawl_is_started_anew_in_a_store_that_is_back_soon(
    front: Front, object_server: ObjectServer, tmp_path: Path
) -> None:
    """Emptying it is tried again as opening it is."""
    name = named("jsonl", front.endpoint, "anew")
    before = BatchingWriter(made(tmp_path, name))
    await before.open()
    await before.commit(Batch([record(1)]))
    await before.close()
    assert len(object_server.objects("anew/")) == 1
    sink = BatchingWriter(made(tmp_path, name))
    front.fault = "503"
    opening = asyncio.ensure_future(sink.open(fresh=True))
    await asyncio.to_thread(front.seen, "503", 2)
    front.fault = ""
    await opening
    assert object_server.objects("anew/") == {}
    await sink.close()
