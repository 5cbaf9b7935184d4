"""The Parquet sink: read back by DuckDB and pyarrow, killed at each step."""

import asyncio
import json
import os
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farm.model.errors import OutputUnwritable, RenderError, UsageError
from farm.model.page import PageExchange
from farm.model.record import COLUMNS, Batch, Record
from farm.resources.installation import install_command
from farm.sinks import address, parquet
from farm.sinks.address import check_sinks, parse_sink, store_of
from farm.sinks.output import RecordSink
from farm.sinks.segments import SegmentStore
from farm.sinks.store import Store
from farm.sinks.warc import WarcFormat
from tests.sinks.killed import killed, record
from tests.sinks.killed_at import RECORDS, killed_at_each_step
from tests.small_disk import enlarge


def opened(folder: Path, node: str = "n1", private: str = "private") -> Store[Any]:
    """Open a store below a folder, of a node with what it knows in a folder of its own."""
    store = store_of(parse_sink(f"parquet:{folder / 'sink'}"), folder, folder / private, node)
    store.open()
    return store


def write(store: Store[Any], *numbers: int, **fields: Any) -> None:
    """Write records as one group."""
    store.write([store.encode(Batch([record(number, **fields)]))[0] for number in numbers])


def rows(folder: Path, query: str = "SELECT * FROM pages ORDER BY url") -> list[dict[str, Any]]:
    """Ask DuckDB, which sees every Parquet file in the sink's folder."""
    with duckdb.connect() as connection:
        connection.read_parquet(f"{folder / 'sink'}/*.parquet").create_view("pages")
        found = connection.execute(query)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def files(folder: Path) -> list[str]:
    """Return the names in the sink's folder."""
    return sorted(os.listdir(folder / "sink"))  # noqa: PTH208


def test_a_record_is_a_row_with_the_declared_types(tmp_path: Path) -> None:
    """`json` as strings that DuckDB's functions take, moments as moments, and what no UTF-8 holds replaced."""
    store = opened(tmp_path)
    links = [{"url": "https://shop.example/2", "text": "zwei", "rel": ""}]
    write(store, 1, links=links, title="a\0\ud800ß", settled=True, proxy=None, status=404)
    assert rows_there(tmp_path) == 0, "no file is there before it is whole"
    store.close()
    assert files(tmp_path) == ["part-n1-000001.parquet"]
    (row,) = rows(tmp_path)
    assert list(row) == [column.name for column in COLUMNS]
    assert (row["title"], row["settled"], row["proxy"], row["status"]) == ("a\0\ufffdß", True, None, 404)
    assert row["fetched_at"].astimezone(UTC) == datetime(2026, 3, 1, tzinfo=UTC)
    assert json.loads(row["links"]) == links
    asked = rows(tmp_path, "SELECT links ->> '$[0].url' AS url, typeof(fetched_at) AS kind FROM pages")
    assert asked == [{"url": "https://shop.example/2", "kind": "TIMESTAMP WITH TIME ZONE"}]
    schema = pq.read_schema(tmp_path / "sink/part-n1-000001.parquet")
    assert schema.field("fetched_at").type == pa.timestamp("ms", tz="UTC")
    assert not schema.field("id").nullable


def rows_there(folder: Path) -> int:
    """Return how many Parquet files there are."""
    return len(list((folder / "sink").glob("*.parquet")))


def test_a_log_becomes_a_file_by_rows_or_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is reached first; the numbers go on over runs, and an id is not written again."""
    monkeypatch.setattr(parquet.ParquetFormat, "most_rows", 3)
    monkeypatch.setattr(parquet.ParquetFormat, "most_bytes", 200_000)
    store = opened(tmp_path)
    write(store, 1, 2)
    write(store, 2, 3)
    assert files(tmp_path) == [".part-n1-000002.log", "part-n1-000001.parquet"]
    write(store, 4, text="x" * 200_000)
    assert files(tmp_path)[1:] == ["part-n1-000001.parquet", "part-n1-000002.parquet"]
    store.close()
    again = opened(tmp_path)
    write(again, 1, 2, 3, 4, 5)
    assert (again.written, again.records) == (1, 5)
    again.close()
    opened(tmp_path).close()
    assert files(tmp_path) == [f"part-n1-00000{number}.parquet" for number in (1, 2, 3)]
    assert Counter(row["url"] for row in rows(tmp_path)) == {record(n).url: 1 for n in range(1, 6)}


def test_row_groups_have_bounds_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a log that is larger than it should be needs no more memory."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 4)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 50_000)
    monkeypatch.setattr(parquet, "_SLICE_ROWS", 2)
    store = opened(tmp_path)
    write(store, *range(10))
    write(store, 10, 11, 12, text="x" * 40_000)
    store.close()
    about = pq.read_metadata(tmp_path / "sink/part-n1-000001.parquet")
    assert [about.row_group(number).num_rows for number in range(about.num_row_groups)] == [4, 4, 4, 1]


def test_a_lost_sidecar_is_read_back_from_the_file(tmp_path: Path) -> None:
    """The ids stand in the file too; one that no farm wrote is refused with a sentence."""
    store = opened(tmp_path)
    write(store, 1, 2)
    store.close()
    for path in (tmp_path / "private").rglob("*.index"):
        path.unlink()
    again = opened(tmp_path)
    write(again, 1, 2, 3)
    assert (again.written, again.records) == (1, 3)
    again.close()
    pq.write_table(pa.table({"x": [1]}), tmp_path / "sink/part-n1-000009.parquet")
    with pytest.raises(OutputUnwritable, match=r"part-n1-000009.parquet that the farm did not write .*move"):
        opened(tmp_path)
    (tmp_path / "sink/part-n1-000009.parquet").write_bytes(b"PAR")
    with pytest.raises(OutputUnwritable, match="did not write"):
        opened(tmp_path)


def test_nodes_share_a_folder(tmp_path: Path) -> None:
    """Each has its own files, also where one name begins like the other; `--fresh` removes a node's own."""
    stores = [opened(tmp_path, node, node) for node in ("n1", "n1-1", "n1-1-000001")]
    for number, store in enumerate(stores):
        write(store, number)
        store.close()
    assert rows_there(tmp_path) == 3
    for node in ("n1", "n1-1"):
        store = opened(tmp_path, node, node)
        assert store.records == 1
        store.close()
    stores[0].clear()
    assert rows_there(tmp_path) == 2
    again = opened(tmp_path, "n1", "n1")
    assert again.records == 0
    again.close()


def test_a_run_by_another_node_name_goes_on_with_the_output_folder(tmp_path: Path) -> None:
    """What the one before has in its log becomes a file, its ids are known; a new start removes all of them."""
    first = opened(tmp_path, "n1")
    write(first, 1, 2)
    assert isinstance(first, SegmentStore)
    # As the end of the process does.
    first._release()
    second = opened(tmp_path, "another")
    assert files(tmp_path) == [".part-another-000001.log", "part-n1-000001.parquet"]
    write(second, 2, 3)
    assert (second.written, second.records) == (1, 3)
    second.close()
    assert Counter(row["url"] for row in rows(tmp_path)) == {record(n).url: 1 for n in (1, 2, 3)}
    third = opened(tmp_path, "third")
    third.close()
    third.clear()
    assert not [name for name in files(tmp_path) if name.endswith(".parquet")]


def test_a_record_that_cannot_be_a_row_is_its_pages_fault(tmp_path: Path) -> None:
    """The sink goes on."""
    store = opened(tmp_path)
    with pytest.raises(RenderError, match="corrupt: the record cannot be written as a row"):
        store.encode(Batch([record(1, status="200")]))
    write(store, 2)
    store.close()
    assert len(rows(tmp_path)) == 1


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the file is written there is room for the log alone: the next run makes it."""
    store = opened(tmp_path)
    write(store, 1, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write_rows", full)
        with pytest.raises(
            OutputUnwritable, match=r"parquet:.* cannot be written \(No space left on device\); free"
        ):
            store.close()
    assert rows_there(tmp_path) == 0
    opened(tmp_path).close()
    assert len(rows(tmp_path)) == 2


@pytest.mark.parametrize(("kind", "mib"), [("parquet", 0.8), ("parquet", 2), ("warc", 2)])
def test_a_disk_that_is_full_has_what_was_confirmed(
    small_disk: Path, tmp_path: Path, kind: str, mib: float
) -> None:
    """Whether the log fills it or the file that is made of the log; with more room each record is there once."""
    name = f"{kind}:{small_disk / 'sink'}"
    confirmed = []

    def fill() -> None:
        store = store_of(parse_sink(name), tmp_path, tmp_path / "private", "n1")
        store.open()
        try:
            for number in range(int(mib * 2**20) // 50_000):
                one = record(number, html=os.urandom(25_000).hex())
                page = PageExchange(one.url, "GET", 200, body=os.urandom(50_000))
                store.write([store.encode(Batch([Record(one.id, one.url, one.fields, {}, (page,))]))[0]])
                confirmed.append(one.id)
        finally:
            # After a failure of writing too, as a run ends.
            store.close()

    with pytest.raises(
        OutputUnwritable, match=r"cannot be written \(No space left on device\); free some space"
    ):
        fill()
    assert len(confirmed) > 3
    assert not [path for path in (small_disk / "sink").iterdir() if path.suffix == ".parquet"]
    enlarge(small_disk, "16m")
    again = store_of(parse_sink(name), tmp_path, tmp_path / "private", "n1")
    again.open()
    again.close()
    (path,) = (small_disk / "sink").iterdir()
    form = parquet.ParquetFormat() if kind == "parquet" else WarcFormat()
    assert [key.hex() for key in form.ids(path)] == confirmed


def test_a_run_that_is_refused_leaves_the_draft_of_the_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another output folder, by the same name into the same folder."""
    store = opened(tmp_path)
    write(store, 1)
    convert = parquet.ParquetFormat.convert

    def beside(form: parquet.ParquetFormat, log: Path, draft: BinaryIO) -> None:
        with pytest.raises(OutputUnwritable, match="is being written to by another run"):
            opened(tmp_path, private="other")
        convert(form, log, draft)

    monkeypatch.setattr(parquet.ParquetFormat, "convert", beside)
    store.close()
    assert len(rows(tmp_path)) == 1


@pytest.mark.parametrize("then", ["n1", "another"])
def test_killed_at_each_step_every_id_stands_once(tmp_path: Path, then: str) -> None:
    """Whatever was confirmed is there, and nothing twice, after the repetition, also by another node name."""
    children = killed_at_each_step(tmp_path, "parquet", then)
    assert len(children) > 30
    for sink, confirmed in children:
        ids = Counter(pq.read_table(sink, columns=["id"]).column(0).to_pylist())
        assert set(ids.values()) == {1}
        assert ids.keys() >= confirmed
        assert len(ids) == RECORDS
        assert not [name for name in os.listdir(sink) if name.startswith(".")]  # noqa: PTH208


def test_a_writer_killed_in_mid_write_has_lost_nothing_that_it_confirmed(tmp_path: Path) -> None:
    """SIGKILL, three times over the same folder, then a run that ends."""
    name = f"parquet:{tmp_path / 'sink'}"
    confirmed = killed(tmp_path, name)

    async def end() -> None:
        sink = await RecordSink.open(tmp_path, [parse_sink(name)])
        await sink.close()
        assert sink.stores[0].records == len(rows(tmp_path, "SELECT DISTINCT id FROM pages"))

    asyncio.run(end())
    counts = Counter(row["id"] for row in rows(tmp_path, "SELECT id FROM pages"))
    assert confirmed <= counts.keys()
    assert set(counts.values()) == {1}


def test_without_pyarrow_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched."""
    monkeypatch.setitem(address._PACKAGES, "parquet", ("pyarrow_that_is_not_there", "parquet"))
    with pytest.raises(UsageError, match=re.escape(f"install it with {install_command('parquet')}.")):
        check_sinks([parse_sink("parquet:x")])
