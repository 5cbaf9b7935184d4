"""The command that installs an extra: that of a package index, or that of a clone."""

import json
import shlex
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

from farm.resources.installation import command_of, direct_url_of

FARM = Path(__file__).parents[2] / "farm"
FROM_INDEX = "pip install 'crawl-farm[text]'"


def of_folder(folder: Path, **of: bool) -> dict[str, Any]:
    """Return what an installer notes of a folder."""
    return {"url": folder.as_uri(), "dir_info": of}


def clone(folder: Path) -> Path:
    """Make a folder that can be installed."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return folder


@pytest.mark.parametrize("name", ["clone", "my clone", "it's one", "ünï#1%20"])
def test_in_a_clone_the_command_names_its_folder(tmp_path: Path, name: str) -> None:
    """So that it works in any folder; quoted as a shell needs it."""
    folder = clone(tmp_path / name)
    wanted = f"{folder}[text]"
    assert shlex.split(command_of(of_folder(folder, editable=True), "text")) == [
        "pip",
        "install",
        "-e",
        wanted,
    ]
    assert shlex.split(command_of(of_folder(folder), "text")) == ["pip", "install", wanted]


def test_the_brackets_are_quoted_in_a_plain_path(tmp_path: Path) -> None:
    """A shell takes them for a pattern, and zsh refuses one that no file matches."""
    folder = clone(tmp_path / "clone")
    assert command_of(of_folder(folder, editable=True), "text") == f"pip install -e '{folder}[text]'"


@pytest.mark.parametrize(
    "direct_url",
    [
        None,
        [],
        {},
        {"url": "https://example.org/crawl_farm.whl", "archive_info": {}},
        {"url": "https://[example.org", "dir_info": {}},
        {"url": "ssh://git@example.org/farm", "vcs_info": {"vcs": "git"}},
        {"url": "file:///there/is/no/such/clone", "dir_info": {"editable": True}},
        {"url": 3, "dir_info": {"editable": True}},
        {"dir_info": "editable"},
    ],
)
def test_elsewhere_it_is_that_of_the_package_index(direct_url: Any) -> None:
    """Also where the folder is gone, and where the note is none."""
    assert command_of(direct_url, "text") == FROM_INDEX


def test_what_the_installer_noted_is_read(tmp_path: Path) -> None:
    """Without a note, or with half of one, there is none."""
    info = tmp_path / "crawl_farm-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crawl-farm\nVersion: 1\n")
    assert direct_url_of(PathDistribution(info)) is None
    noted = of_folder(tmp_path, editable=True)
    (info / "direct_url.json").write_text(json.dumps(noted))
    assert direct_url_of(PathDistribution(info)) == noted
    (info / "direct_url.json").write_text(json.dumps(noted)[:-3])
    assert direct_url_of(PathDistribution(info)) is None


def test_no_other_module_words_the_command() -> None:
    """It would be right for one kind of installation alone."""
    found = [path.name for path in FARM.rglob("*.py") if "pip install" in path.read_text(encoding="utf-8")]
    assert found == ["installation.py"]
