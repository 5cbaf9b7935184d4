"""Items beside their pages: in lines, in tables, each page's as a whole."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.model.errors import RenderError
from farm.model.record import Batch, Record
from farm.sinks.address import parse_sink
from farm.sinks.items import MOST_COLUMNS, items_path
from farm.sinks.output import RecordSink
from farm.sinks.record import items_of
from farm.sinks.sqlite import SqliteStore
from tests.sinks.killed import record


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


async def test_items_come_before_their_page(tmp_path: Path) -> None:
    """A crash between the two repeats the page: its items are there once, and then the page."""
    sink = await RecordSink.open(tmp_path)
    await sink.commit(Batch([page(1, {"a": 1})]))
    await sink.close()
    (tmp_path / "pages.jsonl").write_bytes(b"")
    sink = await RecordSink.open(tmp_path)
    await sink.commit(Batch([page(1, {"a": 2}, {"a": 3})]))
    await sink.commit(Batch([page(1, {"a": 4}, {"a": 5}, {"a": 6})]))
    await sink.close()
    assert [item["a"] for item in lines(tmp_path / "items.jsonl")] == [1, 3]
    assert len(lines(tmp_path / "pages.jsonl")) == 1


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
    with pytest.raises(RenderError, match="are the most"):
        store.write([store.encode(Batch([page(3, {f"c{number}": 1 for number in range(MOST_COLUMNS)})]))[0]])
    assert len(rows(tmp_path / "a.db")) == 2
    store.write([store.encode(Batch([page(4, {"Name": "later"})]))[0]])
    assert len(rows(tmp_path / "a.db")) == 3
    for name in ("", "x" * 64, "a\0"):
        with pytest.raises(RenderError, match="no name of a column"):
            store.encode(Batch([page(5, {name: 1})]))
    store.close()


@pytest.mark.parametrize(
    ("pages", "items"),
    [
        ("pages.jsonl", "items.jsonl"),
        ("pages.jsonl.gz", "items.jsonl.gz"),
        ("shop.jsonl", "shop-items.jsonl"),
    ],
)
def test_where_items_are(pages: str, items: str) -> None:
    """Beside their pages."""
    assert items_path(Path("/x") / pages) == Path("/x") / items
