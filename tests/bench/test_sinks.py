"""The measurement of sinks: what it writes is there, and what it says was measured."""

import json
from pathlib import Path

import pytest

from bench import against, sinks


async def test_commits_are_of_records_of_a_megabyte(tmp_path: Path) -> None:
    """Each once, as many as were requested, each with its time."""
    said = await sinks.write(tmp_path / "one", "jsonl:", 2, 5)
    records = [json.loads(line) for line in (tmp_path / "one/out/pages.jsonl").read_text().splitlines()]
    assert len({record["id"] for record in records}) == len(records) == len(said["ms"]) == 5
    assert {len(record["html"]) for record in records} == {sinks.HTML_BYTES}
    assert len({record["html"] for record in records}) == 5
    assert 0 < max(said["ms"]) <= said["wall_s"] * 1000


def test_a_sink_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are."""
    with pytest.raises(SystemExit):
        sinks.main(["--sinks", "oracle"])
    assert "oracle is not one of jsonl, " in capsys.readouterr().err


def test_a_comparison_needs_something_to_compare_with(capsys: pytest.CaptureFixture[str]) -> None:
    """A revision, or options."""
    with pytest.raises(SystemExit):
        against.main(["--pairs", "1"])
    assert "give a revision, or --with" in capsys.readouterr().err
