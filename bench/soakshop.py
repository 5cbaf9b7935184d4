"""The shop of the soak: the leaking demo shop, an endless index, and hostile pages among good ones.

    python -m bench.soakshop SECONDS [--hostile SHARE] [--leak-mb N] [--sites N]

It prints its sites and serves until a signal. Each site is a loopback address of its own: only a few contexts
visit a site at once until its capacity is known.

`/soak/N` links to the next index page, as long as there is time, and to forty pages that nobody has seen yet.
After that time the index ends, so that the crawl ends with every URL done or dead. `/soak-arrivals` returns the
times of the page requests.
"""

import argparse
import asyncio
import random
import signal
import time
from collections import deque
from collections.abc import Mapping
from html import escape

from aiohttp import web
from aiohttp.typedefs import Middleware

from fixtures.shop.app import create_app, page_paths
from fixtures.shop.faults import examples
from fixtures.shop.journal import Journal, Visit
from fixtures.shop.middleware import Answer
from fixtures.shop.switches import Switches

PER_PAGE = 40
REMEMBERED = 20_000
HOST = "127.0.0.{}"
HOSTILE_SITES = 3
NOT_HOSTILE = ("/faults/status/", "/faults/auth", "/faults/redirect-out", "/faults/late-never", "/faults/big")


class RecentJournal(Journal):
    """Forgets old entries: a soak may last for days."""

    def begin(self, method: str, path: str, headers: Mapping[str, str]) -> Visit:
        """Record a request."""
        visit = super().begin(method, path, headers)
        del self._visits[:-REMEMBERED]
        return visit


class Index:
    """The pages of links."""

    def __init__(self, seconds: float, hostile: float, sites: int, seed: int = 1) -> None:
        self._sites = sites
        self.port = 0
        self._ends = time.monotonic() + seconds
        self._hostile = hostile
        self._chance = random.Random(seed)  # noqa: S311 - which page is hostile is no secret
        self._good = [path for path in page_paths() if path != "/"]
        self._bad = [path for path in examples() if not path.startswith(NOT_HOSTILE)]
        self._due = 0.0
        self._bag: list[str] = []
        self.arrivals: deque[float] = deque(maxlen=REMEMBERED)

    def page(self, number: int) -> web.Response:
        """Make index page N."""
        paths = [self._path(n, f"soak={number}-{n}") for n in range(PER_PAGE)]
        if time.monotonic() < self._ends:
            # First, so that it is leased before the pages of this one run out; two, because one may die.
            paths[:0] = [f"/soak/{number + 1}", f"/soak/{number + 2}"]
        links = "".join(f'<li><a href="{escape(path)}">{escape(path)}</a></li>' for path in paths)
        return web.Response(
            text=f"<!doctype html><title>{number}</title><ul>{links}</ul>", content_type="text/html"
        )

    def _path(self, number: int, mark: str) -> str:
        # Evenly, and every kind as often as any other: by chance one third of a run had half as many loops as the
        # next, and a loop costs what a hundred pages do.
        self._due += self._hostile
        hostile = self._due >= 1
        if hostile:
            self._due -= 1
            self._bag = self._bag or self._chance.sample(self._bad, len(self._bad))
        path = self._bag.pop() if hostile else self._chance.choice(self._good)
        # Their failures must not slow down the good sites: the farm learns from those how much a site bears.
        host = HOST.format(self._sites + 1 + number % HOSTILE_SITES if hostile else number % self._sites + 1)
        return f"http://{host}:{self.port}{path}{'&' if '?' in path else '?'}{mark}"

    def middleware(self) -> Middleware:
        """Return what answers for the index, and notes when a page of the shop is requested."""

        @web.middleware
        async def answered(request: web.Request, handler: Answer) -> web.StreamResponse:
            if request.path.startswith("/soak/"):
                return self.page(int(request.path.rpartition("/")[2]))
            if request.path == "/soak-arrivals":
                return web.json_response(list(self.arrivals))
            if "soak" in request.query:
                self.arrivals.append(time.monotonic())
                return _marked(await handler(request), request)
            return await handler(request)

        return answered


def _marked(response: web.StreamResponse, request: web.Request) -> web.StreamResponse:
    """Make a good page differ from the same one under another address, or the farm would leave them all."""
    is_good = not request.path.startswith("/faults/")
    if (
        is_good
        and isinstance(response, web.Response)
        and response.content_type == "text/html"
        and response.text
    ):
        response.text = f"{response.text}<p>Seen as {escape(request.query['soak'])}</p>"
    return response


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal comes."""
    index = Index(options.seconds, options.hostile, options.sites)
    app = create_app(Switches(leak_mb=options.leak_mb), RecentJournal())
    # The shop's last route takes every path, so the index stands before all routes.
    app.middlewares.insert(0, index.middleware())
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    for number in range(options.sites + HOSTILE_SITES):
        await web.TCPSite(runner, HOST.format(number + 1), index.port).start()
        index.port = runner.addresses[0][1]
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(
        *(
            f"http://{HOST.format(number + 1)}:{index.port}"
            for number in range(options.sites + HOSTILE_SITES)
        ),
        flush=True,
    )
    await stopped.wait()
    await runner.cleanup()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.soakshop", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--hostile", type=float, default=0.05)
    parser.add_argument("--leak-mb", type=float, default=5.0)
    parser.add_argument("--sites", type=int, default=1)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
