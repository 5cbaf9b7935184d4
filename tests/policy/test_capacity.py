"""Little's law, in both directions."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.policy.capacity import (
    CapacityPlan,
    CrawlLimits,
    Flow,
    SizeFault,
    Workload,
    automatic_engines,
    automatic_processes,
    contexts_for_files,
    files_needed,
    million_pages,
    most_of,
    plan,
    proportional,
    shares,
    size_fault,
    steadied,
    together,
    useful_contexts,
)

MIB = 2**20
WANTED = Workload(
    pages=36_000,
    took_s=2.0,
    contexts=8,
    cores=2,
    cpu_s=0.1,
    context_bytes=200 * MIB,
    budget_bytes=6400 * MIB,
)


def planned(**changes: Any) -> CapacityPlan:
    """CapacityPlan with some changes to what is wanted."""
    return plan(replace(WANTED, **changes))


def test_a_rate_can_use_so_many_contexts() -> None:
    """A little more than L, since visits do not come evenly."""
    assert useful_contexts(10, 1.2) == 19
    assert useful_contexts(0.1, 0.1) == 2


def test_the_contexts_and_their_time_make_the_rate() -> None:
    """Eight contexts at two seconds a page: four a second."""
    made = planned()
    assert made.limits == {"contexts": 4, "memory": 16, "cpu": 20}
    assert (made.binding, made.per_s, made.lasts_s, made.nodes) == ("contexts", 4, 9000, 1)
    assert made.memory_bytes == 8 * 200 * MIB


@pytest.mark.parametrize(
    ("changes", "binding", "per_s"),
    [
        ({"allowed": CrawlLimits(rate=0.5), "sites": ["", "a", ""]}, "rate", 1.5),
        ({"allowed": CrawlLimits(rate=0.5, own_rates={"a": 0.1}), "sites": ["", "a"]}, "rate", 0.6),
        ({"allowed": CrawlLimits(own_rates={"a": 0.1}), "sites": ["a"]}, "rate", 0.1),
        ({"allowed": CrawlLimits(own_rates={"a": 0.1}), "sites": ["a", ""]}, "contexts", 4),
        ({"allowed": CrawlLimits(places=1), "sites": ["", ""]}, "site_concurrency", 1),
        ({"allowed": CrawlLimits(own_places={"*.a": 1}), "sites": ["b.a"]}, "site_concurrency", 0.5),
        ({"allowed": CrawlLimits(global_rate=2.5)}, "global_rate", 2.5),
        ({"allowed": CrawlLimits(global_places=3)}, "global_concurrency", 1.5),
        ({"allowed": CrawlLimits(proxy_rate=0.5), "proxies": 4}, "proxies", 2),
        ({"cpu_s": 1.0}, "cpu", 2),
        ({"budget_bytes": 400 * MIB}, "memory", 1),
        ({"budget_bytes": 1}, "memory", 0.5),
    ],
)
def test_the_smallest_limit_binds(changes: dict[str, Any], binding: str, per_s: float) -> None:
    """And says how long it takes."""
    made = planned(**changes)
    assert (made.binding, made.per_s) == (binding, per_s)
    assert made.lasts_s == 36_000 / per_s


@pytest.mark.parametrize(
    ("changes", "nodes"),
    [({"within_s": 9000}, 1), ({"within_s": 3000}, 3), ({"within_s": 3001}, 3), ({"within_s": 2999}, 4)],
)
def test_more_nodes_bring_more(changes: dict[str, float], nodes: int) -> None:
    """As many as it takes."""
    assert planned(**changes).nodes == nodes


def test_no_number_of_nodes_moves_what_belongs_to_the_sites() -> None:
    """Unless it is enough."""
    assert planned(within_s=3600, allowed=CrawlLimits(global_rate=9)).nodes == 0
    assert planned(within_s=3600, allowed=CrawlLimits(global_rate=10)).nodes == 3


def test_a_run_lasts_longer_than_its_pages() -> None:
    """By its start-up, and by half of the time over which its contexts begin: 8 contexts, 4 pages a second."""
    assert planned(pages=400, beside_s=3.0).lasts_s == 103
    assert planned(pages=400, ramp_s=20.0).lasts_s == pytest.approx(110, abs=1)
    # Fewer pages than come while contexts begin: 10 s bring 4 * 10 ** 2 / (2 * 20).
    assert planned(pages=10, ramp_s=20.0).lasts_s == pytest.approx(10, abs=1)
    made = planned(pages=400, beside_s=3.0, ramp_s=20.0)
    assert (made.per_s, made.binding) == (4, "contexts")


def test_few_contexts_bring_more_each_where_the_processor_is_shared() -> None:
    """The rate of all of them is there once half of them are at work, if each is twice as fast until then."""
    assert planned(pages=400, ramp_s=20.0, alone_s=1.0).lasts_s == pytest.approx(105, abs=1)


def test_contexts_whose_number_is_automatic_begin_with_a_few() -> None:
    """A quarter more every two seconds, one at least: 4 are 40 after some 21 s, where the ramp is shorter."""
    made = planned(contexts=40, cores=99, pages=4000, budget_bytes=64 * 2**30, first_contexts=4, ramp_s=10.0)
    given = planned(contexts=40, cores=99, pages=4000, budget_bytes=64 * 2**30, ramp_s=10.0)
    assert given.lasts_s == pytest.approx(205, abs=1)
    # Of 20.6 s in which they grow from 4 to 40 they bring (40 - 4) / ln(1.25) * 2 / 2 pages, not 20.6 * 20.
    assert made.lasts_s == pytest.approx(200 + 20.6 - 36 / math.log(1.25) / 20, abs=1)


def test_sites_are_visited_a_few_times_at_once_at_first() -> None:
    """One more every three seconds: 40 contexts have work after 96 s at one site, at once at five."""
    one = planned(contexts=40, cores=99, pages=4000, budget_bytes=64 * 2**30, first_places=8)
    assert one.per_s == 20
    # Of 96 s in which the rate grows from 4 to 20 a second two fifths are lost.
    assert one.lasts_s == pytest.approx(4000 / 20 + 96 * 0.4, abs=2)
    five = planned(
        contexts=40, cores=99, pages=4000, budget_bytes=64 * 2**30, first_places=8, sites=["", "", "", "", ""]
    )
    assert five.lasts_s == 200


def test_what_sites_have_throttled_binds_however_many_nodes_there_are() -> None:
    """The rate that was learnt of them."""
    made = planned(pace=1.5)
    assert (made.binding, made.per_s) == ("pace", 1.5)
    assert planned(pace=1.5, within_s=3600).nodes == 0


def test_the_time_to_end_within_includes_the_start() -> None:
    """Where it leaves nothing, no number of nodes is enough."""
    assert planned(within_s=9000, beside_s=10).nodes == 2
    assert planned(within_s=9, beside_s=10).nodes == 0


@given(
    pages=st.integers(1, 10**7),
    ramp_s=st.floats(0, 1000),
    few=st.integers(0, 8),
    first=st.integers(0, 8),
    contexts=st.integers(1, 500),
    took_s=st.floats(0.01, 100),
)
def test_a_plan_never_promises_more_than_its_rate(
    pages: int, ramp_s: float, few: int, first: int, contexts: int, took_s: float
) -> None:
    """Whatever begins how slowly; and it always ends."""
    slow = {"ramp_s": ramp_s, "first_contexts": few, "first_places": first}
    made = planned(pages=pages, contexts=contexts, took_s=took_s, **slow)
    assert pages / made.per_s <= made.lasts_s * (1 + 1e-9)
    assert math.isfinite(made.lasts_s)


def test_flows_of_nodes_are_one() -> None:
    """The time is weighted by the visits."""
    both = together([Flow(3, 1.0, 3.0), Flow(1, 3.0, 3.5)])
    assert (both.per_s, both.took_s, both.under_way) == (4, 1.5, 6.5)
    assert together([]) == Flow()


@pytest.mark.parametrize(
    ("crawls", "sites", "most"),
    [(0, 3, 0), (1.0, 3, 3.0 + 4.0), (1.0, 1, 5.0), (7.0, 2, 14.0)],
)
def test_no_more_contexts_are_of_use_than_all_sites_together_bear(
    crawls: float, sites: int, most: float
) -> None:
    """Those that have a limit of their own count as if they were there, where it is the greater one."""
    assert most_of({"a.example": 5.0, "b.example": 0.1}, crawls, sites) == pytest.approx(most)
    assert most_of({"*.example": 4}, 2, 3) == 12


def test_a_limit_is_raised_at_once_and_lowered_by_much() -> None:
    """What lies in between would close contexts only to open them again."""
    assert [steadied(now, 10) for now in (12, 9, 7, 6)] == [12, 10, 10, 6]
    assert steadied(3, None) == 3


@pytest.mark.parametrize(
    ("budget_mib", "contexts", "found"),
    [
        (1025, None, SizeFault.ABOVE_MACHINE),
        (1024, None, None),
        (383, None, SizeFault.BELOW_LEAST),
        (384, 1, None),
        (384, 2, SizeFault.MORE_THAN_MEMORY),
        (1024, 41, None),
        (1024, 42, SizeFault.MORE_THAN_MEMORY),
    ],
)
def test_what_a_machine_of_one_gibibyte_cannot_be_asked_for(
    budget_mib: int, contexts: int | None, found: SizeFault | None
) -> None:
    """The first reason is the one to mend first."""
    assert size_fault(budget_mib * 2**20, 2**30, contexts) is found


@given(st.integers(128, 2**16), st.integers(1, 64))
def test_the_contexts_that_files_suffice_for_are_the_most(files: int, processes: int) -> None:
    """One more for each process would need more; fewer than one there are never."""
    contexts = contexts_for_files(files)
    assert files_needed(contexts) <= files < files_needed(contexts + 1)
    assert files_needed(processes * contexts, processes) == files_needed(contexts)
    assert contexts_for_files(127) == contexts_for_files(0) == 1


def test_so_many_contexts_share_an_engine() -> None:
    """An engine that is begun is needed."""
    assert [automatic_engines(contexts) for contexts in (1, 20, 21, 40)] == [1, 1, 2, 2]


def test_a_node_has_a_process_for_eight_cores() -> None:
    """But no more than contexts, and none without memory for a browser with some pages."""
    large = 64 * 2**30
    assert [automatic_processes(cores, 400, large) for cores in (1, 8, 9, 64)] == [1, 1, 2, 8]
    assert automatic_processes(64, 3, large) == 3
    assert automatic_processes(64, 400, 2 * 2**30) == 2
    assert automatic_processes(64, 400, 0) == 1


def test_a_number_in_parts_loses_nothing() -> None:
    """The parts differ by one at most."""
    assert shares(7, 3) == [3, 2, 2]
    assert shares(4, 4) == [1, 1, 1, 1]
    assert sum(shares(1000, 7)) == 1000


@given(total=st.integers(0, 500), weights=st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_parts_by_weight_are_the_whole(total: int, weights: list[int]) -> None:
    """Each is its share, rounded; where nobody is to have more than his weight, nobody has."""
    parts = proportional(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) < 1
        assert total > sum(weights) or part <= weight


@pytest.mark.parametrize(
    ("price", "nodes", "per_s", "cost"), [(0.36, 1, 100.0, 1.0), (0.36, 1, 10.0, 10.0), (0.36, 4, 40.0, 10.0)]
)
def test_a_million_pages_cost_what_the_nodes_cost_meanwhile(
    price: float, nodes: int, per_s: float, cost: float
) -> None:
    """So many hours of so many nodes."""
    assert million_pages(price, nodes, per_s) == pytest.approx(cost)
