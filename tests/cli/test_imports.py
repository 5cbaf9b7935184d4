"""A command that looks in starts at once: it loads no browser."""

import subprocess
import sys

import pytest

from farm.cli.main import COMMANDS, STEERING

WITH_A_BROWSER = {"run", "extract", "fetch", "login", "shell", "doctor"}
LOOKING_IN = sorted(COMMANDS.keys() - STEERING - WITH_A_BROWSER - {"version"} | {"steer", "main"})


@pytest.mark.parametrize("command", LOOKING_IN)
def test_a_command_that_looks_in_does_not_import_playwright(command: str) -> None:
    """The slowest of all imports, and of no use to it."""
    look = (
        f"import sys, farm.cli.{command.replace('-', '_')}\n"
        "print([name for name in sys.modules if name.startswith('playwright')])"
    )
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_nothing_that_takes_long_is_imported_before_signals_are_handled() -> None:
    """Ctrl-C in the first moment of a command would be a traceback."""
    look = (
        "import sys, farm.cli.main; print(*sorted(name for name in sys.modules if name.startswith('farm')))"
    )
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["farm", "farm.cli", "farm.cli.interruption", "farm.cli.main"]
