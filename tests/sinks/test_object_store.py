"""Sinks in an S3 that is moto's: what is there and when, who is refused, what two nodes write."""

import gc
import threading
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from farm.model.errors import OutputUnwritable, UsageError
from farm.model.record import Batch
from farm.sinks import object_store, parquet
from farm.sinks.address import check_sinks, parse_sink
from farm.sinks.batch import BatchingWriter
from farm.sinks.output import RecordSink, clear_output
from farm.sinks.store import StoreAway
from tests.e2e.farm_process import until
from tests.sinks.killed import record
from tests.sinks.object_records import KINDS, ids, made, named, wanted, write
from tests.sinks.object_server import BUCKET, KEY, SECRET, Front, ObjectServer


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_in_a_synced_log_and_become_objects(
    kind: str, object_server: ObjectServer, keys: None, tmp_path: Path
) -> None:
    """Of one name each, which has the node; a later run writes none of them again."""
    prefix = f"plain/{kind}/"
    store = made(tmp_path, named(kind, object_server.endpoint, prefix), "host/1")
    store.open()
    write(store, 1, 2)
    write(store, 2, 3)
    assert object_server.objects(prefix) == {}
    logs = [path for path in tmp_path.rglob("*part-host_1-*") if path.suffix in {".log", ".open"}]
    assert len(logs) == 1
    assert logs[0].stat().st_size > 0
    store.close()
    (name,) = object_server.objects(prefix)
    token = (logs[0].parent / "writer").read_text().strip()
    assert name == f"part-host_1-{token}-000001{store._form.suffix}"
    assert not logs[0].exists()
    again = made(tmp_path, named(kind, object_server.endpoint, prefix), "host/1")
    again.open()
    write(again, 3, 4)
    assert (again.written, again.records) == (1, 4)
    again.close()
    there = object_server.objects(prefix)
    assert sorted(name[-11 - len(again._form.suffix) :][:5] for name in there) == [f"{token[-4:]}-"] * 2
    assert Counter(ids(there, tmp_path)) == wanted(1, 2, 3, 4)


def test_an_object_is_finished_by_rows_bytes_or_age(
    object_server: ObjectServer, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever is first."""
    monkeypatch.setattr(parquet.ParquetFormat, "most_rows", 3)
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 200_000)
    store = made(tmp_path, named("parquet", object_server.endpoint, "bounds"))

    def become(number: int) -> None:
        until(lambda: len(object_server.objects("bounds/")) == number, f"{number} objects")

    store.open()
    write(store, 1, 2)
    assert len(object_server.objects("bounds/")) == 0
    write(store, 3)
    become(1)
    write(store, 4, text="x" * 200_000)
    become(2)
    assert store.due_s() == float("inf")
    write(store, 5)
    assert 0 < store.due_s() <= object_store.MOST_AGE_S
    until(lambda: not store._is_uploading, "the end of the upload")
    monkeypatch.setattr(object_store.ObjectPlace, "most_age_s", 0.0)
    write(store, 6)
    become(3)
    store.close()
    assert Counter(ids(object_server.objects("bounds/"), tmp_path)) == wanted(*range(1, 7))


@pytest.mark.parametrize(
    ("prefix", "environment", "says"),
    [
        (
            f"{BUCKET}/x",
            {"AWS_ACCESS_KEY_ID": ""},
            r"locate credentials.*check the address, credentials and rights",
        ),
        (f"{BUCKET}/x", {"AWS_PROFILE": "nobody"}, r"profile \(nobody\) could not be found"),
        ("no-such-bucket/x", {}, r"bucket does not exist\); check the address, and that the bucket exists"),
        ("No_Bucket!/x", {}, r"Invalid bucket name"),
    ],
)
async def test_what_can_never_work_is_said_at_the_start(
    object_server: ObjectServer,
    keys: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefix: str,
    environment: dict[str, str],
    says: str,
) -> None:
    """As a mistake of the command, in one sentence without the keys."""
    for name, value in environment.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name)
    sink = parse_sink(f"jsonl:s3://{prefix}?endpoint_url={object_server.endpoint}")
    with pytest.raises(UsageError, match=rf"^jsonl:s3://.* cannot be written to \(.*{says}.*\.$") as caught:
        await RecordSink.open(tmp_path, [sink])
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert object_server.objects("x") == {}


async def test_keys_that_are_refused_are_said_at_the_start_and_later(tmp_path: Path, keys: None) -> None:
    """2 at the start, 6 later; neither is repeated until the patience is over, and no key is shown."""
    server = ObjectServer(tmp_path, checks_keys=True)
    front = Front(server.port)
    try:
        with pytest.raises(
            UsageError, match=r"cannot be written to \(.*; check the address, credentials"
        ) as caught:
            await RecordSink.open(tmp_path / "1", [parse_sink(named("jsonl", server.endpoint, "refused"))])
        assert KEY not in str(caught.value)
        assert SECRET not in str(caught.value)
    finally:
        front.remove()
        server.remove()


async def test_keys_that_are_refused_later_end_the_run(
    object_server: ObjectServer, front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with the sentence."""
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    server = ObjectServer(tmp_path, checks_keys=True)
    try:
        writer = BatchingWriter(made(tmp_path, named("jsonl", front.endpoint, "revoked")))
        await writer.open()
        front.behind = server.port
        # The first record is in the log, and becomes an object beside the second one.
        await writer.commit(Batch([record(1)]))
        with pytest.raises(
            OutputUnwritable, match=r"cannot be written to \(.*; check the address, credentials"
        ):
            await writer.commit(Batch([record(2)]))
        await writer.close()
    finally:
        server.remove()


def test_nodes_and_crawls_share_a_prefix(object_server: ObjectServer, keys: None, tmp_path: Path) -> None:
    """Also nodes of one name, at the same time: no object is written twice, and together they are one data set."""
    name = named("parquet", object_server.endpoint, "shared")
    stores = [made(tmp_path / folder, name, node) for folder, node in (("a", "n1"), ("b", "n2"), ("c", "n1"))]
    for number, store in enumerate(stores):
        store.open()
        write(store, number, number + 10)
    for store in stores:
        store.close()
    assert len(object_server.objects("shared/")) == 3
    lost = made(tmp_path / "anew", name, "n1")
    lost.open()
    write(lost, 20)
    lost.close()
    assert len(object_server.objects("shared/")) == 4
    files = S3FileSystem(
        endpoint_url=object_server.endpoint, key=KEY, secret=SECRET, skip_instance_cache=True
    )
    table = pq.read_table(f"{BUCKET}/shared", filesystem=files, columns=["id"])
    S3FileSystem.close_session(files.loop, files._s3creator)
    assert Counter(table.column(0).to_pylist()) == wanted(0, 1, 2, 10, 11, 12, 20)
    stores[0].clear()
    assert len(object_server.objects("shared/")) == 3
    stores[0].open()
    assert stores[0].records == 0
    stores[0].close()


def test_what_only_one_side_knows_is_learned(object_server: ObjectServer, keys: None, tmp_path: Path) -> None:
    """A lost sidecar from the object, and a log whose object is there is left over."""
    for kind in KINDS:
        name = named(kind, object_server.endpoint, f"known-{kind}")
        store = made(tmp_path, name)
        store.open()
        write(store, 1, 2)
        assert store._log is not None
        path, content = store._log.path, store._log.path.read_bytes()
        store.close()
        path.write_bytes(content)
        (path.parent / f"{store._stem}000001.index").unlink()
        again = made(tmp_path, name)
        again.open()
        assert not path.exists()
        write(again, 2, 3)
        assert (again.written, again.records) == (1, 3)
        again.close()
        object_server.put(f"known-{kind}/{store._stem}000009{store._form.suffix}", b"not ours")
        with pytest.raises(OutputUnwritable, match=r"000009.* that the farm did not write"):
            made(tmp_path, name).open()


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_where_a_file_is_there_before_it_is_whole_it_gets_its_name_last(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what else fsspec reaches."""
    root = f"{tmp_path}/remote"
    name = f"jsonl:{protocol}://{root}"
    check_sinks([parse_sink(name)])
    store = made(tmp_path, name)
    store.open()
    write(store, 1)
    files = fsspec.filesystem(protocol)

    def fails(*_: object, **__: object) -> None:
        raise OSError(5, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(type(files), "mv", fails)
        with pytest.raises(StoreAway, match=r"does not take records \(broken\); the last records are in"):
            store.close()
    assert [one for one in files.find(root) if "/.part-" not in one] == []
    again = made(tmp_path, name)
    again.open()
    write(again, 1, 2)
    again.close()
    there = {one.rpartition("/")[2]: files.cat_file(one) for one in files.find(root) if "/.part-" not in one}
    assert Counter(ids(there, tmp_path)) == wanted(1, 2)
    assert len(there) == 2
    again.clear()
    assert [one for one in files.find(root) if "/.part-" not in one] == []


async def test_nothing_of_the_store_runs_in_the_main_thread(
    object_server: ObjectServer, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first call to the last, uploads beside commits included; the event loop is there."""
    threads: set[str] = set()
    call = object_store.ObjectPlace._call

    def watched(*arguments: Any, **named: Any) -> Any:
        threads.add(threading.current_thread().name)
        return call(*arguments, **named)

    monkeypatch.setattr(object_store.ObjectPlace, "_call", watched)
    name = named("jsonl", object_server.endpoint, "threads")
    sink = await RecordSink.open(tmp_path, [parse_sink("jsonl"), parse_sink(name)])
    await sink.commit(Batch([record(1)]))
    monkeypatch.setattr(object_store.ObjectPlace, "most_bytes", 1)
    await sink.commit(Batch([record(2)]))
    await sink.close()
    assert threads == {"sink-writer", "sink-upload"}
    assert Counter(ids(object_server.objects("threads/"), tmp_path)) == wanted(1, 2)


def test_what_empties_a_store_leaves_no_connection_open(
    object_server: ObjectServer, keys: None, tmp_path: Path
) -> None:
    """Nobody would close it: a crawl is deleted without being opened."""
    name = named("jsonl", object_server.endpoint, "emptied")
    store = made(tmp_path, name)
    store.open()
    write(store, 1)
    store.close()
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        clear_output(tmp_path, [parse_sink(name)])
        gc.collect()
    assert object_server.objects("emptied/") == {}
    assert [str(one.message) for one in told if issubclass(one.category, ResourceWarning)] == []
