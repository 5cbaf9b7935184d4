"""One row an id, and of these the ones that are wanted."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farm.export.filters import RecordFilter
from farm.export.source import Head
from farm.model.errors import UsageError
from tests.export.stored import Exported, fill, page

APRIL = "2026-04-01T00:00:00.000Z"


def test_folders_of_two_nodes_are_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The highest revision stays, of those the newest, of those the first; the order is that of the sources."""
    one = [page(1, revision=1, title="kept"), page(2), page(3, title="kept"), page(4, title="kept")]
    two = [
        page(4, title="same moment"),
        page(1, fetched_at=APRIL),
        page(2, fetched_at=APRIL, title="kept"),
        page(3, fetched_at="2026-02-01T00:00:00.000Z"),
        page(5, title="kept"),
    ]
    fill(tmp_path / "one", "jsonl:", *one)
    fill(tmp_path / "two", f"sqlite:///{tmp_path}/two.db", *two)
    both = Exported(capfd, tmp_path / "one", tmp_path / "two.db", "--to", "jsonl:-")
    assert [(line["url"][-1], line["title"]) for line in both.records] == [(n, "kept") for n in "13425"]
    assert both.err == "farm: 5 records in standard output, of 9 records in 2 sources\n"
    whole = [both.records[place] for place in (0, 3, 1, 2, 4)]
    assert whole == [dict(one[0].fields), dict(two[2].fields), *(dict(r.fields) for r in (*one[2:], two[4]))]
    thrice = Exported(
        capfd, *[tmp_path / name for name in ("one", "two.db", "one", "one/pages.jsonl")], "--to=jsonl:-"
    )
    assert thrice.records == both.records


def test_what_is_wanted_is_asked_of_the_row_that_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A page that was rendered again, and is another one now, is not found as what it was."""
    fill(tmp_path / "one", "jsonl:", page(1, status=500), page(2, status=404), page(13, status=301))
    fill(tmp_path / "two", "jsonl:", page(1, status=200, revision=1), page(2, status=404, revision=1))
    folders = (tmp_path / "one", tmp_path / "two", "--to", "jsonl:-", "--columns", "status,url,revision")

    def found(*wanted: str) -> list[tuple[object, ...]]:
        return [tuple(line.values()) for line in Exported(capfd, *folders, *wanted).records]

    one, two, three = (200, page(1).url, 1), (404, page(2).url, 1), (301, page(13).url, 0)
    assert found() == [three, one, two]
    assert found("--status", "5xx,301") == [three]
    assert found("--status", "2xx", "--status", "404") == [one, two]
    assert found("--pattern", "/1", "--pattern", "^nothing") == [three, one]
    assert found("--pattern", "/1$") == [one]
    assert found("--since", "2026-03-01", "--until", "2026-03-02") == [three, one, two]
    assert found("--until", "2026-03-01") == found("--since", "2026-03-01T00:00:00.001Z") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--status", "2x"], "--status 2x: write statuses such as 200,404 or 2xx."),
        (["--pattern", "["], "--pattern '[' is not a regular expression"),
        (["--since", "soon"], "--since soon: write a date such as 2026-01-31."),
        (["--columns", "url,titel"], "--columns: there is no column 'titel' (did you mean title?)."),
        (["--to", "pages.csv"], "--to pages.csv: write jsonl:FILE, csv:FILE"),
        (["--to", "parquet:-"], "--to parquet:-: parquet: needs a place; only csv, jsonl, links go to"),
        (["--to", "links:-", "--columns", "url"], "--columns does not go with --to links:"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    """Before anything is read."""
    refused = Exported(capfd, tmp_path / "none", "--to", "csv:-", *given)
    assert (refused.code, refused.sentence[: len(said)]) == (2, said)


def test_moments_are_compared_as_such() -> None:
    """Also where a date has another time zone; a page without a status has none of any."""
    head = Head("1", "u", 200, 0, "2026-03-01T11:30:00.000Z")
    noon = datetime.fromisoformat("2026-03-01T12:30:00+01:00")
    assert RecordFilter.of(since=noon)(head)
    assert not RecordFilter.of(until=noon)(head)
    assert RecordFilter.of(until=datetime(2026, 3, 1, 12, tzinfo=UTC))(head)
    assert not RecordFilter.of(statuses=["2xx"])(Head("1", "u", None, 0, ""))
    with pytest.raises(UsageError):
        RecordFilter.of(statuses=["2000"])


_MEASURED = """
import resource, sys
from farm.cli.main import main
assert main(["export", sys.argv[1], "--to", "csv:" + sys.argv[2]]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
_MADE = """
import sys, orjson
from tests.sinks.killed import record
line = dict(record(1).fields) | {"text": "x" * 300}
with open(sys.argv[1], "wb") as file:
    for number in range(int(sys.argv[2])):
        line |= {"id": f"{number * 2654435761 % 2**32:032x}", "url": f"https://shop.example/{number}"}
        file.write(orjson.dumps(line) + b"\\n")
"""


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    """With 100,000 records it is that of 5,000 and a cache of 32 MiB; all of them in memory were 300 MB more."""
    kib = []
    for number in (5_000, 100_000):
        path = tmp_path / f"{number}.jsonl"
        subprocess.run([sys.executable, "-c", _MADE, str(path), str(number)], check=True, timeout=120)
        command = [sys.executable, "-c", _MEASURED, str(path), str(tmp_path / f"{number}.csv")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=170)
        kib.append(int(done.stdout))
    assert kib[1] - kib[0] < 64 * 1024
