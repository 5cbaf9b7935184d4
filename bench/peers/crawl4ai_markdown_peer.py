"""The Markdown that crawl4ai makes of pages, with its defaults: standard input has the job, as JSON.

Writes one JSON object: URL -> `markdown` (the whole page) and `main` (by its filter for main content).
"""

import asyncio
import json
import sys

from crawl4ai import AsyncWebCrawler, BrowserConfig, CacheMode, CrawlerRunConfig
from crawl4ai.content_filter_strategy import PruningContentFilter
from crawl4ai.markdown_generation_strategy import DefaultMarkdownGenerator
from playwright.async_api import Browser, BrowserType


def use(executable: str) -> None:
    """Make it start this browser; it has no setting for that."""
    launch = BrowserType.launch

    async def launch_that(self: BrowserType, **options: object) -> Browser:
        return await launch(self, **{**options, "executable_path": executable})

    BrowserType.launch = launch_that


async def main(job: dict) -> None:
    """Visit the job's URLs."""
    use(job["browser"])
    generator = DefaultMarkdownGenerator(content_filter=PruningContentFilter())
    run = CrawlerRunConfig(cache_mode=CacheMode.BYPASS, verbose=False, markdown_generator=generator)
    found = {}
    async with AsyncWebCrawler(config=BrowserConfig(headless=True, verbose=False)) as crawler:
        for url in job["urls"]:
            result = await crawler.arun(url, config=run)
            found[url] = {
                "markdown": str(result.markdown.raw_markdown or ""),
                "main": str(result.markdown.fit_markdown or ""),
            }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
