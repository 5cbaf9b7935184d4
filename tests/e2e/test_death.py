"""Kills and signals: nothing is lost, nothing is doubled, nothing is left running."""

import json
import resource
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from fixtures.shop import Shop, serve_shop_in_thread
from tests.e2e.farm_process import Running, crawl, log_says, seen_pages, start, until
from tests.processes import alive, command_of

GONE_S = 20.0
"""Within which all of it is gone, also on a machine that others use."""


def assert_gone(running: Running) -> None:
    """Every process that the farm started is soon gone."""
    until(lambda: not alive(running.seen), lambda: f"the end of {alive(running.seen)}", GONE_S)


def test_a_crawl_that_is_killed_twice_ends_with_every_page_once(out: Path) -> None:
    """SIGKILL at a third and at two thirds: the same set, each once, a balanced ledger, no orphan."""
    with serve_shop_in_thread() as shop:
        pages = len(shop.oracle.urls)
        for part in (pages // 3, 2 * pages // 3):
            running = crawl(out, shop.url, contexts="4")
            seen_pages(shop, part)
            running.kill()
            assert len(running.seen) > 5, "browsers were running when the farm was killed"
            assert_gone(running)
        finished = crawl(out, shop.url, contexts="4").finish()
        assert finished.code == 0, finished.output
        assert Counter(finished.urls) == dict.fromkeys(shop.oracle.urls, 1)
        ledger = finished.summary["ledger"]
        assert ledger["done"] == ledger["accepted"] == pages
        assert ledger["dead"] == 0


def test_a_killed_farm_leaves_no_temporary_files(out: Path) -> None:
    """Profiles and sockets go with their owner."""
    with serve_shop_in_thread() as shop:
        temporary = out.parent / "tmp"
        temporary.mkdir()
        running = crawl_with_tmp(out, shop, temporary)
        seen_pages(shop, 4)
        running.kill()
        assert_gone(running)
        until(lambda: not list(temporary.iterdir()), f"an empty {temporary}", GONE_S)


def is_browser(process: psutil.Process) -> bool:
    """Whether it is a browser's main process; its children share its flags and add a type."""
    line = command_of(process)
    return "--remote-debugging-pipe" in line and not any(part.startswith("--type=") for part in line)


def is_redis(process: psutil.Process) -> bool:
    """Whether it is a Redis, or a Valkey in its place."""
    return any("redis-server" in part or "valkey-server" in part for part in command_of(process)[:1])


def crawl_with_tmp(out: Path, shop: Shop, temporary: Path) -> Running:
    """Start a crawl whose temporary files are in a folder of their own."""
    return start(
        *("run", shop.url, "--allow-network", "127.0.0.0/8", "--live", "off", "--contexts", "2"),
        *("--ramp-up", "0s", "--output", str(out)),
        folder=out,
        environment={"TMPDIR": str(temporary)},
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_drains(out: Path, number: signal.Signals, code: int) -> None:
    """What is under way is finished or released; the next run does the rest."""
    with serve_shop_in_thread() as shop:
        running = crawl(out, shop.url, contexts="3", depth="1")
        seen_pages(shop, 8)
        running.signal(number)
        drained = running.finish()
        assert drained.code == code, drained.output
        assert_gone(running)
        ledger = drained.summary["ledger"]
        assert ledger["leased"] == 0
        assert ledger["done"] == len(drained.records) < len(shop.oracle.within(1))
        assert drained.summary["exit_reason"] == number.name.lower()
        finished = crawl(out, shop.url, contexts="4", depth="1").finish()
        assert finished.code == 0, finished.output
        assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)


def test_a_drain_gives_back_what_does_not_end(out: Path) -> None:
    """Pages that never answer are released: no attempt is consumed, and their URLs are queued again."""
    with serve_shop_in_thread(held=True) as shop:
        running = crawl(out, shop.url, drain_timeout="10s", page_timeout="10m")
        seen_pages(shop, 1)
        running.signal(signal.SIGTERM)
        drained = running.finish()
        assert drained.code == 143
        assert "has not ended in time" not in drained.output
        assert drained.summary["ledger"]["queued"] == 1
        assert drained.summary["ledger"]["leased"] == 0
        shop.release()


def test_a_second_signal_stops_at_once(out: Path) -> None:
    """Whoever presses Ctrl-C twice does not wait, and still nothing is left running."""
    with serve_shop_in_thread(held=True) as shop:
        running = crawl(out, shop.url, drain_timeout="10m", page_timeout="10m")
        seen_pages(shop, 1)
        running.signal(signal.SIGINT)
        log_says(out, "once more stops at once")
        running.signal(signal.SIGINT)
        stopped = running.finish()
        assert stopped.code == 130
        assert "Ctrl-C: finishing the pages under way" in stopped.output
        assert "\nstopped at once (the next run visits again what was under way) after " in stopped.output
        assert stopped.summary["exit_reason"] == "sigint"
        assert_gone(running)
        shop.release()


def test_a_browser_that_is_killed_costs_no_page(out: Path) -> None:
    """The engine is replaced, and the pages it was on are visited again."""
    with serve_shop_in_thread() as shop:
        running = crawl(out, shop.url, contexts="3", engines="1", depth="1")
        seen_pages(shop, 6)
        browsers = [p for p in running.family() if is_browser(p)]
        assert len(browsers) == 1
        browsers[0].kill()
        finished = running.finish()
        assert finished.code == 0, finished.output
        assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
        assert finished.summary["recycled"]["engines"] >= 1
        assert_gone(running)


def test_a_private_redis_that_is_killed_costs_no_page(out: Path) -> None:
    """It is the farm's own: nobody else would start it again, and the run would wait for it until it gave up."""
    with serve_shop_in_thread() as shop:
        running = crawl(out, shop.url, depth="1")
        seen_pages(shop, 3)
        [server] = [one for one in running.family() if is_redis(one)]
        server.kill()
        finished = running.finish()
        assert finished.code == 0, finished.output
        assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
        assert_gone(running)


def test_a_driver_that_is_killed_costs_no_page(out: Path) -> None:
    """Playwright says that it is connected after its driver's death; the farm notices all the same."""
    with serve_shop_in_thread() as shop:
        running = crawl(out, shop.url, contexts="3", engines="1", depth="1")
        seen_pages(shop, 6)
        drivers = [p for p in running.family() if "run-driver" in command_of(p)]
        assert len(drivers) == 1
        drivers[0].kill()
        finished = running.finish()
        assert finished.code == 0, finished.output
        assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
        assert_gone(running)


def test_a_renderer_that_crashes_is_replaced_and_its_page_retried(out: Path) -> None:
    """A crash is the page's, the context's replacement takes the next one."""
    with serve_shop_in_thread(crash_first=("/about",)) as shop:
        finished = crawl(out, shop.url, contexts="4", depth="1").finish()
    assert finished.code == 0, finished.output
    assert Counter(finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
    assert finished.summary["ledger"]["dead"] == 0


def test_a_page_that_hangs_its_renderer_is_dead_and_the_slot_lives_on(out: Path) -> None:
    """`while (true)` costs the page its deadline; everything else is crawled."""
    with serve_shop_in_thread(hang_paths=("/about",)) as shop:
        finished = crawl(
            *(out, shop.at("/about"), shop.at("/c/lamps"), shop.at("/c/clocks")),
            contexts="2",
            page_timeout="3s",
            settle_timeout="1s",
            retries="0",
            scope="page",
        ).finish()
        everything = {shop.at("/c/lamps"), shop.at("/c/clocks")}
    assert finished.code == 0, finished.output
    assert set(finished.urls) >= everything
    assert set(finished.summary["dead"]) <= {"timeout", "crash"}


def test_the_lock_file_says_who_holds_a_folder(out: Path) -> None:
    """A second run on the same folder is refused, with the first one's process id."""
    with serve_shop_in_thread(held=True) as shop:
        running = crawl(out, shop.url)
        seen_pages(shop, 1)
        second = crawl(out, shop.url).finish()
        assert second.code == 2
        assert str(running.process.pid) in second.output
        assert second.output.count("\n") == 1
        shop.release()
        running.signal(signal.SIGTERM)
        running.finish()
        assert json.loads((out / "summary.json").read_text())["exit_reason"] == "sigterm"


def test_a_full_disk_under_the_private_redis_ends_the_run(shop: Shop, out: Path) -> None:
    """With what to do, instead of waiting for minutes for a server that is its own; later it goes on.

    Redis may hold a write back for two seconds while it syncs, and the crawl must not be over by then.
    """
    running = crawl(out, shop.url, depth="1", rate="2/s")
    seen_pages(shop, 3)
    server = json.loads((out / ".farm" / "redis" / "redis.json").read_text())["pid"]
    resource.prlimit(server, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    full = running.finish()
    assert full.code == 6, full.output
    last = full.output.splitlines()[-1]
    assert last.startswith("farm: The private Redis cannot write its data (File too large); free some space")
    assert f"`farm run --output {out}`" in last
    assert "Traceback" not in full.output
    assert full.summary["exit_reason"] == "frontier_unwritable"
    finished = crawl(out).finish()
    assert finished.code == 0, finished.output
    assert set(finished.urls) == shop.oracle.within(1)
    assert max(Counter(finished.urls).values()) == 1
    assert finished.summary["ledger"]["dead"] == 0
