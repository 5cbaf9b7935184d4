"""How much late content the farm finds, and how soon: `python -m bench.recall`, `make bench-recall`.

Every page is visited twice: by the farm, with its own settle rule, and by a plain browser that waits ten seconds
before it reads the same things. Lines and links that only the reference has are missing. Pages record the moment
of their last change, so that the delay of the capture can be measured. Real applications follow the synthetic
pages.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from playwright.async_api import Browser, async_playwright

from bench import apps
from bench.environments import NotInstallable
from bench.report import machine, machine_line
from bench.subjects import BLOCKED, ROOT
from farm.browser.chromium import find_browser
from farm.browser.context import SlotParams
from farm.browser.driver import READING
from farm.browser.engine import EngineParams
from farm.browser.intercept import blocked_urls
from farm.browser.pool import Pool, PoolParams
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.egress import AllowedNetwork, Gateway, Guard
from farm.model.clock import SystemClock
from farm.model.task import Lease, UrlTask
from farm.model.url import site_of
from farm.policy.recycle import RecycleParams
from fixtures.shop import serve_shop_in_thread
from fixtures.shop.faults import late

DELAYS_MS = (50, 300, 1000, 3000)
SOON_MS = 1000
"""Content that arrives within this time of the page's last activity must be found."""
ACTIVE = frozenset(
    {"-fetch", "-xhr", "-module", "-chunk", "-script", "-hash", "-unrest", "-stream", "-bundle", "-body"}
)
"""Mechanisms with a request in flight, which is activity: their content must be found however late."""
THRICE = "-chain"
LAG_MS = 250
REFERENCE_S = 10.0
REFERENCES = 8
CAPS = "htmlCap: 1e9, textCap: 1e9, linkCap: 1e9, linksCap: 1e9, linkTextCap: 1e9"
READ = f"() => {{ {READING}\nreturn collect({{ {CAPS}, isPage: true }}) }}"
ODD = {
    "drip": "faults/drip/20",
    "document.open": "faults/document-open",
    "poll": "faults/poll",
}
"""Pages whose content is not late but whose end is hard to tell."""


@dataclass(frozen=True, slots=True)
class Case:
    """A page; `due` says that all of it must be found."""

    name: str
    url: str
    delay_ms: int | None
    due: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a page: shares of the reference's lines and links, and the time since its last change."""

    name: str
    delay_ms: int | None
    due: bool
    text_recall: float
    link_recall: float
    lines: int
    links: int
    lag_ms: float | None
    took_ms: int
    settled: bool
    reason: str

    @property
    def recall(self) -> float:
        """The worse of both."""
        return min(self.text_recall, self.link_recall)


@dataclass(frozen=True, slots=True)
class Read:
    """A page's lines and links, and the moment of its last change as the page tells it."""

    lines: frozenset[str]
    links: frozenset[str]
    late_ms: float | None = None


def read(text: str, links: Iterable[str], html: str = "") -> Read:
    """Return the parts of a page."""
    stamp = html.partition('data-late="')[2].partition('"')[0]
    lines = frozenset(line.strip() for line in text.splitlines() if line.strip())
    return Read(lines, frozenset(links), float(stamp) if stamp else None)


def cases(origin: str, ways: Sequence[str], delays: Sequence[int]) -> list[Case]:
    """Return the synthetic pages."""
    found = []
    for way in ways:
        for delay in delays:
            # A chain is three times as long, and at its longest as long as the reference waits.
            if way == THRICE and delay * 3 >= REFERENCE_S * 900:
                continue
            due = delay <= SOON_MS or way in ACTIVE
            url = f"{origin}faults/late{way}/{delay}"
            found.append(Case(way.removeprefix("-") or "timer", url, delay, due))
    return found


async def references(browser: Browser, urls: Sequence[str]) -> dict[str, Read]:
    """Read each page with a plain browser, ten seconds after it has come."""
    found: dict[str, Read] = {}
    places = asyncio.Semaphore(REFERENCES)
    width, height = TabParams().viewport

    async def one(url: str) -> None:
        async with places:
            context = await browser.new_context(viewport={"width": width, "height": height})
            page = await context.new_page()
            await page.goto(url, wait_until="commit")
            await asyncio.sleep(REFERENCE_S)
            seen = await page.evaluate(READ)
            found[url] = read(seen["text"], (link[0] for link in seen["links"]))
            await context.close()

    await asyncio.gather(*(one(url) for url in urls))
    return found


@asynccontextmanager
async def farm_pool(browser: Path | None) -> AsyncIterator[tuple[Pool, Gateway]]:
    """Open the farm's own pool and gateway."""
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    with tempfile.TemporaryDirectory(prefix="recall-", ignore_cleanup_errors=True) as folder:
        pool = Pool(
            PoolParams(1),
            EngineParams(find_browser(browser), sandbox=os.geteuid() != 0, images=False),
            SlotParams(
                TabParams(blocked_urls=blocked_urls(BLOCKED), images=False), RenderParams(), RecycleParams()
            ),
            Path(folder) / "engines",
            lambda _: None,
            lambda _: None,
            lambda _: None,
            SystemClock(),
        )
        try:
            yield pool, gateway
        finally:
            await pool.close()
            await gateway.close()


async def visits(
    pool: Pool, gateway: Gateway, pages: Sequence[Case], slots: int
) -> dict[str, tuple[Read, Found]]:
    """Visit every page with the farm; what is found is not yet compared."""
    waiting = list(reversed(pages))
    found: dict[str, tuple[Read, Found]] = {}

    async def work(number: int) -> None:
        name = f"{number:02d}"
        slot_proxy = await gateway.open(name)
        slot = pool.slot(name, slot_proxy.proxy_url)
        while waiting:
            case = waiting.pop()
            began = time.monotonic()
            page = await slot.render(Lease(UrlTask(case.url, site_of(case.url), "0" * 16), name, 1))
            now_ms = time.time() * 1000
            seen = read(page.text, (link.url for link in page.links), page.html)
            lag_ms = None if seen.late_ms is None else round(now_ms - seen.late_ms, 1)
            took_ms = round((time.monotonic() - began) * 1000)
            about = (lag_ms, took_ms, page.settled, page.settle_reason)
            found[case.url] = seen, Found(case.name, case.delay_ms, case.due, 0.0, 0.0, 0, 0, *about)

    await asyncio.gather(*(work(number) for number in range(slots)))
    return found


def compared(own: tuple[Read, Found], reference: Read) -> Found:
    """Return how much of the reference the farm found."""
    seen, found = own
    values = asdict(found) | {
        # A reference without a word has not loaded: it proves nothing.
        "text_recall": _share(seen.lines, reference.lines) if reference.lines else 0.0,
        "link_recall": _share(seen.links, reference.links),
        "lines": len(reference.lines),
        "links": len(reference.links),
    }
    return Found(**values)


def _share(own: frozenset[str], reference: frozenset[str]) -> float:
    return len(own & reference) / len(reference) if reference else 1.0


def table(found: Sequence[Found], delays: Sequence[int]) -> str:
    """Return the table: for each way and delay how long after the last change the page was taken."""
    late_ones = [one for one in found if one.delay_ms is not None]
    lines = [f"{'ms after the last change':26}" + "".join(f"{f'{delay} ms':>12}" for delay in delays)]
    for name in dict.fromkeys(one.name for one in late_ones):
        row = {one.delay_ms: one for one in late_ones if one.name == name}
        lines.append(f"{name:26}" + "".join(f"{_cell(row.get(delay)):>12}" for delay in delays))
    others = [one for one in found if one.delay_ms is None]
    lines += ["", f"{'page':26}{'lines':>8}{'links':>8}{'recall':>9}{'lag ms':>9}{'took ms':>9}  settled"]
    for one in others:
        lag = "-" if one.lag_ms is None else f"{one.lag_ms:.0f}"
        settled = "yes" if one.settled else f"no: {one.reason}"
        lines.append(
            f"{one.name:26}{one.lines:8,}{one.links:8,}{one.recall:9.1%}{lag:>9}{one.took_ms:9,}  {settled}"
        )
    return "\n".join(lines)


def _cell(one: Found | None) -> str:
    if one is None:
        return "."
    if one.recall < 1:
        return "MISSED" if one.due else "not due"
    return "found" if one.lag_ms is None else f"{one.lag_ms:.0f}"


def verdict(found: Sequence[Found]) -> tuple[str, bool]:
    """Return the summary, and whether it is as it should be."""
    due = [one for one in found if one.due]
    whole = [one for one in due if one.recall == 1]
    lags = [one.lag_ms for one in whole if one.lag_ms is not None]
    median = statistics.median(lags) if lags else float("nan")
    text = (
        f"{len(whole)} of {len(due)} pages whole that must be; last change to capture: median {median:.0f} ms, "
        f"worst {max(lags, default=float('nan')):.0f} ms"
    )
    return text, len(whole) == len(due) and median <= LAG_MS


async def measured(options: argparse.Namespace) -> list[Found]:
    """Visit everything, by the reference and by the farm."""
    ways = tuple("" if way == "timer" else f"-{way}" for way in options.ways) or late.WAYS
    with serve_shop_in_thread() as shop:
        runner = web.AppRunner(apps.application(), shutdown_timeout=1.0) if options.apps else None
        pages = cases(shop.url, ways, options.delays)
        if not options.ways:
            pages += [Case(name, shop.url + path, None, due=True) for name, path in ODD.items()]
        if runner is not None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            pages += [
                Case(name, f"http://127.0.0.1:{port}{path}", None, due=True)
                for name, path in apps.PATHS.items()
            ]
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=find_browser(options.browser).path, chromium_sandbox=os.geteuid() != 0
                )
                known = await references(browser, [case.url for case in pages])
                await browser.close()
            async with farm_pool(options.browser) as (pool, gateway):
                own = await visits(pool, gateway, pages, options.contexts)
        finally:
            if runner is not None:
                await runner.cleanup()
        return [compared(own[case.url], known[case.url]) for case in pages]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return 1 if content that must be found is missing or late."""
    options = _options(arguments)
    try:
        found = asyncio.run(measured(options))
    except NotInstallable as error:
        print(f"{error}; --no-apps leaves the applications out", file=sys.stderr)
        return 1
    summary, good = verdict(found)
    when = datetime.now(UTC)
    about = machine(find_browser(options.browser).path, when)
    print(f"{table(found, options.delays)}\n\n{summary}\n{machine_line(about)}")
    results = ROOT / "bench-results"
    results.mkdir(exist_ok=True)
    path = results / f"recall-{when:%Y%m%d-%H%M%S}.json"
    rows = [asdict(one) for one in found]
    path.write_text(json.dumps({"machine": about, "summary": summary, "pages": rows}, indent=1))
    print(path)
    return 0 if good else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.recall", description="What the farm finds of late content, and how soon."
    )
    known = [way.removeprefix("-") or "timer" for way in late.WAYS]
    parser.add_argument(
        "--ways", nargs="+", choices=known, default=[], metavar="WAY", help=f"of {', '.join(known)}"
    )
    parser.add_argument("--delays", nargs="+", type=int, default=list(DELAYS_MS), metavar="MS")
    parser.add_argument("--contexts", type=int, default=2, metavar="N")
    parser.add_argument("--apps", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--browser", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
