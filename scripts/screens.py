"""`make screens`: pictures of the view and of the web page, of a real crawl by two nodes, failing and by proxies.

The shops, the proxies and the Redis are real ones on loopback. What is drawn is what `farm top` shows.
"""

import asyncio
import io
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Error, Locator, Page, async_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI

from farm.browser.chromium import find_browser
from farm.cli.top import look
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import Crawl, find_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from farm.model.clock import SystemClock
from farm.model.errors import NoSuchCrawl
from farm.monitor.browse import Browsing
from farm.monitor.snapshot import Snapshot
from farm.monitor.views import Screen
from farm.monitor.whole import WholeCrawl
from fixtures.ports import free_port
from fixtures.proxies import RealProxy
from fixtures.shop import serve_shop_in_thread

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ((1280, 1100), (390, 844))
SIZES = ((80, 24), (120, 40), (200, 60))
CRAWL = "shops"
RUNS_S = 120.0
LEAST_S = 30.0
SHARE = 0.5
AT_WORK = 10
"""Of the pages that are done, and how many contexts are at work, when the picture is taken."""
STARTS_S = 60.0
PROXIES = 5
REDRAWN_MS = 1500
"""The page is told once a second how the farm stands."""
GLANCE_MS = 15_000
KILLED_AFTER_S = 8.0
"""A proxy that dies on the way shows what a ban looks like."""
SHOPS: tuple[dict[str, Any], ...] = (
    {"host": "127.0.1.1", "latency_ms": 1200, "error_every": 4, "crash_paths": ("/about", "/c/lamps")},
    {"host": "127.0.1.2", "latency_ms": 80, "pages_per_s": 1.5, "retry_after_s": 20},
    {"host": "127.0.1.3", "latency_ms": 2500, "error_every": 9, "error_status": 502},
    {"host": "127.0.1.4", "latency_ms": 700, "api_latency_ms": 1800},
)
SHOWN = SHOPS[2]["host"]
"""A shop whose pages show themselves at once, when they have come."""
FARM = Path(sys.executable).with_name("farm")
_FONT_FACE = re.compile(r"@font-face \{[^}]*\}\s*")
FONTS = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True)
class Crawled:
    """A crawl at work: its Redis, a proxy that may be killed, and the web page of a node with its token."""

    redis: str
    dying: RealProxy
    page_url: str
    token: str


def command(node: str, urls: Sequence[str], redis: str, folder: Path, port: int) -> list[str]:
    """Return how a node is started."""
    options = {
        "redis": redis,
        "crawl": CRAWL,
        "node": node,
        "contexts": "10",
        "memory": "2GiB",
        "retries": "1",
        "proxies": str(folder / "proxies.txt"),
        "allow-network": "127.0.0.0/8",
        "output": str(folder / node),
        "metrics-port": str(port),
        "token-file": str(folder / "token"),
        "live": "off",
        "log-level": "warning",
    }
    return [
        str(FARM),
        "run",
        *urls,
        *(part for name, value in options.items() for part in (f"--{name}", value)),
        "--snapshots",
    ]


@contextmanager
def crawled(folder: Path) -> Iterator[Crawled]:
    """Let two nodes crawl the shops."""
    token = secrets.token_hex(16)
    (folder / "token").write_text(token)
    with ExitStack() as stack:
        urls = [stack.enter_context(serve_shop_in_thread(**one)).url for one in SHOPS]
        proxies = [RealProxy(f"127.0.2.{number + 1}", folder / f"proxy{number}") for number in range(PROXIES)]
        for proxy in proxies:
            proxy.spawn()
            stack.callback(proxy.kill)
        for proxy in proxies:
            proxy.wait()
        (folder / "proxies.txt").write_text("".join(f"{proxy.line}\n" for proxy in proxies))
        server = EmbeddedRedis(folder / "redis")
        redis = asyncio.run(server.start())
        stack.callback(lambda: asyncio.run(server.stop()))
        ports = {node: free_port() for node in ("alpha", "beta")}
        for node, port in ports.items():
            running = subprocess.Popen(command(node, urls, redis, folder, port))
            stack.callback(running.wait)
            stack.callback(running.terminate)
        yield Crawled(redis, proxies[-1], f"http://127.0.0.1:{ports['alpha']}/", token)


async def begun_crawl(client: RedisClient) -> Crawl:
    """Wait for the crawl to begin."""
    deadline = time.monotonic() + STARTS_S
    while time.monotonic() < deadline:
        with suppress(NoSuchCrawl):
            return await find_crawl(client, CRAWL)
        await asyncio.sleep(1)
    return await find_crawl(client, CRAWL)


async def watched(redis: str, dying: RealProxy) -> tuple[Snapshot, str]:
    """Watch the crawl for a while; return how it looks then, and where it is."""
    clock, whole = SystemClock(), WholeCrawl(time.monotonic())
    client = await connect(redis, patience_s=STARTS_S)
    try:
        crawl = await begun_crawl(client)
        frontier = RedisFrontier(client, crawl)
        begun = time.monotonic()
        while time.monotonic() - begun < RUNS_S:
            await look(frontier, whole, clock)
            snapshot = whole.snapshot(clock.monotonic())
            ledger, is_busy = snapshot.stats.ledger, snapshot.at_work >= AT_WORK
            if is_busy and ledger.done > SHARE * ledger.accepted and time.monotonic() - begun > LEAST_S:
                return snapshot, crawl.name
            if dying.pid and time.monotonic() - begun > KILLED_AFTER_S:
                dying.kill()
            await asyncio.sleep(1)
        return whole.snapshot(clock.monotonic()), crawl.name
    finally:
        await client.close()


def picture(snapshot: Snapshot, title: str, width: int, height: int) -> str:
    """Return the view as SVG, which loads nothing from elsewhere."""
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Screen(snapshot, title, Browsing()), end="")
    drawn = console.export_svg(title=f"farm top, {width}x{height}", theme=MONOKAI)
    # rich's own template loads a font from the network.
    return _FONT_FACE.sub("", drawn).replace("Fira Code, monospace", FONTS)


async def reached(page: Page, url: str) -> None:
    """Open a page once its node serves it."""
    deadline = time.monotonic() + STARTS_S
    while True:
        try:
            await page.goto(url)
        except Error:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(1)
        else:
            return


@asynccontextmanager
async def opened_page(crawl: Crawled) -> AsyncIterator[Page]:
    """Open the web page of a node, and name it the token: its curves begin then."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser().path, args=["--no-sandbox"])
        width, height = PAGES[0]
        page = await browser.new_page(viewport={"width": width, "height": height})
        await reached(page, crawl.page_url)
        await page.fill("#token", crawl.token)
        await page.click("#token-form button")
        await page.wait_for_selector("#sites tr", timeout=1000 * STARTS_S)
        yield page
        await browser.close()


async def page_pictures(page: Page) -> None:
    """Take pictures of the web page: on a desktop, its dead letters and what a context shows, and on a phone."""
    for width, height in PAGES:
        await page.set_viewport_size({"width": width, "height": height})
        # The curves are drawn anew for the width.
        await page.wait_for_timeout(REDRAWN_MS)
        await page.evaluate("scrollTo(0, 0)")
        await taken(page, f"page-{width}x{height}.png")
    width, height = PAGES[0]
    await page.set_viewport_size({"width": width, "height": height})
    visits = page.locator("section", has=page.locator("#contexts"))
    await visits.locator("tr", has_text=SHOWN).filter(has_text="settling").first.get_by_role("button").click()
    with suppress(Error):
        # Its visit may have ended just now.
        await page.wait_for_selector("#glance img", timeout=GLANCE_MS)
    await taken(visits, "page-visits.png")
    await page.wait_for_selector("#letters img", timeout=GLANCE_MS)
    await taken(page.locator("#dead-letters"), "page-dead.png")


async def taken(what: Page | Locator, name: str) -> None:
    """Take a picture of what is seen of the page, or of a part of it."""
    await what.screenshot(path=DOCS / name)
    print(DOCS / name)


async def pictures(crawl: Crawled) -> None:
    """Watch the crawl, and write all pictures while it is at work."""
    async with opened_page(crawl) as page:
        snapshot, title = await watched(crawl.redis, crawl.dying)
        for width, height in SIZES:
            path = DOCS / f"view-{width}x{height}.svg"
            path.write_text(picture(snapshot, title, width, height), encoding="utf-8")
            print(path)
        await page_pictures(page)


def main() -> None:
    """Crawl, watch, and write the pictures."""
    with tempfile.TemporaryDirectory(prefix="screens-") as folder, crawled(Path(folder)) as crawl:
        asyncio.run(pictures(crawl))


if __name__ == "__main__":
    main()
