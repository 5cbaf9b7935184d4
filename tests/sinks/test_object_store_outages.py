"""An S3 that is away, hangs, or loses its answer, and writers that are killed while they upload."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from farm.model.errors import OutputUnwritable
from farm.model.record import Batch
from farm.sinks import object_store, parquet
from farm.sinks.address import parse_sink
from farm.sinks.batch import BatchingWriter
from farm.sinks.output import RecordSink
from tests.e2e.farm_process import until
from tests.sinks.killed import killed, record
from tests.sinks.object_records import KINDS, ids, made, named, wanted, write
from tests.sinks.object_server import Front, ObjectServer
from tests.tree import ROOT


async def test_a_record_becomes_an_object_by_its_age_where_no_other_comes(
    front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a run that stays; also where the store is away when it is time, which is said."""
    monkeypatch.setattr(object_store.ObjectPlace, "most_age_s", 0.05)
    sink = await RecordSink.open(tmp_path, [parse_sink(named("jsonl", front.endpoint, "aged"))])
    front.fault = "503"
    await sink.commit(Batch([record(1)]))
    await asyncio.to_thread(front.seen, "503", 3)
    busy_s, why = sink._first.waits()
    assert busy_s > 0
    assert "does not take records (Please reduce your request rate.)" in why
    front.fault = ""
    await sink.commit(Batch([record(2)]))
    await asyncio.to_thread(until, lambda: len(object_server.objects("aged/")) > 0, "the first object")
    await asyncio.to_thread(until, lambda: sink._first.waits() == (0.0, ""), "the end of the outage")
    front.requests.clear()
    await sink.commit(Batch([record(3)]))
    await asyncio.to_thread(front.seen, "")
    await sink.close()
    assert Counter(ids(object_server.objects("aged/"), tmp_path)) == wanted(1, 2, 3)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_outage_is_waited_for(
    kind: str, front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, and then it works: who commits waits once the next log is full too, and every record is there once."""
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    name = named(kind, front.endpoint, f"outage-{kind}")
    writer = BatchingWriter(made(tmp_path, name))
    await writer.open()
    front.fault = "503"
    await writer.commit(Batch([record(0)]))
    commits = [asyncio.ensure_future(writer.commit(Batch([record(number)]))) for number in range(1, 5)]
    await asyncio.to_thread(front.seen, "503", 3)
    assert not any(commit.done() for commit in commits)
    _, why = writer.waits()
    assert why == f"{name} does not take records (Please reduce your request rate.)"
    front.fault = ""
    await asyncio.gather(*commits)
    await writer.close()
    assert Counter(ids(object_server.objects(f"outage-{kind}/"), tmp_path)) == wanted(*range(5))


async def test_an_outage_that_does_not_end_is_one_sentence_and_loses_nothing(
    front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the patience; the next run makes an object of what is in the log."""
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    name = named("parquet", front.endpoint, "ended")
    writer = BatchingWriter(made(tmp_path, name), patience_s=0.3)
    await writer.open()
    front.fault = "503"
    await writer.commit(Batch([record(1)]))
    with pytest.raises(
        OutputUnwritable, match=r"does not take records \(Please.*; the records that wait for it are"
    ):
        await writer.commit(Batch([record(2)]))
    await writer.close()
    front.fault = ""
    again = await RecordSink.open(tmp_path, [parse_sink(name)], node="n1")
    assert Counter(ids(object_server.objects("ended/"), tmp_path)) == wanted(1, 2)
    await again.commit(Batch([record(1), record(2), record(3)]))
    await again.close()
    assert again.stores[0].written == 1
    assert Counter(ids(object_server.objects("ended/"), tmp_path)) == wanted(1, 2, 3)


async def test_the_end_of_a_run_says_where_records_are_that_could_not_be_uploaded(
    front: Front, object_server: ObjectServer, tmp_path: Path
) -> None:
    """They were acknowledged: that they are not where they were to be is told, with 6."""
    name = named("jsonl", front.endpoint, "late")
    sink = await RecordSink.open(tmp_path, [parse_sink(name)])
    await sink.commit(Batch([record(1)]))
    front.fault = "503"
    with pytest.raises(
        OutputUnwritable,
        match=r"the last records are in /.*/\.part-node-.*-000001\.log, and the next run puts them",
    ):
        await sink.close(3)
    front.fault = ""
    again = await RecordSink.open(tmp_path, [parse_sink(name)])
    assert Counter(ids(object_server.objects("late/"), tmp_path)) == wanted(1)
    await again.commit(Batch([record(1)]))
    await again.close()
    assert Counter(ids(object_server.objects("late/"), tmp_path)) == wanted(1)


async def test_a_store_that_hangs_ends_a_commit_and_a_run(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the deadline of a call, then by that of the writer."""
    monkeypatch.setattr(object_store, "CALL_S", 0.2)
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    writer = BatchingWriter(
        made(tmp_path, named("jsonl", front.endpoint, "hang")), patience_s=0.1, grace_s=10
    )
    await writer.open()
    front.fault = "hang"
    await writer.commit(Batch([record(1)]))
    with pytest.raises(
        OutputUnwritable, match=r"does not take records \(no answer in time\); the records that wait"
    ):
        await writer.commit(Batch([record(2)]))
    await writer.close()
    monkeypatch.setattr(object_store, "CALL_S", 30.0)
    other = BatchingWriter(made(tmp_path / "2", named("jsonl", front.endpoint, "hang")), patience_s=0.1)
    front.fault = ""
    await other.open()
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1 << 20)
    await other.commit(Batch([record(1)]))
    front.fault = "hang"
    with pytest.raises(
        OutputUnwritable, match=r"the last changes were not written to jsonl:s3.* within 0\.4 s"
    ):
        await other.close(0.4)
    front.released.set()
    assert other._thread is not None
    await asyncio.to_thread(other._thread.join, 60)
    assert not other._thread.is_alive()


def test_a_package_that_cannot_be_cancelled_does_not_outlast_the_deadline(
    front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of Azure, which goes on; a later call has a connection of its own."""
    monkeypatch.setattr(object_store, "_CANCEL_S", 0.05)
    loops: list[asyncio.AbstractEventLoop] = []
    left: list[S3FileSystem] = []

    async def goes_on(files: S3FileSystem, *_: object, **__: object) -> None:
        if loops:
            raise TimeoutError
        loops.append(asyncio.get_running_loop())
        left.append(files)
        while len(loops) == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    store = made(tmp_path, named("jsonl", front.endpoint, "stuck"))
    store.open()
    write(store, 1)
    with monkeypatch.context() as patched:
        patched.setattr(object_store, "CALL_S", 0.1)
        patched.setattr(S3FileSystem, "_put_file", goes_on)
        store.flush()
        until(lambda: "no answer in time" in store.waits()[1], "the deadline of the upload")
    write(store, 2)
    store.close()
    assert Counter(ids(object_server.objects("stuck/"), tmp_path)) == wanted(1, 2)
    # What goes on is ended, for a warning of it would be that of another test.
    loops.append(loops[0])
    loops[0].run_until_complete(_ended(loops[0]))
    loops[0].run_until_complete(left[0]._s3.close())
    loops[0].close()


async def _ended(loop: asyncio.AbstractEventLoop) -> None:
    others = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=30)


def test_an_upload_whose_answer_was_lost_is_repeated_by_the_same_object(
    front: Front, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is added to a log that may be there already."""
    monkeypatch.setattr(object_store, "CALL_S", 2.0)
    monkeypatch.setattr(parquet.ParquetFormat, "most_rows", 2)
    store = made(tmp_path, named("parquet", front.endpoint, "answer"))
    store.open()
    write(store, 1)
    front.fault = "deaf"
    write(store, 2)
    until(lambda: "no answer in time" in store.waits()[1], "the deadline of the upload")
    assert len(object_server.objects("answer/")) == 1
    front.fault = ""
    write(store, 2, 3)
    there = object_server.objects("answer/")
    assert {name[-14:-8]: len(ids({name: there[name]}, tmp_path)) for name in there} == {"000001": 2}
    store.close()
    assert Counter(ids(object_server.objects("answer/"), tmp_path)) == wanted(1, 2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_killed_in_mid_upload_has_lost_nothing_that_it_confirmed(
    kind: str, front: Front, object_server: ObjectServer, tmp_path: Path
) -> None:
    """SIGKILL while an upload is under way, and the next log has a record; then a run that ends."""
    name = named(kind, front.endpoint, f"mid-{kind}")
    command = [sys.executable, "-c", _UPLOADING, str(tmp_path), name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        front.fault = "hang"
        process.stdin.write("\n")
        process.stdin.flush()
        front.seen("hang")
        confirmed = [process.stdout.readline().strip() for _ in range(5)]
        process.send_signal(signal.SIGKILL)
    assert confirmed == [record(number).id for number in range(5)]
    assert object_server.objects(f"mid-{kind}/") == {}
    front.fault = ""
    store = made(tmp_path, name)
    store.open()
    there = object_server.objects(f"mid-{kind}/")
    assert sorted(len(ids({one: there[one]}, tmp_path)) for one in there) == [2, 3]
    assert Counter(ids(there, tmp_path)) == wanted(*range(5))
    write(store, *range(6))
    assert store.written == 1
    store.close()
    assert Counter(ids(object_server.objects(f"mid-{kind}/"), tmp_path)) == wanted(*range(6))


_UPLOADING = """
import sys
from pathlib import Path
from tests.sinks.killed import record
from tests.sinks.object_records import made, write
store = made(Path(sys.argv[1]), sys.argv[2])
store.open()
print("open", flush=True)
input()
for number in range(5):
    if number == 3:
        store.flush()
    write(store, number)
    print(record(number).id, flush=True)
input()
"""


def test_a_writer_killed_at_any_time_has_every_id_once(
    object_server: ObjectServer, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL, three times over one folder."""
    name = named("jsonl", object_server.endpoint, "killed")
    confirmed = killed(tmp_path, name)

    async def end() -> None:
        sink = await RecordSink.open(tmp_path, [parse_sink(name)])
        await sink.close()

    asyncio.run(end())
    counts = Counter(ids(object_server.objects("killed/"), tmp_path))
    assert confirmed <= counts.keys()
    assert set(counts.values()) == {1}
    assert not [path for path in tmp_path.rglob("*part-*") if path.suffix != ".index"]
