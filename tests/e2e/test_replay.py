"""A crawl's WARC files are replayed: another program's archive shows in a browser what the records say."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Error, Page, async_playwright

from farm.browser.chromium import find_browser
from fixtures.ports import free_port
from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import Finished, crawl, until
from tests.tree import ROOT

PYWB = ROOT / ".bench/pywb"
"""An environment of its own: it needs a Redis client that is older than the farm's."""
INSTALL = "python3 -m venv .bench/pywb && .bench/pywb/bin/pip install pywb"
CONFIG = """
proxy:
  coll: shop
  enable_content_rewrite: false
"""
SHOWN = "document.body.innerText.replace(/\\s+/g, '')"
LINKS = (
    "Array.from(document.links, (link) => link.href.split('#')[0]).filter((href) => href.startsWith('http'))"
)


@pytest.fixture(scope="module")
def pywb() -> Path:
    """Return the folder of pywb's programs."""
    found = shutil.which("wayback", path=f"{PYWB}/bin{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"replaying an archive needs pywb: {INSTALL}")
    return Path(found).parent


@contextmanager
def replayed(pywb: Path, warcs: Path, folder: Path) -> Iterator[str]:
    """Serve the archive as a proxy, which answers from it alone; yield the proxy's URL."""
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    files = [str(path) for path in warcs.iterdir()]
    for command in (["init", "shop"], ["add", "shop", *files]):
        subprocess.run(
            [pywb / "wb-manager", *command], cwd=folder, check=True, capture_output=True, timeout=60
        )
    port = free_port()
    command = [str(pywb / "wayback"), "--bind", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            until(lambda: _listens(server, port), f"pywb ({(folder / 'log').read_text()[-500:]})")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()


def _listens(server: subprocess.Popen[bytes], port: int) -> bool:
    assert server.poll() is None, "pywb has ended"
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def five_of(finished: Finished) -> list[dict[str, Any]]:
    """Return the records of five pages: the home page, a category, a product and two articles."""
    by_kind: dict[str, dict[str, Any]] = {}
    for record in finished.records:
        path = urlsplit(record["url"]).path
        if record["status"] == 200:
            by_kind.setdefault(path[:3] if path.startswith(("/c/", "/p/")) else path, record)
    assert by_kind.keys() >= {"/", "/c/", "/p/"}
    return [*by_kind.values()][:5]


async def shows(page: Page, text: str) -> str:
    """Return the page's text, without white space, once it is this one or after ten seconds."""
    with suppress(Error):
        await page.wait_for_function(f"(text) => {SHOWN} === text", arg=text, timeout=10_000)
    return str(await page.evaluate(SHOWN))


@pytest.mark.slow
async def test_an_archive_that_is_replayed_shows_the_shop(pywb: Path, tmp_path: Path) -> None:
    """By pywb, when the shop is gone: text and links of five pages are those of their records."""
    with serve_shop_in_thread() as shop:
        sinks = ("--sink", "warc:warcs", "--sink", "jsonl", "--warc-all", "--block", "none")
        finished = crawl(tmp_path / "out", shop.url, *sinks, depth="1").finish()
    assert finished.code == 0, finished.output
    pages = five_of(finished)
    assert len(pages) == 5
    with replayed(pywb, tmp_path / "warcs", tmp_path / "archive") as proxy:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=str(find_browser().path), chromium_sandbox=False, proxy={"server": proxy}
            )
            for record in pages:
                page = await browser.new_page()
                answer = await page.goto(record["url"])
                assert answer is not None
                assert answer.status == record["status"]
                wanted = "".join(record["text"].split())
                assert await shows(page, wanted) == wanted
                links = {link["url"] for link in record["links"]}
                assert links == {*await page.evaluate(LINKS)}
                await page.close()
            await browser.close()
