"""A farm without work: its contexts are let go after a while, and come back with the work."""

from collections import Counter
from pathlib import Path

import psutil
import pytest

from farm.resources import processes
from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import crawl, start, until


@pytest.mark.slow
def test_contexts_that_have_no_work_for_long_are_let_go(out: Path) -> None:
    """Their pages would go on by themselves: timers, polls. Work that comes finds contexts again."""
    with serve_shop_in_thread(latency_ms=300) as shop:
        running = crawl(out, shop.url, contexts="3")
        family = psutil.Process(running.process.pid)

        def renderers() -> int:
            return sum(processes.is_renderer(process.pid) for process in family.children(recursive=True))

        assert shop.requests.wait_for(lambda journal: len(journal.pages()) >= 5, 60)
        assert start("pause", "--output", str(out), folder=out).finish().code == 0
        assert renderers() > 0
        until(lambda: renderers() == 0, "the end of the last renderer", 120)
        assert start("resume", "--output", str(out), folder=out).finish().code == 0
        finished = running.finish(timeout_s=90)
        assert finished.code == 0, finished.output
        assert Counter(finished.urls) == dict.fromkeys(shop.oracle.urls, 1)
