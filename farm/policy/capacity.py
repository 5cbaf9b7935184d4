"""Little's law, L = lambda W: how many visits are under way, how many end a second, and how long one takes.

It gives how many contexts a rate can use and, the other way round, which rate a number of contexts reaches, which
limit is the smallest, and how long a crawl lasts.
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
    """A measured flow of visits: `under_way` is L, `per_s` lambda, `took_s` W."""

    per_s: float = 0.0
    took_s: float = 0.0
    under_way: float = 0.0


def together(flows: Iterable[Flow]) -> Flow:
    """Return the sum of several nodes' flows."""
    known = list(flows)
    per_s = sum(flow.per_s for flow in known)
    took_s = sum(flow.per_s * flow.took_s for flow in known) / per_s if per_s else 0.0
    return Flow(per_s, took_s, sum(flow.under_way for flow in known))


def useful_contexts(per_s: float, took_s: float) -> int:
    """Return how many contexts a rate can use; more would only wait."""
    return math.ceil(per_s * took_s * HEADROOM) + 1


@dataclass(frozen=True, slots=True)
class Workload:
    """The crawl to plan for. Rates are per second, 0 where there is no such limit.

    `contexts` and `cores` are of one node; `cpu_s` is the CPU time of a page, `context_bytes` the memory of a
    context and `budget_bytes` the memory budget of a node.
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
    """The plan: `limits` are rates of the whole crawl by what limits them, `binding` names the smallest.

    `useful` are the contexts that the rate can use, over all nodes; `nodes` is how many nodes end in time, 0
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
    """Return the plan for one node, with the number of nodes that end the crawl in time."""
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
        memory_bytes=min(useful, _fitting_contexts(wanted)) * wanted.context_bytes,
        nodes=_nodes(wanted, min(node.values()), min(outer.values(), default=math.inf)),
    )


def _fitting_contexts(wanted: Workload) -> int:
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
    # The limits of sites and proxies do not grow with the number of nodes.
    return 0 if needed > outer * (1 + 1e-9) else max(1, math.ceil(needed / of_a_node - 1e-9))


def automatic_contexts(budget_bytes: int, cores: int) -> int:
    """Return the maximum number of contexts for `--contexts auto`.

    The run begins with a few per core and adds more while all have work and the processor has time left: how many
    a machine can run depends on how long pages wait for their sites.
    """
    return max(1, min(cores * CONTEXTS_PER_CORE, budget_bytes // CONTEXT_BYTES))
