"""How many slots may work: the smallest limit, and that of the processor."""

from farm.policy.admission import Admission, CpuParams, CpuState, admit, cpu_step


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
