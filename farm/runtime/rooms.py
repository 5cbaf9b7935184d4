"""What all workers of a node have in common: the other rooms, as they see them, and their parameters."""

from dataclasses import dataclass

from farm.model.clock import Clock
from farm.model.event import Emit
from farm.policy.retry import RetryParams
from farm.runtime.heartbeat import Heartbeat
from farm.runtime.manners import Paces
from farm.runtime.ports import Detect, Frontier, Landings, Permission, Recorder, Scope, Sink


@dataclass(frozen=True, slots=True)
class WorkerParams:
    """`visit_s` bounds a visit, rendering and user code included; `commit_s` the sink and Redis after it.

    `node` is this node's name, which makes the slots' names unique among all nodes.
    """

    node: str
    visit_s: float
    commit_s: float
    limit: int
    retry: RetryParams
    spread_s: float = 0.0
    """After an outage the slots come back over so long, not all at once."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """The other rooms, as the worker sees them."""

    frontier: Frontier
    sink: Sink
    scope: Scope
    robots: Permission
    paces: Paces
    landings: Landings
    record: Recorder
    detect: Detect
    heartbeat: Heartbeat
    emit: Emit
    clock: Clock
