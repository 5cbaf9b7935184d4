"""Little's law, L = lambda W: how many visits are under way, how many end a second, and how long one takes.

Read in one direction it says how many contexts a rate can use; in the other, which rate a number of contexts
brings, which of the limits is the smallest, and how long a crawl lasts.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HEADROOM = 1.5
"""Visits do not come evenly: with exactly L contexts a rate would not be reached."""


CONTEXT_BYTES = 100 * 2**20
CONTEXTS_PER_CORE = 16


@dataclass(frozen=True, slots=True)
class Flow:
    """What was measured lately: `under_way` is L, `per_s` lambda, `took_s` W."""

    per_s: float = 0.0
    took_s: float = 0.0
    under_way: float = 0.0


def together(flows: Iterable[Flow]) -> Flow:
    """Return several nodes' flows as one."""
    known = list(flows)
    per_s = sum(flow.per_s for flow in known)
    took_s = sum(flow.per_s * flow.took_s for flow in known) / per_s if per_s else 0.0
    return Flow(per_s, took_s, sum(flow.under_way for flow in known))


def useful_contexts(per_s: float, took_s: float) -> int:
    """Return how many contexts a rate can use; more would only wait for their turn."""
    return math.ceil(per_s * took_s * HEADROOM) + 1


@dataclass(frozen=True, slots=True)
class Workload:
    """What is planned. Rates are per second, 0 where there is no such limit.

    `contexts` and `cores` are of one node; `cpu_s` is what a page costs, `context_bytes` what a context holds and
    `budget_bytes` what a node may use of them.
    """

    pages: int
    took_s: float
    contexts: int
    cores: int
    cpu_s: float
    context_bytes: int
    budget_bytes: int
    sites: int = 1
    site_rate: float = 0.0
    site_concurrency: int = 0
    global_rate: float = 0.0
    proxies: int = 0
    proxy_rate: float = 0.0
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """What comes of it: `limits` are rates of the whole crawl by what bounds them, `binding` names the smallest.

    `useful` are the contexts that the rate can use, over all nodes; `nodes` how many it takes to end in time, 0
    where no number does.
    """

    limits: Mapping[str, float]
    binding: str
    per_s: float
    lasts_s: float
    useful: int
    memory_bytes: int
    nodes: int


def plan(wanted: Workload) -> CapacityPlan:
    """Work it out for one node, and how many nodes it takes to end within the time."""
    outer = _outer(wanted)
    node = _of_a_node(wanted)
    limits = node | outer
    binding = min(limits, key=lambda name: limits[name])
    per_s = limits[binding]
    useful = useful_contexts(per_s, wanted.took_s)
    return CapacityPlan(
        limits=limits,
        binding=binding,
        per_s=per_s,
        lasts_s=wanted.pages / per_s,
        useful=useful,
        memory_bytes=min(useful, _carried(wanted)) * wanted.context_bytes,
        nodes=_nodes(wanted, min(node.values()), min(outer.values(), default=math.inf)),
    )


def _carried(wanted: Workload) -> int:
    return max(1, min(wanted.contexts, wanted.budget_bytes // wanted.context_bytes))


def _of_a_node(wanted: Workload) -> dict[str, float]:
    return {
        "contexts": wanted.contexts / wanted.took_s,
        "memory": max(1, wanted.budget_bytes // wanted.context_bytes) / wanted.took_s,
        "cpu": wanted.cores / wanted.cpu_s,
    }


def _outer(wanted: Workload) -> dict[str, float]:
    limits = {
        "rate": wanted.sites * wanted.site_rate,
        "site_concurrency": wanted.sites * wanted.site_concurrency / wanted.took_s,
        "global_rate": wanted.global_rate,
        "proxies": wanted.proxies * wanted.proxy_rate,
    }
    return {name: limit for name, limit in limits.items() if limit}


def _nodes(wanted: Workload, of_a_node: float, outer: float) -> int:
    if not wanted.within_s:
        return 1
    needed = wanted.pages / wanted.within_s
    # What belongs to the sites and the proxies does not grow with the nodes.
    return 0 if needed > outer * (1 + 1e-9) else max(1, math.ceil(needed / of_a_node - 1e-9))


def automatic_contexts(budget_bytes: int, cores: int) -> int:
    """Return the most contexts that a run may have where the user leaves the number to the farm.

    The run begins with a few per core and adds more while all have work and the processor has time left: how many
    a machine carries depends on how long the sites make their pages wait.
    """
    return max(1, min(cores * CONTEXTS_PER_CORE, budget_bytes // CONTEXT_BYTES))
