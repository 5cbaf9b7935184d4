"""What the frontier ought to do, in dictionaries: its nodes, and what every transition of a URL rests on."""

import asyncio
from random import Random
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from farm.frontier.connect import connect
from farm.frontier.entries import SUSPECT_DEATHS
from farm.frontier.frontier import RedisFrontier
from farm.frontier.nodes import ANY
from farm.frontier.terms import Politeness, Terms
from farm.model.crawl import NodeState
from farm.model.outcome import Settled
from farm.model.task import Lease
from tests.frontier.support import Bench

NODES = ["n", "m"]
LIVES = 2
VISIBILITY_S = 30
SILENCE_MS = 10_000
LIMITS = Politeness(in_flight=3, global_in_flight=4, pair_in_flight=2, egress_in_flight=3)


def url_of(lease: Lease) -> str:
    """Return what the model calls a leased URL."""
    return lease.task.url.removeprefix("http://")


class Model(RuleBasedStateMachine):
    """Every rule does one thing to Redis and the same to the dictionaries; these are those of nodes."""

    url = ""
    shards = 1

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bench = self.run(self._open())
        self.state: dict[str, str] = {}  # URL -> queued, delayed, leased, done, dead
        self.seen: set[str] = set()
        self.holds: dict[str, Lease] = {}  # slot -> the lease that counts
        self.deadline: dict[str, int] = {}  # slot -> ms
        self.due: dict[str, int] = {}  # delayed URL -> ms
        self.deaths: dict[str, int] = {}
        self.heard_of: dict[str, int] = {}  # node -> ms
        self.incarnations = 0
        self.lives: dict[str, str] = {}  # node -> its incarnation
        self.frontiers: dict[str, RedisFrontier] = {}  # node -> its process's
        self.attempts: dict[str, int] = {}
        self.last_token: dict[int, int] = {}  # shard -> the last one; a URL never leaves its shard
        self.rendered = 0

    async def _open(self) -> Bench:
        client = await connect(self.url, patience_s=5)
        await client.command("FLUSHALL")
        return await Bench.open(
            client,
            self.url,
            terms=Terms(lives=LIVES, visibility_s=VISIBILITY_S),
            politeness=LIMITS,
            shards=self.shards,
        )

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """Leave nothing open."""
        self.run(self.bench.client.close())
        self.loop.close()

    def accept(self, new: list[str]) -> int:
        """Accept what was never seen, and return how many that is."""
        accepted = 0
        for url in new:
            if url not in self.state and url not in self.seen:
                self.state[url] = "queued"
                accepted += 1
        return accepted

    def reclaim_due(self) -> None:
        """Do what any call may do on its way: the model at once, the frontier because it is told to."""
        now = self.bench.clock.ms
        for _ in range(1 + sum(at <= now - SILENCE_MS for at in self.heard_of.values())):
            # One silent node at a time, and one that held nothing moves nothing.
            self.run(self.bench.frontier.maintain())
        for node in [node for node, at in self.heard_of.items() if at <= now - SILENCE_MS]:
            del self.heard_of[node]
            self._die(node)
        for slot in [slot for slot, at in self.deadline.items() if at <= now]:
            self._expire(slot)
        for url in [url for url, at in self.due.items() if at <= now]:
            del self.due[url]
            self.state[url] = "queued"

    def _expire(self, slot: str) -> None:
        url = url_of(self.holds.pop(slot))
        del self.deadline[slot]
        self.deaths[url] = self.deaths.get(url, 0) + 1
        self.state[url] = "dead" if self.deaths[url] >= SUSPECT_DEATHS + LIVES else "queued"

    def _die(self, node: str) -> int:
        held = [slot for slot in self.holds if slot.startswith(f"{node}/")]
        for slot in held:
            self._expire(slot)
        return len(held)

    def is_suspect(self, url: str) -> bool:
        """Whether a URL is leased alone."""
        return self.deaths.get(url, 0) >= SUSPECT_DEATHS

    def held_by(self, node: str) -> list[str]:
        """Return the URLs that a node holds."""
        return [url_of(lease) for slot, lease in self.holds.items() if slot.startswith(f"{node}/")]

    def of(self, slot: str) -> RedisFrontier:
        """Return the frontier of the slot's node: each is a process of its own."""
        node = slot.partition("/")[0]
        if node not in self.frontiers:
            bench = self.bench
            self.frontiers[node] = RedisFrontier(
                bench.client, bench.crawl, own_time_ms=bench.clock.read, random=Random(7)
            )
        return self.frontiers[node]

    def leased(self, slot: str, lease: Lease) -> Lease:
        """Note a lease; the frontier must have been right to give it."""
        url = url_of(lease)
        assert self.state[url] == "queued"
        shard = self.bench.frontier.shards.of(lease.task.site)
        assert lease.token // 1000 > self.last_token.get(shard, 0) // 1000
        assert lease.attempt == self.attempts.get(url, 0) + 1
        assert lease.alone == self.is_suspect(url)
        others = [other for other in self.held_by(slot.partition("/")[0]) if other != url]
        assert not (others and (lease.alone or any(map(self.is_suspect, others))))
        self.state[url], self.holds[slot], self.last_token[shard] = "leased", lease, lease.token
        self.deadline[slot] = self.bench.clock.ms + VISIBILITY_S * 1000
        return lease

    def abandon(self, slot: str) -> None:
        """Let a slot ask anew that holds a lease."""
        if slot in self.holds:
            self._expire(slot)

    def settle(self, lease: Lease, verdict: Settled) -> bool:
        """Whether it was the slot's to settle; the frontier must have said the same."""
        holds = self.holds.get(lease.slot) == lease
        assert (verdict is Settled.OK) == holds
        if holds:
            del self.holds[lease.slot], self.deadline[lease.slot]
        return holds

    @rule(node=st.sampled_from(NODES), kill=st.booleans())
    def register(self, node: str, kill: bool) -> None:
        """Start a node, in place of one of its name if that was killed; a live one keeps its name."""
        self.reclaim_due()
        self.incarnations += 1
        registry = self.bench.frontier.nodes
        got = self.run(registry.register(node, f"i{self.incarnations}", ANY if kill else ""))
        assert got.granted == (kill or node not in self.heard_of)
        if got.granted:
            assert got.returned == (self._die(node) if node in self.heard_of else 0)
            self.heard_of[node] = self.bench.clock.ms
            self.frontiers.pop(node, None)
            self.lives[node] = f"i{self.incarnations}"

    @rule(node=st.sampled_from(NODES))
    def heartbeat(self, node: str) -> None:
        """Say that a node is alive, which may have been considered dead."""
        self.reclaim_due()
        if node not in self.lives:
            return
        registry = self.bench.frontier.nodes
        standing = self.run(registry.heartbeat(node, self.lives[node]))
        assert standing is (NodeState.ALIVE if node in self.heard_of else NodeState.RETURNED)
        self.heard_of[node] = self.bench.clock.ms

    @rule(node=st.sampled_from(NODES))
    def unregister(self, node: str) -> None:
        """End a node; what it still holds goes back without a fault."""
        self.reclaim_due()
        registry = self.bench.frontier.nodes
        returned = self.run(registry.unregister(node, self.lives.pop(node, "none")))
        if node in self.heard_of:
            held = [slot for slot in self.holds if slot.startswith(f"{node}/")]
            assert returned == len(held)
            for slot in held:
                self.state[url_of(self.holds.pop(slot))] = "queued"
                del self.deadline[slot]
            del self.heard_of[node]
        assert returned == 0 or node not in self.heard_of
