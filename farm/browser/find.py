"""Finds the browser to drive: Playwright's own if it is installed, else the system's.

The headless shell is preferred to full Chromium because a page costs it a fraction of the CPU. Only real
executables are returned: a distribution's launcher may be a shell script that does not `exec`; killing its process
would orphan the browser.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import getfile
from pathlib import Path

import playwright

from farm.model.errors import BrowserUnavailable

SYSTEM_NAMES = (
    "chromium-headless-shell",
    "headless_shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
DEBIAN_FOLDER = Path("/usr/lib/chromium")
SCRIPT_HEAD_BYTES = 65536
REMEDY = "run `playwright install chromium --only-shell`, or install chromium-headless-shell or chromium"


@dataclass(frozen=True, slots=True)
class BrowserBinary:
    """An executable; `source` is `configured`, `playwright` or `system`."""

    path: Path
    headless_shell: bool
    source: str


def find_browser(wanted: Path | None = None) -> BrowserBinary:
    """Return the browser to drive: `wanted` if it is given, else Playwright's, else the system's.

    Raises BrowserUnavailable with the remedy if there is none.
    """
    if wanted is not None:
        path = _real_executable(wanted)
        if path is None:
            raise BrowserUnavailable(f"{wanted} is not a browser that can be run; {REMEDY}.")
        return _binary(path, "configured")
    for binary in candidates():
        return binary
    raise BrowserUnavailable(f"No Chromium was found; {REMEDY}.")


def candidates() -> Iterator[BrowserBinary]:
    """Yield every installed browser, the preferred one first."""
    for path in _playwright_paths():
        if _is_executable(path):
            yield _binary(path, "playwright")
    for name in SYSTEM_NAMES:
        on_path = shutil.which(name)
        found = _real_executable(Path(on_path)) if on_path else None
        if found is not None:
            yield _binary(found, "system")


def _binary(path: Path, source: str) -> BrowserBinary:
    return BrowserBinary(path, "headless" in path.name, source)


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _real_executable(path: Path) -> Path | None:
    """Return the executable itself, or the one that a launcher script starts; None if there is none."""
    if not _is_executable(path):
        return None
    with path.open("rb") as file:
        head = file.read(SCRIPT_HEAD_BYTES)
    if not head.startswith(b"#!"):
        return path.resolve()
    named = [Path(os.fsdecode(word)) for word in re.findall(rb"/[\w./-]+", head)]
    inside = [path for path in named if "chrom" in path.name or "headless_shell" in path.name]
    for program in (*inside, DEBIAN_FOLDER / path.name):
        if program != path and _is_executable(program) and not _is_script(program):
            return program.resolve()
    return None


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _playwright_paths() -> Iterator[Path]:
    """Yield the paths of this Playwright version's own browsers, headless shell first."""
    listing = Path(getfile(playwright)).parent / "driver" / "package" / "browsers.json"
    revisions = {b["name"]: b["revision"] for b in json.loads(listing.read_text())["browsers"]}
    root = _playwright_folder()
    for name in ("chromium-headless-shell", "chromium"):
        if name in revisions:
            folder = root / f"{name.replace('-', '_')}-{revisions[name]}"
            yield from sorted(folder.glob("*/*headless*shell")) + sorted(folder.glob("*/chrome"))
            yield from sorted(folder.glob("*/*.app/Contents/MacOS/*"))


def _playwright_folder() -> Path:
    configured = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if configured and configured != "0":
        return Path(configured)
    if configured == "0":
        return Path(getfile(playwright)).parent / "driver" / "package" / ".local-browsers"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ms-playwright"
