"""The shop of the soak: the leaking demo shop, an index without end, hostile pages among the good.

    python -m bench.soakshop SECONDS [--hostile SHARE] [--leak-mb N]      prints its address, serves until a signal

`/soak/N` links to the next index page, as long as there is time, and to forty pages that nobody has seen yet. When
the time is over the index ends and the crawl runs dry, so that a soak ends with every URL done or dead.
`/soak-arrivals` tells when pages were asked for.
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
PLAIN_PORTS = ("127.0.0.1", 0)
NOT_HOSTILE = ("/faults/status/", "/faults/auth", "/faults/redirect-out", "/faults/late-never", "/faults/big")


class RecentJournal(Journal):
    """Forgets what is long ago: a soak may last for days."""

    def begin(self, method: str, path: str, headers: Mapping[str, str]) -> Visit:
        """Note a request that arrived."""
        visit = super().begin(method, path, headers)
        del self._visits[:-REMEMBERED]
        return visit


class Index:
    """The pages of links."""

    def __init__(self, seconds: float, hostile: float, rest: float, seed: int = 1) -> None:
        self._rest = rest
        self._ends = time.monotonic() + seconds
        self._hostile = hostile
        self._chance = random.Random(seed)  # noqa: S311 - which page is hostile is no secret
        self._good = [path for path in page_paths() if path != "/"]
        self._bad = [path for path in examples() if not path.startswith(NOT_HOSTILE)]
        self.arrivals: deque[float] = deque(maxlen=REMEMBERED)

    def page(self, number: int) -> web.Response:
        """Make index page N."""
        paths = [self._path(f"soak={number}-{n}") for n in range(PER_PAGE)]
        if time.monotonic() < self._ends:
            # First, so that it is leased before the pages of this one run out; two, because one may die.
            paths[:0] = [f"/soak/{number + 1}", f"/soak/{number + 2}"]
        elif self._rest:
            paths.append("/soak-rest")
        links = "".join(f'<li><a href="{escape(path)}">{escape(path)}</a></li>' for path in paths)
        return web.Response(
            text=f"<!doctype html><title>{number}</title><ul>{links}</ul>", content_type="text/html"
        )

    def _path(self, mark: str) -> str:
        hostile = self._chance.random() < self._hostile
        path = self._chance.choice(self._bad if hostile else self._good)
        return f"{path}{'&' if '?' in path else '?'}{mark}"

    def middleware(self) -> Middleware:
        """Return what answers for the index, and notes when a page of the shop is asked for."""

        @web.middleware
        async def answered(request: web.Request, handler: Answer) -> web.StreamResponse:
            if request.path.startswith("/soak/"):
                return self.page(int(request.path.rpartition("/")[2]))
            if request.path == "/soak-rest":
                # The only page that is left: all other contexts have nothing to do meanwhile.
                await asyncio.sleep(self._rest)
                return web.Response(text="<!doctype html><title>Rested</title>", content_type="text/html")
            if request.path == "/soak-arrivals":
                return web.json_response(list(self.arrivals))
            if "soak" in request.query:
                self.arrivals.append(time.monotonic())
            return await handler(request)

        return answered


async def serve(seconds: float, hostile: float, rest: float, leak_mb: float) -> None:
    """Serve until a signal comes."""
    index = Index(seconds, hostile, rest)
    app = create_app(Switches(leak_mb=leak_mb), RecentJournal())
    # The shop's last route takes every path, so the index stands before all routes.
    app.middlewares.insert(0, index.middleware())
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, *PLAIN_PORTS).start()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await stopped.wait()
    await runner.cleanup()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.soakshop", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--hostile", type=float, default=0.05)
    parser.add_argument("--leak-mb", type=float, default=5.0)
    parser.add_argument("--rest", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(serve(options.seconds, options.hostile, options.rest, options.leak_mb))


if __name__ == "__main__":
    main()
