"""Links in the documents, and that the check of them finds what is broken."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from farm.cli.main import COMMANDS, EXIT_CODES
from farm.model.outcome import FailureKind, SkipReason
from farm.model.record import COLUMNS
from farm.runtime.control import ExitReason
from farm.settings.reference import SETTINGS, options_of
from farm.sinks.summary import Summary
from scripts import check_links
from tests.tree import ROOT

OTHERS = frozenset({"--security-opt", "--user", "--visit-s"})
"""Options of other programs that stand alone in the documents."""
_CODE = re.compile(r"^ {4}[^\n]+$|^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(rf"\bfarm ({'|'.join(COMMANDS)})\b([^`\n|&]*)")
_FLAG = re.compile(r"(?<![\w-])--?[a-z]+(?:-[a-z]+)*(?![\w-])")


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


def _codes() -> list[tuple[str, str]]:
    """Return what stands as code in the documents, each with the document's name."""
    return [
        (str(document.relative_to(ROOT)), found[0])
        for document in check_links.documents()
        for found in _CODE.finditer(document.read_text("utf-8"))
    ]


def _flags(*commands: str) -> set[str]:
    found = {flag for command in commands for option in options_of(command) for flag in option.flags}
    return found | {"--help"}


def test_a_command_in_the_documents_has_only_options_that_it_takes() -> None:
    """In examples and in sentences; there are many, so that none is passed over by mistake."""
    found = [
        (name, command, flag)
        for name, code in _codes()
        for command, rest in _COMMAND.findall(code)
        for flag in _FLAG.findall(re.sub(r"\s#.*", "", rest))
    ]
    assert len(found) > 50
    assert [one for one in found if one[2] not in _flags(one[1])] == []


def test_an_option_that_a_document_names_is_one() -> None:
    """Of any command."""
    named = {(name, code) for name, code in _codes() if code.startswith("`--")}
    known = _flags(*SETTINGS) | OTHERS
    wrong = [(name, code) for name, code in named if (flag := _FLAG.match(code[1:])) and flag[0] not in known]
    assert len(named) > 100
    assert wrong == []


def test_the_page_of_options_has_every_option_of_a_run() -> None:
    """In its tables, by any of the forms that the option has."""
    text = (ROOT / "docs/options.md").read_text("utf-8")
    heads = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    named = {flag for head in heads for flag in _FLAG.findall(head)}
    missing = [option.flags for option in options_of("run") if not named & {*option.flags}]
    assert missing == [("-h", "--help")]


def test_the_documents_have_every_reason_for_a_skip() -> None:
    """And what a full queue leaves out, which the summary counts beside them."""
    _, _, section = (ROOT / "docs/scope.md").read_text("utf-8").partition("## Why a URL is skipped\n")
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(rows) == sorted([*map(str, SkipReason), "queue_full"])


def test_the_documents_have_every_exit_code() -> None:
    """Those that a signal makes in one row."""
    _, _, section = (ROOT / "docs/running.md").read_text("utf-8").partition("| Exit code |")
    rows = re.findall(r"^\| (\d[\d, ]*) \|", section, re.MULTILINE)
    codes = [int(code) for row in rows for code in row.split(", ")]
    assert sorted(codes) == sorted({*EXIT_CODES, 130, 143})


def test_the_documents_have_every_value_of_the_summary() -> None:
    """Its fields, and how a run may have ended."""
    _, _, section = (ROOT / "docs/running.md").read_text("utf-8").partition("### summary.json\n")
    named = {*re.findall(r"`(\w+)`", section.partition("\n## ")[0])}
    assert {*(one.name for one in fields(Summary)), *map(str, ExitReason)} - named == set()


def test_the_index_has_every_page() -> None:
    """Each page of the folder once at least."""
    index = (ROOT / "docs/README.md").read_text("utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages - {*re.findall(r"\]\(([\w-]+\.md)", index)} == set()


def test_what_the_readme_claims_is_what_was_measured() -> None:
    """The least and the greatest advantage in the table of the benchmark."""
    text = (ROOT / "README.md").read_text("utf-8")
    claimed = re.search(r"([\d.]+) to ([\d.]+) times as many pages a second", text)
    rows = re.findall(r"^\| .+? pages/s \| [^|]+ \| ([\d.]+) \|", text, re.MULTILINE)
    assert claimed is not None
    assert claimed.groups() == (min(rows, key=float), max(rows, key=float))
