"""scrapy-playwright.

It routes every request through Python in any case (it sets `page.route` for its headers), so blocking by
PLAYWRIGHT_ABORT_REQUEST costs it nothing more. PLAYWRIGHT_PROCESS_REQUEST_HEADERS=None spares the rewriting of
headers, and lets it keep to one route. Scrapy's throttles are off.
"""

import json
import sys
import time
from pathlib import Path

import scrapy
from scrapy.crawler import CrawlerProcess
from scrapy_playwright.page import PageMethod

JOB = json.loads(Path(sys.argv[1]).read_text())
BLOCKED_KINDS = {"image", "media", "font"}


class Shelves(scrapy.Spider):
    """Visits the job's URLs."""

    name = "shelves"

    async def start(self):
        """Ask for every URL."""
        self.out = Path(JOB["out"]).open("w", encoding="utf-8")  # noqa: ASYNC230, SIM115
        wait = PageMethod("wait_for_selector", JOB["selector"], state="attached")
        for url in JOB["urls"]:
            yield scrapy.Request(
                url,
                meta={
                    "playwright": True,
                    "playwright_page_methods": [wait],
                    "playwright_page_goto_kwargs": {"wait_until": "commit"},
                },
            )

    def parse(self, response):
        """Write the page down."""
        links = [response.urljoin(href) for href in response.css("a::attr(href)").getall()]
        line = {"url": response.url, "html": response.text, "links": links}
        line["ms"] = response.meta.get("download_latency", 0) * 1000 or None
        self.out.write(json.dumps(line) + "\n")

    def closed(self, _reason):
        """Close the file."""
        self.out.close()


def main():
    """Crawl."""
    process = CrawlerProcess(
        {
            "TWISTED_REACTOR": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
            "DOWNLOAD_HANDLERS": {
                "http": "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler",
                "https": "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler",
            },
            "PLAYWRIGHT_BROWSER_TYPE": "chromium",
            "PLAYWRIGHT_LAUNCH_OPTIONS": {
                "executable_path": JOB["browser"],
                "headless": True,
                "chromium_sandbox": JOB["sandbox"],
            },
            "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": JOB["workers"],
            "PLAYWRIGHT_PROCESS_REQUEST_HEADERS": None,
            "PLAYWRIGHT_ABORT_REQUEST": lambda request: request.resource_type in BLOCKED_KINDS,
            "CONCURRENT_REQUESTS": JOB["workers"],
            "CONCURRENT_REQUESTS_PER_DOMAIN": JOB["workers"],
            "DOWNLOAD_DELAY": 0,
            "ROBOTSTXT_OBEY": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "WARNING",
        }
    )
    process.crawl(Shelves)
    begun = time.perf_counter()
    process.start()
    print(f"took {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
