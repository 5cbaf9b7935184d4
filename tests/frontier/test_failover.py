"""A Cluster of three masters with a replica each: masters die, and their replicas take over."""

import asyncio
import logging
import signal
from collections.abc import Iterator

import pytest
import uvloop

from farm.frontier import keys
from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.model.crawl import Ledger
from fixtures.ports import free_ports
from tests.frontier.graph_crawl import GraphCrawl
from tests.frontier.nodes import MASTERS, Nodes
from tests.frontier.support import eventually_async

log = logging.getLogger(__name__)
TIMEOUT_MS = 1000
"""After how long the others take a silent node for dead."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Start three masters and a replica of each."""
    nodes = Nodes(tmp_path_factory.mktemp("pairs"), free_ports(2 * MASTERS), TIMEOUT_MS)
    for place in range(2 * MASTERS):
        nodes.start(place)
    asyncio.run(nodes.form())
    yield nodes
    nodes.end()


async def _fail_over(nodes: Nodes, key: str) -> None:
    """Kill a key's master, wait for the replica to take its place, and bring the killed one back as a replica."""
    place = nodes.master_of(key)
    nodes.processes[place].send_signal(signal.SIGKILL)
    nodes.processes[place].wait()
    await _taken_over(nodes, key, place)


async def _fail_over_to_a_laggard(nodes: Nodes, key: str) -> None:
    """Do the same with a replica that was stopped: it takes the place without what its master took since."""
    place = nodes.master_of(key)
    replica = (place + MASTERS) % (2 * MASTERS)
    nodes.processes[place].send_signal(signal.SIGKILL)
    nodes.processes[place].wait()
    nodes.processes[replica].send_signal(signal.SIGCONT)
    await _taken_over(nodes, key, place)


async def _taken_over(nodes: Nodes, key: str, killed: int) -> None:
    async def replaced() -> bool:
        return nodes.master_of(key) != killed

    await eventually_async(replaced)
    nodes.start(killed)
    await nodes.joined()
    await nodes.replicated()


async def _crawl(nodes: Nodes, pages: int, slots: int, deaths: int, *, lags: bool = False) -> GraphCrawl:
    client = await connect(nodes.url, patience_s=60)
    try:
        frontier = RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))
        crawl = GraphCrawl(frontier, pages)

        async def kill() -> None:
            for death in range(deaths):
                key = keys.ctl(frontier._crawl, death % frontier.shards.count)
                await crawl.reached(1 + pages * 2 * death // (4 * deaths))
                if lags:
                    replica = (nodes.master_of(key) + MASTERS) % (2 * MASTERS)
                    nodes.processes[replica].send_signal(signal.SIGSTOP)
                    # Without this it would find in its socket what its master has sent.
                    nodes.at(nodes.master_of(key)).execute_command("CLIENT", "KILL", "TYPE", "replica")
                    await crawl.reached(pages * (2 * death + 1) // (4 * deaths))
                    await _fail_over_to_a_laggard(nodes, key)
                else:
                    await _fail_over(nodes, key)

        await crawl.run(slots, [kill])
        assert await frontier.audit() == []
        ledger = (await frontier.stats()).ledger
        assert ledger == Ledger(accepted=pages, done=pages)
        return crawl
    finally:
        await client.close()


def test_a_master_whose_replica_lags_takes_no_links_along(pairs: Nodes) -> None:
    """What other shards had delivered to it is delivered again; what it had settled itself is visited again."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        crawl = runner.run(_crawl(pairs, 400, 8, 1, lags=True))
    assert not crawl.missing()


def test_a_crawl_survives_the_death_of_a_master(pairs: Nodes) -> None:
    """By the loop that the farm runs on: no caller meets a connection that another has closed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        crawl = runner.run(_crawl(pairs, 400, 40, 1))
    assert not crawl.missing()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("lags", [False, True])
def test_a_crawl_survives_ten_deaths_of_masters(pairs: Nodes, *, lags: bool) -> None:
    """Nothing is lost; repeats are no more than what was under way or not yet replicated."""
    pages = 3000
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        crawl = runner.run(_crawl(pairs, pages, 20, 10, lags=lags))
    assert not crawl.missing()
    repeats = crawl.visits.total() - pages
    log.warning("10 deaths, replicas lag: %s: %d pages, %d visited again", lags, pages, repeats)
    assert repeats <= (pages if lags else 10 * 20)
