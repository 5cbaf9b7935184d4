"""A worker without a browser, for tests that kill it: a graph instead of pages, SQLite as its sink.

python -m tests.frontier.worker_process URL CRAWL NAME SINK PAGES
"""

import asyncio
import sqlite3
import sys
import threading
import uuid

from farm.frontier.connect import connect
from farm.frontier.crawl import find_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.errors import FrontierUnavailable
from farm.model.outcome import Ack
from farm.model.task import Idle, Lease, LeaseRequest, UrlTask
from farm.model.url import fingerprint

SITES = 97
LINKS = 6
SLOTS = 8


def url_of(number: int) -> str:
    """Return the URL of a page of the graph."""
    return f"http://site{number % SITES}/page/{number}"


def links_of(number: int, pages: int) -> list[int]:
    """Return what a page links to: a tree that reaches every page, and some links back and across."""
    children = [child for child in (3 * number + 1, 3 * number + 2, 3 * number + 3) if child < pages]
    return [*children, *((number * 7919 + k * 104729) % pages for k in range(LINKS - 3))]


def task_of(number: int, key: bytes) -> UrlTask:
    """Return a page as a task."""
    url = url_of(number)
    return UrlTask(url, url.split("/")[2], fingerprint(url, key), meta={"n": number})


class Keeper(threading.Thread):
    """Renews what the slots hold, several times within the visibility timeout."""

    def __init__(self, keeper: RedisLeaseRenewer, every_s: float) -> None:
        super().__init__(daemon=True)
        self.held: dict[str, Lease] = {}
        self.ended = threading.Event()
        self._keeper = keeper
        self._every_s = every_s

    def run(self) -> None:
        """Renew until the work is over."""
        while not self.ended.wait(self._every_s):
            try:
                self._keeper.renew(list(self.held.values()))
            except FrontierUnavailable:
                continue


async def work(url: str, crawl_name: str, name: str, sink: str, pages: int) -> None:
    """Lease, record, commit, ack; until the crawl is empty."""
    client = await connect(url, first_patience_s=60, patience_s=120)
    crawl = await find_crawl(client, crawl_name)
    frontier = RedisFrontier(client, crawl)
    records = sqlite3.connect(sink, isolation_level=None, timeout=30)
    records.execute("PRAGMA synchronous=OFF")
    records.execute("CREATE TABLE IF NOT EXISTS pages (id TEXT PRIMARY KEY, url TEXT)")
    records.execute("CREATE TABLE IF NOT EXISTS repeats (id TEXT)")
    keeper = Keeper(RedisLeaseRenewer(url, crawl), every_s=0.5)
    keeper.start()

    async def slot(place: int) -> None:
        me = f"{name}-{uuid.uuid4().hex[:8]}-{place}"
        got: Lease | Idle | None = None
        while not (isinstance(got, Idle) and got.reason == "empty"):
            if not isinstance(got, Lease):
                await asyncio.sleep(0 if got is None else got.retry_in_s)
                got = await frontier.lease(LeaseRequest(me, uuid.uuid4().hex))
                continue
            keeper.held[me] = got
            written = records.execute("INSERT OR IGNORE INTO pages VALUES (?, ?)", (got.id, got.task.url))
            if not written.rowcount:
                records.execute("INSERT INTO repeats VALUES (?)", (got.id,))
            links = [task_of(n, crawl.key) for n in links_of(got.task.meta["n"], pages)]
            following = LeaseRequest(me, uuid.uuid4().hex, site_hint=got.task.site)
            _, got = await frontier.ack(got, Ack(links=links), following)
            keeper.held.pop(me, None)

    await asyncio.gather(*(slot(place) for place in range(SLOTS)))
    keeper.ended.set()
    await client.close()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
