"""The master behind Redis's address moves in the middle of a crawl."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from fixtures.lamps import Lamps, serve_lamps
from tests.e2e.farm_process import Finished, crawl, start, until
from tests.e2e.test_render_auto import assert_right, taken
from tests.frontier.sentinels import SentinelService
from tests.frontier.service import Service

pytestmark = pytest.mark.timeout(300)


class Moving(Protocol):
    """A master with a replica, and the address of whichever is the master."""

    url: str

    def move(self) -> None:
        """Let the replica be the master."""

    def end(self) -> None:
        """End it all."""


class BehindOneAddress:
    """A service whose address stays, in a thread of its own: the test waits for processes meanwhile."""

    def __init__(self, folder: Path, *, dead: bool) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._service = Service(folder)
        self._dead = dead
        self._do(self._service.start())
        self.url = self._service.url

    def move(self) -> None:
        """Let the replica be the master; the old one is a replica, or says nothing any more."""
        self._do(self._service.promote(dead=self._dead))

    def end(self) -> None:
        """End both, and the thread."""
        self._do(self._service.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


class UnderSentinels:
    """A service whose master is killed, and found by its Sentinels."""

    def __init__(self, folder: Path) -> None:
        self._service = SentinelService(folder)
        self.url = self._service.url
        asyncio.run(self._service.ready())

    def move(self) -> None:
        """Kill the master, and wait until its replica has its place."""
        asyncio.run(self._service.fail_over())

    def end(self) -> None:
        """Kill all of them."""
        self._service.end()


SLOW = pytest.mark.slow
MOVES: dict[str, Callable[[Path], Moving]] = {
    "demoted": partial(BehindOneAddress, dead=False),
    "silent": partial(BehindOneAddress, dead=True),
    "killed": UnderSentinels,
}


@pytest.fixture(params=["demoted", "silent", pytest.param("killed", marks=SLOW)])
def moving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Moving]:
    """Start a master, its replica and their address."""
    service = MOVES[request.param](tmp_path / "redis")
    yield service
    service.end()


@pytest.mark.parametrize(
    ("render", "renderer", "pages"),
    [("browser", "browser", 18), pytest.param("auto", "fetch", 120, marks=SLOW)],
    ids=["browser", "auto"],
)
def test_a_crawl_goes_on_at_the_new_master(
    moving: Moving, out: Path, render: str, renderer: str, pages: int
) -> None:
    """Whatever the old one does then no page is lost or there twice, also while plain HTTP takes pages."""
    with serve_lamps(Lamps(pages, apps=4)) as site:
        running = crawl(out, site.url, render=render, redis=moving.url, redis_patience="2m")
        until(lambda: taken(out, renderer) > 0 or running.process.poll() is not None, "a page", 120)
        with site.held():
            moving.move()
            assert len(Finished(0, "", out).records) < len(site.urls), "it was over before"
        finished = running.finish(180)
        assert_right(finished, site)
    assert finished.summary["ledger"]["dead"] == 0
    audited = start("doctor", "--audit", "--redis", moving.url, folder=out).finish()
    assert "holds every invariant" in audited.output, audited.output
