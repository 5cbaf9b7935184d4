"""The Makefile explains itself, and set-up on a machine that has everything only looks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert "\nmake test\n" in script.read_text()


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
        "scripts/prove.sh",
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


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Make a tree with the script, and beside it what a bare machine has: its user is not root and has no sudo."""
    (tmp_path / "tree" / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "tree" / "scripts")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname", "cat", "rm", "env", "mktemp", "tail", "tee", "chmod"):
        (programs / name).symlink_to(str(shutil.which(name)))
    program(programs / "id", "echo 1000")
    return tmp_path


def program(path: Path, script: str) -> None:
    """Write a program."""
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    path.chmod(0o755)


def set_up(bare: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script there."""
    return subprocess.run(
        [bare / "bin" / "sh", bare / "tree" / "scripts" / "setup.sh", *arguments],
        env={"PATH": str(bare / "bin"), "HOME": str(bare)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_set_up_without_root_names_all_that_is_missing_at_once(bare: Path) -> None:
    """With the one command that brings it; nothing is half-created."""
    program(bare / "bin" / "apt-get", "exit 99")
    program(bare / "bin" / "python3", "exit 1")
    run = set_up(bare)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert "missing: Redis 7.0 or later, Python 3.11 or later with venv, make, a browser;" in run.stderr
    assert "`apt-get install redis-server python3-venv make chromium-headless-shell`" in run.stderr
    assert [path.name for path in (bare / "tree").iterdir()] == ["scripts"]


def test_set_up_names_nothing_that_is_there(bare: Path) -> None:
    """And no package manager that the machine does not have; Playwright's browser is one."""
    program(bare / "bin" / "make", "")
    (bare / "bin" / "python3").symlink_to(sys.executable)
    (bare / ".cache" / "ms-playwright" / "chromium_headless_shell-1").mkdir(parents=True)
    run = set_up(bare)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "setup: missing: Redis 7.0 or later; install it, then run this again.\n"


def test_only_the_tests_need_their_servers(bare: Path) -> None:
    """`make run` asks for none."""
    program(bare / "bin" / "make", "")
    (bare / "bin" / "python3").symlink_to(sys.executable)
    (bare / ".cache" / "ms-playwright" / "chromium_headless_shell-1").mkdir(parents=True)
    asked = set_up(bare).stderr
    assert "PostgreSQL" not in asked
    assert "Prometheus" not in asked
    run = set_up(bare, "tests")
    assert run.stderr == (
        "setup: missing: Redis 7.0 or later, PostgreSQL for the tests, Prometheus for the tests; "
        "install it, then run this again.\n"
    )


def test_set_up_with_sudo_installs_what_is_missing_and_says_what_could_not_be_had(bare: Path) -> None:
    """Each package by apt; what apt does not bring is named, with all the rest."""
    programs, log = bare / "bin", bare / "installed"
    program(programs / "apt-get", f'echo "$@" >>{log}')
    program(programs / "apt-cache", "")
    # It carries out apt alone: the others would change this machine.
    program(programs / "sudo", 'case $2 in env) shift; exec "$@" ;; esac')
    run = set_up(bare)
    assert run.returncode == 1
    installed = [line.split()[-1] for line in log.read_text().splitlines() if " install " in line]
    assert installed == ["redis-server", "python3-venv", "make"]
    assert "missing: Redis 7.0 or later, Python 3.11 or later with venv, make, a browser;" in run.stderr


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


def test_a_proof_of_what_is_not_known_is_refused_in_one_sentence() -> None:
    """Before anything is made, and whoever asks."""
    run = subprocess.run(
        [ROOT / "scripts" / "prove.sh", "trixie", "units", "sid"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "prove: `sid` is none of bookworm trixie, root sudo, run units browser crawls1 crawls2, again.\n"
    )
