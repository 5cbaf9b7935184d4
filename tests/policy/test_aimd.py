"""The controller of a site's pace, against hundreds of origins with a hidden capacity, on a manual clock."""

from random import Random

import pytest

from farm.policy.aimd import PaceParams, Sample, blocked, delivered_per_s, start, step
from tests.policy.origin import Farm, Origin

PARAMS = PaceParams(most=30)


def varied(seed: int) -> Farm:
    """Make an origin and a farm that differ in everything."""
    random = Random(seed)
    rate = 12.0 if seed % 4 == 0 else random.uniform(3, 25)
    origin = Origin(rate, latency_s=random.uniform(0.05, 0.5), retry_after_s=random.choice([0.5, 1.0, 3.0]))
    return Farm(origin, seed, params=PARAMS)


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_a_hidden_rate_is_found_and_kept(first: int) -> None:
    """After a minute most of it is used, and few visits are refused, whatever the origin."""
    for seed in range(first, first + 25):
        farm = varied(seed)
        farm.run(150)
        per_s, refused = farm.between(60, 150)
        bears = min(farm.origin.rate, 30 / (farm.origin.latency_s + farm.work_s))
        assert 0.7 * bears <= per_s <= 1.02 * bears, (seed, per_s, bears)
        assert refused < 0.02, (seed, refused)


@pytest.mark.parametrize("seed", range(0, 32, 4))
def test_twelve_a_second_are_used_to_four_fifths_within_a_minute(seed: int) -> None:
    """By the second half of it; halved, it is respected in 15 s, and doubled again found in 60."""
    farm = varied(seed)
    farm.run(120)
    per_s, refused = farm.between(40, 120)
    assert 0.8 * 12 <= per_s <= 12.2
    assert refused < 0.02
    farm.origin.rate = 6
    farm.run(75)
    per_s, refused = farm.between(135, 195)
    assert refused < 0.02
    assert per_s >= 0.7 * 6
    farm.origin.rate = 12
    farm.run(75)
    assert farm.between(250, 270)[0] >= 0.8 * 12, farm.between(250, 270)


@pytest.mark.parametrize("per_second", [3, 6, 12])
def test_what_a_site_takes_in_any_second_is_found_from_its_first_refusals(per_second: int) -> None:
    """Over 260 pages, the start included, 70 % of it is used, with few refusals after the first burst."""
    for seed in range(12):
        farm = Farm(Origin(per_second=per_second, retry_after_s=2.0), seed, contexts=8, params=PARAMS)
        while sum(status == 200 for _, status in farm.arrivals) < 260:
            farm.run(0.5)
        answered = [at for at, status in farm.arrivals if status == 200]
        refusals = [at for at, status in farm.arrivals if status == 429]
        bears = min(per_second, 8 / (farm.origin.latency_s + farm.work_s))
        assert 260 / (answered[-1] - answered[0]) >= 0.7 * bears, seed
        assert len([at for at in refusals if at > 1]) <= 5, (seed, refusals)


@pytest.mark.parametrize("knee", [4, 6, 8, 10, 15, 20])
def test_in_flight_settles_at_the_knee_of_the_latency(knee: int) -> None:
    """Within a quarter of it, from wherever it began."""
    farm = Farm(Origin(knee=knee, latency_s=0.4), contexts=60, params=PaceParams(most=60), work_s=0.05)
    farm.run(120)
    settled = []
    for _ in range(120):
        farm.run(1)
        settled.append(len(farm.ends))
    assert 0.75 * knee <= sorted(settled)[60] <= 1.25 * knee
    late = sorted(end - began - 0.05 for end, began, _, _ in farm.ends)
    assert late[-1] < 1.5 * 0.44


def test_the_farms_own_slowness_cuts_nothing() -> None:
    """A busy machine makes every latency five times as long; the site is not to blame."""
    farm = Farm(Origin(latency_s=0.2), params=PARAMS)
    farm.run(60)
    limit, baseline = farm.pace.limit, farm.pace.baseline_ms
    farm.overloaded = True
    farm.run(60)
    assert farm.pace.limit >= limit - 1
    assert farm.pace.baseline_ms == baseline


def test_a_burst_of_refusals_cuts_once() -> None:
    """Visits that were granted before the cut say nothing about it."""
    pace = start(PARAMS)
    good = [Sample(t / 10, t / 10 + 0.2, 200, 200) for t in range(100)]
    pace = step(pace, good, 8, 10.0, PARAMS)
    burst = [Sample(9.9, 10.1 + n / 100, 429, 5) for n in range(30)]
    cut = step(pace, burst[:1], 8, 10.2, PARAMS)
    assert 7 < cut.rate < 9.5
    same = step(cut, burst[1:], 8, 10.5, PARAMS)
    assert same.rate == pytest.approx(cut.rate, rel=0.02)
    assert same.refused == 30


def test_what_the_site_asks_to_wait_is_no_time_of_growth() -> None:
    """The curve begins when the site may be visited again."""
    pace = start(PARAMS)
    pace = step(pace, [Sample(t / 10, t / 10, 200, 100) for t in range(100)], 8, 10, PARAMS)
    pace = blocked(step(pace, [Sample(9.9, 10, 503, 5)], 8, 10, PARAMS), 3610)
    assert step(pace, [], 0, 3600, PARAMS).rate == pace.rate


def test_nothing_grows_that_is_not_used() -> None:
    """Neither the limit nor the rate: whether the site would serve more is unknown."""
    farm = Farm(Origin(latency_s=0.2), contexts=3, params=PARAMS)
    farm.run(120)
    assert farm.pace.limit == PARAMS.first
    farm = Farm(Origin(rate=12), params=PARAMS)
    farm.run(100)
    farm.contexts, farm.origin.rate = 1, 0
    farm.run(10)
    rate = farm.pace.rate
    farm.run(300)
    assert farm.pace.rate < 1.5 * rate


def test_visits_that_fail_cut_the_limit() -> None:
    """Resets and errors are how some sites say that it is too much."""
    pace = start(PARAMS)
    for second in range(0, 40, 4):
        samples = [Sample(second, second + 1, 0 if n % 3 == 0 else 200, 100) for n in range(12)]
        pace = step(pace, samples, 8, second + 4.0, PARAMS)
    assert pace.limit <= 2


def test_a_ceiling_is_never_exceeded() -> None:
    """The user's rate."""
    farm = Farm(Origin(rate=12), params=PaceParams(ceiling=5))
    farm.run(200)
    assert farm.pace.rate <= 5
    assert delivered_per_s(farm.pace, farm.now) < 12


@pytest.mark.parametrize("ceiling", [0.5, 1.5, 8.0])
@pytest.mark.parametrize("served", [0, 100])
def test_no_rate_is_above_what_the_user_allows(ceiling: float, served: int) -> None:
    """Neither the first after a 429, whatever the site served before, nor a later one."""
    params = PaceParams(ceiling=ceiling)
    good = [Sample(t / 10, t / 10 + 0.2, 200, 200) for t in range(served)]
    end = served / 10
    pace = step(start(params), [*good, Sample(end, end, 429, 5)], 8, end, params)
    rates = [pace.rate]
    for second in range(1, 60):
        now = end + second
        pace = step(pace, [Sample(now - 0.5, now, 429 if second == 40 else 200, 200)], 8, now, params)
        rates.append(pace.rate)
    assert min(rates) > 0
    assert max(rates) <= ceiling
