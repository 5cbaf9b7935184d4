"""What all workers of a node share: their dependencies and their parameters."""

from dataclasses import dataclass

from farm.model.clock import Clock
from farm.model.event import Emit
from farm.policy.retry import RetryParams
from farm.runtime.heartbeat import Heartbeat
from farm.runtime.ports import Detect, Frontier, Landings, Permission, Recorder, Scope, Sink
from farm.runtime.site_ports import Paces


@dataclass(frozen=True, slots=True)
class WorkerParams:
    """`visit_s` bounds a visit, rendering and user code included; `commit_s` the sink and Redis after it.

    `node` is this node's name, which makes the slots' names unique among all nodes, and `life` tells them from
    those of a run that had the name before: where that one was stopped and wakes, it must not ask for work in our
    slots' names, or our leases would be given back.
    """

    node: str
    visit_s: float
    commit_s: float
    limit: int
    retry: RetryParams
    life: str = ""
    spread_s: float = 0.0
    """After an outage of Redis the slots resume over this time, not all at once."""


@dataclass(frozen=True, slots=True)
class WorkerDeps:
    """The parts of the farm that a worker uses."""

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
