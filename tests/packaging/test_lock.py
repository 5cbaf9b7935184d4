"""The lock files hold every dependency at one version with hashes, and name no index."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tree import ROOT

LOCKS = (ROOT / "requirements.lock", ROOT / "docker" / "requirements.lock")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def _pins(lock: Path) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in _PIN.findall(lock.read_text())}


def _wanted(group: str | None = None) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if group is None:
        return [Requirement(line) for line in project["project"]["dependencies"]]
    wanted: list[Requirement] = []
    if group == "extras":
        extras = project["project"]["optional-dependencies"]
        return [Requirement(line) for lines in extras.values() for line in lines]
    for line in project["dependency-groups"][group]:
        wanted += _wanted(line["include-group"]) if isinstance(line, dict) else [Requirement(line)]
    return wanted


@pytest.mark.parametrize(("lock", "group"), list(zip(LOCKS, ("dev", "build"), strict=True)))
def test_what_the_project_asks_for_is_locked(lock: Path, group: str) -> None:
    """`make lock` was run after the last change of the dependencies."""
    pins = _pins(lock)
    # The image has every extra: who runs it cannot add one.
    for wanted in [*_wanted(), *_wanted("extras"), *_wanted(group)]:
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)], prereleases=True), wanted


@pytest.mark.parametrize("lock", LOCKS)
def test_every_version_has_hashes_and_no_address(lock: Path) -> None:
    """So that it installs from any index, and only what was meant."""
    text = lock.read_text()
    assert "://" not in text
    assert re.search(r"^--(index-url|extra-index-url|find-links|trusted-host)", text, re.MULTILINE) is None
    for block in re.split(r"\n(?=[a-z0-9])", text.partition("\n    make lock\n")[2] or text):
        if _PIN.match(block):
            assert "--hash=sha256:" in block, block[:80]


def test_the_image_has_the_versions_that_are_tested() -> None:
    """The smaller lock is a part of the larger one."""
    assert _pins(LOCKS[1]).items() <= _pins(LOCKS[0]).items()


def test_this_environment_is_the_locked_one() -> None:
    """What the tests run with is what the lock says, where the lock is for this machine."""
    from importlib.metadata import version

    assert default_environment()["python_version"] >= "3.11"
    for wanted in [*_wanted(), *_wanted("dev")]:
        if wanted.marker is None or wanted.marker.evaluate():
            assert version(wanted.name) == _pins(LOCKS[0])[canonicalize_name(wanted.name)]


def test_the_extras_that_a_message_names_are_there() -> None:
    """Whoever lacks a package is told the command that brings it."""
    from farm.sinks.address import _PACKAGES

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for module, extra in _PACKAGES.values():
        brought = {canonicalize_name(Requirement(line).name).partition("-")[0] for line in extras[extra]}
        assert brought & {module.partition(".")[0].partition("_")[0], "backports"}, (module, extra)
