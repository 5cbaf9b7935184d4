"""Every module of tests is collected by plain `pytest`: one that is not fails nowhere and proves nothing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT, walk

STUB = 'def test_nothing() -> None:\n    """Do nothing."""\n'


def uncollected(root: Path) -> list[str]:
    """Return the modules of tests below a project's root in which plain `pytest` finds no test."""
    modules = [path.relative_to(root).as_posix() for path in walk(root) if path.match("test_*.py")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider"]
    run = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=150
    )
    found = set(re.findall(r"^(.+\.py): [1-9]\d*$", run.stdout, re.MULTILINE))
    assert run.returncode in {0, 5}, run.stdout + run.stderr
    return [module for module in modules if module not in found]


def test_every_module_of_tests_is_collected() -> None:
    """In whichever folder it stands."""
    assert uncollected(ROOT) == []


def test_each_module_that_is_not_collected_is_named(tmp_path: Path) -> None:
    """Folders that pytest passes over, those where it does not look, and a module without any test."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    missed = ["farm/test_it.py", "tests/build/test_it.py", "tests/dist/test_it.py", "tests/test_none.py"]
    for name in ("tests/test_good.py", *missed):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("" if "none" in name else STUB)
    assert sorted(uncollected(tmp_path)) == missed


@pytest.mark.parametrize(("folder", "is_read"), [("tests/build", True), ("farm/out", True), ("dist", False)])
def test_a_folder_is_passed_over_only_where_its_content_is_made(
    tmp_path: Path, folder: str, is_read: bool
) -> None:
    """Further down, a folder of the same name is the project's own."""
    (tmp_path / folder).mkdir(parents=True)
    module = tmp_path / folder / "module.py"
    module.touch()
    assert walk(tmp_path) == ((module,) if is_read else ())
