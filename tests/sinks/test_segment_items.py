"""Items in segments: Parquet files and packed lines in the folder `items`, each page's of one visit."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farm.export.find import find_sources
from farm.export.merge import Merge
from farm.model.errors import RenderError
from farm.model.record import ITEM_KEYS, Batch, ItemColumns, Record
from farm.sinks import parquet
from farm.sinks.address import parse_sink, store_of
from farm.sinks.jsonl import JsonlFormat
from farm.sinks.log_items import with_items, without_items
from farm.sinks.parquet import ParquetFormat
from farm.sinks.places import LocalPlace
from farm.sinks.segment_format import SegmentFormat
from farm.sinks.segments import SegmentStore
from tests.sinks.killed import record
from tests.sinks.test_items import page

COLUMNS: ItemColumns = {"name": "text", "price": "json", "n": "integer", "x": "number", "ok": "boolean"}
FULL = {"name": "Oak\ud800", "price": {"amount": "5.00"}, "n": 1 << 62, "x": 2, "ok": True}


def opened(
    folder: Path, form: SegmentFormat | None = None, columns: ItemColumns | None = COLUMNS
) -> SegmentStore:
    """Open a store below a folder."""
    sink = folder / "sink"
    form = form or ParquetFormat(columns)
    store = SegmentStore("sink", form, LocalPlace(sink), sink, folder / "private", "n1")
    store.open()
    return store


def write(store: SegmentStore, *records: Record) -> None:
    """Write records as one group."""
    store.write([store.encode(Batch([one]))[0] for one in records])


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return the items in Parquet files, as DuckDB reads them."""
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT * FROM '{folder}/sink/items/*.parquet' ORDER BY _id")  # noqa: S608
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def unpacked(path: Path) -> list[Any]:
    """Return the lines of a packed file."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_items_are_rows_of_the_declared_types(tmp_path: Path) -> None:
    """In a file of the number of their pages'; the pages' own files have nothing of them."""
    store = opened(tmp_path)
    write(store, page(1, FULL, {"name": None}), page(2), record(3))
    assert not list(tmp_path.rglob("*.parquet"))
    store.close()
    (first, second) = rows(tmp_path)
    assert [first[name] for name in ITEM_KEYS[:-1]] == [
        f"{record(1).id}-1",
        record(1).id,
        record(1).url,
        "product",
    ]
    assert first["_fetched_at"].astimezone(UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert {name: first[name] for name in COLUMNS} == {
        **FULL,
        "name": "Oak\ufffd",
        "price": '{"amount":"5.00"}',
    }
    assert {name: second[name] for name in COLUMNS} == dict.fromkeys(COLUMNS)
    schema = pq.read_schema(tmp_path / "sink/items/part-n1-000001.parquet")
    assert [schema.field(name).type for name in ("n", "x", "ok")] == [pa.int64(), pa.float64(), pa.bool_()]
    pages = pq.read_table(tmp_path / "sink/part-n1-000001.parquet")
    assert (pages.num_rows, pages.schema.names) == (3, parquet.NAMES)
    assert store.records == 3


def test_a_page_without_items_makes_no_folder(tmp_path: Path) -> None:
    """A value of another type than its field's is its page's fault."""
    store = opened(tmp_path)
    for value in ("many", float("inf"), float("nan"), 1 << 70):
        with pytest.raises(RenderError, match=f"n is declared integer, and the value is '{value}'"):
            store.encode(Batch([page(1, {"n": value})]))
    with pytest.raises(RenderError, match="x is declared number"):
        store.encode(Batch([page(1, {"x": 1 << 2000})]))
    write(store, page(1), record(2))
    store.close()
    assert not (tmp_path / "sink/items").exists()


def test_without_a_declaration_all_fields_are_one_column(tmp_path: Path) -> None:
    """What handlers emit is not known beforehand."""
    store = opened(tmp_path, columns=None)
    write(store, page(1, {"a": 1}, {"b": "x"}))
    store.close()
    assert [json.loads(row["_fields"]) for row in rows(tmp_path)] == [{"a": 1}, {"b": "x"}]


def test_items_of_packed_lines(tmp_path: Path) -> None:
    """As they are written in `items.jsonl`; the lines of pages are those of `pages.jsonl`."""
    store = opened(tmp_path, JsonlFormat())
    made = page(1, FULL, {"deep": {"_items": [1]}}, meta={"x": ',"_items":[1],"_items_bytes":3}'})
    write(store, made, page(2))
    store.close()
    name = "part-n1-000001.jsonl.gz"
    items = [
        json.loads(line)
        for line in gzip.decompress((tmp_path / "sink/items" / name).read_bytes()).splitlines()
    ]
    assert items[0] == {**(made.items or [])[0], "name": "Oak\ufffd"}
    assert items[1] == (made.items or [])[1]
    pages = [
        json.loads(line) for line in gzip.decompress((tmp_path / "sink" / name).read_bytes()).splitlines()
    ]
    assert pages == [json.loads(json.dumps(one.fields)) for one in (made, page(2))]


@pytest.mark.parametrize(
    "items", [[], [{"a": 1}], [{"a": ',"_items_bytes":3}'}, {"_items": [{"_items": 1}]}]]
)
@pytest.mark.parametrize("line", [b'{"id":"x"}\n', b'{"id":",\\"_items\\":[]","_items_bytes":2.5}\n'])
def test_a_line_and_its_items_are_told_apart(line: bytes, items: Sequence[dict[str, Any]]) -> None:
    """Whatever is in either."""
    both = with_items(line, items)
    assert both.count(b"\n") == 1
    json.loads(both)
    assert without_items(both) == (line, items)


def test_a_kill_between_two_files_never_mixes_two_renderings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The items are made from the log that the pages are made from, again where it goes on."""
    published: list[str] = []
    publish = LocalPlace.publish

    def killed(place: LocalPlace, draft: Path, name: str) -> None:
        published.append(name)
        if not name.startswith("items/"):
            raise KeyboardInterrupt
        publish(place, draft, name)

    store = opened(tmp_path)
    write(store, page(1, {"n": 1}))
    monkeypatch.setattr(LocalPlace, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        store.close()
    monkeypatch.undo()
    store._release()
    assert published == ["items/part-n1-000001.parquet", "part-n1-000001.parquet"]
    again = opened(tmp_path)
    write(again, page(1, {"n": 2}, {"n": 3}), page(2, {"n": 4}))
    again.close()
    assert [row["n"] for row in rows(tmp_path)] == sorted([1, 4], key=lambda n: record(1 if n == 1 else 2).id)
    cleared = opened(tmp_path)
    cleared.close()
    cleared.clear()
    assert not list(tmp_path.rglob("*.parquet"))


def test_export_reads_the_items_of_files_and_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are in no file yet too."""
    monkeypatch.setattr(ParquetFormat, "most_rows", 1)
    store = store_of(
        parse_sink(f"parquet:{tmp_path / 'sink'}"), tmp_path, tmp_path / "private", "n1", COLUMNS
    )
    store.open()
    write(store, page(1, {"n": 1}))  # type: ignore[arg-type]
    monkeypatch.setattr(ParquetFormat, "most_rows", 9)
    write(store, page(2, {"n": 2}))  # type: ignore[arg-type]
    with Merge(find_sources([str(tmp_path / "sink")], lambda _: ()), lambda _: True) as merge:
        found = [dict(item) for item in merge.items()]
        records = [*merge.records()]
    assert [(item["n"], item["_page_id"]) for item in found] == [(1, record(1).id), (2, record(2).id)]
    assert [(one["id"], set(one)) for one in records] == [
        (record(number).id, set(record(1).fields)) for number in (1, 2)
    ]
    store.close()
