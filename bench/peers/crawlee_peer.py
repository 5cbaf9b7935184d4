"""crawlee (Python), PlaywrightCrawler.

`block_requests` is its own blocking, by CDP and therefore cheap. Fingerprints are off, because they give every
browser context an injected script; the storage is in memory; the desired concurrency starts where it may end.
Pages share one context (`use_incognito_pages=False`), which is its default and the faster way.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta
from pathlib import Path

from crawlee import ConcurrencySettings
from crawlee.configuration import Configuration
from crawlee.crawlers import PlaywrightCrawler, PlaywrightCrawlingContext, PlaywrightPreNavCrawlingContext
from crawlee.storage_clients import MemoryStorageClient

LINKS = "anchors => anchors.map(anchor => anchor.href)"


async def main(job: dict) -> None:
    """Crawl the job's URLs."""
    out = Path(job["out"]).open("w", encoding="utf-8")  # noqa: ASYNC230, SIM115 - open as long as the crawl
    workers = job["workers"]
    begun: dict[str, float] = {}
    crawler = PlaywrightCrawler(
        headless=True,
        browser_type="chromium",
        browser_launch_options={
            "executable_path": job["browser"],
            "chromium_sandbox": job["sandbox"],
        },
        fingerprint_generator=None,
        use_session_pool=False,
        max_request_retries=2,
        concurrency_settings=ConcurrencySettings(
            min_concurrency=workers, max_concurrency=workers, desired_concurrency=workers
        ),
        storage_client=MemoryStorageClient(),
        configuration=Configuration(log_level="WARNING", disable_browser_sandbox=not job["sandbox"]),
        statistics_log_format="inline",
        request_handler_timeout=timedelta(seconds=60),
    )

    @crawler.pre_navigation_hook
    async def before(context: PlaywrightPreNavCrawlingContext) -> None:
        begun[context.request.url] = time.perf_counter()
        await context.block_requests(url_patterns=job["blocked"])

    @crawler.router.default_handler
    async def visit(context: PlaywrightCrawlingContext) -> None:
        await context.page.wait_for_selector(job["selector"], state="attached")
        html = await context.page.content()
        links = await context.page.eval_on_selector_all("a[href]", LINKS)
        ms = (time.perf_counter() - begun[context.request.url]) * 1000
        out.write(json.dumps({"url": context.request.url, "html": html, "links": links, "ms": ms}) + "\n")

    await crawler.run(job["urls"])
    out.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
