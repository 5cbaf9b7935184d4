"""Links in the documents, and that the check of them finds what is broken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from farm.model.outcome import FailureKind
from farm.model.record import COLUMNS
from scripts import check_links
from tests.tree import ROOT


def test_all_links_in_the_documents_lead_somewhere() -> None:
    """As `make check` says."""
    run = subprocess.run(
        [sys.executable, "scripts/check_links.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, headings and headings of other files; code is not read."""
    monkeypatch.setattr(check_links, "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A `farm` heading, twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[good](other.md#a-farm-heading-twice) [web](https://elsewhere.example/) [bad](none.md)\n"
        "[worse](other.md#nowhere) [here](#missing)\n```\n[code](not-read.md)\n```\n"
    )
    assert list(check_links.broken(page)) == [
        "page.md: there is no none.md",
        "page.md: other.md has no heading #nowhere",
        "page.md: it has no heading #missing",
    ]


def test_a_source_file_that_is_named_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the root, from `farm` or from the frontier; the changelog may name what is gone."""
    monkeypatch.setattr(check_links, "ROOT", tmp_path)
    (tmp_path / "farm/frontier/lua").mkdir(parents=True)
    (tmp_path / "farm/frontier/frontier.py").touch()
    (tmp_path / "farm/frontier/lua/ack.lua").touch()
    text = "`farm/frontier/frontier.py` `frontier/frontier.py:ack` `lua/ack.lua` `policy/gone.py` `gone/x.lua:y`\n"
    for name in ("page.md", "CHANGELOG.md"):
        (tmp_path / name).write_text(text)
    assert list(check_links.broken(tmp_path / "page.md")) == [
        "page.md: there is no file policy/gone.py",
        "page.md: there is no file gone/x.lua",
    ]
    assert list(check_links.broken(tmp_path / "CHANGELOG.md")) == []


def test_the_glossary_has_every_reason_for_giving_up_a_url() -> None:
    """With the meaning that stands in the code, in its order, and no other."""
    _, _, section = (ROOT / "docs/glossary.md").read_text("utf-8").partition("## Why a URL is given up\n")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert rows == [(str(kind), kind.meaning) for kind in FailureKind]


def test_the_columns_of_a_record_are_those_of_the_code() -> None:
    """With type and meaning, in the order in which they are written, and no other."""
    _, _, section = (ROOT / "docs/records.md").read_text("utf-8").partition("## Columns\n")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert rows == [(column.name, column.type, column.meaning) for column in COLUMNS]
