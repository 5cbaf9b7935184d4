"""Items beside their pages: in lines, in tables, each page's as a whole."""

import asyncio
import csv
import gzip
import io
import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.record import ITEM_KEYS, Batch, ItemColumns, Record
from farm.sinks.address import parse_sink, store_of
from farm.sinks.item_values import MOST_COLUMNS, items_path
from farm.sinks.output import RecordSink
from farm.sinks.record import items_of, json_line
from farm.sinks.sqlite import SqliteStore
from tests.sinks.killed import record
from tests.small_disk import enlarge


def page(number: int, *items: dict[str, Any], **fields: Any) -> Record:
    """Return a record with items of the kind `product`."""
    made = record(number, **fields)
    return replace(made, items=items_of(made.fields, [("product", item) for item in items]))


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the items in a database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM items ORDER BY _id")]


async def test_items_go_to_every_sink(tmp_path: Path) -> None:
    """Flat, with what says where they are from; a later run adds no item twice; `fresh` removes the file."""
    sinks = [parse_sink("jsonl"), parse_sink(f"sqlite:///{tmp_path}/a.db")]
    price = {"amount": "5.00", "currency": "EUR"}
    for _ in range(2):
        sink = await RecordSink.open(tmp_path, sinks)
        for one in (page(1, {"name": "ü\ud800", "price": price, "n": 3}, {"name": "b"}), page(2), record(3)):
            await sink.commit(Batch([one]))
        await sink.close()
        assert sink.items == 2
    id_ = record(1).id
    about = {
        "_page_id": id_,
        "_url": record(1).url,
        "_kind": "product",
        "_fetched_at": "2026-03-01T00:00:00.000Z",
    }
    assert lines(tmp_path / "items.jsonl") == [
        {"_id": f"{id_}-1", **about, "name": "ü\ufffd", "price": price, "n": 3},
        {"_id": f"{id_}-2", **about, "name": "b"},
    ]
    assert len(lines(tmp_path / "pages.jsonl")) == 3
    stored = rows(tmp_path / "a.db")
    assert stored[0] == {
        "_id": f"{id_}-1",
        **about,
        "name": "ü\ufffd",
        "price": json.dumps(price, separators=(",", ":")),
        "n": 3,
    }
    assert stored[1] == {"_id": f"{id_}-2", **about, "name": "b", "price": None, "n": None}
    sink = await RecordSink.open(tmp_path, sinks, fresh=True)
    await sink.close()
    assert not (tmp_path / "items.jsonl").exists()


async def test_a_page_without_items_makes_no_file(tmp_path: Path) -> None:
    """Nor a table."""
    sink = await RecordSink.open(tmp_path, [parse_sink("jsonl"), parse_sink(f"sqlite:///{tmp_path}/a.db")])
    await sink.commit(Batch([record(1)]))
    await sink.close()
    assert not (tmp_path / "items.jsonl").exists()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        rows(tmp_path / "a.db")


@pytest.mark.parametrize("name", ["pages.jsonl", "pages.jsonl.gz", "pages.csv"])
async def test_a_full_disk_has_whole_pages_with_their_items(
    small_disk: Path, tmp_path: Path, name: str
) -> None:
    """What was confirmed is there; once there is room, the next run completes it, and nothing stands twice."""
    kind = "csv" if name.endswith("csv") else "jsonl"
    sinks = [parse_sink(f"{kind}:{small_disk / name}")]
    pages = [
        page(number, {"n": number}, {"n": -number}, html=os.urandom(25_000).hex()) for number in range(40)
    ]
    confirmed = []
    sink = await RecordSink.open(tmp_path, sinks)

    async def fill() -> None:
        for one in pages:
            await sink.commit(Batch([one]))
            confirmed.append(one.id)

    with pytest.raises(
        OutputUnwritable, match=r"cannot be written \(No space left on device\); free some space"
    ):
        await fill()
    await sink.close()
    assert 3 < len(confirmed) < len(pages)
    with_items = {one["_page_id"] for one in stored_rows(small_disk / items_path(Path(name)))}
    assert [one["id"] for one in stored_rows(small_disk / name)] == confirmed
    assert with_items >= {*confirmed}
    await asyncio.to_thread(enlarge, small_disk, "16m")
    sink = await RecordSink.open(tmp_path, sinks)
    for one in pages:
        await sink.commit(Batch([one]))
    await sink.close()
    assert [one["id"] for one in stored_rows(small_disk / name)] == [one.id for one in pages]
    found = [one["_id"] for one in stored_rows(small_disk / items_path(Path(name)))]
    assert sorted(found) == sorted(f"{one.id}-{number}" for one in pages for number in (1, 2))


def stored_rows(path: Path) -> list[dict[str, Any]]:
    """Return what is in a file of lines or rows, packed or not; it fails where a part of one is."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if ".csv" in path.name:
        return [*csv.DictReader(io.StringIO(text))]
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_kill_at_any_byte_never_mixes_two_renderings(tmp_path: Path, kind: str) -> None:
    """A page that was not written is visited again, and has the items of that visit alone; others stay."""
    address, folder = parse_sink(kind), tmp_path / "a"
    path = folder / f"items.{kind}"

    def write(*records: Record) -> None:
        store = store_of(address, folder, folder / ".farm", item_columns={"a": "integer", "b": "text"})
        store.open()
        store.write([store.encode(Batch([one]))[0] for one in records])
        store.close()

    def read() -> list[int]:
        if kind == "jsonl":
            return [item["a"] for item in lines(path)]
        with path.open(newline="") as file:
            return [int(row["a"]) for row in csv.DictReader(file)]

    write(page(1, {"a": 1}, {"a": 2}))
    good = path.stat().st_size
    shutil.copytree(folder, tmp_path / "good")
    write(page(2, {"a": 3, "b": "x\ny"}, {"a": 4}), page(3, {"a": 5}))
    torn = path.read_bytes()
    for end in range(good, len(torn) + 1):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "good", folder)
        path.write_bytes(torn[:end])
        write(page(3, {"a": 6}, {"a": 7}), page(2, {"a": 8}))
        assert read() == [1, 2, 6, 7, 8], end


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_of_two_renderings_in_one_group_page_and_items_are_of_the_same(tmp_path: Path, kind: str) -> None:
    """A store that was slow gathers them: the first counts, and before it a later revision."""
    store = store_of(parse_sink(kind), tmp_path, tmp_path / ".farm", item_columns={"a": "integer"})
    store.open()
    renderings = (
        page(1, {"a": 1}, title="first"),
        page(1, {"a": 2}, {"a": 3}, title="second"),
        page(2, {"a": 4}, title="revised", revision=1),
        page(2, {"a": 5}, title="late", revision=0),
    )
    store.write([store.encode(Batch([one]))[0] for one in renderings])
    store.close()
    assert [row["title"] for row in stored_rows(tmp_path / f"pages.{kind}")] == ["first", "revised"]
    assert [int(row["a"]) for row in stored_rows(tmp_path / f"items.{kind}")] == [1, 4]


async def test_what_a_kill_leaves_between_items_and_pages_is_dropped(tmp_path: Path) -> None:
    """Also where no page was written yet; what a page has of which the record stands is kept."""
    for committed in (page(1, {"a": 1}), page(1, {"a": 2}, {"a": 3})):
        sink = await RecordSink.open(tmp_path)
        await sink.commit(Batch([committed]))
        await sink.close()
        for left in (tmp_path / "pages.jsonl", tmp_path / ".farm/pages.index"):
            left.unlink()
    sink = await RecordSink.open(tmp_path)
    await sink.commit(Batch([page(1, {"a": 4})]))
    await sink.commit(Batch([page(1, {"a": 5}, {"a": 6})]))
    await sink.close()
    assert [item["a"] for item in lines(tmp_path / "items.jsonl")] == [4]
    assert len(lines(tmp_path / "pages.jsonl")) == 1


async def test_items_whose_pages_somebody_has_removed_are_left_alone(tmp_path: Path) -> None:
    """It was no kill that took the pages of so many, or those that the sidecar knows."""
    sink = await RecordSink.open(tmp_path)
    await sink.commit(Batch([page(1, {"a": 1})]))
    await sink.close()
    (tmp_path / "pages.jsonl").write_bytes(b"")
    await (await RecordSink.open(tmp_path)).close()
    assert len(lines(tmp_path / "items.jsonl")) == 1
    (tmp_path / "pages.jsonl").unlink()
    (tmp_path / ".farm/pages.index").unlink()
    many = [page(number, {"a": number}) for number in range(2, 1_200)]
    with (tmp_path / "items.jsonl").open("ab") as file:
        file.writelines(json_line(item) for one in many for item in one.items or ())
    with pytest.raises(OutputUnwritable, match="put the file of pages back, or move that of items away"):
        await RecordSink.open(tmp_path)
    assert len(lines(tmp_path / "items.jsonl")) == 1_199


async def test_items_in_csv(tmp_path: Path) -> None:
    """The declared fields are the columns, lists and objects are JSON, texts may be kept from being formulas."""
    columns: ItemColumns = {"name": "text", "price": "json", "n": "integer", "ok": "boolean", "x": "number"}
    items = (
        {"name": '=1, "ü"\n\0\ud800', "price": {"amount": "5.00"}, "n": 3, "ok": True, "x": 0.5},
        {"name": ""},
    )
    address = parse_sink(f"csv:{tmp_path / 'shop.csv'}?formulas=escape")
    for _ in range(2):
        sink = await RecordSink.open(tmp_path, [address], item_columns=columns)
        await sink.commit(Batch([page(1, *items)]))
        await sink.close()
    path = tmp_path / "shop-items.csv"
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == [*ITEM_KEYS, *columns]
    id_ = record(1).id
    assert [first[name] for name in ITEM_KEYS] == [
        f"{id_}-1",
        *(id_, record(1).url, "product", "2026-03-01T00:00:00.000Z"),
    ]
    values = ['\'=1, "ü"\n\ufffd\ufffd', '{"amount":"5.00"}', "3", "true", "0.5"]
    assert [first[name] for name in columns] == values
    assert [second[name] for name in columns] == [""] * 5
    assert path.read_text().endswith(',"",,,,\n'), "an empty text is told from null"
    with duckdb.connect() as connection:
        query = f"SELECT price ->> '$.amount', n + 1, ok FROM read_csv('{path}') ORDER BY _id LIMIT 1"  # noqa: S608
        assert connection.execute(query).fetchall() == [("5.00", 4, True)]
    with pytest.raises(OutputUnwritable, match="has items with other fields than these; move it away"):
        await RecordSink.open(tmp_path, [address], item_columns={"other": "text"})


async def test_items_in_csv_without_a_declaration(tmp_path: Path) -> None:
    """What fields there are is not known when the file begins: one column has them all."""
    sink = await RecordSink.open(tmp_path, [parse_sink("csv")])
    await sink.commit(Batch([page(1, {"a": 1}, {"b": "x"})]))
    await sink.close()
    with (tmp_path / "items.csv").open(newline="") as file:
        assert [json.loads(row["_fields"]) for row in csv.DictReader(file)] == [{"a": 1}, {"b": "x"}]


def test_items_of_a_page_are_replaced_as_a_whole(tmp_path: Path) -> None:
    """Fewer the second time, none, and by no older revision; a page of which nothing was read keeps them."""
    store = SqliteStore(tmp_path / "a.db")
    store.open()

    def write(*records: Record) -> list[Any]:
        store.write([store.encode(Batch([one]))[0] for one in records])
        return [row["a"] for row in rows(tmp_path / "a.db")]

    assert write(page(1, {"a": 1}, {"a": 2}), page(2, {"a": 9})).count(9) == 1
    assert sorted(write(page(1, {"a": 3}))) == [3, 9]
    assert sorted(write(record(1))) == [3, 9]
    assert sorted(write(page(1, {"a": 4}, revision=2), page(1, {"a": 5}, revision=1))) == [4, 9]
    assert write(page(1, revision=2)) == [9]
    store.close()


def test_names_and_numbers_of_columns(tmp_path: Path) -> None:
    """Any name is a column's, whatever signs it has; one in another case is the same; there is an end to them."""
    store = SqliteStore(tmp_path / "a.db")
    store.open()
    store.write([store.encode(Batch([page(1, {'a"b; --': 1, "Name": "x"}), page(2, {"name": True})]))[0]])
    stored = rows(tmp_path / "a.db")
    assert {row['a"b; --'] for row in stored} == {1, None}
    assert {row["Name"] for row in stored} == {"x", 1}
    store.write([store.encode(Batch([page(6, {"É": 1, "é": 2})]))[0]])
    assert {(row["É"], row["é"]) for row in rows(tmp_path / "a.db")} == {(None, None), (1, 2)}
    with pytest.raises(RenderError, match="at most"):
        store.write([store.encode(Batch([page(3, {f"c{number}": 1 for number in range(MOST_COLUMNS)})]))[0]])
    assert len(rows(tmp_path / "a.db")) == 3
    store.write([store.encode(Batch([page(4, {"Name": "later"})]))[0]])
    assert len(rows(tmp_path / "a.db")) == 4
    for name in ("", "x" * 64, "a\0"):
        with pytest.raises(RenderError, match="is not a column name"):
            store.encode(Batch([page(5, {name: 1})]))
    store.close()


@pytest.mark.parametrize(
    ("pages", "items"),
    [
        ("pages.jsonl", "items.jsonl"),
        ("pages.jsonl.gz", "items.jsonl.gz"),
        ("pages.csv", "items.csv"),
        ("shop.jsonl", "shop-items.jsonl"),
    ],
)
def test_where_items_are(pages: str, items: str) -> None:
    """Beside their pages."""
    assert items_path(Path("/x") / pages) == Path("/x") / items
