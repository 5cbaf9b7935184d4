"""The table `items` of PostgreSQL: typed columns, and the items of each page as a whole."""

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.record import ITEM_KEYS, Batch, ItemColumns, Record
from farm.model.secret import SecretUrl
from farm.sinks.item_values import MOST_COLUMNS
from farm.sinks.postgres import PostgresStore
from tests.sinks.killed import record
from tests.sinks.postgres_server import PostgresServer, rows, write
from tests.sinks.test_items import page

DECLARED: ItemColumns = {
    "name": "text",
    "price": "json",
    "n": "integer",
    "share": "number",
    "ok": "boolean",
    "any": "json",
}
ITEMS = "SELECT * FROM items ORDER BY _id"


@pytest.fixture
def declared(url: str) -> Any:
    """Open a store that knows the fields."""
    opened = PostgresStore(SecretUrl(url), DECLARED)
    opened.open()
    yield opened
    opened.close()


def values(url: str, name: str = "a") -> list[Any]:
    """Return a field of all items."""
    return [row[name] for row in rows(url, ITEMS)]


def test_items_are_rows_of_the_declared_types(declared: PostgresStore, url: str) -> None:
    """What is not there is null; NUL and half surrogates become the replacement character."""
    price = {"amount": "5.00", "currency": "E\0\\u0000\ud800"}
    full = {"name": "Oak\0\t\\N\ud800", "price": price, "n": 1 << 62, "share": 0.1, "ok": True, "any": "x"}
    write(declared, Batch([page(1, full, {"name": None, "any": [1, None]})]), Batch([record(2)]))
    id_ = record(1).id
    first, second = rows(url, ITEMS)
    assert [first[name] for name in ITEM_KEYS] == [
        *(f"{id_}-1", id_, record(1).url, "product", datetime(2026, 3, 1, tzinfo=UTC))
    ]
    shown = {**full, "name": "Oak\ufffd\t\\N\ufffd", "price": {**price, "currency": "E\ufffd\\u0000\ufffd"}}
    assert {name: first[name] for name in DECLARED} == shown
    empty = dict.fromkeys(DECLARED)
    assert {name: second[name] for name in DECLARED} == {**empty, "any": [1, None]}
    typed = rows(url, "SELECT DISTINCT pg_typeof(n)::text || pg_typeof(share)::text AS t FROM items")
    assert typed == [{"t": "bigintdouble precision"}]


def test_items_of_a_page_are_replaced_as_a_whole(store: PostgresStore, url: str) -> None:
    """Fewer the second time, none, and by no older revision, in one group and over several."""

    def written(*records: Record) -> list[Any]:
        write(store, *(Batch([one]) for one in records))
        return sorted(values(url))

    assert written(page(1, {"a": "1"}, {"a": "2"}), page(2, {"a": "9"})) == ["1", "2", "9"]
    assert written(page(1, {"a": "3"})) == ["3", "9"]
    assert written(record(1)) == ["3", "9"], "nothing was read of it"
    assert written(page(1, {"a": "4"}, revision=2), page(1, {"a": "5"}, revision=1)) == ["4", "9"]
    assert written(page(1, {"a": "6"}, revision=1), page(2, {"a": "7"})) == ["4", "7"]
    assert written(page(1, {"a": "8"}, revision=2), page(1, {"a": "0"}, revision=2)) == ["0", "7"]
    assert written(page(1, revision=2)) == ["7"]
    store.close()
    store.open()
    assert written(page(2)) == []


def test_a_page_and_its_items_are_one_transaction(declared: PostgresStore, url: str) -> None:
    """What the table cannot hold is its page's fault, and neither is there; the others of the group are."""
    write(declared, Batch([page(1, {"n": 1})]))
    with pytest.raises(RenderError, match=r"its column items.n is bigint, and the value is 'many'"):
        write(declared, Batch([page(1, {"n": 2})]), Batch([page(2, {"n": "many"})]))
    with pytest.raises(RenderError, match=r"corrupt: .* does not take the record"):
        write(declared, Batch([page(2, {"n": 0.5})]))
    assert (values(url, "n"), len(rows(url))) == ([1], 1)
    write(declared, Batch([page(2, {"share": None})]))
    rows(url, "ALTER TABLE items DROP COLUMN share")
    with pytest.raises(OutputUnwritable, match="cannot be written to"):
        write(declared, Batch([page(3, {"share": 1.0})]))
    write(declared, Batch([page(3, {"share": 1.0})]))
    assert sorted(map(str, values(url, "share"))) == ["1.0", "None", "None"]


def test_fields_without_a_declaration(store: PostgresStore, url: str) -> None:
    """Texts are text, everything else is jsonb; a later value of the other kind fits all the same."""
    write(store, Batch([page(1)]), Batch([record(2)]))
    assert rows(url, "SELECT to_regclass('items') AS made") == [{"made": None}]
    write(store, Batch([page(1, {"a": "x", "b": 5, "c": None})]))
    write(store, Batch([page(2, {"a": [1], "b": "y", 'q"; --': True, "c": False})]))
    found = {row["_page_id"]: row for row in rows(url, ITEMS)}
    first, second = (found[record(number).id] for number in (1, 2))
    assert (first["a"], first["b"], first["c"]) == ("x", 5, None)
    assert (second["a"], second["b"], second["c"], second['q"; --']) == ("[1]", "y", False, True)
    with pytest.raises(RenderError, match="at most"):
        write(store, Batch([page(3, {f"c{number}": 1 for number in range(MOST_COLUMNS)})]))
    assert len(rows(url, ITEMS)) == 2


def test_a_field_that_no_table_can_have_is_its_pages_fault(store: PostgresStore, url: str) -> None:
    """The others of the group are there; one that is declared is refused before the first page."""
    with pytest.raises(RenderError, match="every table of PostgreSQL has a column xmin; name the field"):
        write(store, Batch([page(1, {"xmin": 1, "ymin": 2})]))
    write(store, Batch([page(2, {"ymin": 3})]))
    assert values(url, "ymin") == [3]
    with pytest.raises(OutputUnwritable, match="cannot hold the field ctid"):
        PostgresStore(SecretUrl(url), {"ctid": "text"}).open()


def test_a_table_of_before_keeps_its_types(url: str) -> None:
    """Columns of one's own stay; one of the farm's of a strange type is refused with the remedy."""
    rows(
        url, "CREATE TABLE items (_id varchar PRIMARY KEY, n numeric, name varchar(9), own text DEFAULT 'o')"
    )
    store = PostgresStore(SecretUrl(url), DECLARED)
    store.open()
    write(store, Batch([page(1, {"n": 5, "name": "x"})]))
    assert [(int(row["n"]), row["name"], row["own"]) for row in rows(url, ITEMS)] == [(5, "x", "o")]
    rows(url, "DROP TABLE items; CREATE TABLE items (_id text PRIMARY KEY, _page_id bigint)")
    store.close()
    store.open()
    with pytest.raises(OutputUnwritable, match="column _page_id is bigint where text is needed; rename"):
        write(store, Batch([page(1, {"n": 5})]))
    store.close()


async def test_nodes_that_begin_together_make_one_table(server: PostgresServer, url: str) -> None:
    """And write to it at once, also the same page."""
    together = threading.Barrier(4)

    def node(number: int) -> None:
        store = PostgresStore(SecretUrl(url), {f"own{number}": "integer", **DECLARED})
        store.open()
        together.wait(20)
        for turn in range(5):
            both = page(0, {"n": number}, {"n": number}), page(10 * number + turn, {f"own{number}": turn})
            store.write([store.encode(Batch([one]))[0] for one in both])
        store.close()

    await asyncio.gather(*(asyncio.to_thread(node, number) for number in range(1, 5)))
    shared = rows(url, f"SELECT n FROM items WHERE _page_id = '{record(0).id}'")  # noqa: S608
    assert len(shared) == 2
    assert shared[0] == shared[1]
    assert len(rows(url, ITEMS)) == 22
