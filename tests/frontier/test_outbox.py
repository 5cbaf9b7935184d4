"""Links between shards when the master of one is replaced by a replica that lacks what was delivered to it."""

from collections.abc import Mapping
from typing import Any

import pytest

from farm.frontier import keys
from farm.frontier.client import Arg, RedisClient
from farm.frontier.outbox import deliver
from farm.frontier.shards import Shards
from farm.model.outcome import Ack
from tests.frontier.support import Bench


class _LateReplicas(Shards):
    """Shards whose replicas never follow."""

    async def run_replicated(self, shard: int, name: str, *args: Arg, within_ms: int) -> tuple[Any, bool]:
        """Run a transition that would not outlive the shard's master."""
        reply, _ = await super().run_replicated(shard, name, *args, within_ms=within_ms)
        return reply, False


@pytest.fixture
async def sharded(client: RedisClient, redis_url: str) -> Bench:
    """Open a crawl of two shards, and settle a page of the first with links to the second."""
    bench = await Bench.open(client, redis_url, shards=2)
    await bench.frontier.add([bench.task(f"{_site(bench, 0)}/0")])
    links = [bench.task(f"{_site(bench, 1)}/{n}") for n in range(300)]
    await bench.frontier.ack(await bench.lease(), Ack(links=links))
    return bench


def _site(bench: Bench, shard: int) -> str:
    return next(site for n in range(99) if bench.frontier.shards.of(site := f"site{n}") == shard)


async def _kept(bench: Bench) -> Mapping[bytes, bytes]:
    """Take what a replica of the second shard has."""
    found = await bench.client.keys(f"{keys.prefix(bench.crawl, 1)}*")
    return {key: await bench.client.command("DUMP", key) for key in found}


async def _replace(bench: Bench, kept: Mapping[bytes, bytes]) -> None:
    """Make the second shard what the replica had."""
    await bench.client.command("UNLINK", *await bench.client.keys(f"{keys.prefix(bench.crawl, 1)}*"))
    for key, value in kept.items():
        await bench.client.command("RESTORE", key, 0, value)


async def test_what_a_new_master_lacks_is_delivered_again(sharded: Bench) -> None:
    """As long as the old one's replicas had not followed; each link counts once."""
    kept = await _kept(sharded)
    late = _LateReplicas(sharded.client, sharded.crawl, sharded.clock.read)
    assert await deliver(late, 0) == 300
    assert (await sharded.ledger()).accepted == 301
    await _replace(sharded, kept)
    assert await sharded.frontier.audit() == ["300 links that shard 0 has delivered to shard 1 are not there"]
    assert await sharded.frontier.maintain() == 300
    assert (await sharded.ledger()).accepted == 301


async def test_what_is_delivered_is_kept_until_the_replicas_have_it(sharded: Bench) -> None:
    """Nothing waits for them: the crawl can end meanwhile. Then it is struck out."""
    late = _LateReplicas(sharded.client, sharded.crawl, sharded.clock.read)
    await deliver(late, 0)
    assert [counters["outbox"] for counters in await sharded.frontier.shards.counters()] == [0, 0]
    assert await sharded.raw("LLEN", "@outbox:1") == 300
    await deliver(late, 0)
    assert await sharded.raw("LLEN", "@outbox:1") == 300
    await sharded.frontier.maintain()
    assert await sharded.raw("LLEN", "@outbox:1") == 0
    assert (await sharded.ledger()).accepted == 301


async def test_no_more_is_kept_than_there_is_room_for(sharded: Bench) -> None:
    """The oldest go first."""
    late = _LateReplicas(sharded.client, sharded.crawl, sharded.clock.read)
    await deliver(late, 0)
    await sharded.raw("RPUSH", "@outbox:1", *(f"{n:032}" for n in range(19_900)))
    await sharded.frontier.shards.run(0, "outbox", 1, "delivered", 300, 19_900, 0)
    assert await sharded.raw("LLEN", "@outbox:1") == 20_000
    assert await sharded.raw("HMGET", "@struck", "1") == [b"200"]


async def test_a_long_outbox_holds_up_nothing_else_that_is_due(sharded: Bench) -> None:
    """Of each so many items are delivered at once; the rest comes with the next call."""
    await sharded.raw("RPUSH", "@outbox:1", *(f"{n:032}" for n in range(10_000)))
    assert await deliver(sharded.frontier.shards, 0) == 10_000
    assert await deliver(sharded.frontier.shards, 0) == 300


async def test_what_is_lost_for_good_is_said_by_the_audit(sharded: Bench) -> None:
    """Also when more was delivered since."""
    kept = await _kept(sharded)
    await sharded.frontier.maintain()
    await _replace(sharded, kept)
    assert await sharded.frontier.audit() == ["300 links that shard 0 has delivered to shard 1 are not there"]
    await sharded.frontier.add([sharded.task(f"{_site(sharded, 0)}/1")])
    link = sharded.task(f"{_site(sharded, 1)}/late")
    await sharded.frontier.ack(await sharded.lease(), Ack(links=[link]))
    await sharded.frontier.maintain()
    said = "300 links from shard 0 may be lost: the master of shard 1 was replaced by one that lacked them"
    assert await sharded.frontier.audit() == [said]
