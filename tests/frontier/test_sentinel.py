"""Sentinels: the farm finds the master by them, and follows it when they make another server the master."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from farm.frontier.connect import connect
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.lease_renewer import RedisLeaseRenewer
from farm.model.crawl import Ledger
from farm.model.errors import FrontierUnavailable
from farm.model.task import Lease, LeaseRequest
from tests.frontier.graph_crawl import GraphCrawl
from tests.frontier.sentinels import SentinelService
from tests.frontier.worker_process import task_of


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelService]:
    """Start a service."""
    service = SentinelService(tmp_path_factory.mktemp("sentinel"))
    asyncio.run(service.ready())
    yield service
    service.end()


async def _crawl(service: SentinelService, pages: int) -> GraphCrawl:
    client = await connect(service.url, patience_s=60)
    try:
        frontier = RedisFrontier(client, await open_crawl(client, "test", {"scope": "any"}, fresh=True))
        crawl = GraphCrawl(frontier, pages)

        async def kill() -> None:
            await crawl.reached(pages // 4)
            await service.fail_over()

        await crawl.run(20, [kill])
        assert await frontier.audit() == []
        assert (await frontier.stats()).ledger == Ledger(accepted=pages, done=pages)
        return crawl
    finally:
        await client.close()


def test_a_crawl_follows_the_master(service: SentinelService) -> None:
    """Its death is an outage and no more, by the loop that the farm runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        crawl = runner.run(_crawl(service, 300))
    assert not crawl.missing()


async def test_the_thread_that_renews_follows_it_too(service: SentinelService) -> None:
    """It has a connection of its own, in the database that the URL names."""
    await service.ready()
    client = await connect(service.url, patience_s=60)
    frontier = RedisFrontier(client, await open_crawl(client, "renew", {"scope": "any"}, fresh=True))
    await frontier.add([task_of(1, frontier._crawl.key)])
    lease = await frontier.lease(LeaseRequest("n/1", "r"))
    assert isinstance(lease, Lease)
    renewer = RedisLeaseRenewer(service.url, frontier._crawl)
    assert await asyncio.to_thread(renewer.renew, [lease]) == [True]
    renewer.close()
    await client.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("/mymaster", "/other"), "knows no 'other'"),
        (("password=watch", "password=wrong"), "invalid username-password"),
        ((":pw@", ":wrong@"), "refuses the login"),
    ],
)
async def test_what_sentinels_do_not_say_is_told(
    service: SentinelService, change: tuple[str, str], said: str
) -> None:
    """In one sentence, and at once where a password is wrong."""
    with pytest.raises(FrontierUnavailable, match=said):
        await connect(service.url.replace(*change), first_patience_s=0.1)
