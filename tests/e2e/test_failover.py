"""The master behind Redis's address moves in the middle of a crawl."""

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import crawl, start
from tests.frontier.service import Service


class Moving:
    """A service that lives in a thread of its own, as the test waits for processes meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._service = Service(folder)
        self._do(self._service.start())
        self.url = self._service.url

    def promote(self, *, dead: bool) -> None:
        """Let the replica be the master."""
        self._do(self._service.promote(dead=dead))

    def stop(self) -> None:
        """End it all."""
        self._do(self._service.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Moving]:
    """Start a master, its replica and their address."""
    service = Moving(tmp_path / "redis")
    yield service
    service.stop()


@pytest.mark.parametrize("dead", [False, True], ids=["demoted", "silent"])
def test_a_crawl_goes_on_at_the_new_master(moving: Moving, out: Path, *, dead: bool) -> None:
    """The old one is a replica that refuses writes, or says nothing any more; no page is lost or twice there."""
    with serve_shop_in_thread() as shop:
        running = crawl(out, shop.url, redis=moving.url, depth="1", redis_patience="2m")
        assert shop.requests.wait_for(lambda journal: len(journal.pages()) >= 3, 60)
        shop.hold()
        moving.promote(dead=dead)
        shop.release()
        finished = running.finish(timeout_s=90)
        assert finished.code == 0, finished.output
        assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
    assert finished.summary["ledger"]["dead"] == 0
    audited = start("doctor", "--audit", "--redis", moving.url, folder=out).finish()
    assert "holds every invariant" in audited.output, audited.output
