"""Rows of CSV: read by the standard library and by DuckDB, with all that texts of pages have."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.record import COLUMNS, Batch
from farm.sinks.csv_file import CsvStore
from tests.sinks.killed import record
from tests.sinks.test_framing import opened, small, write

csv.field_size_limit(1 << 30)


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[CsvStore]:
    """Open a CSV."""
    store = CsvStore(tmp_path / "pages.csv", tmp_path / ".farm")
    store.open()
    yield store
    store.close()


def test_a_row_has_every_column_in_the_order_of_the_header(table: CsvStore, tmp_path: Path) -> None:
    """Null is nothing and an empty text is two quotes; what is JSON is JSON."""
    hostile = ' "a",\r\nb\0\ud800 =1+1 \x1b[2J\x9b\u202e\u2028\x85<b>'
    one = record(1, title=hostile, links=[{"url": "u", "text": '"'}], settled=True, proxy=None, text="")
    table.write([table.encode(Batch([one]))[0]])
    content = (tmp_path / "pages.csv").read_bytes()
    assert content.splitlines()[0].decode().split(",") == [column.name for column in COLUMNS]
    (row,) = rows(tmp_path / "pages.csv")
    assert row["title"] == hostile.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    assert (row["settled"], row["status"], row["proxy"]) == ("true", "0", "")
    assert json.loads(row["links"]) == [{"url": "u", "text": '"'}]
    assert b',"",' in content
    with pytest.raises(RenderError, match="as a row"):
        table.encode(Batch([record(2, status="none")]))


def test_a_table_that_an_earlier_farm_has_begun_keeps_its_columns(tmp_path: Path) -> None:
    """All rows of a file have the same; a header with other names is another table."""
    path = tmp_path / "pages.csv"
    path.write_text(f"id,title,url\n{record(9).id},x,y\n")
    store = opened(path)
    write(store, 9, 1)
    store.close()
    assert [list(row.values()) for row in rows(path)] == [
        [record(9).id, "x", "y"],
        [record(1).id, 'a,"\n', record(1).url],
    ]
    path.write_text("id,own\n")
    with pytest.raises(OutputUnwritable, match="move the file away"):
        opened(path)


@pytest.mark.parametrize(("rotate", "title"), [("", "=1+1"), ("?formulas=escape", "'=1+1")])
def test_what_a_spreadsheet_takes_for_a_formula_is_escaped_on_request(
    tmp_path: Path, rotate: str, title: str
) -> None:
    """Else texts are as they are."""
    path = tmp_path / "pages.csv"
    store = opened(path, rotate)
    store.write([store.encode(Batch([small(1, title="=1+1", depth=-1)]))[0]])
    store.close()
    (row,) = rows(path)
    assert (row["title"], row["depth"]) == (title, "-1")


def test_duckdb_reads_the_rows(tmp_path: Path) -> None:
    """As docs/sinks.md says, with what texts of pages have: quotes, commas and newlines; null is no empty text."""
    texts = [
        'a "quoted", text\nof two lines',
        " white at both ends\t",
        "",
        None,
        "grüße 😀",
        'only"one',
        "x" * 3_000_000,
    ]
    store = opened(tmp_path / "pages.csv")
    links = [{"url": 'https://shop.example/"', "text": "a,b", "rel": ""}]
    ones = [record(number, title=text, text=text, links=links) for number, text in enumerate(texts)]
    store.write([store.encode(Batch([one]))[0] for one in ones])
    store.close()
    with duckdb.connect() as connection:
        given = "allow_quoted_nulls = false, max_line_size = 100_000_000"
        source = f"read_csv('{tmp_path / 'pages.csv'}', {given})"
        connection.execute(f"CREATE VIEW pages AS FROM {source}")
        found = connection.execute(
            "SELECT title, text, links ->> '$[0].url', status + 0, settled, fetched_at FROM pages ORDER BY url"
        ).fetchall()
        kinds = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE pages)").fetchall())
    assert [row[0] for row in found] == [row[1] for row in found] == texts
    assert {row[2] for row in found} == {'https://shop.example/"'}
    assert (kinds["status"], kinds["settled"]) == ("BIGINT", "BOOLEAN")
    assert kinds["fetched_at"].startswith("TIMESTAMP")
