"""The nodes of a crawl for users: the processes of one node together, lost and ended nodes included.

A node of several processes is registered under its name, and each of its processes under NAME/NUMBER.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from farm.frontier.nodes import NodeEntry, NodeFlow

ENDED_SHOWN = 20
"""How many lost and ended nodes are listed, the last ones."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of a live node: its process id, and its number of contexts."""

    pid: int
    contexts: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node; `state` is `running`, `draining`, `lost` or `ended`, last heard of `silent_s` seconds ago.

    `settings` is a digest of what nodes agree on. What a node has not told is empty or 0.
    """

    name: str
    state: str
    silent_s: float
    version: str = ""
    host: str = ""
    contexts: int = 0
    leased: int = 0
    memory_bytes: int = 0
    settings: str = ""
    processes: Sequence[ProcessStatus] = ()

    @property
    def is_alive(self) -> bool:
        """Whether it is live."""
        return self.state in {"running", "draining"}


def status_of_nodes(entries: Sequence[NodeEntry], flows: Sequence[NodeFlow]) -> list[NodeStatus]:
    """Return the live nodes by name, and after them the last lost and ended ones, the latest first."""
    by_name: dict[str, list[NodeEntry]] = {}
    for entry in entries:
        by_name.setdefault(node_of(entry.name), []).append(entry)
    memory = {flow.node: flow.memory_bytes for flow in flows if flow.is_fresh}
    found = [_status(name, parts, memory) for name, parts in by_name.items()]
    alive = sorted((one for one in found if one.is_alive), key=lambda one: one.name)
    gone = sorted((one for one in found if not one.is_alive), key=lambda one: one.silent_s)
    return [*alive, *gone[:ENDED_SHOWN]]


def node_of(name: str) -> str:
    """Return the name of a process's node; a node's own name is returned unchanged."""
    return name.partition("/")[0]


def _status(name: str, parts: Sequence[NodeEntry], memory: Mapping[str, int]) -> NodeStatus:
    """Return the status from the entries of one node; an entry with its own name decides."""
    own = next((part for part in parts if part.name == name), None)
    alive = [part for part in parts if part.is_alive]
    first = own or min(parts, key=lambda part: (not part.is_alive, part.silent_s))
    facts = first.facts
    workers = [part for part in alive if part is not own] or (
        [own] if own is not None and own.is_alive else []
    )
    return NodeStatus(
        name=name,
        state=first.state,
        silent_s=min(part.silent_s for part in ([own] if own is not None else parts)),
        version=_text(facts, "version"),
        host=_text(facts, "host"),
        contexts=_number(facts, "contexts"),
        leased=sum(part.leased for part in parts),
        memory_bytes=sum(memory.get(part.name, 0) for part in alive),
        settings=_text(facts, "settings"),
        processes=tuple(
            ProcessStatus(_number(part.facts, "pid"), _number(part.facts, "contexts"))
            for part in sorted(workers, key=lambda part: part.name)
        ),
    )


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return value if isinstance(value, str) else ""


def _number(facts: Mapping[str, Any], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0
