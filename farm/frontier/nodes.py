"""The nodes of a crawl: their names, their flows, and whether they feed the crawl.

A node registers under its name before its first lease, sends a heartbeat every few seconds (`heartbeat`, or
the lease renewer from a thread of its own), and unregisters when it ends. A node that is silent for longer than
the crawl's terms allow is considered dead: the next call of `maintain` returns its leases to their queues. An
incarnation is one run of a node: a unique text without spaces.

While a node feeds the crawl from sitemaps, an empty frontier is not the crawl's end. Invariants: its mark
is set before the crawl can be seen to be empty, and removed after its last URL was added; the mark of a node that
dies expires.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.shards import Shards
from farm.model.crawl import ANY_INCARNATION, NodeState
from farm.model.errors import UsageError
from farm.policy.capacity import Flow, together

ANY = ANY_INCARNATION
FRESH_S = 10.0
"""A node whose report is older has ended, or cannot reach Redis."""
_AT_WORK = frozenset({"running", "draining"})
MOST_REPORTS = 500
"""How many nodes' figures are kept."""
FEEDS_S = 30.0
"""How long the mark of a node that feeds the crawl lasts, unless it is prolonged."""
LONGEST_SILENCE_S = 1e9
_FIELDS = 7
"""How many the script `nodes` returns of each node."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The result of `register`.

    `granted` says whether the name is this incarnation's. If so, `returned` leases of its predecessor went back to
    their queues; otherwise the holder of the name was alive `silent_s` seconds ago.
    """

    granted: bool
    returned: int = 0
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node, or a process of one; `facts` are what it registered with, `leased` is how many URLs it visits.

    `state` is `running`, `draining` (asked to end), `lost` (silent for too long) or `ended`.
    """

    name: str
    incarnation: str
    silent_s: float
    state: str = "running"
    leased: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_alive(self) -> bool:
        """Whether it is at work."""
        return self.state in _AT_WORK


class NodeRegistry:
    """The registry of one crawl: the first shard decides about names, every shard knows who is alive."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    async def register(
        self,
        name: str,
        incarnation: str,
        predecessor: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> Registration:
        """Register a node under its name, unless a live node has it.

        `predecessor` is an incarnation that the caller knows to be dead (its own last life), or `ANY`. Raises
        UsageError if the name or the incarnation cannot be kept.
        """
        if not name or not incarnation or {*" \0\n"} & {*name, *incarnation}:
            raise UsageError(
                f"The node name {name!r} cannot be used; it must hold no space and no line break."
            )
        told = orjson.dumps(dict(facts or {}))
        granted, number = await self._shards.run(0, "register", name, incarnation, predecessor, told)
        if not granted:
            return Registration(granted=False, silent_s=number / 1000)
        for shard in range(1, self._shards.count):
            number += (await self._shards.run(shard, "register", name, incarnation, ANY, told))[1]
        return Registration(granted=True, returned=number)

    async def heartbeat(self, name: str, incarnation: str) -> NodeState:
        """Send the node's heartbeat."""
        standings = await self._shards.each("heartbeat", name, incarnation)
        return state_over_shards([int(one) for one in standings])

    async def unregister(self, name: str, incarnation: str) -> int:
        """Remove the node; its leases go back to their queues. Returns how many there were."""
        return sum(await self._shards.each("unregister", name, incarnation))

    async def list(self) -> Sequence[NodeEntry]:
        """Return the nodes that are registered, the one that has been silent for longest first."""
        return [entry for entry, is_registered in await self._listed() if is_registered]

    async def history(self, *, with_leased: bool = True) -> Sequence[NodeEntry]:
        """Return every node that is known: those at work, and the last ones that ended or were lost.

        Counting what each has leased costs the server a look at every lease.
        """
        return [entry for entry, _ in await self._listed(with_leased=with_leased)]

    async def drain(self, name: str) -> None:
        """Ask the node to end, now and whenever it begins, until `resume`.

        For more than a thousand such nodes those are forgotten of which nothing was heard for long. Raises
        UsageError where a thousand are at work, or have ended lately.
        """
        if -1 in await self._shards.each("drain", name, "drain"):
            await self.resume(name)
            raise UsageError(
                f"The node {name!r} cannot be asked to end: 1,000 others are already; `farm drain` ends all "
                "nodes, `farm resume` takes all of it back."
            )

    async def resume(self, name: str = "") -> None:
        """Remove the mark of the node, or without a name those of all nodes."""
        await self._shards.each("drain", name, "resume")

    async def is_drained(self, name: str) -> bool:
        """Whether the node is marked as drained."""
        return bool(await self._shards.run(0, "drain", name, "ask"))

    async def _listed(self, *, with_leased: bool = True) -> Sequence[tuple[NodeEntry, bool]]:
        """Return the entries of all shards as one, each with whether it is registered."""
        # Every shard knows the same nodes; of their leases each knows its own.
        asked = self._shards.each("nodes", 1) if with_leased else self._first()
        first, *others = await asked
        leased = Counter[bytes]()
        for flat in others:
            leased.update({flat[at]: int(flat[at + 5]) for at in range(0, len(flat), _FIELDS)})
        found = []
        for at in range(0, len(first), _FIELDS):
            name, incarnation, silent_ms, dead_after_ms, facts, here, state = first[at : at + _FIELDS]
            is_registered = state in {b"", b"draining"}
            if is_registered and silent_ms >= dead_after_ms:
                state = b"lost"
            entry = NodeEntry(
                name=name.decode(errors="replace"),
                incarnation=incarnation.decode(errors="replace"),
                # Impossible times could not be shown as dates.
                silent_s=min(max(0, silent_ms) / 1000, LONGEST_SILENCE_S),
                state=state.decode(errors="replace") or "running",
                leased=int(here) + leased[name],
                facts=_facts(facts),
            )
            found.append((entry, is_registered))
        return found

    async def _first(self) -> Sequence[Any]:
        return [await self._shards.run(0, "nodes", 0)]

    async def is_alive(self, name: str) -> bool:
        """Whether a node of this name is registered and was not silent for too long."""
        return any(node.is_alive for node in await self.list() if node.name == name)


def state_over_shards(standings: list[int]) -> NodeState:
    """Return what the shards' answers mean together: replaced, returned or drained by any is that."""
    for state in (NodeState.REPLACED, NodeState.RETURNED, NodeState.DRAINED):
        if state in standings:
            return state
    return NodeState.ALIVE


@dataclass(frozen=True, slots=True)
class NodeFlow:
    """One node's figures, reported `age_s` ago; `binding` names the limit that held it to `limit` contexts.

    `memory_bytes` is what its processes use.
    """

    node: str
    age_s: float
    flow: Flow
    sites: Mapping[str, Flow] = field(default_factory=dict)
    limit: int = 0
    binding: str = ""
    memory_bytes: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether the node is at work."""
        return self.age_s < FRESH_S


class RedisFlowStore:
    """The measured flow of each node of a crawl, for views and plans."""

    def __init__(self, client: RedisClient, crawl: keys.KeyedCrawl) -> None:
        self._client = client
        self._key = keys.flow(crawl)
        self._has_published = False

    async def publish(
        self,
        node: str,
        flow: Flow,
        sites: Mapping[str, Flow],
        limit: int,
        binding: str,
        memory_bytes: int = 0,
    ) -> None:
        """Store a node's figures, with the server's time; the first time the oldest of very many are removed."""
        if not self._has_published:
            await self._forget_oldest()
            self._has_published = True
        told = {
            "at": await self._now_s(),
            "flow": asdict(flow),
            "sites": {site: asdict(one) for site, one in sites.items()},
            "limit": limit,
            "binding": binding,
            "memory_bytes": memory_bytes,
        }
        await self._client.command("HSET", self._key, node, orjson.dumps(told))

    async def _forget_oldest(self) -> None:
        """Keep only the last reports: the names of short-lived nodes are unbounded."""
        if await self._client.command("HLEN", self._key) <= MOST_REPORTS:
            return
        old = [one.node for one in (await self.read())[MOST_REPORTS:]]
        if old:
            await self._client.command("HDEL", self._key, *old)

    async def read(self) -> list[NodeFlow]:
        """Return every node's last report, the newest first; unreadable ones are left out."""
        now_s = await self._now_s()
        found = []
        for node, stored in (await self._client.command("HGETALL", self._key)).items():
            try:
                told = orjson.loads(stored)
                sites = {site: _flow(one) for site, one in told["sites"].items()}
                age_s = now_s - float(told["at"])
                flow, limit, binding = _flow(told["flow"]), int(told["limit"]), str(told["binding"])
                used = int(told.get("memory_bytes", 0))
                found.append(NodeFlow(node.decode(), age_s, flow, sites, limit, binding, used))
            except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
                continue
        return sorted(found, key=lambda one: one.age_s)

    async def _now_s(self) -> float:
        seconds, micros = await self._client.command("TIME")
        return int(seconds) + int(micros) / 1e6


def by_site(nodes: list[NodeFlow]) -> dict[str, Flow]:
    """Return each site's flow over all nodes, the busiest first."""
    sites = {site for node in nodes for site in node.sites}
    flows = {site: together(node.sites[site] for node in nodes if site in node.sites) for site in sites}
    return dict(sorted(flows.items(), key=lambda item: (-item[1].per_s, item[0])))


class ActiveFeeders:
    """The marks of the nodes that feed a crawl."""

    def __init__(self, client: RedisClient, crawl: keys.KeyedCrawl) -> None:
        self._client = client
        self._crawl = crawl

    async def hold(self, node: str, for_s: float = FEEDS_S) -> None:
        """Set a node's mark for `for_s` seconds, or prolong it."""
        # First the mark: whoever finds a name without one takes the name away.
        await self._client.command("SET", keys.feed(self._crawl, node), "1", "PX", round(for_s * 1000))
        await self._client.command("SADD", keys.feeds(self._crawl), node)

    async def drop(self, node: str) -> None:
        """Remove a node's mark: it has added all its URLs."""
        await self._client.command("DEL", keys.feed(self._crawl, node))
        await self._client.command("SREM", keys.feeds(self._crawl), node)

    async def any(self) -> bool:
        """Whether any node still feeds the crawl."""
        for member in await self._client.command("SMEMBERS", keys.feeds(self._crawl)):
            # What is no text is no node's name: there is no mark of it.
            mark = keys.feed(self._crawl, member.decode(errors="replace"))
            if await self._client.command("EXISTS", mark):
                return True
            await self._client.command("SREM", keys.feeds(self._crawl), member)
            if await self._client.command("EXISTS", mark):
                # It was set in between.
                await self._client.command("SADD", keys.feeds(self._crawl), member)
                return True
        return False


def _facts(stored: bytes) -> Mapping[str, Any]:
    try:
        told = orjson.loads(stored)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _flow(told: Mapping[str, float]) -> Flow:
    return Flow(**{name: float(figure) for name, figure in told.items()})
