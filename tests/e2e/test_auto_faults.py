"""Faults in the middle of a crawl by `--render auto`, while pages are taken without the browser: none is lost."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fixtures.lamps import Lamps, serve_lamps
from tests.e2e.farm_process import Finished, Running, crawl, farm, log_says, until
from tests.e2e.redis_server import RedisServer
from tests.e2e.test_render_auto import assert_right, taken
from tests.processes import alive, command_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
Fault = Callable[[Running, Path, RedisServer, Lamps], None]
"""What happens to a crawl while its site answers no page, so that it is not over before."""


@pytest.fixture
def site() -> Iterator[Lamps]:
    """Serve pages that the server writes, and some that scripts do."""
    with serve_lamps(Lamps(pages=120, apps=6)) as opened:
        yield opened


def begin(out: Path, site: Lamps, redis: RedisServer) -> Running:
    """Start a node of the crawl, or start it again."""
    return crawl(out, site.url, render="auto", contexts="4", redis=redis.url, redis_patience="2m")


def kill(running: Running, out: Path, redis: RedisServer, site: Lamps) -> None:
    """Kill the farm; the next one goes on."""
    with site.held():
        running.kill()


def drain(running: Running, out: Path, redis: RedisServer, site: Lamps) -> None:
    """End it by a signal: what is under way is finished or released."""
    with site.held():
        running.signal(signal.SIGTERM)
    drained = running.finish()
    assert drained.code == 143, drained.output
    assert drained.summary["ledger"]["leased"] == 0


def outage(running: Running, out: Path, redis: RedisServer, site: Lamps) -> None:
    """Kill Redis, and start it again with its data once the farm has noticed."""
    with site.held():
        redis.kill()
    log_says(out, "leasing is paused")
    redis.start()


def lose(named: str) -> Fault:
    """Return the fault that kills the farm's processes of a kind."""

    def fault(running: Running, out: Path, redis: RedisServer, site: Lamps) -> None:
        with site.held():
            found = [one for one in running.family() if _is(one, named)]
            assert found, f"no process of {named}"
            for one in found:
                one.kill()

    return fault


def _is(process: psutil.Process, named: str) -> bool:
    line = command_of(process)
    return any(named in part for part in line) and not any(part.startswith("--type=") for part in line)


FAULTS: dict[str, Fault] = {
    "the farm is killed": kill,
    "a signal drains it": drain,
    "Redis is away": outage,
    "the browser is killed": lose("--remote-debugging-pipe"),
    "the parsers are killed": lose("parser"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_pages_are_taken_without_the_browser_costs_none(
    fault: str, site: Lamps, redis: RedisServer, out: Path
) -> None:
    """Each page once and whole; the ledger balances, and nothing is left running."""
    running = begin(out, site, redis)
    until(lambda: taken(out) > 0 or running.process.poll() is not None, "a page without the browser", 120)
    FAULTS[fault](running, out, redis, site)
    seen = running.seen
    if running.process.poll() is not None:
        running = begin(out, site, redis)
    finished: Finished = running.finish(180)
    assert_right(finished, site)
    assert taken(out) > 1
    assert farm("doctor", "--audit", "--redis", redis.url, folder=out).code == 0
    until(lambda: not alive(seen | running.seen), "the end of all processes")
