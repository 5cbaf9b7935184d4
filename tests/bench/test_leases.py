"""The benchmark of lease times: its nodes work on a real Redis, and what it tells is what they measured."""

import asyncio
import time
from pathlib import Path

import pytest

from bench.leases import LeaseLoad, Measured, figures_of, fill, percentile, run_nodes
from farm.frontier.connect import connect
from farm.frontier.crawl import find_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier

LOAD = LeaseLoad(contexts=8, nodes=2, sites=60, visit_s=0.05, seconds=0.5, processes=1)


async def test_its_nodes_lease_settle_and_leave(tmp_path: Path) -> None:
    """Nothing is lost of the crawl, and each lease of the time that counts is measured."""
    server = EmbeddedRedis(tmp_path / "redis")
    client = await connect(await server.start())
    try:
        await fill(client, LOAD)
        measured = await run_nodes(LOAD, client.url, ("node0", "node1"), time.monotonic())
        frontier = RedisFrontier(client, await find_crawl(client, "leases"))
        stats = await frontier.stats()
        assert await frontier.audit() == []
        told = await client.command("INFO", "everything")
        assert await frontier.nodes.list() == []
    finally:
        await client.close()
        await server.stop()
    assert stats.ledger.leased == 0
    assert 0 < len(measured.leases_ms) <= stats.ledger.done + LOAD.contexts
    assert len(await asyncio.to_thread(figures_of, LOAD, [measured], told, 0.1)) == 10


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 101.0)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    """Of a hundred and one."""
    assert percentile([float(n) for n in range(1, 102)], share) == value
    assert percentile([], share) == 0.0


def test_the_leases_of_all_processes_count_alike() -> None:
    """And of the event loops the one that was latest."""
    told = {"latency_percentiles_usec_fcall": {"p50": 20, "p99": 300}, "cmdstat_fcall": {"calls": 1000}}
    shares = [Measured([4.0, 2.0], 1.0), Measured([8.0], 7.0)]
    figures = figures_of(LOAD, shares, told, 0.25)
    assert figures["leases a second"] == 6.0
    assert figures["a lease at its caller, median, ms"] == 4.0
    assert figures["a lease at its caller, longest, ms"] == 8.0
    assert figures["event loop of the caller late, 99th, ms"] == 7.0
    assert figures["a call in Redis, 99th percentile, ms"] == 0.3
    assert figures["Redis's thread, % of a core"] == 25.0
