"""The simulation of many nodes keeps the laws of the real farm: nothing is lost, limits hold, queues add up."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import frontier, scale
from bench.scalechart import draw
from bench.sim import Simulation
from bench.sim_terms import Costs, Deaths, Load, Outcome, Shape, spread

COSTS = Costs(
    pair_ms=0.04,
    link_ms=0.002,
    start_ms=0.02,
    idle_ms=0.02,
    tick_ms=0.2,
    trip_ms=0.5,
    python_ms=5.0,
    page_ms=50.0,
    waits_ms=50.0,
    turn_ms=0.3,
    wake_ms=2.0,
)
CHEAP = Costs(0.04, 0.002, 0.02, 0.02, 0.0, 0.1, 0.01, 0.01, 1.0, 0.01, 0.0)
"""Pages that cost next to nothing but in Redis."""


def ran(costs: Costs, shape: Shape, load: Load, deaths: Deaths | None = None) -> tuple[Simulation, Outcome]:
    """Return a simulation that is over, and its outcome."""
    simulation = Simulation(costs, shape, load, deaths)
    return simulation, simulation.run()


@pytest.mark.parametrize("masters", [1, 4])
def test_every_url_is_done_though_nodes_die(masters: int) -> None:
    """What a dead node had is visited again, and nothing stays behind."""
    shape = Shape(nodes=4, contexts=20, cores=8, masters=masters)
    simulation, outcome = ran(COSTS, shape, Load(10_000, 200, spaced=10), Deaths(every_s=5, away_s=10))
    assert outcome.done == 10_000
    assert outcome.deaths > 5
    assert outcome.repeated > 0
    assert (sum(simulation._left), sum(simulation._flying)) == (0, 0)


def test_a_run_is_repeated_exactly() -> None:
    """One seed, one outcome."""
    shape, load = Shape(2, 10, 4, processes=2), Load(2_000, 50)
    assert ran(COSTS, shape, load)[1] == ran(COSTS, shape, load)[1]


def test_a_lease_takes_as_long_by_whatever_chance() -> None:
    """Where all cores are busy slots must not fall into step: their beginnings would decide all waits."""
    shape, load = Shape(1, 8, 0.93), Load(6_000, 1, skew=0.0, latency_s=0.0, links=40, varies=True)
    costs = [replace(COSTS, python_ms=6.1, waits_ms=waits_ms) for waits_ms in (0.0, 1.0, 2.0)]
    times = [ran(one, shape, load)[1].lease_ms for one in costs]
    assert max(times) < 1.25 * min(times)


CALL_MS = COSTS.pair_ms + 50 * COSTS.link_ms + COSTS.start_ms


@pytest.mark.parametrize(("cores", "is_beside", "wakes"), [(1000, True, 0), (1, False, 1), (1, True, 2)])
def test_a_lease_is_its_way_and_a_turn_of_the_loop(cores: int, is_beside: bool, wakes: int) -> None:
    """Where all cores compute the loop waits for one, and Redis if it is beside; for a whole page neither does."""
    costs = replace(COSTS, python_ms=1.0, page_ms=500.0)
    shape = Shape(1, 20, cores, is_beside=is_beside)
    _, outcome = ran(costs, shape, Load(4_000, 1, skew=0.0, places=20, latency_s=0.0, varies=True))
    expected_ms = costs.trip_ms + CALL_MS + costs.turn_ms + wakes * costs.wake_ms
    assert outcome.lease_ms == pytest.approx(expected_ms, rel=0.1)


def test_what_is_under_way_is_the_rate_times_the_time() -> None:
    """Little's law, of figures that are counted apart."""
    _, outcome = ran(COSTS, Shape(2, 40, 16), Load(10_000, 400))
    under_way = outcome.busy * 80
    assert outcome.pages_per_s * outcome.visit_s == pytest.approx(under_way, rel=0.05)


def test_a_site_has_no_more_visits_at_once_than_places() -> None:
    """However many contexts wait for it: its pace is the crawl's."""
    load = Load(4_000, 1, places=4, latency_sigma=0.0)
    _, outcome = ran(COSTS, Shape(2, 50, 32), load)
    assert outcome.most_at_a_site == 4
    visit_s = load.latency_s + 0.055 + 0.05
    assert outcome.pages_per_s == pytest.approx(4 / visit_s, rel=0.1)


def test_a_spacing_is_kept() -> None:
    """A hundred visits a second apart last as long as that."""
    _, outcome = ran(COSTS, Shape(1, 10, 4), Load(100, 1, spacing_s=1, spaced=1))
    assert outcome.lasts_s >= 99


@pytest.mark.parametrize("masters", [1, 4])
def test_redis_serves_one_call_after_the_other(masters: int) -> None:
    """Where nothing else takes time, the rate is what its thread can do; several masters share the work."""
    load = Load(12_000 * masters, 1_000, skew=0.0, latency_s=0.0, links=50)
    _, outcome = ran(CHEAP, Shape(20, 40, 64, masters=masters), load)
    a_call_ms = CHEAP.pair_ms + 50 * CHEAP.link_ms + CHEAP.start_ms
    assert outcome.redis > 0.8
    assert masters * 0.75 < outcome.pages_per_s * a_call_ms / 1000 <= masters * 1.01


def test_cores_bound_what_computes() -> None:
    """Two cores do as many pages as their time has."""
    _, outcome = ran(COSTS, Shape(1, 60, 2), Load(3_000, 100))
    assert outcome.pages_per_s == pytest.approx(2 / 0.055, rel=0.05)
    assert scale.binding(outcome)[0] == "cores"


def test_what_is_left_is_reckoned() -> None:
    """A tenth of a crawl says how long all of it takes, and which site is the last."""
    shape, load = Shape(2, 40, 16), Load(30_000, 400, skew=0.0)
    whole = Simulation(COSTS, shape, load).run()
    part = Simulation(COSTS, shape, load).run(4_000)
    assert part.done == 4_000
    assert part.lasts_s == pytest.approx(whole.lasts_s, rel=0.1)
    slow = Simulation(COSTS, shape, Load(30_000, 400, skew=0.0, spaced=2, spacing_s=10)).run(4_000)
    assert slow.slowest_site_s > slow.lasts_s


def test_urls_are_spread_by_zipf() -> None:
    """Every site has one, the first the most, and all are there."""
    counts = spread(10_000, 100, 1.0)
    assert (sum(counts), min(counts) >= 1, counts == sorted(counts, reverse=True)) == (10_000, True, True)
    assert counts[0] > 10 * counts[50]


def test_the_costs_of_redis_are_those_of_its_last_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one they are those that are written down."""
    results = tmp_path / "frontier.json"
    monkeypatch.setattr(frontier, "RESULTS", results)
    assert scale.measured(scale.COSTS) == scale.COSTS
    rows = [("ack + lease, redis-benchmark /s", 20_000), ("ack with 50 links, 5 new /s", 5_000)]
    results.write_text(json.dumps({"rows": [{"name": name, "value": value} for name, value in rows]}))
    costs = scale.measured(scale.COSTS)
    assert costs.pair_ms == pytest.approx(0.05)
    assert costs.link_ms == pytest.approx(0.003)


def test_the_chart_is_of_what_was_written_down() -> None:
    """A curve for each number of masters, and the farms over one Redis as marks."""
    rows = [(one, Outcome(pages_per_s=9)) for one in scale.scenarios(1000)]
    swept = [(one, Outcome(pages_per_s=100 * one.shape.nodes)) for one in scale.sweep()]
    told = json.loads(json.dumps(scale.recorded(COSTS, 1000, rows, swept)))
    drawn = scale.charted(told)
    assert drawn.count("<polyline") == 3
    assert drawn.count("<circle") == 2
    assert ">12 x 100<" in drawn


def test_the_chart_is_drawn() -> None:
    """Each curve and each mark stands inside of it."""
    drawn = draw(
        {1: [(200, 100), (4000, 900)], 4: [(200, 100), (4000, 1900)]}, [(1200, 500, "12 x 100 & more")]
    )
    root = ET.fromstring(drawn)  # noqa: S314 - it was made here
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    lines = [one.attrib["points"] for one in root.iter() if one.tag.endswith("polyline")]
    assert len(lines) == 2
    for x, y in (point.split(",") for line in lines for point in line.split()):
        assert 0 < float(x) < width
        assert 0 < float(y) < height
