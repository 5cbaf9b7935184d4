"""What the driver counts of the events of each page, and which page it ends; by a browser that is none."""

import json
import subprocess
from pathlib import Path

import pytest

from farm.browser.driver import QUIET, node_path
from farm.browser.engine import FLOODED

PROGRAM = """
const { spawn } = require("node:child_process");
const script = 'cat "$0" >&4; exec cat <&3 4>&-';
const child = spawn("sh", ["-c", script, process.argv[2], process.argv[3]], {
  stdio: ["ignore", "inherit", "inherit", "pipe", "pipe"],
});
child.stdio[4].on("data", () => {});
child.stdio[4].on("end", () => child.stdio[3].end());
"""
PAGE, OTHER, OWN, BROWSER, WORKER = (letter * 32 for letter in "ABCDE")
EVENTS = 5_000


def attached(session: str, target: str, kind: str, parent: str = "") -> str:
    """Return what Chromium says when a session with a target begins."""
    info = {"targetId": target, "type": kind, "title": "", "url": ""}
    return event("Target.attachedToTarget", parent, {"sessionId": session, "targetInfo": info})


def event(method: str, session: str = "", params: object = None) -> str:
    """Return an event, as Chromium writes it."""
    said = {"method": method, "params": params or {}} | ({"sessionId": session} if session else {})
    return json.dumps(said, separators=(",", ":"))


def ended(
    folder: Path, *messages: str, argument: str = "--remote-debugging-pipe"
) -> tuple[list[str], list[str]]:
    """Return the sessions whose pages the driver crashes, and the targets that it names."""
    quiet, program, said = folder / "quiet.cjs", folder / "program.cjs", folder / "said"
    quiet.write_text(QUIET)
    program.write_text(PROGRAM)
    said.write_text("".join(f"{one}\0" for one in messages))
    run = [node_path(), "--require", str(quiet), str(program), str(said), argument]
    out = subprocess.run(run, capture_output=True, timeout=30, check=True, text=True).stdout
    commands = [json.loads(one) for one in out.split("\0") if one]
    assert all(one["method"] == "Page.crash" for one in commands)
    flooded = folder / FLOODED
    named = flooded.read_text().splitlines() if flooded.exists() else []
    return [one["sessionId"] for one in commands], named


START = [attached(PAGE, "page-1", "page"), attached(OTHER, "page-2", "page")]


def test_a_page_that_floods_is_ended_alone_and_named(tmp_path: Path) -> None:
    """Once, however long it goes on; its neighbour is left alone."""
    few = [event("Runtime.consoleAPICalled", OTHER, {"args": ["x"]})] * (EVENTS - 1)
    flood = [event("Runtime.consoleAPICalled", PAGE, {"args": ["x" * 100]})] * (2 * EVENTS)
    assert ended(tmp_path, *START, *few, *flood) == ([PAGE], ["page-1"])


def test_bytes_are_counted_too(tmp_path: Path) -> None:
    """A line of the console may be of any length."""
    flood = [event("Runtime.consoleAPICalled", PAGE, {"args": ["x" * 2**20]})] * 130
    assert ended(tmp_path, *START, *flood) == ([PAGE], ["page-1"])


def test_a_workers_flood_is_its_pages(tmp_path: Path) -> None:
    """A worker cannot be crashed; the page can."""
    flood = [event("Runtime.consoleAPICalled", WORKER)] * EVENTS
    assert ended(tmp_path, *START, attached(WORKER, "worker-1", "worker", PAGE), *flood) == (
        [PAGE],
        ["page-1"],
    )


def test_a_session_of_the_farms_own_is_a_pages(tmp_path: Path) -> None:
    """It comes by a session with the browser, which is never crashed."""
    begun = [attached(BROWSER, "0a-1", "browser"), attached(OWN, "page-1", "page", BROWSER)]
    flood = [event("Network.requestWillBeSent", OWN)] * EVENTS
    assert ended(tmp_path, *START, *begun, *flood) == ([OWN], ["page-1"])


def test_many_pages_at_once_are_no_flood(tmp_path: Path) -> None:
    """Each counts for itself, and the browser's own events for nobody."""
    own = [event("Target.targetInfoChanged")] * (2 * EVENTS)
    both = [event("Network.dataReceived", one) for one in (PAGE, OTHER)] * (EVENTS - 1)
    assert ended(tmp_path, *START, *own, *both) == ([], [])


@pytest.mark.parametrize("argument", ["--remote-debugging-port=0", ""])
def test_other_programs_are_not_looked_at(tmp_path: Path, argument: str) -> None:
    """Whatever they write."""
    flood = [event("Runtime.consoleAPICalled", PAGE)] * (2 * EVENTS)
    assert ended(tmp_path, *START, *flood, argument=argument) == ([], [])
