"""The items of the pages that stay: of one rendering, each once."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.export.stored import Exported, fill, page

APRIL = "2026-04-01T00:00:00.000Z"
LAMP = {"name": "=Lamp", "price": {"amount": "1.00", "currency": "EUR"}, "stars": 4.5}


@pytest.mark.parametrize(
    "sink", ["jsonl:", "jsonl:{}/shop.jsonl.gz", "sqlite:///{}/shop.db", "parquet:{}/parts", "csv:"]
)
def test_items_of_a_page_are_those_of_the_rendering_that_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], sink: str
) -> None:
    """Those of an older one, of pages that are not wanted, and copies are left out."""
    sink = sink.format(tmp_path)
    one, other = page(1, items=[LAMP, {"name": "B"}]), page(2, items=[{"name": "C"}], status=404)
    fill(tmp_path / "one", sink, one, other)
    fill(tmp_path / "two", "jsonl:", page(1, items=[{"name": "new"}], fetched_at=APRIL), page(3))
    first = tmp_path / "one" if sink in {"jsonl:", "csv:"} else sink
    shown = Exported(capfd, first, "--items", "--to", "jsonl:-", "--status", "200").records
    assert [item["_id"] for item in shown] == [f"{one.id}-1", f"{one.id}-2"]
    price = LAMP["price"] if "sqlite" not in sink else json.dumps(LAMP["price"], separators=(",", ":"))
    assert [item["name"] for item in shown] == ["=Lamp", "B"]
    assert (shown[0]["price"], shown[0]["stars"]) == (price, 4.5)
    both = (first, tmp_path / "two", tmp_path / "two", "--items", "--columns", "_url,name", "--to", "jsonl:-")
    merged = Exported(capfd, *both).records
    assert merged == [{"_url": other.url, "name": "C"}, {"_url": one.url, "name": "new"}]


def test_items_as_rows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The fields of all items are columns; a file of items alone is a source too."""
    fill(tmp_path, "jsonl:", page(1, items=[LAMP, {"size": 3}]))
    for source in (tmp_path, tmp_path / "items.jsonl"):
        exported = Exported(capfd, source, "--items", "--to", "csv:-?formulas=escape")
        rows = list(csv.DictReader(io.StringIO(exported.out)))
        assert exported.code == 0
        assert [(row["name"], row["price"], row["size"]) for row in rows] == [
            ("'=Lamp", '{"amount":"1.00","currency":"EUR"}', ""),
            ("", "", "3"),
        ]
    refused = Exported(capfd, tmp_path, "--items", "--to", f"parquet:{tmp_path / 'x'}")
    assert (refused.code, refused.sentence.startswith("--items goes with --to jsonl: and csv:")) == (2, True)


@pytest.mark.parametrize("to", ["jsonl", "csv"])
def test_what_is_no_item_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str], to: str) -> None:
    """Bytes in a column of somebody else's, and items in a log that nobody has written so."""
    fill(tmp_path, f"sqlite:///{tmp_path}/shop.db", page(1, items=[{"name": "Lamp"}]))
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("UPDATE items SET name = x'00ff'")
        connection.commit()
    folder = fill(tmp_path, f"parquet:{tmp_path}/parts", page(1, items=[{"name": "Lamp"}]), close=False)
    (log,) = (folder / "parts").glob(".part-*.log")
    whole = log.read_bytes()
    for source, said in (
        (f"sqlite:///{tmp_path}/shop.db", "cannot be written"),
        (folder / "parts", "cannot be read"),
    ):
        log.write_bytes(whole.replace(b'"_items":[{"_id":', b'"_items":[{"xid":'))
        refused = Exported(capfd, source, "--items", "--to", f"{to}:{tmp_path / 'x'}")
        assert (refused.code, said in refused.sentence) == (2, True), refused.err
    log.write_bytes(whole.replace(b'"_items":[', b'"_items":[7,'))
    assert "cannot be read" in Exported(capfd, folder / "parts", "--items", "--to", "jsonl:-").sentence


def test_items_of_a_database_of_a_server(tmp_path: Path, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With the moment of the rendering as files have it."""
    one = page(1, items=[LAMP])
    fill(tmp_path, url, one)
    (item,) = Exported(capfd, url, "--items", "--to", "jsonl:-").records
    assert item == dict((one.items or ())[0])
