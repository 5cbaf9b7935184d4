"""The nodes at work on a crawl: which one has which name, and which are silent.

A node registers under its name before its first lease, says every few seconds that it is alive (`heartbeat`, or
the lease renewer from a thread of its own), and unregisters when it ends. A node that is silent for longer than
the crawl's terms allow is taken for dead: the next call of `maintain` returns its leases to their queues. An
incarnation is one life of a node: a text without spaces that no other life has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from farm.frontier.shards import Shards
from farm.model.crawl import NodeState
from farm.model.errors import UsageError

ANY = "*"
"""In place of a predecessor's incarnation: the present holder of the name is known to be dead."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What `register` came to.

    `granted` says whether the name is this incarnation's. If so, `returned` leases of its predecessor went back to
    their queues; otherwise the holder of the name was alive `silent_s` seconds ago.
    """

    granted: bool
    returned: int = 0
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A node that is registered; `facts` are what it registered with."""

    name: str
    incarnation: str
    silent_s: float
    is_alive: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


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
        UsageError where the name or the incarnation cannot be kept.
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
        """Say that the node is alive."""
        standings = await self._shards.each("heartbeat", name, incarnation)
        return together([int(one) for one in standings])

    async def unregister(self, name: str, incarnation: str) -> int:
        """Remove the node; its leases go back to their queues. Returns how many there were."""
        return sum(await self._shards.each("unregister", name, incarnation))

    async def list(self) -> list[NodeEntry]:
        """Return the nodes that are registered, the one that has been silent for longest first."""
        flat = await self._shards.run(0, "nodes")
        return [_entry(*flat[start : start + 5]) for start in range(0, len(flat), 5)]

    async def is_alive(self, name: str) -> bool:
        """Whether a node of this name is registered and was not silent for too long."""
        return any(node.is_alive for node in await self.list() if node.name == name)


def together(standings: list[int]) -> NodeState:
    """Return what the shards' answers mean together: replaced by any is replaced, returned in any is returned."""
    if NodeState.REPLACED in standings:
        return NodeState.REPLACED
    return NodeState.RETURNED if NodeState.RETURNED in standings else NodeState.ALIVE


def _entry(name: bytes, incarnation: bytes, silent_ms: int, dead_after_ms: int, facts: bytes) -> NodeEntry:
    try:
        told = orjson.loads(facts)
    except ValueError:
        told = {}
    return NodeEntry(
        name=name.decode(errors="replace"),
        incarnation=incarnation.decode(errors="replace"),
        silent_s=silent_ms / 1000,
        is_alive=silent_ms < dead_after_ms,
        facts=told if isinstance(told, dict) else {},
    )
