"""What a page says cannot move or turn the terminal that JSON is printed on; a pipe gets it as it is."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from farm.model.record import Batch
from farm.sinks.jsonl import JsonlStore
from tests.sinks.killed import record

EVIL = "a\x9b31m\u202eevil"
SINK = """
import sys
from farm.model.record import Batch
from farm.sinks.standard_output import StandardOutput
from tests.sinks.killed import record
store = StandardOutput()
store.open()
store.write([store.encode(Batch([record(1, title=sys.argv[1])]))[0]])
store.close()
"""
FETCHED = """
import sys
from farm.cli.fetch import _print
_print("json", sys.argv[1].encode())
"""
PATIENCE_S = 60


def printed(command: list[str], *, on_terminal: bool) -> bytes:
    """Return what a program writes on standard output."""
    if not on_terminal:
        return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True).stdout
    here, there = pty.openpty()
    settings = termios.tcgetattr(there)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(there, termios.TCSANOW, settings)
    try:
        with subprocess.Popen(command, stdout=there, stderr=subprocess.DEVNULL) as running:
            os.close(there)
            found = b""
            try:
                while part := os.read(here, 65_536):
                    found += part
            except OSError:
                # The end of what a terminal says once nobody has it open.
                pass
            assert running.wait(PATIENCE_S) == 0
    finally:
        os.close(here)
    return found


def stored(folder: Path) -> Path:
    """Return a file with one record."""
    store = JsonlStore(folder / "pages.jsonl", folder / "private")
    store.open()
    store.write([store.encode(Batch([record(1, title=EVIL)]))[0]])
    store.close()
    return folder / "pages.jsonl"


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the programs that print a record."""
    line = json.dumps(dict(record(1, title=EVIL, status=200).fields), ensure_ascii=False)
    return {
        "sink": [sys.executable, "-c", SINK, EVIL],
        "fetch": [sys.executable, "-c", FETCHED, line],
        "export": [sys.executable, "-m", "farm.cli.main", "export", str(stored(folder)), "--to", "jsonl:-"],
    }


def title(line: bytes) -> Any:
    """Return the title of a record."""
    return json.loads(line)["title"]


@pytest.mark.parametrize("name", ["sink", "fetch", "export"])
def test_json_on_a_terminal_is_printable_and_has_the_same_values(tmp_path: Path, name: str) -> None:
    """A pipe has the characters as they are."""
    command = commands(tmp_path)[name]
    shown, piped = (printed(command, on_terminal=on_terminal) for on_terminal in (True, False))
    assert title(shown) == title(piped) == EVIL
    assert shown.decode().removesuffix("\n").isprintable()
    assert EVIL.encode() in piped


def test_csv_on_a_terminal_is_printable(tmp_path: Path) -> None:
    """It has no escapes of its own."""
    command = [sys.executable, "-m", "farm.cli.main", "export", str(stored(tmp_path)), "--to", "csv:-"]
    command += ["--columns", "title"]
    assert printed(command, on_terminal=True).decode() == "title\na\\u009b31m\\u202eevil\n"
    assert printed(command, on_terminal=False).decode() == f"title\n{EVIL}\n"
