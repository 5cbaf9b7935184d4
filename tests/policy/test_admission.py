"""Admission: how many slots may work, and when each begins."""

from hypothesis import given
from hypothesis import strategies as st

from farm.policy.admission import (
    IDLE_LONGEST_S,
    OUTAGE_S,
    Admission,
    CpuParams,
    CpuState,
    LaunchSpacing,
    admit,
    cpu_step,
    idle_backoff_s,
    reserve,
    resume_delay_s,
    start_times,
)


def test_the_smallest_limit_is_admitted_and_named() -> None:
    """Of equal limits the first one is named."""
    assert admit({"contexts": 8, "memory": 3, "ramp": 5}) == Admission(3, "memory")
    assert admit({"contexts": 8, "memory": 8}) == Admission(8, "contexts")


def test_a_starved_loop_takes_slots_away_and_gives_them_back() -> None:
    """A fifth at a time, and a quarter more once it is well again."""
    params, state, limits = CpuParams(), CpuState(40), []
    for number, lag_s in enumerate((0.0, 2.0, 2.0, 0.7, 0.1, 0.1, 0.1)):
        state = cpu_step(state, 1.0, lag_s, state.limit, 40, number * 3.0, params)
        limits.append(state.limit)
    assert limits == [40, 32, 25, 25, 31, 38, 40]


def test_an_automatic_number_grows_while_the_machine_is_idle_and_the_slots_are_not() -> None:
    """It stays where one more would only wait for the processor, and where there is no work."""
    params = CpuParams(seek=True)
    busy = cpu_step(CpuState(4), 0.95, 0.0, 4, 40, 3.0, params)
    without_work = cpu_step(CpuState(4), 0.1, 0.0, 1, 40, 3.0, params)
    idle = cpu_step(CpuState(4), 0.5, 0.0, 4, 40, 3.0, params)
    assert (busy.limit, without_work.limit, idle.limit) == (4, 4, 5)


jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 200), st.floats(0.1, 100), st.data())
def test_starts_ascend_and_stay_within_the_ramp(slots: int, ramp_s: float, data: st.DataObject) -> None:
    """The first starts at once."""
    draws = data.draw(st.lists(jitters, min_size=slots, max_size=slots))
    starts = start_times(slots, ramp_s, draws)
    assert starts[0] == 0
    assert list(starts) == sorted(starts)
    assert starts[-1] <= ramp_s


@given(st.lists(jitters, min_size=40, max_size=40))
def test_no_window_of_the_ramp_has_more_than_its_share_and_one(draws: list[float]) -> None:
    """Forty starts over ten seconds: at most five in any one."""
    starts = start_times(40, 10.0, draws)
    for start in starts:
        assert sum(start <= other < start + 1.0 for other in starts) <= 5 + 1


def test_no_ramp_is_no_wait() -> None:
    """`--ramp-up 0s` starts everything at once."""
    assert start_times(3, 0.0, (0.1, 0.2, 0.3)) == (0.0, 0.0, 0.0)


@given(st.lists(jitters, min_size=40, max_size=40))
def test_what_was_lost_together_comes_back_spread(draws: list[float]) -> None:
    """Forty openings at a pace of four a second: no second has more than twice its share."""
    state, opens = LaunchSpacing(), []
    for draw in draws:
        state, wait_s = reserve(state, 100.0, 0.25, draw)
        opens.append(wait_s)
    for start in opens:
        assert sum(start <= other < start + 1.0 for other in opens) <= 8
    assert max(opens) <= 10.0


def test_what_comes_singly_does_not_wait() -> None:
    """A context that is replaced now and then is replaced at once."""
    state = LaunchSpacing()
    for moment in (0.0, 10.0, 20.0):
        state, wait_s = reserve(state, moment, 0.25, 0.99)
        assert wait_s == 0.0


def test_no_ramp_is_no_pace() -> None:
    """`--ramp-up 0s` opens everything at once."""
    assert reserve(LaunchSpacing(), 1.0, 0.0, 0.5) == (LaunchSpacing(), 0.0)


@given(st.integers(1, 500), st.floats(0.001, 60), jitters)
def test_many_ask_hardly_more_often_than_one(resting: int, expected_s: float, jitter: float) -> None:
    """Together at most three times as often, until each waits as long as anybody does."""
    each_s = idle_backoff_s(expected_s, resting, jitter)
    assert 0.01 <= each_s <= IDLE_LONGEST_S * 1.25
    at_least_s = min(expected_s * resting / 3, IDLE_LONGEST_S * 0.75)
    assert each_s >= at_least_s


@given(st.lists(jitters, min_size=40, max_size=40))
def test_slots_come_back_one_after_the_other(draws: list[float]) -> None:
    """After an outage no second has more than twice its share of them."""
    turns = [resume_delay_s(OUTAGE_S, index, 40, 10.0, jitter) for index, jitter in enumerate(draws)]
    for start in turns:
        assert sum(start <= other < start + 1.0 for other in turns) <= 8
    assert max(turns) <= 10.0


def test_a_lease_that_came_at_once_is_visited_at_once() -> None:
    """Nobody waits without an outage, whatever the spread."""
    assert resume_delay_s(OUTAGE_S - 0.1, 39, 40, 10.0, 0.9) == 0.0
