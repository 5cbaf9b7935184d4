"""A user of Redis who lacks one right that the functions use: whichever it is, the sentence says so."""

import re
from collections.abc import AsyncIterator
from itertools import count

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import Dedup, delete_crawl, open_crawl
from farm.frontier.faults import RIGHTS
from farm.frontier.frontier import RedisFrontier
from farm.frontier.nodes import ANY
from farm.frontier.retention import expire_crawl, keep_crawl
from farm.frontier.scripts import LIBRARY
from farm.frontier.terms import Politeness, SiteTerms, Terms
from farm.model.egress import Ban
from farm.model.errors import FrontierUnavailable
from farm.model.outcome import Ack, Bury, FailedVisit, FailureKind, Release, Retry
from farm.model.task import Lease, LeaseRequest, UrlTask
from farm.model.url import fingerprint
from farm.policy.aimd import Pace
from tests.frontier.support import OwnTime

SELDOM = {"HEXISTS", "HKEYS", "SMEMBERS", "SREM", "TIME", "ZCOUNT"}
"""Called where much has come together, or no time is given: not by what the test does."""
USED = sorted(set(re.findall(r"call\('([A-Z]+)'", LIBRARY.text)) - SELDOM)
"""What the functions call, but for the filter of the server's own, which not every server has."""


@pytest.fixture
async def bob(client: RedisClient, redis_url: str) -> AsyncIterator[str]:
    """Name a user whose rights the test takes away."""
    await client.command("ACL SETUSER", "bob", "on", ">pw", "~*", "&*", "+@all")
    yield f"unix://bob:pw@{redis_url.removeprefix('unix://')}"
    await client.command("ACL DELUSER", "bob")


async def _use_everything(client: RedisClient, *ways: Dedup) -> None:
    """Call every transition, with what each needs to find."""
    for dedup in ways:
        await _use(client, dedup)
        await delete_crawl(client, "rights")


async def _use(client: RedisClient, dedup: Dedup) -> None:
    clock, numbers = OwnTime(1_000_000), count()
    crawl = await open_crawl(
        client,
        "rights",
        {},
        terms=Terms(lives=1, site_queued=3),
        politeness=Politeness(egress_in_flight=100, egress_interval_s=0.001, pair_in_flight=10),
        shards=2,
        dedup=dedup,
        own_time_ms=clock.read(),
    )
    frontier = RedisFrontier(client, crawl, own_time_ms=clock.read)

    def task() -> UrlTask:
        url = f"http://s{next(numbers)}.example/"
        return UrlTask(url, url.split("/")[2], fingerprint(url, crawl.key))

    async def lease() -> Lease:
        clock.advance(60)
        await frontier.add([task()])
        answer = await frontier.lease(LeaseRequest("n/1", f"r{next(numbers)}", egress="out"))
        assert isinstance(answer, Lease)
        return answer

    settled = await lease()
    await frontier.ack(settled, Ack(tuple(task() for _ in range(1200)), (task().fingerprint,)))
    for settlement in (Retry(FailureKind.TLS, 0.0, ""), Bury(FailureKind.TLS, ""), Release("")):
        await frontier.nack(await lease(), settlement, FailedVisit("tls"))
    await expire_crawl(client, "rights", 600.0)
    await keep_crawl(client, "rights")
    await frontier.may_begin("a.example", "out")
    await frontier.paces.keep_apart("a.example", 1.0)
    await frontier.paces.write("a.example", await frontier.paces.read("a.example"), Pace(2))
    await frontier.block("a.example", 1.0)
    await frontier.set_state("running")
    await frontier.proxy_bytes.add("one", 1, 2)
    await frontier.bans.exchange([Ban("http://a:1", None, 60.0, 1)])
    await frontier.paces.limit_sites({"*.example": SiteTerms(0.001, 9, 9)})
    await lease()
    clock.advance(600)
    await frontier.maintain()
    letters = frontier.dead
    await letters.page()
    await letters.replay()
    await frontier.stats()
    await frontier.audit()
    nodes = frontier.nodes
    for incarnation in ("i1", "i2", "i3"):
        await nodes.register("n", incarnation, ANY)
        await lease()
    await nodes.heartbeat("n", "i3")
    await nodes.drain("n")
    await nodes.resume("n")
    await nodes.resume()
    await frontier.eligible()
    await nodes.unregister("n", "i3")
    await nodes.history()
    await nodes.register("n", "i4")
    crowd = [f"http://crowd.example/{number}" for number in range(5)]
    await frontier.add([UrlTask(url, "crowd.example", fingerprint(url, crawl.key)) for url in crowd])
    await open_crawl(client, "rights", {}, shards=2, dedup=dedup, fresh=True)


@pytest.mark.parametrize("command", USED)
async def test_a_right_that_a_function_lacks_is_told(client: RedisClient, bob: str, command: str) -> None:
    """By one true sentence that names the remedy and nothing of the script."""
    await client.command("ACL SETUSER", "bob", f"-{command.lower()}")
    restricted = await connect(bob, patience_s=60)
    try:
        with pytest.raises(FrontierUnavailable) as caught:
            await _use_everything(restricted, Dedup.EXACT, Dedup.BLOOM)
        assert "refuses its user commands that the farm needs" in str(caught.value)
        assert "ACL SETUSER" in str(caught.value)
        assert "user_function" not in str(caught.value)
    finally:
        await delete_crawl(client, "rights")
        await restricted.close()


@pytest.mark.parametrize("dedup", Dedup)
async def test_the_rights_that_are_named_are_enough(client: RedisClient, bob: str, dedup: Dedup) -> None:
    """To the crawl's own keys alone."""
    await client.command("ACL SETUSER", "bob", "reset", "on", ">pw", "~{rights:*", *RIGHTS.split())
    restricted = await connect(bob, patience_s=60)
    await _use(restricted, dedup)
    await restricted.close()
    await delete_crawl(client, "rights")
