"""Little's law, L = lambda W: how many visits are under way, how many end a second, and how long one takes.

It gives how many contexts a rate can use and, the other way round, which rate a number of contexts reaches, which
limit is the smallest, and how long a crawl lasts.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from farm.model.url import ANY_SUBDOMAIN, covering
from farm.policy.admission import CpuParams
from farm.policy.aimd import PaceParams

HEADROOM = 1.5
"""Visits are not evenly distributed: with exactly L contexts a rate would not be reached."""


STEADY = 0.7
"""A limit is lowered only if the new one is less than this part of it."""
CONTEXT_BYTES = 100 * 2**20
CONTEXTS_PER_CORE = 16
FIRST_PER_CORE = 2
CORES_PER_PROCESS = 8
"""One process is saturated by about a hundred pages a second, and a core renders about ten."""
CONTEXTS_PER_ENGINE = 20
"""An engine without a page uses a quarter of a gigabyte, as much as five or six contexts."""

LEAST_BUDGET_BYTES = 384 * 2**20
"""An engine without a page uses a quarter of a gigabyte, and the farm itself and Redis need some too."""
LEAST_CONTEXT_BYTES = 16 * 2**20
"""No context with a page open has been seen to need less."""
LEAST_CHEAP_CONTEXT_BYTES = 2**20
"""The same for contexts of the light engine, eight of which share a process, and of plain HTTP."""
CONTEXTS_GROW = 1.25
"""By so much their automatic number grows at each look at the processor, as `admission` has it."""
GROWTH_STEP_S = 0.25
LONGEST_GROWTH_S = 900.0
"""By then the contexts have begun, and what sites bear is learnt."""
FDS_OWN = 120
"""For a process or a browser without a context: with 96 in all Chromium brought no page, with 128 it did."""
FDS_EACH = 8
"""A port of the gateway, and two for each connection of a page; eight contexts under load had 117 in all."""


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


def automatic_processes(cores: int, contexts: int, budget_bytes: int) -> int:
    """Return the number of processes of a node: each has at least a context, and memory for a browser."""
    wanted = math.ceil(cores / CORES_PER_PROCESS)
    return max(1, min(wanted, contexts, budget_bytes // (2 * LEAST_BUDGET_BYTES)))


def shares(total: int, parts: int) -> list[int]:
    """Split a number into `count` parts that differ by one at most, the larger ones first."""
    return [total // parts + (part < total % parts) for part in range(parts)]


def proportional(total: int, weights: Sequence[int]) -> list[int]:
    """Split a number in proportion to weights; what rounding leaves over is added to the next part."""
    parts, before, whole = [], 0, sum(weights)
    for weight in weights:
        parts.append(total * (before + weight) // whole - total * before // whole)
        before += weight
    return parts


def useful_contexts(per_s: float, took_s: float) -> int:
    """Return how many contexts a rate can use; more would only wait."""
    return math.ceil(per_s * took_s * HEADROOM) + 1


@dataclass(frozen=True, slots=True)
class CrawlLimits:
    """The user's limits: rates per second and visits at once, 0 for no limit.

    `rate` and `places` apply to one site; `own_rates` and `own_places` are those of the sites with limits of
    their own, by the names that cover them.
    """

    global_rate: float = 0.0
    global_places: int = 0
    proxy_rate: float = 0.0
    rate: float = 0.0
    places: int = 0
    own_rates: Mapping[str, float] = field(default_factory=dict)
    own_places: Mapping[str, int] = field(default_factory=dict)


def most_of(own: Mapping[str, float], crawls: float, sites: int) -> float:
    """Return the largest possible sum of the limits of this many sites; 0 if there is no limit.

    `crawls` is the limit of a site that no name in `own` covers, 0 for no limit. Which of the names have a site
    in the crawl is not known: the most generous ones are taken.
    """
    if not crawls:
        return 0.0
    wide = max([crawls, *(value for name, value in own.items() if name.startswith(ANY_SUBDOMAIN))])
    exact = [value for name, value in own.items() if not name.startswith(ANY_SUBDOMAIN) and value > wide]
    best = sorted(exact, reverse=True)[:sites]
    return sum(best) + (sites - len(best)) * wide


def sum_of(own: Mapping[str, float], crawls: float, sites: Collection[str]) -> float:
    """Return the sum of the limits (rates or numbers) of these sites; 0 if one has no limit.

    `crawls` is the limit of a site that no name in `own` covers, 0 for no limit.
    """
    limits = [crawls if (limit := covering(own, site)) is None else limit for site in sites]
    return sum(limits) if all(limits) else 0.0


def useful_limits(
    limits: CrawlLimits, sites: int, took_s: float, proxies: int, visited: Collection[str] = ()
) -> dict[str, int]:
    """Return how many contexts each limit can keep busy, by its name: `places`, `rate` and `proxies`.

    A rate is converted to contexts by the duration of a visit, and is ignored while that is unknown (0). `visited`
    are the sites visited recently: if each has a limit, other sites have no work, or a context would have taken
    it. One additional context finds out when that changes.
    """
    found = {}
    places = [limits.global_places, int(most_of(limits.own_places, limits.places, sites))]
    if limits.own_places and (of_visited := sum_of(limits.own_places, limits.places, visited)):
        places.append(int(of_visited) + 1)
    if any(places):
        found["places"] = min(filter(None, places))
    rates = [limits.global_rate, most_of(limits.own_rates, limits.rate, sites)]
    if limits.own_rates:
        rates.append(sum_of(limits.own_rates, limits.rate, visited))
    if took_s and any(rates):
        found["rate"] = useful_contexts(min(filter(None, rates)), took_s)
    if took_s and limits.proxy_rate:
        found["proxies"] = useful_contexts(proxies * limits.proxy_rate, took_s)
    return found


def steadied(contexts: int, before: int | None) -> int:
    """Return the limit, raised immediately but lowered only if it falls by much: lowering closes contexts."""
    return contexts if before is None or contexts > before or contexts < STEADY * before else before


@dataclass(frozen=True, slots=True)
class Workload:
    """The crawl to plan for. `sites` are the names of its sites, empty if one is not known.

    `contexts` and `cores` are of one node, the latter without what something else uses; `cpu_s` is the CPU time of
    a page, `context_bytes` the memory of a context and `budget_bytes` the memory budget of a node. `beside_s` is
    what a run takes beside: until its first page begins, and from the last ones. Contexts begin over `ramp_s`;
    with `first_contexts` so many of them, and more while the processor has time left (0: their number was given).
    A site is visited so often at once at first, `first_places`, where nothing is learnt of it (0: that is known),
    and not faster than `pace` a second over all sites where these have throttled (0: they have not). While few
    contexts are at work a visit takes `alone_s` (0: `took_s`): the processor is not yet shared by all of them.
    """

    pages: int
    took_s: float
    contexts: int
    cores: float
    cpu_s: float
    context_bytes: int
    budget_bytes: int
    sites: Sequence[str] = ("",)
    allowed: CrawlLimits = CrawlLimits()
    proxies: int = 0
    within_s: float = 0.0
    beside_s: float = 0.0
    ramp_s: float = 0.0
    first_contexts: int = 0
    first_places: int = 0
    pace: float = 0.0
    alone_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """The plan: `limits` are rates of the whole crawl by the name of the limit, `binding` names the smallest.

    `per_s` is reached once all contexts are at work, `lasts_s` is all of a run, from its start. `useful` are the
    contexts that the rate can use, over all nodes; `nodes` is how many nodes end in time, 0 where no number does.
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
    lasts_s = _lasting_s(wanted, per_s)
    useful = useful_contexts(per_s, wanted.took_s)
    left_s = wanted.within_s - (lasts_s - wanted.pages / per_s)
    return CapacityPlan(
        limits=limits,
        binding=binding,
        per_s=per_s,
        lasts_s=lasts_s,
        useful=useful,
        memory_bytes=min(useful, _fitting_contexts(wanted)) * wanted.context_bytes,
        nodes=_nodes(wanted, left_s, min(node.values()), min(outer.values(), default=math.inf)),
    )


def _lasting_s(wanted: Workload, per_s: float) -> float:
    """Return how long a run takes: what it takes beside, then pages at a rate that grows to `per_s`."""
    begun = passed_s = rate = 0.0
    while passed_s < LONGEST_GROWTH_S:
        rate = min(per_s, _at_work(wanted, passed_s + GROWTH_STEP_S / 2) / (wanted.alone_s or wanted.took_s))
        if rate >= per_s or begun + rate * GROWTH_STEP_S >= wanted.pages:
            break
        begun += rate * GROWTH_STEP_S
        passed_s += GROWTH_STEP_S
    return wanted.beside_s + passed_s + (wanted.pages - begun) / rate


def _at_work(wanted: Workload, passed_s: float) -> float:
    """Return how many visits there are at once, so long after the first one began."""
    begun = wanted.contexts * min(1.0, passed_s / wanted.ramp_s) if wanted.ramp_s else float(wanted.contexts)
    if wanted.first_contexts:
        steps = passed_s / CpuParams().every_s
        grown = max(wanted.first_contexts + steps, wanted.first_contexts * CONTEXTS_GROW**steps)
        begun = min(begun, grown)
    if not wanted.first_places:
        return max(1.0, begun)
    # The learner adds a place a window while the latency stays.
    learnt = len(wanted.sites) * (wanted.first_places + passed_s / PaceParams().window_s)
    return max(1.0, min(begun, learnt))


def million_pages(price: float, nodes: int, per_s: float) -> float:
    """Return the price of a million pages, from the price of a node for an hour and the rate of all nodes."""
    return price * nodes * 1_000_000 / per_s / 3600


def _fitting_contexts(wanted: Workload) -> int:
    return max(1, min(wanted.contexts, wanted.budget_bytes // wanted.context_bytes))


def _of_a_node(wanted: Workload) -> dict[str, float]:
    return {
        "contexts": wanted.contexts / wanted.took_s,
        "memory": max(1, wanted.budget_bytes // wanted.context_bytes) / wanted.took_s,
        "cpu": wanted.cores / wanted.cpu_s,
    }


def _outer(wanted: Workload) -> dict[str, float]:
    allowed, sites = wanted.allowed, wanted.sites
    limits = {
        "rate": sum_of(allowed.own_rates, allowed.rate, sites),
        "site_concurrency": sum_of(allowed.own_places, allowed.places, sites) / wanted.took_s,
        "global_rate": allowed.global_rate,
        "global_concurrency": allowed.global_places / wanted.took_s,
        "pace": wanted.pace,
        "proxies": wanted.proxies * allowed.proxy_rate,
    }
    return {name: limit for name, limit in limits.items() if limit}


def _nodes(wanted: Workload, left_s: float, of_a_node: float, outer: float) -> int:
    """Return how many nodes end in time, of which `left_s` is left for pages at the full rate."""
    if not wanted.within_s:
        return 1
    if left_s <= 0:
        return 0
    needed = wanted.pages / left_s
    # The limits of sites and proxies do not grow with the number of nodes.
    return 0 if needed > outer * (1 + 1e-9) else max(1, math.ceil(needed / of_a_node - 1e-9))


def automatic_contexts(budget_bytes: int, cores: int) -> int:
    """Return the maximum number of contexts for `--contexts auto`.

    The run begins with a few per core and adds more while all have work and the processor has time left: how many
    a machine can run depends on how long pages wait for their sites.
    """
    return max(1, min(cores * CONTEXTS_PER_CORE, budget_bytes // CONTEXT_BYTES))


def automatic_engines(contexts: int) -> int:
    """Return the number of browsers for `--engines auto`."""
    return -(-contexts // CONTEXTS_PER_ENGINE)


def first_contexts(cores: int) -> int:
    """Return the number of contexts with which `--contexts auto` begins."""
    return FIRST_PER_CORE * cores


class SizeFault(Enum):
    """Why a budget or a number of contexts is not possible."""

    ABOVE_MACHINE = auto()
    BELOW_LEAST = auto()
    MORE_THAN_MEMORY = auto()


def most_contexts(budget_bytes: int, *, is_cheap: bool = False) -> int:
    """Return the largest number of contexts that could fit; `is_cheap` says that none is a browser's."""
    each_bytes = LEAST_CHEAP_CONTEXT_BYTES if is_cheap else LEAST_CONTEXT_BYTES
    return (budget_bytes - LEAST_BUDGET_BYTES) // each_bytes + 1


def size_fault(
    budget_bytes: int, machine_bytes: int, contexts: int | None, *, is_cheap: bool = False
) -> SizeFault | None:
    """Return why a budget, or number of contexts, is not possible where there are `machine_bytes`; else None."""
    if budget_bytes > machine_bytes:
        return SizeFault.ABOVE_MACHINE
    if budget_bytes < LEAST_BUDGET_BYTES:
        return SizeFault.BELOW_LEAST
    if contexts is not None and contexts > most_contexts(budget_bytes, is_cheap=is_cheap):
        return SizeFault.MORE_THAN_MEMORY
    return None


def files_needed(contexts: int, processes: int = 1) -> int:
    """Return how many files a process of a node must be allowed to open for the node's contexts."""
    return FDS_OWN + -(-contexts // processes) * FDS_EACH


def contexts_for_files(files: int) -> int:
    """Return how many contexts a process that may open so many files can have, at least one."""
    return max(1, (files - FDS_OWN) // FDS_EACH)
