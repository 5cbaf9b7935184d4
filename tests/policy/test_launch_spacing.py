"""Openings after the ramp, the processor's limit, and a context's wear."""

from hypothesis import given
from hypothesis import strategies as st

from farm.policy import cpu
from farm.policy.launch_spacing import LaunchSpacing, reserve
from farm.policy.recycle import MIB, RecycleParams, Wear, worn

jitters = st.floats(0, 1, exclude_max=True)


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


def test_a_starved_loop_takes_slots_away_and_gives_them_back() -> None:
    """A fifth at a time, and a quarter more once it is well again."""
    params, state, limits = cpu.CpuParams(), cpu.CpuState(40), []
    for number, lag_s in enumerate((0.0, 2.0, 2.0, 0.7, 0.1, 0.1, 0.1)):
        state = cpu.step(state, 1.0, lag_s, state.limit, 40, number * 3.0, params)
        limits.append(state.limit)
    assert limits == [40, 32, 25, 25, 31, 38, 40]


def test_an_automatic_number_grows_while_the_machine_is_idle_and_the_slots_are_not() -> None:
    """It stays where one more would only wait for the processor, and where there is no work."""
    params = cpu.CpuParams(seek=True)
    busy = cpu.step(cpu.CpuState(4), 0.95, 0.0, 4, 40, 3.0, params)
    without_work = cpu.step(cpu.CpuState(4), 0.1, 0.0, 1, 40, 3.0, params)
    idle = cpu.step(cpu.CpuState(4), 0.5, 0.0, 4, 40, 3.0, params)
    assert (busy.limit, without_work.limit, idle.limit) == (4, 4, 5)


@given(st.lists(st.integers(20 * MIB, 60 * MIB), min_size=1, max_size=100))
def test_a_context_that_does_not_grow_is_not_worn(readings: list[int]) -> None:
    """However its memory moves meanwhile."""
    wear = Wear(opened_at=0.0)
    for used in readings:
        wear = wear.measured(used).after(20)
    assert worn(wear, 10.0, [20.0], RecycleParams()) is None


def test_a_context_is_worn_by_age_by_growth_and_by_slowness() -> None:
    """Each by its own evidence."""
    params = RecycleParams(age_s=100.0)
    aged = Wear(0.0).measured(30 * MIB).after(20)
    grown = aged.measured(200 * MIB)
    slow = Wear(0.0)
    for _ in range(8):
        slow = slow.after(900)
    assert worn(aged, 100.0, [], params) == "age"
    assert worn(grown, 10.0, [], params) == "memory"
    assert grown.bytes_per_page == 170 * MIB
    assert worn(slow, 10.0, [30.0, 40.0, 900.0], params) == "slow"
    assert worn(slow, 10.0, [900.0, 900.0], params) is None
