"""A simulated event loop: a reply waits for the turns that are ready before it, not for all the work of a page."""

import math
import statistics
import sys
import threading
import time
from dataclasses import replace
from random import Random

import pytest

from bench.scalecheck import LINKS, Real, alone_costs, run_costs
from bench.sim_loop import Loops, drawn_ahead
from bench.sim_terms import Costs, Shape
from bench.watch import Turns, Watched, turns_so_far

COSTS = Costs(0.04, 0.002, 0.02, 0.02, 0.2, 0.5, 5.0, 50.0, 50.0, turn_ms=0.4, wake_ms=2.0)
SHAPE = Shape(nodes=1, contexts=100, cores=2)


def loops(load: float, costs: Costs = COSTS, shape: Shape = SHAPE) -> Loops:
    """Return loops of which the first has run for such a share of 100 s."""
    made = Loops(costs, shape, Random(1))
    made.work(0, 0.0, 100 * load, 1.0)
    return made


def mean_ms(made: Loops, *, is_full: bool) -> float:
    """Return how long a reply that arrives after 100 s waits in the mean."""
    return 1000 * statistics.mean(made.read(0, 100.0, is_full=is_full) - 100.0 for _ in range(20_000))


@pytest.mark.parametrize("load", [0.0, 0.2, 0.5, 0.8])
def test_a_reply_waits_as_in_a_queue_of_turns(load: float) -> None:
    """M/M/1: the time of a turn over the share that is free, whatever there is to do for a page."""
    assert mean_ms(loops(load), is_full=False) == pytest.approx(0.4 / (1 - load), rel=0.05)


def test_a_turn_takes_longer_while_all_cores_compute() -> None:
    """Each begins with a wait for a core, in which the loop is not free either."""
    assert mean_ms(loops(0.0), is_full=True) == pytest.approx(2.4, rel=0.05)
    # It ran for a tenth of the time, and was at its turns for six tenths.
    assert mean_ms(loops(0.1), is_full=True) == pytest.approx(2.4 / (1 - 0.6), rel=0.05)


def test_the_turns_ahead_are_as_long_as_in_the_mean() -> None:
    """A moment in which all cores compute does not make a long queue."""
    made = loops(0.1)
    waits = [made.read(0, 100.0, is_full=bool(one % 2)) - 100.0 for one in range(40_000)]
    load = 0.1 * 1.4 / 0.4
    ahead_ms = 1.4 * load / (1 - load)
    assert 1000 * statistics.mean(waits[::2]) == pytest.approx(ahead_ms + 0.4, rel=0.05)
    assert 1000 * statistics.mean(waits[1::2]) == pytest.approx(ahead_ms + 2.4, rel=0.05)


def test_no_more_turns_wait_than_there_are_contexts() -> None:
    """However much a loop has to do."""
    one_each = replace(SHAPE, contexts=2, processes=2)
    assert mean_ms(loops(0.9, shape=one_each), is_full=False) == pytest.approx(0.4, rel=0.05)
    assert mean_ms(loops(0.9, shape=replace(SHAPE, contexts=4)), is_full=True) < 4 * 2.4


def test_the_work_of_a_page_is_done_in_its_order() -> None:
    """The rate is bounded by the loop: what comes meanwhile begins when it is free."""
    made = Loops(COSTS, SHAPE, Random(1))
    assert made.work(0, core=1.0, took_s=0.5, stretch=1.0) == 1.0
    assert made.work(0, core=1.0, took_s=0.5, stretch=2.0) == 2.0
    assert made.busiest(10.0) == pytest.approx(0.1)
    made.reset(10.0)
    assert made.busiest(20.0) == 0


@pytest.mark.parametrize("load", [0.0, 0.5, 1.0, 3.0])
def test_how_many_are_ahead_is_distributed_geometrically(load: float) -> None:
    """Each number is by the load as likely as the one before it."""
    draws = [drawn_ahead(load, 4, (one + 0.5) / 10_000) for one in range(10_000)]
    weights = [load**ahead for ahead in range(4)]
    for ahead, weight in enumerate(weights):
        assert draws.count(ahead) / len(draws) == pytest.approx(weight / sum(weights), abs=0.001)


def test_a_process_that_wakes_waits_for_a_core_only_where_all_compute() -> None:
    """Redis too, on the same cores."""
    made = loops(0.0)
    assert made.woken(5.0, is_full=False) == 5.0
    waits = [made.woken(5.0, is_full=True) - 5.0 for _ in range(20_000)]
    assert statistics.mean(waits) == pytest.approx(0.002, rel=0.05)


def test_turns_are_the_difference_of_what_was_counted() -> None:
    """Between two moments, by kind, the busiest first; one that was not there before counts from nought."""
    watched = Watched(names={1: "python", 2: "python", 3: "node", 4: "python"})
    early = {1: Turns(10, 1.0, 0.5), 2: Turns(10, 1.0, 0.5), 3: Turns(5, 9.0, 0.0)}
    late = {1: Turns(20, 1.5, 1.0), 2: Turns(30, 2.0, 0.5), 3: Turns(9, 19.0, 0.0), 4: Turns(1, 0.1, 0.0)}
    watched.turns = [(0.0, {}), (1.0, early), (2.0, late), (3.0, {})]
    found = watched.turns_of("python", 0.5, 2.5)
    assert [one.number for one in found] == [20, 10, 1]
    assert (found[1].ran_ms, found[1].waited_ms) == (50.0, 50.0)
    assert watched.turns_of("python", 5, 6) == []


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux counts them.")
def test_turns_are_those_of_a_real_thread() -> None:
    """A main thread that waits once more has had another turn, and has run for longer."""
    before = turns_so_far(threading.main_thread().native_id or 0)
    other = threading.Thread(target=math.factorial, args=(20_000,))
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    other.start()
    other.join()
    after = turns_so_far(threading.main_thread().native_id or 0)
    assert before is not None
    assert after is not None
    assert (after - before).number >= 1
    assert (after - before).ran_s >= 0.015
    assert turns_so_far(2**22 + 1) is None


def test_the_way_of_a_lease_is_what_is_not_simulated_of_it() -> None:
    """The turn that reads the reply and the call in Redis are in the time that a run of one context tells."""
    alone = Real(10.0, 2.0, 100.0, 2.0, 60.0, Turns(1000, 0.3, 0.1), 6.0, "")
    costs = alone_costs(COSTS, alone)
    call_ms = COSTS.pair_ms + LINKS * COSTS.link_ms + COSTS.start_ms
    assert costs.trip_ms == pytest.approx(2.0 - 0.4 - call_ms)


def test_the_costs_of_runs_are_those_of_their_loops() -> None:
    """Other Python than the loops' is a part of the rest of a page; turns are averaged over all runs."""
    runs = [
        Real(30.0, 5.0, 200.0, 2.0, 60.0, Turns(1000, 0.3, 1.0), 5.0, ""),
        Real(30.0, 5.0, 200.0, 2.0, 64.0, Turns(3000, 0.9, 5.0), 7.0, ""),
    ]
    costs = run_costs(COSTS, runs)
    assert (costs.python_ms, costs.page_ms) == (6.0, 56.0)
    assert (costs.turn_ms, costs.wake_ms) == pytest.approx((0.3, 1.5))
