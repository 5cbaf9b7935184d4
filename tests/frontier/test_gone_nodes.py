"""What nodes that come and go leave behind, and what it costs the others to watch them."""

import pytest

from farm.frontier.client import RedisClient
from farm.frontier.nodes import ANY
from farm.frontier.terms import Terms
from farm.model.outcome import Ack, Settled
from tests.frontier.support import Bench

SILENCE_S = Terms().silence_s


@pytest.fixture(params=[1, 3])
async def crowd(client: RedisClient, redis_url: str, request: pytest.FixtureRequest) -> Bench:
    """Open a crawl of one shard, and one of three."""
    return await Bench.open(client, redis_url, shards=request.param)


async def _slots(bench: Bench) -> set[str]:
    found = await bench.raw("HKEYS", "@slot")
    return {slot.decode() for slot in found}


async def _visit(bench: Bench, *slots: str) -> None:
    """Have each slot visit a page, so that it holds nothing and is known."""
    await bench.add(*(f"a/{slot}" for slot in slots))
    for slot in slots:
        await bench.done(await bench.lease(slot))


@pytest.mark.parametrize("how", ["ends", "is silent", "is replaced"])
async def test_a_node_that_is_gone_leaves_no_slots(bench: Bench, how: str) -> None:
    """Those that held nothing too: each life of a node has others, and a crawl may see thousands of lives."""
    nodes = bench.frontier.nodes
    for name in ("n", "n/1", "m"):
        await nodes.register(name, "i1")
    await _visit(bench, "n/01.a", "n/02.a", "n/1/01.a", "m/01.a")
    await bench.add("a/held")
    await bench.lease("n/03.a")
    match how:
        case "ends":
            await nodes.unregister("n", "i1")
        case "is silent":
            bench.clock.advance(SILENCE_S / 2)
            await nodes.heartbeat("n/1", "i1")
            await nodes.heartbeat("m", "i1")
            bench.clock.advance(SILENCE_S / 2)
            await bench.frontier.maintain()
        case _:
            await nodes.register("n", "i2", ANY)
    assert await _slots(bench) == {"n/1/01.a", "m/01.a"}
    assert (await bench.ledger()).queued == 1


async def test_a_name_with_signs_of_a_pattern_takes_no_other_nodes_slots(bench: Bench) -> None:
    """A user may call a node so."""
    nodes = bench.frontier.nodes
    for name in ("*", "[ab]", "a", "q?"):
        await nodes.register(name, "i1")
    await _visit(bench, "*/1", "[ab]/1", "a/1", "q?/1", "qq/1")
    for name in ("*", "[ab]", "q?"):
        await nodes.unregister(name, "i1")
    assert await _slots(bench) == {"a/1", "qq/1"}


async def test_a_node_that_says_again_that_it_is_there_keeps_its_slots(bench: Bench) -> None:
    """A repetition after a lost reply: a settlement of it that is repeated is still known."""
    await bench.frontier.nodes.register("n", "i1")
    await bench.add("a/1")
    lease = await bench.lease("n/1")
    await bench.done(lease)
    await bench.frontier.nodes.register("n", "i1")
    assert (await bench.frontier.ack(lease, Ack()))[0] is Settled.DUP


async def test_watching_the_nodes_costs_the_same_however_many_leases_there_are(crowd: Bench) -> None:
    """Each node does so every few seconds: leases are not looked at, nor is more than one shard asked."""
    await crowd.frontier.nodes.register("n", "i1")
    await crowd.add(*(f"{'abc'[n % 3]}/{n}" for n in range(9)))
    for n in range(9):
        await crowd.lease(f"n/{n:02d}")
    await crowd.client.command("CONFIG RESETSTAT")
    assert [node.state for node in await crowd.frontier.seen_nodes()] == ["running"]
    told = await crowd.client.command("INFO", "commandstats")
    assert told["cmdstat_fcall"]["calls"] == 1
    # What the node has told; each lease would be a look more.
    assert told["cmdstat_hget"]["calls"] == 1
