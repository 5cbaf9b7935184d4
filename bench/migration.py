"""Run the programs of docs/migration.md on the demo shop, whole and killed: `make bench-migration`.

Each program is the one of the document but for the shop's address and the limit of pages. Further runs of each are
ended by SIGKILL while products are read, and the command is given again as its documentation says. The shop's
journal tells which pages were requested, its catalogue which products there are.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import environments
from bench.subjects import FARM, ROOT
from farm.browser.chromium import find_browser
from fixtures import catalogue
from fixtures.shop import Journal, Shop, serve_shop_in_thread

DOCUMENT = ROOT / "docs" / "migration.md"
ADDRESS = "https://shop.example/"
CATEGORY = "lamps"
LIMIT = re.compile(r"(limit=|CLOSESPIDER_PAGECOUNT\": |max_requests_per_crawl=)\d+")
MANY = 1000
KILLED_AT = (3, 6, 9)
"""After so many requests for products the program is killed, in a run for each."""
PATIENCE_S = 180.0
LAYOUTS = {
    "chromium": ("chromium-{}/chrome-linux/chrome", "chromium-{}/chrome-linux64/chrome"),
    "chromium-headless-shell": (
        "chromium_headless_shell-{}/chrome-linux/headless_shell",
        "chromium_headless_shell-{}/chrome-headless-shell-linux64/chrome-headless-shell",
    ),
}
"""Where versions of Playwright look for their own browsers."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the document: its heading there, its arguments, and its file of items."""

    heading: str
    arguments: tuple[str, ...]
    items: str
    environment: Mapping[str, str] = field(default_factory=dict)
    again: Mapping[str, str] = field(default_factory=dict)
    """The environment of the run that is to continue."""


PROGRAMS = {
    FARM: Program(
        "The farm", ("shop.py",), "crawls/migrated/items.jsonl", {"FARM_ALLOW_NETWORK": "127.0.0.0/8"}
    ),
    "scrapy-playwright": Program("Scrapy", ("-m", "scrapy", "runspider", "shop.py"), "items.jsonl"),
    "crawlee": Program(
        "Crawlee",
        ("shop.py",),
        "items.json",
        {"CRAWLEE_DISABLE_BROWSER_SANDBOX": "1"} if os.geteuid() == 0 else {},
        {"CRAWLEE_PURGE_ON_START": "0"},
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """How many of the products a run brought, each counted once, how often one came again, and its visits."""

    products: int
    repeated: int
    visits: int
    failure: str = ""

    def __str__(self) -> str:
        told = f"{self.products} products, {self.repeated} repeated, {self.visits} visits of products"
        return f"{told}; {self.failure}" if self.failure else told


def main(arguments: list[str] | None = None) -> int:
    """Run the programs and print what each brought; return 1 if one of them did not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.migration", description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="*", default=[*PROGRAMS], metavar="NAME", help=", ".join(PROGRAMS))
    failed = False
    for name in parser.parse_args(arguments).programs:
        text = source(name)
        try:
            python = Path(sys.executable) if name == FARM else environments.prepare(name)
        except environments.NotInstallable as error:
            print(f"note: {error}", file=sys.stderr)
            failed = True
            continue
        print(f"{name} {environments.version(name)}: {lines_of(text)} lines", flush=True)
        whole = tried(name, text, python)
        print(f"  whole: {whole}", flush=True)
        for killed_at in KILLED_AT:
            result = tried(name, text, python, killed_at)
            print(f"  SIGKILL after {killed_at} requests for products: {result}", flush=True)
        failed |= bool(whole.failure)
    return 1 if failed else 0


def source(name: str) -> str:
    """Return the program as the document has it."""
    section = DOCUMENT.read_text("utf-8").split(f"\n## {PROGRAMS[name].heading}\n", 1)[1]
    return section.split("\n```py", 1)[1].partition("\n")[2].partition("\n```")[0]


def lines_of(text: str) -> int:
    """Return the number of lines that are not blank."""
    return sum(bool(line.strip()) for line in text.splitlines())


def tried(name: str, text: str, python: Path, killed_at: int = 0) -> Result:
    """Run a program in a folder and on a shop of its own; with `killed_at` it is killed then, and run again."""
    program = PROGRAMS[name]
    with tempfile.TemporaryDirectory(prefix="migration-") as folder, serve_shop_in_thread() as shop:
        place = Path(folder)
        (place / "shop.py").write_text(LIMIT.sub(rf"\g<1>{MANY}", text.replace(ADDRESS, shop.url)))
        given = {**os.environ, **program.environment, "HOME": folder}
        if name != FARM:
            given["PLAYWRIGHT_BROWSERS_PATH"] = str(browsers(python.parents[1], place / "browsers"))
        command, failure = [str(python), *program.arguments], ""
        if killed_at:
            failure = _killed(command, place, given, shop, killed_at)
            given |= program.again
        failure = failure or _ended(command, place, given)
        return _result(place / program.items, shop, failure)


def browsers(environment: Path, folder: Path) -> Path:
    """Return a folder in which this environment's Playwright finds the farm's browser as its own."""
    (listing,) = environment.glob("lib/python*/site-packages/playwright/driver/package/browsers.json")
    for one in json.loads(listing.read_text())["browsers"]:
        for layout in LAYOUTS.get(one["name"], ()):
            path = folder / layout.format(one["revision"])
            path.parent.mkdir(parents=True)
            path.symlink_to(find_browser().path)
    return folder


def _start(command: list[str], place: Path, given: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    with (place / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=place, env=dict(given), stdout=log, stderr=log, start_new_session=True
        )


def _ended(command: list[str], place: Path, given: Mapping[str, str]) -> str:
    """Run to the end; return how it failed, empty if it did not."""
    running = _start(command, place, given)
    try:
        code = running.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return f"no end within {PATIENCE_S:g} s"
    finally:
        _end(running)
    last = (place / "log").read_text("utf-8", "replace").strip().splitlines()[-1:]
    return f"exit code {code}: {' '.join(last)}" if code else ""


def _killed(command: list[str], place: Path, given: Mapping[str, str], shop: Shop, at: int) -> str:
    """Start the program and kill it in the middle; return why that could not be."""
    running = _start(command, place, given)
    try:
        if not shop.requests.wait_for(lambda journal: len(_products(journal)) >= at, PATIENCE_S):
            return "it did not come to the products"
    finally:
        _end(running)
    return ""


def _end(running: "subprocess.Popen[bytes]") -> None:
    """Kill the program, and the browsers that it has left."""
    running.kill()
    running.wait()
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _products(journal: Journal) -> list[str]:
    return [visit.path for visit in journal.pages() if visit.path.startswith("/p/")]


def _result(path: Path, shop: Shop, failure: str) -> Result:
    wanted = {one.name for one in catalogue.products() if one.category.slug == CATEGORY}
    text = path.read_text("utf-8") if path.exists() else ""
    items = json.loads(text or "[]") if path.suffix == ".json" else map(json.loads, text.splitlines())
    found = Counter(one["name"] for one in items if one["name"] in wanted)
    lacking = (
        f"{len(wanted) - len(found)} of {len(wanted)} products are missing"
        if len(found) < len(wanted)
        else ""
    )
    return Result(len(found), found.total() - len(found), len(_products(shop.requests)), failure or lacking)


if __name__ == "__main__":
    sys.exit(main())
