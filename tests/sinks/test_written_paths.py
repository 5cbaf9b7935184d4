"""No two sinks write one file, and none what the farm writes itself."""

from pathlib import Path

import pytest

from farm.app.preflight import preflight
from farm.model.errors import UsageError
from farm.settings.commands import RunSettings
from farm.sinks.address import parse_sink
from farm.sinks.written_paths import check_paths


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with the output folder `out` in it, and a link to that."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")


@pytest.mark.parametrize(
    ("sinks", "path"),
    [
        (["jsonl:", "jsonl:out/items.jsonl"], "out/items.jsonl"),
        (["jsonl:", "jsonl:link/pages.jsonl"], "out/pages.jsonl"),
        (["jsonl:shop.jsonl", "jsonl:shop-items.jsonl"], "shop-items.jsonl"),
        (["csv:a.txt", "jsonl:a.txt"], "a.txt"),
        (["jsonl:a.db", "sqlite:///./a.db"], "a.db"),
        (["sqlite:///a.db", "csv:a.db-wal"], "a.db-wal"),
    ],
)
def test_two_sinks_of_one_file_are_refused(tmp_path: Path, sinks: list[str], path: str) -> None:
    """In one sentence with both and the file, in whatever order they are given."""
    for given in (sinks, sinks[::-1]):
        first, second = map(parse_sink, given)
        with pytest.raises(UsageError) as refused:
            check_paths([first, second], tmp_path / "out")
        assert str(refused.value) == (
            f"--sink {first} and --sink {second} would both write {tmp_path / path}; name another FILE."
        )


@pytest.mark.parametrize("name", ["skipped.jsonl", "summary.json", "farm.log"])
def test_the_farms_own_files_are_no_sinks(tmp_path: Path, name: str) -> None:
    """Those of the output folder."""
    with pytest.raises(
        UsageError, match=rf"would write {tmp_path}/out/{name}, which the farm writes itself; name"
    ):
        check_paths([parse_sink(f"jsonl:link/{name}")], tmp_path / "out")
    check_paths([parse_sink(f"jsonl:{name}")], tmp_path / "out")


def test_a_file_that_a_rotation_makes_is_refused(tmp_path: Path) -> None:
    """Whoever has it is given first; without a rotation it is another file."""
    rotated, other = parse_sink("jsonl:a.jsonl.gz?rotate=1MiB"), parse_sink("csv:a-000001.jsonl.gz")
    for given in ([rotated, other], [other, rotated]):
        with pytest.raises(UsageError, match=rf"rename a file to {other.path}, and --sink csv:"):
            check_paths(given, tmp_path)
    check_paths([parse_sink("jsonl:a.jsonl.gz"), other], tmp_path)
    check_paths([rotated, parse_sink("csv:a-1.jsonl.gz"), parse_sink("csv:b/a-000001.jsonl.gz")], tmp_path)


def test_different_files_are_accepted(tmp_path: Path) -> None:
    """Also where they are in one folder, or elsewhere under the same name."""
    names = [
        "jsonl:",
        "csv:",
        "jsonl:items.jsonl",
        "sqlite:///out/pages.db",
        "parquet:out",
        "warc:out",
        "stdout:",
    ]
    more = ["jsonl:s3://b/out", "postgresql://u@h/d", "jsonl:deeper/pages.jsonl"]
    check_paths([*map(parse_sink, names + more)], tmp_path / "out")


def test_a_run_says_so_before_it_begins(tmp_path: Path) -> None:
    """With the output folder that it has."""
    sinks = ("jsonl:", f"jsonl:{tmp_path}/out/items.jsonl")
    with pytest.raises(UsageError, match="would both write"):
        preflight(RunSettings(urls=("http://a.example/",), output=tmp_path / "out", sink=sinks))
