"""Two output folders that write to one folder by the same node name: a new start of one leaves the other's."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from farm.model.record import Batch
from farm.sinks.address import parse_sink, store_of
from farm.sinks.segments import SegmentStore
from tests.sinks.killed import record

KINDS = pytest.mark.parametrize("kind", ["parquet", "warc"])


def opened(kind: str, folder: Path, output: str) -> SegmentStore:
    """Open the sink below a folder, of an output folder there."""
    store = store_of(
        parse_sink(f"{kind}:{folder / 'sink'}"), folder / output, folder / output / ".farm", "n1"
    )
    assert isinstance(store, SegmentStore)
    store.open()
    return store


def write(store: SegmentStore, numbers: Sequence[int]) -> None:
    """Write records as one group, and a file of them."""
    store.write([store.encode(Batch([record(number)]))[0] for number in numbers])
    store.close()


def segments(folder: Path) -> list[str]:
    """Return the names of the files that have no dot before them."""
    found = [path.name for path in (folder / "sink").iterdir() if path.is_file()]
    return sorted(
        name.partition(".")[0] for name in found if not name.startswith(".") and ".open" not in name
    )


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the content of every file of the sink's, by path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@KINDS
def test_a_new_start_leaves_the_files_of_another_output_folder(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also once it has read their ids, and has written its own beside them."""
    write(opened(kind, tmp_path, "a"), [1, 2])
    write(opened(kind, tmp_path, "b"), [3])
    write(opened(kind, tmp_path, "a"), [4])
    assert segments(tmp_path) == ["part-n1-000001", "part-n1-000002", "part-n1-000003"]
    again = opened(kind, tmp_path, "b")
    assert again.records == 4
    again.close()
    with caplog.at_level(logging.WARNING, "farm.sinks"):
        again.clear()
    assert segments(tmp_path) == ["part-n1-000001", "part-n1-000003"]
    assert f"2 files of part-n1-* in {kind}:{tmp_path / 'sink'} were not written from this" in caplog.text
    write(opened(kind, tmp_path, "b"), [3])
    assert segments(tmp_path) == ["part-n1-000001", "part-n1-000003", "part-n1-000004"]
    other = opened(kind, tmp_path, "a")
    other.close()
    other.clear()
    assert segments(tmp_path) == ["part-n1-000004"]


@KINDS
def test_a_first_run_that_starts_anew_leaves_the_files_of_another_output_folder(
    tmp_path: Path, kind: str
) -> None:
    """Of which it knows nothing."""
    write(opened(kind, tmp_path, "a"), [1])
    address = parse_sink(f"{kind}:{tmp_path / 'sink'}")
    store_of(address, tmp_path / "b", tmp_path / "b" / ".farm", "n1").clear()
    assert segments(tmp_path) == ["part-n1-000001"]


@KINDS
def test_what_stands_where_a_file_was_moved_away_is_not_removed(tmp_path: Path, kind: str) -> None:
    """Though it has the name of the one that was moved."""
    write(opened(kind, tmp_path, "a"), [1])
    for path in (tmp_path / "sink").iterdir():
        path.unlink()
    write(opened(kind, tmp_path, "b"), [2])
    again = opened(kind, tmp_path, "a")
    again.close()
    again.clear()
    assert segments(tmp_path) == ["part-n1-000001"]


@KINDS
def test_the_log_of_another_output_folder_becomes_a_file_that_stays(tmp_path: Path, kind: str) -> None:
    """A killed run has left it; what is in it is the other's, whoever makes a file of it."""
    killed = opened(kind, tmp_path, "a")
    killed.write([killed.encode(Batch([record(1)]))[0]])
    # As the end of the process does.
    killed._release()
    write(opened(kind, tmp_path, "b"), [1, 2])
    assert segments(tmp_path) == ["part-n1-000001", "part-n1-000002"]
    again = opened(kind, tmp_path, "b")
    assert again.records == 2
    again.close()
    again.clear()
    assert segments(tmp_path) == ["part-n1-000001"]
    other = opened(kind, tmp_path, "a")
    assert other.records == 1
    other.close()
    other.clear()
    assert segments(tmp_path) == []


@KINDS
def test_a_log_that_is_not_its_own_stays_at_a_new_start(tmp_path: Path, kind: str) -> None:
    """The records in it were confirmed, and are nowhere else."""
    killed = opened(kind, tmp_path, "a")
    killed.write([killed.encode(Batch([record(1)]))[0]])
    killed._release()
    left = contents(tmp_path / "sink")
    assert any(left.values())
    address = parse_sink(f"{kind}:{tmp_path / 'sink'}")
    store_of(address, tmp_path / "b", tmp_path / "b" / ".farm", "n1").clear()
    assert contents(tmp_path / "sink") == left
    again = opened(kind, tmp_path, "a")
    assert again.records == 1
    again.close()
