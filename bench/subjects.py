"""The measured crawlers, how each is started, and where it writes its pages."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import environments
from bench.content import CARD_SELECTOR
from farm.browser.intercept import blocked_urls, by_extension

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parent.parent
BLOCKED = ("images", "media", "fonts")
IMAGE_EXTENSIONS = ("png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "bmp", "tif", "tiff")
"""The others leave images out by URL; the farm's engine needs none."""
FARM, FLOOR = "farm", "raw-cdp"
SESSIONS = "crawl4ai-sessions"
"""crawl4ai once more, in another of its ways (see its program)."""
PEER_NAMES = ("crawlee", "crawl4ai", SESSIONS, "scrapy-playwright", "puppeteer-cluster")


@dataclass(frozen=True, slots=True)
class Job:
    """The parameters of every subject."""

    urls: tuple[str, ...]
    workers: int
    browser: Path
    sandbox: bool
    folder: Path
    farm_arguments: tuple[str, ...] = ()

    @property
    def out(self) -> Path:
        """The file with a line per page that a peer writes."""
        return self.folder / "pages.jsonl"

    def written(self) -> Path:
        """Write the job down for a peer and return the file."""
        path = self.folder / "job.json"
        given = {
            "urls": self.urls,
            "workers": self.workers,
            "browser": str(self.browser),
            "sandbox": self.sandbox,
            "selector": CARD_SELECTOR,
            "blocked": [*by_extension(IMAGE_EXTENSIONS), *blocked_urls(BLOCKED)],
            "out": str(self.out),
        }
        path.write_text(json.dumps(given))
        return path


@dataclass(frozen=True, slots=True)
class Brought:
    """A page as a subject returned it; `ms` is the duration that the subject reports."""

    url: str
    html: str
    links: frozenset[str]
    ms: float | None


@dataclass(frozen=True, slots=True)
class Subject:
    """`command` gives the command line of a job, `pages` what came of it."""

    name: str
    command: Callable[[Job], list[str]]
    pages: Callable[[Job], Iterator[Brought]]
    version: str = ""
    count: Callable[[Job], int] | None = None
    """How many pages there are, where they are not read."""
    environment: Mapping[str, str] = field(default_factory=dict)


def subjects(names: tuple[str, ...]) -> list[Subject]:
    """Return the named subjects, their environments made; raises NotInstallable."""
    return [_subject(name) for name in names]


def _subject(name: str) -> Subject:
    if name == FARM:
        return Subject(FARM, _farm, _farm_pages, count=_farm_count)
    if name == FLOOR:
        # The repository must be importable from the run's own folder.
        return Subject(FLOOR, _floor, _peer_pages, environment={"PYTHONPATH": str(ROOT)})
    package = name.removesuffix("-sessions")
    place = environments.prepare(package)
    version = environments.version(package)
    if name in environments.NODE_PEERS:
        program = str(PEERS / "puppeteer_peer.cjs")
        return Subject(
            name, lambda job: ["node", program, str(job.written()), str(place)], _peer_pages, version
        )
    program = str(PEERS / f"{name.partition('-')[0]}_peer.py")
    way = ["sessions"] if name == SESSIONS else []
    return Subject(name, lambda job: [str(place), program, str(job.written()), *way], _peer_pages, version)


def _farm(job: Job) -> list[str]:
    """`farm run` as a user starts it: its queue in Redis, its records on disk, its own settle rule."""
    seeds = job.folder / "seeds.txt"
    seeds.write_text("\n".join(job.urls))
    options = {
        "seeds": str(seeds),
        "contexts": str(job.workers),
        "ramp-up": "0s",
        "block": ",".join(BLOCKED),
        "browser": str(job.browser),
        "allow-network": "127.0.0.0/8",
        "live": "off",
        "log-level": "warning",
        "output": str(_farm_output(job)),
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    if not job.sandbox:
        flags.append("--no-sandbox")
    return [sys.executable, "-m", "farm.cli.main", "run", *flags, *job.farm_arguments]


def _floor(job: Job) -> list[str]:
    return [sys.executable, "-m", "bench.floor", str(job.written())]


def _farm_output(job: Job) -> Path:
    return job.folder / "crawl"


def farm_records(job: Job) -> list[dict[str, Any]]:
    """Return the records that the farm wrote."""
    path = _farm_output(job) / "pages.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _farm_pages(job: Job) -> Iterator[Brought]:
    for record in farm_records(job):
        links = frozenset(link["url"] for link in record["links"])
        yield Brought(record["url"], record["html"], links, record["timings_ms"]["total"])


def _farm_count(job: Job) -> int:
    """Return how many records the farm has written, whatever its sink."""
    path = _farm_output(job) / "summary.json"
    return int(json.loads(path.read_text())["written"]) if path.exists() else 0


def _peer_pages(job: Job) -> Iterator[Brought]:
    if not job.out.exists():
        return
    for line in job.out.read_text().splitlines():
        page = json.loads(line)
        yield Brought(page["url"], page["html"], frozenset(page["links"]), page.get("ms"))
