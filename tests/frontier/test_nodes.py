"""The nodes: who has a name, who is alive, what becomes of a dead one, and what each measures."""

import asyncio

import orjson
import pytest

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.nodes import ANY, MOST_REPORTS, NodeRegistry, RedisFlowStore, by_site
from farm.frontier.terms import Terms
from farm.model.crawl import Identity, NodeState
from farm.model.errors import UsageError
from farm.model.outcome import Ack, Settled
from farm.policy.capacity import Flow
from tests.frontier.support import Bench

SILENCE_S = Terms().silence_s


@pytest.fixture(params=[1, 3])
async def crowd(client: RedisClient, redis_url: str, request: pytest.FixtureRequest) -> Bench:
    """Open a crawl of one shard, and one of three."""
    return await Bench.open(client, redis_url, shards=request.param)


def registry(bench: Bench) -> NodeRegistry:
    """Return the registry of a crawl."""
    return bench.frontier.nodes


async def lease_all(bench: Bench, node: str, number: int) -> list[str]:
    """Lease to so many slots of a node and return their ids."""
    return [(await bench.lease(f"{node}/{n:02d}")).id for n in range(number)]


async def test_a_name_belongs_to_one_live_node(crowd: Bench) -> None:
    """The second is told how long ago the first was heard of."""
    nodes = registry(crowd)
    assert (await nodes.register("n", "i1")).granted
    crowd.clock.advance(4)
    refused = await nodes.register("n", "i2")
    assert (refused.granted, refused.silent_s) == (False, 4.0)
    assert await nodes.heartbeat("n", "i2") is NodeState.REPLACED
    assert (await nodes.register("n", "i1")).granted, "a repetition after a lost reply"
    assert (await nodes.register("m", "i2")).granted


async def test_a_silent_nodes_name_is_free(crowd: Bench) -> None:
    """After the silence that the crawl's terms allow, and not before."""
    nodes = registry(crowd)
    await nodes.register("n", "i1")
    crowd.clock.advance(SILENCE_S - 0.001)
    assert await nodes.is_alive("n")
    assert not (await nodes.register("n", "i2")).granted
    crowd.clock.advance(0.001)
    assert not await nodes.is_alive("n")
    assert (await nodes.register("n", "i2")).granted
    assert await nodes.heartbeat("n", "i1") is NodeState.REPLACED


@pytest.mark.parametrize("predecessor", ["i1", ANY])
async def test_a_restarted_node_recovers_its_own_leases_at_once(crowd: Bench, predecessor: str) -> None:
    """In the transaction that gives it the name; other nodes' leases stay, and a zombie settles nothing."""
    nodes = registry(crowd)
    await nodes.register("n", "i1")
    await nodes.register("n/1", "i2")
    await crowd.add(*(f"{'abc'[n % 3]}/{n}" for n in range(9)))
    zombie = await crowd.lease("n/99")
    await lease_all(crowd, "n", 4)
    others = await lease_all(crowd, "n/1", 3)
    registration = await nodes.register("n", "i3", predecessor)
    assert (registration.granted, registration.returned) == (True, 5)
    assert (await crowd.frontier.ack(zombie, Ack()))[0] is Settled.STALE
    assert await nodes.heartbeat("n", "i1") is NodeState.REPLACED
    ledger = await crowd.ledger()
    assert (ledger.leased, ledger.queued) == (len(others), 6)


async def test_a_dead_nodes_leases_come_back_before_their_deadlines(crowd: Bench) -> None:
    """Whoever maintains the crawl gives them back; those of a node that is heard of are kept."""
    nodes = registry(crowd)
    await nodes.register("dead", "i1")
    await nodes.register("alive", "i2")
    await crowd.add(*(f"{'abc'[n % 3]}/{n}" for n in range(12)))
    zombie = await crowd.lease("dead/99")
    await lease_all(crowd, "dead", 4)
    await lease_all(crowd, "alive", 3)
    crowd.clock.advance(SILENCE_S / 2)
    await nodes.heartbeat("alive", "i2")
    crowd.clock.advance(SILENCE_S / 2)
    assert Terms().visibility_s > SILENCE_S
    await crowd.frontier.maintain()
    ledger = await crowd.ledger()
    assert (ledger.leased, ledger.queued) == (3, 9)
    assert [node.name for node in await nodes.list()] == ["alive"]
    assert (await crowd.frontier.ack(zombie, Ack()))[0] is Settled.STALE


async def test_a_node_that_was_taken_for_dead_returns(crowd: Bench) -> None:
    """It was asleep: it is told so once, and is alive again."""
    nodes = registry(crowd)
    await nodes.register("n", "i1")
    crowd.clock.advance(SILENCE_S)
    await crowd.frontier.maintain()
    assert await nodes.list() == []
    assert await nodes.heartbeat("n", "i1") is NodeState.RETURNED
    assert await nodes.heartbeat("n", "i1") is NodeState.ALIVE
    assert await nodes.is_alive("n")


async def test_a_node_that_ends_gives_back_what_it_holds(crowd: Bench) -> None:
    """And only the incarnation that has the name does."""
    nodes = registry(crowd)
    await nodes.register("n", "i1", facts={"version": "1"})
    assert [(node.name, node.facts) for node in await nodes.list()] == [("n", {"version": "1"})]
    await crowd.add("a/1", "b/1", "c/1")
    await lease_all(crowd, "n", 3)
    assert await nodes.unregister("n", "i0") == 0
    assert await nodes.unregister("n", "i1") == 3
    assert await nodes.list() == []
    ledger = await crowd.ledger()
    assert (ledger.leased, ledger.queued) == (0, 3)
    assert (await crowd.frontier.stats()).expired == 0


async def test_maintenance_gives_back_no_more_than_it_is_told(bench: Bench) -> None:
    """So no call is long, however many slots the dead node had."""
    nodes = registry(bench)
    await nodes.register("n", "i1")
    await bench.add(*(f"a/{n}" for n in range(7)))
    await lease_all(bench, "n", 7)
    bench.clock.advance(SILENCE_S)
    assert [await bench.frontier.maintain(3) for _ in range(4)] == [3, 3, 1, 0]
    assert await nodes.list() == []


async def test_an_outage_kills_no_node(bench: Bench) -> None:
    """The clock moves by a step at most from one call to the next, and a step is shorter than the silence."""
    assert Terms().clock_step_s < SILENCE_S
    nodes = NodeRegistry(type(bench.frontier)(bench.client, bench.crawl).shards)
    await nodes.register("n", "i1")
    stored = await bench.raw("GETRANGE", "@ctl", 0, 7)
    await bench.raw("SETRANGE", "@ctl", 0, b"\0" * len(stored))
    assert await nodes.is_alive("n")


async def test_the_keeper_of_leases_says_that_the_node_is_alive(crowd: Bench) -> None:
    """From a thread of its own, in every shard."""
    nodes, me = registry(crowd), Identity("n", "i1")
    await nodes.register(me.name, me.incarnation)
    crowd.clock.advance(SILENCE_S / 2)
    keeper = crowd.keeper()
    assert await asyncio.to_thread(keeper.heartbeat, me) is NodeState.ALIVE
    crowd.clock.advance(SILENCE_S / 2)
    await crowd.frontier.maintain()
    assert await nodes.is_alive("n")
    await nodes.register("n", "i2", "i1")
    assert await asyncio.to_thread(keeper.heartbeat, me) is NodeState.REPLACED
    await asyncio.to_thread(keeper.close)


async def test_nodes_that_are_gone_are_listed_with_what_they_were(crowd: Bench) -> None:
    """Who ended is told from who was lost; who comes back under a name is gone no more."""
    nodes = registry(crowd)
    await nodes.register("ends", "i1", facts={"version": "1"})
    await nodes.register("dies", "i2", facts={"version": "2"})
    await nodes.unregister("ends", "i1")
    crowd.clock.advance(SILENCE_S)
    assert {node.name: node.state for node in await nodes.history()} == {"dies": "lost", "ends": "ended"}
    await crowd.frontier.maintain()
    gone = {node.name: (node.state, node.facts["version"]) for node in await nodes.history()}
    assert gone == {"ends": ("ended", "1"), "dies": ("lost", "2")}
    assert [node.silent_s for node in await nodes.history() if node.name == "ends"] == [SILENCE_S]
    assert await nodes.heartbeat("dies", "i2") is NodeState.RETURNED
    await nodes.register("ends", "i3")
    back = {node.name: (node.state, node.facts.get("version")) for node in await nodes.history()}
    assert back == {"dies": ("running", "2"), "ends": ("running", None)}


async def test_of_the_nodes_that_are_gone_only_the_last_ones_are_kept(bench: Bench) -> None:
    """However many come and go."""
    nodes = registry(bench)
    for n in range(205):
        await nodes.register(f"n{n}", "i1")
        bench.clock.advance(0.001)
        await nodes.unregister(f"n{n}", "i1")
    names = [node.name for node in await nodes.history()]
    assert names == [f"n{n}" for n in range(5, 205)]


async def test_what_a_node_has_leased_is_counted_over_all_shards(crowd: Bench) -> None:
    """By its slots; a lease that is settled counts no more."""
    nodes = registry(crowd)
    await nodes.register("n", "i1")
    await nodes.register("n/1", "i2")
    await crowd.add(*(f"{'abc'[n % 3]}/{n}" for n in range(9)))
    lease = await crowd.lease("n/99")
    await lease_all(crowd, "n", 3)
    await lease_all(crowd, "n/1", 2)
    await crowd.frontier.ack(lease, Ack())
    assert {node.name: node.leased for node in await nodes.history()} == {"n": 3, "n/1": 2}


async def test_a_node_is_drained_until_somebody_takes_that_back(crowd: Bench) -> None:
    """With its processes, and under whatever incarnation; the other nodes are not."""
    nodes = registry(crowd)
    for name in ("n", "n/1", "m"):
        await nodes.register(name, "i1")
    await nodes.drain("n")
    assert await nodes.is_drained("n")
    assert await nodes.heartbeat("n", "i1") is NodeState.DRAINED
    assert await nodes.heartbeat("n/1", "i1") is NodeState.DRAINED
    assert await nodes.heartbeat("m", "i1") is NodeState.ALIVE
    assert {node.name: node.state for node in await nodes.list()} == {
        "n": "draining",
        "n/1": "draining",
        "m": "running",
    }
    assert all(node.is_alive for node in await nodes.list())
    await nodes.register("n", "i2", ANY)
    assert await nodes.heartbeat("n", "i2") is NodeState.DRAINED
    await nodes.drain("m")
    await nodes.resume("n")
    assert await nodes.heartbeat("n", "i2") is NodeState.ALIVE
    assert await nodes.is_drained("m")
    await nodes.resume()
    assert not await nodes.is_drained("m")


async def test_what_could_be_leased_now_is_counted(crowd: Bench) -> None:
    """What is leased, delayed or in a crawl that is paused is not."""
    await crowd.add(*(f"{'abc'[n % 3]}/{n}" for n in range(9)))
    assert await crowd.frontier.eligible() == 9
    await crowd.lease("n/1")
    assert await crowd.frontier.eligible() == 8
    await crowd.frontier.block("a", 60)
    assert await crowd.frontier.eligible() < 8
    await crowd.frontier.set_state("paused")
    assert await crowd.frontier.eligible() == 0


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a\0"])
async def test_a_name_that_cannot_be_kept_is_refused(bench: Bench, name: str) -> None:
    """Before anything is written."""
    with pytest.raises(UsageError, match="cannot be used"):
        await registry(bench).register(name, "i1")
    assert await registry(bench).list() == []


async def test_what_nodes_tell_is_read_by_whoever_asks(bench: Bench) -> None:
    """Each node's last word; what cannot be read is left out."""
    store = bench.frontier.flow
    await store.publish("n1", Flow(9, 9, 9), {}, 1, "ramp")
    await store.publish("n1", Flow(3, 1, 3), {"a": Flow(3, 1, 3)}, 8, "contexts")
    await store.publish("n2", Flow(1, 3, 3), {"a": Flow(0.5, 3, 1), "b": Flow(0.5, 3, 2)}, 4, "proxies")
    await bench.client.command("HSET", keys.flow(bench.crawl), "n3", "{}")
    nodes = await store.read()
    assert {node.node: (node.limit, node.binding) for node in nodes} == {
        "n1": (8, "contexts"),
        "n2": (4, "proxies"),
    }
    assert all(node.is_fresh for node in nodes)
    assert {site: flow.per_s for site, flow in by_site(nodes).items()} == {"a": 3.5, "b": 0.5}
    assert list(by_site(nodes)) == ["a", "b"]


async def test_of_the_figures_of_very_many_nodes_the_last_ones_are_kept(bench: Bench) -> None:
    """Whoever publishes first removes those of nodes that are long gone."""
    key = keys.flow(bench.crawl)
    store = RedisFlowStore(bench.client, bench.crawl)
    await store.publish("recent", Flow(), {}, 1, "ramp")
    report = orjson.loads(await bench.client.command("HGET", key, "recent"))
    for n in range(MOST_REPORTS + 20):
        old = orjson.dumps({**report, "at": report["at"] - 1000 - n})
        await bench.client.command("HSET", key, f"n{n}", old)
    await store.publish("recent", Flow(), {}, 1, "ramp")
    assert await bench.client.command("HLEN", key) == MOST_REPORTS + 21
    await RedisFlowStore(bench.client, bench.crawl).publish("new", Flow(), {}, 1, "ramp")
    names = {flow.node for flow in await store.read()}
    assert len(names) == MOST_REPORTS + 1
    assert {"recent", "new", "n0"} <= names
    assert f"n{MOST_REPORTS + 19}" not in names
