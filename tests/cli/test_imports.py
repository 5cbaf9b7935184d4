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
