"""The results of a run."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from farm.model.crawl import Ledger
from farm.model.errors import OutputUnwritable
from farm.sinks.summary import Summary, write_summary

SUMMARY = Summary(
    crawl="shop",
    started_at=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    finished_at=datetime(2026, 3, 1, 12, 1, tzinfo=UTC),
    exit_reason="finished",
    ledger=Ledger(accepted=3, done=2, dead=1),
    skipped=MappingProxyType({"robots": 1}),
    dead={"timeout": 1},
    pages_per_s=1 / 3,
)


def test_the_keys_are_those_of_the_contract_in_its_order(tmp_path: Path) -> None:
    """Others script against them."""
    path = tmp_path / "summary.json"
    write_summary(path, SUMMARY)
    written = json.loads(path.read_text())
    assert " ".join(written) == (
        "crawl started_at finished_at exit_reason ledger node written sinks skipped dead pages_per_s first_page_s "
        "cpu_s peak_memory_bytes memory_budget_bytes loop_lag_ms recycled relief resources "
        "duplicate_content throttled proxy_bytes renderers settings"
    )
    assert written["ledger"] == {"accepted": 3, "queued": 0, "delayed": 0, "leased": 0, "done": 2, "dead": 1}
    assert written["started_at"] == "2026-03-01T12:00:00.000Z"
    assert written["pages_per_s"] == 0.333
    assert written["skipped"] == {"robots": 1}


def test_a_later_summary_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """And nothing else is left in the folder."""
    path = tmp_path / "summary.json"
    write_summary(path, SUMMARY)
    write_summary(path, replace(SUMMARY, exit_reason="limit"))
    assert json.loads(path.read_text())["exit_reason"] == "limit"
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"]


def test_a_summary_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """With the remedy; where the place cannot be taken, the draft goes too."""
    with pytest.raises(OutputUnwritable, match="choose another --output"):
        write_summary(tmp_path / "absent" / "summary.json", SUMMARY)
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(OutputUnwritable, match="choose another --output"):
        write_summary(tmp_path / "summary.json", SUMMARY)
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"]
