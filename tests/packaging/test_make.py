"""The Makefile explains itself, and set-up on a machine that has everything only looks."""

import os
import re
import subprocess
from pathlib import Path

from scripts.mutate import MUTATIONS
from tests.tree import ROOT


def test_every_target_explains_itself() -> None:
    """`make` alone lists each target with one line on it."""
    rules = re.findall(r"^([a-z-]+):(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name, rest in rules if "## " not in rest] == []
    run = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [name for name, _ in rules if f"make {name} " not in run.stdout] == []
    assert {"setup", "run", "test", "test-all", "check", "clean"} <= {name for name, _ in rules}


def test_ci_runs_what_people_run() -> None:
    """One command, so that a change that passes here passes there."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "exec make test" in script.read_text()


def test_every_mutation_still_breaks_something() -> None:
    """Its text stands in its script and its tests exist, or `make mutate` would only say so an hour later."""
    for mutation in MUTATIONS:
        assert mutation.old in (ROOT / "farm/frontier/lua" / mutation.file).read_text(), mutation.name
        assert mutation.old != mutation.new, mutation.name
        assert (ROOT / f"tests/frontier/test_{mutation.first}.py").exists(), mutation.name
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_the_scripts_of_the_set_up_can_be_parsed_and_run() -> None:
    """By the plainest shell that they name."""
    for name in (
        "scripts/setup.sh",
        "scripts/lock.sh",
        "docker/install.sh",
        "docker/prove.sh",
        "docker/root.sh",
    ):
        script = ROOT / name
        shell = "bash" if script.read_text().startswith("#!/bin/bash") else "sh"
        subprocess.run([shell, "-n", script], check=True)


def test_set_up_without_python_says_so_in_one_sentence(tmp_path: Path) -> None:
    """No traceback, nothing half-created."""
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "setup.sh"
    script.write_text((ROOT / "scripts" / "setup.sh").read_text())
    environment = os.environ | {"PYTHON": "no-such-python"}
    run = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "Python 3.11 or later" in run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scripts"]


def test_set_up_leaves_an_environment_behind_a_link_alone(tmp_path: Path) -> None:
    """It belongs to another tree: to make it anew would empty it under its owner."""
    tree, shared = tmp_path / "tree", tmp_path / "shared"
    (tree / "scripts").mkdir(parents=True)
    shared.mkdir()
    (shared / "kept").touch()
    (tree / ".venv").symlink_to(shared)
    for name in ("scripts/setup.sh", "requirements.lock", "pyproject.toml"):
        (tree / name).write_text((ROOT / name).read_text())
    run = subprocess.run(["sh", tree / "scripts" / "setup.sh"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "remove the link" in run.stderr
    assert [path.name for path in shared.iterdir()] == ["kept"]
