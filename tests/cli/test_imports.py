"""A command that looks in starts at once: it loads no browser."""

import gc
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from farm.cli import main
from farm.cli.main import COMMANDS, STEERING

WITH_A_BROWSER = {"run", "extract", "fetch", "login", "shell", "doctor"}
LOOKING_IN = sorted(COMMANDS.keys() - STEERING - WITH_A_BROWSER - {"version"} | {"steer", "main"})


def test_no_command_that_looks_in_imports_playwright() -> None:
    """The slowest of all imports, and of no use to it; the first one that does is named."""
    look = (
        "import sys, importlib\n"
        "for command in sys.argv[1:]:\n"
        "    importlib.import_module('farm.cli.' + command.replace('-', '_'))\n"
        "    print(command, any(name.startswith('playwright') for name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", look, *LOOKING_IN], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == [f"{command} False" for command in LOOKING_IN]


def test_what_a_command_imports_is_not_looked_through_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would be a tenth of the time until a run begins."""
    seen: list[bool] = []

    def imported(name: str) -> Any:
        seen.append(gc.isenabled())
        return SimpleNamespace(main=lambda _: len(name) if gc.isenabled() else 0)

    monkeypatch.setattr(main, "import_module", imported)
    assert main.dispatch(["status"]) == len("farm.cli.status")
    assert seen == [False]


def test_nothing_that_takes_long_is_imported_before_signals_are_handled() -> None:
    """Ctrl-C in the first moment of a command would be a traceback."""
    look = (
        "import sys, farm.cli.main; print(*sorted(name for name in sys.modules if name.startswith('farm')))"
    )
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["farm", "farm.cli", "farm.cli.interruption", "farm.cli.main"]
