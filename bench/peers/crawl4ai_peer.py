"""crawl4ai, in two ways: a page for every URL, and (`sessions` as the second argument) a session for every worker.

A page for every URL is what its documentation says for crawling many URLs; a session keeps its page from one URL
to the next, which it offers for steps in sequence. The first is done by calling `arun` from as many workers as
asked for, because of `arun_many` only the dispatcher that also watches memory can hand over results as they come.

`light_mode` is its set of flags for speed. Its `text_mode` would block by forty Playwright routes, which cost
more than the images: they are left out by Chromium's own switches instead (`extra_args`). The hundred
milliseconds that it waits by default before it reads a page are set to none, its cache is off, and no Markdown
is made.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from crawl4ai import AsyncWebCrawler, BrowserConfig, CacheMode, CrawlerRunConfig
from crawl4ai.markdown_generation_strategy import MarkdownGenerationStrategy
from crawl4ai.models import MarkdownGenerationResult
from playwright.async_api import Browser, BrowserType


class NoMarkdown(MarkdownGenerationStrategy):
    """Makes none: the others do not make any either."""

    def generate_markdown(self, *_args: object, **_options: object) -> MarkdownGenerationResult:
        """Return nothing."""
        return MarkdownGenerationResult(raw_markdown="", markdown_with_citations="", references_markdown="")


def use(executable: str) -> None:
    """Make it start the browser that everybody starts; it has no setting for that."""
    launch = BrowserType.launch

    async def launch_that(self: BrowserType, **options: object) -> Browser:
        return await launch(self, **{**options, "executable_path": executable})

    BrowserType.launch = launch_that


async def main(job: dict, *, sessions: bool) -> None:
    """Crawl the job's URLs."""
    use(job["browser"])
    browser = BrowserConfig(
        headless=True,
        light_mode=True,
        verbose=False,
        extra_args=["--blink-settings=imagesEnabled=false", "--disable-remote-fonts"],
    )
    run = CrawlerRunConfig(
        cache_mode=CacheMode.BYPASS,
        wait_until="commit",
        wait_for=f"css:{job['selector']}",
        delay_before_return_html=0,
        verbose=False,
        markdown_generator=NoMarkdown(),
    )
    urls = iter(job["urls"])
    with Path(job["out"]).open("w", encoding="utf-8") as out:  # noqa: ASYNC230
        async with AsyncWebCrawler(config=browser) as crawler:

            async def work(number: int) -> None:
                mine = run.clone(session_id=f"worker-{number}") if sessions else run
                for url in urls:
                    begun = time.perf_counter()
                    result = await crawler.arun(url, mine)
                    ms = (time.perf_counter() - begun) * 1000
                    links = [link["href"] for kind in result.links.values() for link in kind]
                    out.write(json.dumps({"url": url, "html": result.html, "links": links, "ms": ms}) + "\n")

            await asyncio.gather(*(work(number) for number in range(job["workers"])))


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sessions="sessions" in sys.argv[2:]))
