"""The PostgreSQL store: rows of typed columns in a real server, and tables of others."""

import json
from datetime import UTC, datetime

import pytest

from farm.app.preflight import preflight
from farm.model.errors import OutputUnwritable, RenderError, UsageError
from farm.model.record import COLUMNS, Batch
from farm.model.secret import SecretUrl
from farm.settings.commands import RunSettings
from farm.sinks.address import parse_sink
from farm.sinks.output import RecordSink
from farm.sinks.postgres import PostgresStore
from farm.sinks.store import StoreAway
from tests.sinks.killed import record
from tests.sinks.postgres_server import PASSWORD, USER, PostgresServer, rows, write

COMMIT_S = 30


def test_a_record_is_a_row_of_typed_columns(store: PostgresStore, url: str) -> None:
    """What the server has no place for, NUL and half surrogates, becomes the replacement character."""
    links = [{"url": "https://shop.example/2", "text": "zwei\0\\u0000\ud800", "rel": "\\\\\0"}]
    fetched_at = "2026-03-01T12:00:00.123Z"
    write(
        store,
        Batch(
            [
                record(
                    *(1,),
                    links=links,
                    title='a\0\t\\N"ß',
                    settled=True,
                    proxy=None,
                    status=404,
                    fetched_at=fetched_at,
                )
            ]
        ),
    )
    (row,) = rows(url)
    assert list(row) == [column.name for column in COLUMNS]
    assert (row["title"], row["settled"], row["proxy"], row["status"]) == ('a\ufffd\t\\N"ß', True, None, 404)
    assert row["fetched_at"] == datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
    assert row["links"] == [{**links[0], "text": "zwei\ufffd\\u0000\ufffd", "rel": "\\\\\ufffd"}]
    assert rows(url, "SELECT links -> 0 ->> 'url' AS url FROM pages") == [{"url": "https://shop.example/2"}]


def test_a_record_alone_is_stored_as_in_a_group(store: PostgresStore, url: str) -> None:
    """The two are written in different ways; every type of column, with and without a value."""
    empty = dict.fromkeys(column.name for column in COLUMNS if column.name not in {"id", "url"})
    full = {"title": 'a\0\t\\N"ß', "meta": {"a": [1, None, "\0"]}, "depth": 1 << 62, "settled": True}
    for fields in (empty | full, empty, empty | {"text": "x" * 2_000_000}):
        write(store, Batch([record(1, **fields)]))
        write(store, Batch([record(2, **fields), record(3, **fields)]))
        alone, *group = rows(url)
        for one in (alone, *group):
            del one["id"], one["url"]
        assert group == [alone, alone]


def test_an_id_stands_once_and_is_replaced(store: PostgresStore, url: str) -> None:
    """Within a group, over groups and over runs; an older revision replaces no newer one."""
    write(store, Batch([record(1, title="a"), record(2)]), Batch([record(1, title="b")]))
    assert [row["title"] for row in rows(url)] == ["b", ""]
    assert store.written == 2
    write(store, Batch([record(1, title="d", revision=2)]), Batch([record(1, title="c", revision=1)]))
    write(store, Batch([record(1, title="e", revision=1)]))
    assert [row["title"] for row in rows(url)] == ["d", ""]
    store.close()
    store.open()
    write(store, Batch([record(1, title="f", revision=3)]))
    assert [row["title"] for row in rows(url)] == ["f", ""]


def test_a_table_of_before_gets_the_columns_that_it_lacks(url: str) -> None:
    """Columns of the user's own stay, with what is in them; also in a schema of another name."""
    rows(url, "CREATE SCHEMA mine")
    made = "(own text DEFAULT 'new' NOT NULL, url varchar(99), meta json, depth numeric, id text UNIQUE)"
    rows(url, f"CREATE TABLE mine.pages {made}")
    rows(url, f"INSERT INTO mine.pages VALUES ('kept', 'u', '{{}}', 0, '{record(1).id}')")  # noqa: S608
    store = PostgresStore(SecretUrl(f"{url}?options=-csearch_path%3Dmine"))
    assert store.name == url.replace(f"{USER}:{PASSWORD}@", "")
    store.open()
    write(store, Batch([record(1, meta={"a": 1}), record(2)]))
    store.close()
    found = rows(url, "SELECT * FROM mine.pages ORDER BY url")
    assert [(row["own"], row["meta"]) for row in found] == [("kept", {"a": 1}), ("new", [])]
    assert set(found[0]) == {"own", *(column.name for column in COLUMNS)}
    assert rows(url, "SELECT to_regclass('public.pages') AS made") == [{"made": None}]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            "TABLE pages (id text PRIMARY KEY, status text)",
            "column status is text where bigint is needed; rename",
        ),
        ("TABLE pages (id text, url text)", "without a primary key on id; rename"),
        ("VIEW pages AS SELECT 'x'::text AS id", r"cannot be written to \(.*pages.*\); check"),
    ],
)
def test_a_table_that_is_another_is_refused_and_left_alone(url: str, made: str, sentence: str) -> None:
    """One sentence with the remedy, and no column was added."""
    rows(url, f"CREATE {made}")
    before = rows(url, "SELECT count(*) AS n FROM pg_attribute WHERE attrelid = 'pages'::regclass")
    with pytest.raises(OutputUnwritable, match=sentence):
        PostgresStore(SecretUrl(url)).open()
    assert rows(url, "SELECT count(*) AS n FROM pg_attribute WHERE attrelid = 'pages'::regclass") == before


def test_who_is_refused_is_told_so_at_once_and_without_the_password(server: PostgresServer, url: str) -> None:
    """Wrong password, unknown user and database, no rights: final; a port where nobody listens: away."""
    name = url.rpartition("/")[2]
    server.execute("DROP ROLE IF EXISTS reader")
    server.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    refused = {
        server.url(name, password="wRoNg-hUnTeR2"): "password authentication failed",
        server.url(name, user="unknown"): "password authentication failed",
        server.url("absent"): 'database "absent" does not exist',
        server.url(name, user="reader"): "permission denied for schema public",
    }
    for given, why in refused.items():
        with pytest.raises(OutputUnwritable, match=rf"cannot be written to \(.*{why}.*\); check") as caught:
            PostgresStore(SecretUrl(given)).open()
        assert not isinstance(caught.value, StoreAway)
        assert "hUnTeR2" not in str(caught.value)
    with pytest.raises(
        StoreAway, match=r"postgresql://127\.0\.0\.1:9/x does not take records \(.*refused.*\)"
    ):
        PostgresStore(SecretUrl(f"postgresql://u:{PASSWORD}@127.0.0.1:9/x")).open()


def test_what_is_no_address_is_a_usage_error_that_quotes_nothing() -> None:
    """Parts of a password may stand anywhere in it."""
    for text in (
        "postgresql://u:hUnTeR2@h:port/x",
        "postgresql://u@h/x?hUnTeR2=1",
        "postgres://u:%zzhUnTeR2@h",
    ):
        with pytest.raises(UsageError, match="is not the address of a server; write postgresql://") as caught:
            preflight(RunSettings(urls=("http://a.example/",), sink=(text,)))
        assert "hUnTeR2" not in str(caught.value)
    with pytest.raises(ValueError, match="write postgresql://USER@HOST/DATABASE"):
        parse_sink("postgresql:db")


def test_a_value_that_the_server_refuses_is_its_pages_fault(url: str) -> None:
    """The others of its group are written, by the same connection."""
    rows(url, "CREATE TABLE pages (id text PRIMARY KEY, title varchar(3), own integer CHECK (own > 0))")
    store = PostgresStore(SecretUrl(url))
    store.open()
    with pytest.raises(RenderError, match=r"corrupt: .* does not take the record \(value too long for type"):
        write(store, Batch([record(1)]), Batch([record(2, title="long")]))
    assert rows(url) == []
    write(store, Batch([record(1)]))
    rows(url, "ALTER TABLE pages DROP COLUMN lang")
    with pytest.raises(OutputUnwritable, match="cannot be written to"):
        write(store, Batch([record(3)]))
    store.close()
    assert len(rows(url)) == 1


async def test_a_record_reaches_jsonl_and_the_table_alike(
    url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With a large page; what is JSON in the line is JSON in the row."""
    out = tmp_path_factory.mktemp("out")
    sink = await RecordSink.open(out, [parse_sink("jsonl"), parse_sink(url)])
    await sink.commit(Batch([record(1, html="ä" * 3_000_000, links=[{"url": "u", "text": "", "rel": ""}])]))
    await sink.close()
    line = json.loads((out / "pages.jsonl").read_bytes())
    (row,) = rows(url)
    row["fetched_at"] = line["fetched_at"]
    assert row == line
