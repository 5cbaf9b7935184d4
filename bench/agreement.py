"""What `--render auto` records otherwise than the browser: `python -m bench.agreement`, `make bench-agreement`.

Each site is crawled three times, as a user starts it: twice by the browser, whose two records of a page show what
is another on each visit, and once by `--render auto`. Every page whose record by `auto` differs at the end of its
crawl is listed with what differs, by the rules of the farm's own audits. Their number must not be above
`most_wrong`, the bound that the crawl itself states; no page may be missing or come twice.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from random import Random
from typing import Any

from bench.recall import cases
from bench.subjects import ROOT
from farm.policy.page_diff import PageFacts, difference
from fixtures.shop import serve_shop_in_thread
from fixtures.shop.app import SITE
from fixtures.shop.faults import late
from fixtures.sites import Answer, served

BROWSER, AUTO = "browser", "auto"
PATIENCE_S = 900.0
_KEPT = ("status", "final_url", "title", "lang", "blocked_by", "metadata", "canonical", "noindex")
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Crawled:
    """The records of a crawl by address, and its summary."""

    records: Mapping[str, Record]
    repeated: int
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a site came to: `differences` by address, `missing` and `repeated` records of the crawl by `auto`."""

    site: str
    pages: int
    by: Mapping[str, int]
    told: Mapping[str, Any]
    differences: Mapping[str, str]
    missing: Sequence[str]
    repeated: int

    @property
    def is_good(self) -> bool:
        """Whether no more pages differ than the crawl says, and each page is there once."""
        return len(self.differences) <= self.told["most_wrong"] and not self.missing and not self.repeated


def facts_of(record: Record) -> PageFacts:
    """Return what is compared of a record."""
    links = (f"{one['url']}{' nofollow' if 'nofollow' in one['rel'] else ''}" for one in record["links"])
    lines = (" ".join(line.split()) for line in record["text"].splitlines())
    return PageFacts(
        {name: record[name] for name in _KEPT}, tuple(sorted({*links})), tuple(filter(None, lines))
    )


def compared(site: str, by_browser: Sequence[Crawled], by_auto: Crawled) -> Agreement:
    """Return what the crawl by `auto` has otherwise than both by the browser."""
    known, found = [one.records for one in by_browser], by_auto.records
    differences = {}
    for url, record in found.items():
        browser = [facts_of(records[url]) for records in known if url in records]
        differs = difference(browser, [facts_of(record)]) if browser else "the browser has no such page"
        if differs is not None:
            differences[url] = f"{record['rendered_by']}: {differs}"
    return Agreement(
        site,
        len(found),
        Counter(record["rendered_by"] for record in found.values()),
        by_auto.summary["renderers"],
        differences,
        sorted({url for records in known for url in records} - found.keys()),
        by_auto.repeated,
    )


def lines_of(one: Agreement) -> Iterator[str]:
    """Yield the row of a site, and a line for each difference."""
    told = one.told
    cheap = ", ".join(f"{number} by {name}" for name, number in sorted(one.by.items()))
    yield (
        f"{one.site}: {one.pages} pages ({cheap}); {told['compared']} compared, {told['audits']} audits, "
        f"{told['requeued']} visited again; {len(one.differences)} differ, at most {told['most_wrong']} are stated"
    )
    yield from (f"  differs  {url}  {differs}" for url, differs in sorted(one.differences.items()))
    yield from (f"  missing  {url}" for url in one.missing)
    if one.repeated:
        yield f"  {one.repeated} records more than pages"


def crawl(render: str, seeds: Sequence[str], options: argparse.Namespace, *, scope: str) -> Crawled:
    """Crawl the seeds by a renderer; raises SystemExit with its output if that fails."""
    with tempfile.TemporaryDirectory(prefix="agreement-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "seeds.txt").write_text("\n".join(seeds))
        given = {
            "seeds": str(folder / "seeds.txt"),
            "render": render,
            "scope": scope,
            "contexts": str(options.contexts),
            "ramp-up": "0s",
            "allow-network": "127.0.0.0/8",
            "live": "off",
            "log-level": "warning",
            "output": str(folder / "crawl"),
        }
        flags = [part for name, value in given.items() for part in (f"--{name}", value)]
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [sys.executable, "-m", "farm.cli.main", "run", *flags, *sandbox],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(
                f"the crawl by {render} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
            )
        lines = (folder / "crawl" / "pages.jsonl").read_text().splitlines()
        records = {record["url"]: record for record in map(json.loads, lines)}
        summary = json.loads((folder / "crawl" / "summary.json").read_text())
    return Crawled(records, len(lines) - len(records), summary)


Site = Callable[[argparse.Namespace], Any]
"""Serves a site; yields the addresses to begin with, and the scope."""
NOT_THERE = Answer(status=404)


@contextmanager
def by_client(_: argparse.Namespace) -> Iterator[tuple[list[str], str]]:
    """Serve the shop, all of whose pages its scripts make."""
    with serve_shop_in_thread() as shop:
        yield [shop.url], "host"


@contextmanager
def by_server(options: argparse.Namespace) -> Iterator[tuple[list[str], str]]:
    """Serve the same shop as a server renders it: what its scripts have made, without them, in several copies."""
    with serve_shop_in_thread() as shop:
        made = crawl(BROWSER, [shop.url], options, scope="host").records
        pages = {
            url.removeprefix(shop.url.rstrip("/")): without_scripts(record["html"])
            for url, record in made.items()
        }
        origin = shop.url.rstrip("/")
    sheet = Answer((SITE / "shop.css").read_bytes(), content_type="text/css")

    def answer(path: str, _headers: Message) -> Answer:
        if path == "/assets/shop.css":
            return sheet
        copy, _, rest = path.removeprefix("/").partition("/")
        html = pages.get(f"/{rest}") if copy.isdecimal() and int(copy) < options.copies else None
        if html is None:
            return NOT_THERE
        moved = (
            html.replace(origin, "")
            .replace(' href="/', f' href="/{copy}/')
            .replace(f"/{copy}/assets/", "/assets/")
        )
        return Answer(moved.encode(), content_type="text/html; charset=utf-8")

    with served(answer, keeps_open=True) as here:
        yield [f"{here}/{copy}/" for copy in range(options.copies)], "host"


def without_scripts(html: str) -> str:
    """Return HTML of the farm's own making without its scripts and what is for clients without them."""
    for tag in ("script", "noscript"):
        first, *others = html.split(f"<{tag}")
        html = first + "".join(part.partition(f"</{tag}>")[2] for part in others)
    return html


@contextmanager
def late_content(_: argparse.Namespace) -> Iterator[tuple[list[str], str]]:
    """Serve pages whose content comes late, by every mechanism, each of them many times."""
    with serve_shop_in_thread() as shop:
        ways = cases(shop.url, late.WAYS, (50,))
        yield [f"{one.url}?copy={copy}" for copy in range(12) for one in ways], "page"


@contextmanager
def mixed(options: argparse.Namespace) -> Iterator[tuple[list[str], str]]:
    """Serve kinds of page by the server and by scripts, and kinds that mix both.

    `tenth` needs scripts on one page in ten, `changing` from its middle on; `offers` shows others on each visit.
    """
    chance = Random(7)  # noqa: S311

    def answer(path: str, _headers: Message) -> Answer:
        kind, _, number = path.removeprefix("/").partition("/")
        if kind not in KINDS or not number.isdecimal():
            return NOT_THERE
        content = f"<h1>Lamp {number}</h1><p>{WORDS}</p><p>It costs {int(number) * 7} euros.</p>"
        is_made_late = {
            "scripts": True,
            "tenth": int(number) % 10 == 3,  # noqa: PLR2004
            "changing": int(number) >= options.pages // 2,
        }.get(kind, False)
        if kind == "offers":
            content += "".join(f"<p>Offer {chance.randrange(1000)}</p>" for _ in range(3))
        if is_made_late:
            script = f"document.getElementById('main').innerHTML = {json.dumps(content)}"
            content = f"<div id=main>Lamps</div><p>{WORDS}</p><script>{script}</script>"
        return Answer(f"<!doctype html><title>{kind} {number}</title><body>{content}".encode())

    with served(answer, keeps_open=True) as origin:
        yield [f"{origin}/{kind}/{number}" for number in range(options.pages) for kind in KINDS], "page"


KINDS = ("server", "scripts", "tenth", "offers", "changing")
WORDS = "A lamp of brass and glass, with a shade and a switch. " * 4
SITES: Mapping[str, Site] = {"shop": by_client, "server": by_server, "late": late_content, "mixed": mixed}


def main(arguments: list[str] | None = None) -> int:
    """Crawl, compare and print; return 1 if more pages differ than the bound says, or one is missing."""
    options = _options(arguments)
    is_good = True
    for name in options.sites:
        with SITES[name](options) as (seeds, scope):
            by_browser = [crawl(BROWSER, seeds, options, scope=scope) for _ in range(2)]
            found = compared(name, by_browser, crawl(AUTO, seeds, options, scope=scope))
        print("\n".join(lines_of(found)), flush=True)
        is_good = is_good and found.is_good
    return 0 if is_good else 1


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in SITES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is not one of {', '.join(SITES)}")
    return names


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.agreement",
        description="What `--render auto` records otherwise than the browser.",
    )
    parser.add_argument(
        "--sites",
        type=_names,
        default=list(SITES),
        metavar="NAMES",
        help=f"which of {', '.join(SITES)} [all]",
    )
    parser.add_argument("--contexts", type=int, default=4, metavar="N", help="contexts of a crawl [4]")
    parser.add_argument(
        "--copies",
        type=int,
        default=3,
        metavar="N",
        help="how often the shop is there as rendered by its server [3]",
    )
    parser.add_argument(
        "--pages", type=int, default=100, metavar="N", help="pages of each kind of the mixed site [100]"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
