"""One revision of a page is current: what repair renders again replaces what was there."""

import csv
import gzip
import json
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pytest

from farm.model.errors import OutputUnwritable
from farm.model.record import Batch, Record
from farm.sinks import compaction, items, log_file
from farm.sinks.address import parse_sink, store_of
from farm.sinks.log_index import LogIndex
from farm.sinks.output import RecordSink
from tests.sinks.killed import record
from tests.sinks.test_items import page


def revised(number: int, revision: int, *found: dict[str, Any]) -> Record:
    """Return a later revision of a page with these items."""
    return page(number, *found, revision=revision, title=f"revision {revision}")


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of lines, packed or not, or of a CSV file."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.splitlines()]


async def write(folder: Path, sink: str, *records: Record, is_whole: bool = True) -> None:
    """Commit the records one after the other, in a run of its own."""
    made = await RecordSink.open(folder, [parse_sink(sink.format(folder))], item_columns={"a": "integer"})
    for one in records:
        await made.commit(Batch([one]))
    await made.close()
    if records and is_whole:
        assert made.stores[0].records == len({one["id"] for one in stored(folder)}), "as the report says it"


def stored(folder: Path) -> list[dict[str, Any]]:
    """Return what stands in the files of the first sink."""
    return [row for path in folder.glob("pages*") for row in rows(path)] or rows_of_segments(folder)


def rows_of_segments(folder: Path) -> list[dict[str, Any]]:
    """Return the ids in the segments below the folder."""
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT DISTINCT id FROM '{folder}/p/*.parquet'").fetchall()  # noqa: S608
    return [{"id": id_} for (id_,) in found]


def shown(folder: Path, name: str) -> list[tuple[str, int]]:
    """Return the URLs and revisions that stand in the files of pages, in their order."""
    paths = sorted(folder.glob(f"pages*{name.removeprefix('pages')}"))
    return [(row["url"].rpartition("/")[2], int(row["revision"])) for path in paths for row in rows(path)]


def sidecar(folder: Path, content: bytes | None = None) -> bytes:
    """Return what stands in the sidecar of the pages, once `content` was put there."""
    index = folder / ".farm/pages.index"
    if content is not None:
        index.write_bytes(content)
    return index.read_bytes()


def item_file(folder: Path) -> Path:
    """Return the one file of items."""
    (path,) = (one for one in folder.glob("*items*") if one.is_file())
    return path


FILES = [
    ("jsonl", "pages.jsonl", "items.jsonl"),
    ("jsonl:{}/pages.jsonl.gz", "pages.jsonl.gz", "items.jsonl"),
    ("csv", "pages.csv", "items.csv"),
]


@pytest.mark.parametrize(("sink", "pages", "of_items"), FILES)
async def test_a_later_revision_replaces_the_page_and_its_items(
    tmp_path: Path, sink: str, pages: str, of_items: str
) -> None:
    """Whether it has more items, fewer or none; a repetition of an earlier one changes nothing."""
    await write(
        tmp_path,
        sink,
        *(page(number, {"a": number}, {"a": 10 + number}, revision=0) for number in range(5)),
        revised(1, 1, {"a": 21}),
        revised(2, 1),
        revised(3, 1, {"a": 23}, {"a": 33}, {"a": 43}),
        page(1, {"a": 99}, revision=0),
    )
    assert shown(tmp_path, pages) == [("0", 0), ("4", 0), ("1", 1), ("2", 1), ("3", 1)]
    path = item_file(tmp_path)
    assert sorted(int(row["a"]) for row in rows(path)) == [0, 4, 10, 14, 21, 23, 33, 43], of_items
    # The files go on: their sidecars fit.
    await write(tmp_path, sink, record(9, revision=0), page(4, revision=0), revised(1, 2, {"a": 5}))
    assert shown(tmp_path, pages) == [("0", 0), ("4", 0), ("2", 1), ("3", 1), ("9", 0), ("1", 2)]
    assert sorted(int(row["a"]) for row in rows(path)) == [0, 4, 5, 10, 14, 23, 33, 43]


@pytest.mark.parametrize(("sink", "pages", "of_items"), FILES)
async def test_what_a_run_has_left_is_taken_out_by_the_next_one(
    tmp_path: Path,
    sink: str,
    pages: str,
    of_items: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was killed, or the file was too large to be written anew at the end: that is said."""
    monkeypatch.setattr(items, "AT_END_BYTES", 0)
    first = (page(1, {"a": 1}, revision=0), record(2, revision=0), revised(1, 1, {"a": 2}))
    await write(tmp_path, sink, *first, is_whole=False)
    assert shown(tmp_path, pages) == [("1", 0), ("2", 0), ("1", 1)]
    assert "1 earlier revisions stay until the next run" in caplog.text
    await write(tmp_path, sink)
    assert shown(tmp_path, pages) == [("2", 0), ("1", 1)]
    path = item_file(tmp_path)
    assert [int(row["a"]) for row in rows(path)] == [2], of_items
    await write(tmp_path, sink, record(2, revision=0))
    assert shown(tmp_path, pages) == [("2", 0), ("1", 1)]


async def test_a_sidecar_that_does_not_fit_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill came between the file and its sidecar."""
    monkeypatch.setattr(items, "AT_END_BYTES", 0)
    many = [record(number, revision=0) for number in range(100)]
    await write(tmp_path, "jsonl", *many, revised(1, 1), is_whole=False)
    before = sidecar(tmp_path)
    await write(tmp_path, "jsonl")
    sidecar(tmp_path, before)
    await write(tmp_path, "jsonl", revised(2, 1), is_whole=False)
    monkeypatch.undo()
    await write(tmp_path, "jsonl")
    found = dict(shown(tmp_path, "pages.jsonl"))
    assert len(found) == len(shown(tmp_path, "pages.jsonl")) == 100
    assert (found["1"], found["2"], found["3"]) == (1, 1, 0)


async def test_a_disk_without_room_for_a_copy_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Earlier revisions stay, of pages and of items, which is said; what stands in the files is counted."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    runs: list[tuple[int, int, list[Record]]] = [
        (2, 2, [page(1, revision=0), revised(1, 1)]),
        (4, 2, [page(2, {"a": 1}, revision=0), revised(2, 1, {"a": 2})]),
        (5, 1, [record(3, revision=0)]),
    ]
    with monkeypatch.context() as patched:
        patched.setattr(compaction, "take_out", full)
        for records, written, committed in runs:
            sink = await RecordSink.open(tmp_path)
            for one in committed:
                await sink.commit(Batch([one]))
            await sink.close()
            assert (sink.stores[0].records, sink.stores[0].written) == (records, written)
    assert caplog.text.count("earlier revisions stay in jsonl:") == 5, "at each end, and at the start of two"
    await write(tmp_path, "jsonl")
    assert shown(tmp_path, "pages.jsonl") == [("1", 1), ("2", 1), ("3", 0)]
    assert [row["a"] for row in rows(item_file(tmp_path))] == [2]


def test_a_file_that_is_written_anew_takes_no_lines_of_another_crawl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be in the file that is replaced."""
    address = parse_sink(f"jsonl:{tmp_path}/shared.jsonl")
    other = store_of(address, tmp_path / "other", tmp_path / "other/.farm")
    take_out, asked = compaction.take_out, []

    def tried(*given: Any) -> None:
        with pytest.raises(OutputUnwritable, match="is being written to by another run"):
            other.open()
        asked.append(given)
        take_out(*given)

    monkeypatch.setattr(compaction, "take_out", tried)
    store = store_of(address, tmp_path / "own", tmp_path / "own/.farm")
    store.open()
    for one in (record(1, revision=0), revised(1, 1)):
        store.write([store.encode(Batch([one]))[0]])
    store.close()
    assert len(asked) == 1
    other.open()
    assert other.records == 1
    other.close()


def test_a_page_in_a_finished_file_is_replaced_too(tmp_path: Path) -> None:
    """Each file is written anew where it has something that was replaced."""
    address = parse_sink(f"jsonl:{tmp_path}/pages.jsonl?rotate=1KiB")

    def run(*records: Record) -> None:
        store = store_of(address, tmp_path, tmp_path / ".farm")
        store.open()
        for one in records:
            store.write([store.encode(Batch([one]))[0]])
        store.close()

    run(*(record(number, revision=0) for number in range(8)))
    assert len(list(tmp_path.glob("pages-*.jsonl"))) > 1
    run(revised(0, 1), revised(5, 1), record(3, revision=0))
    found = shown(tmp_path, "pages.jsonl")
    assert sorted(found) == [(str(number), int(number in {0, 5})) for number in range(8)]


def test_what_a_kill_leaves_of_a_rotation_and_of_a_compaction_is_gone(tmp_path: Path) -> None:
    """Items that are in a finished file alone are replaced too, and no draft of a sidecar stays."""
    address = parse_sink("jsonl:?rotate=1MiB")

    def run(*records: Record) -> list[int]:
        store = store_of(address, tmp_path, tmp_path / ".farm")
        store.open()
        for one in records:
            store.write([store.encode(Batch([one]))[0]])
        store.close()
        return [row["a"] for path in sorted(tmp_path.glob("items*.jsonl")) for row in rows(path)]

    assert run(page(1, {"a": 1}, revision=0), page(2, {"a": 2}, revision=0)) == [1, 2]
    (tmp_path / "items.jsonl").rename(tmp_path / "items-000001.jsonl")
    (tmp_path / ".farm/.pages.index.draft").touch()
    assert run(revised(1, 1)) == [2]
    assert not list(tmp_path.rglob("*.draft"))


@pytest.mark.parametrize("failing", ["pages", "items"])
def test_a_rotation_that_fails_half_way_loses_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The disk was full where the next file was begun, or the one of items was renamed; then the run ended."""

    def full(*_: object, **__: object) -> None:
        raise OutputUnwritable("full") if failing == "pages" else OSError(28, "No space left on device")

    def written(number: int, revision: int) -> list[Any]:
        item = {"a": 10 * number + revision, "text": "x" * (0 if failing == "pages" else 1_100)}
        return [store.encode(Batch([page(number, item, revision=revision, text="x" * 1_100)]))[0]]

    store = store_of(parse_sink("jsonl:?rotate=1KiB"), tmp_path, tmp_path / ".farm")
    store.open()
    store.write(written(1, 0))
    store.write(written(1, 1))
    with monkeypatch.context() as patched:
        place: tuple[Any, str] = (log_file, "AppendLog") if failing == "pages" else (Path, "rename")
        patched.setattr(*place, full)
        with pytest.raises(OutputUnwritable, match=r"full|cannot be renamed"):
            store.write(written(2, 0))
    assert (store.records, store.written) == (2, 2)
    store.close()
    store.open()
    store.close()
    assert shown(tmp_path, "pages.jsonl") == [("1", 1)]
    found = [row for path in sorted(tmp_path.glob("items*.jsonl")) for row in rows(path)]
    assert [row["a"] for row in found] == [11]


async def test_segments_take_a_later_revision_beside_the_first(tmp_path: Path) -> None:
    """A segment is never written anew: an export drops what was replaced."""
    await write(tmp_path, "parquet:{}/p", record(1, revision=0), record(1, revision=0))
    await write(tmp_path, "parquet:{}/p", revised(1, 1), revised(1, 1), record(1, revision=0))
    with duckdb.connect() as connection:
        asked = f"SELECT revision FROM '{tmp_path}/p/*.parquet' ORDER BY revision"  # noqa: S608
        found = connection.execute(asked).fetchall()
    assert found[0] == (0,)
    assert {revision for (revision,) in found[1:]} == {1}


def test_a_long_file_is_written_anew_in_bounded_memory(tmp_path: Path) -> None:
    """Its sidecar too, which has every page of a crawl of millions."""
    path, index_path, count = tmp_path / "log", tmp_path / "log.index", 100_000
    path.write_bytes(b"x\n" * count)
    index = LogIndex(index_path)
    index.append((number.to_bytes(16), 2 * number) for number in range(1, count + 1))
    index.close()
    tracemalloc.start()
    compaction.take_out(path, index_path, 0, {7})
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8 * 2**20
    assert path.stat().st_size == 2 * (count - 1)
    kept = LogIndex(index_path)
    kept.cut_to(path.stat().st_size)
    assert kept.length == count - 1
    assert list(islice(kept.entries(), 6, 8)) == [((7).to_bytes(16), 14), ((9).to_bytes(16), 16)]
    kept.close()
