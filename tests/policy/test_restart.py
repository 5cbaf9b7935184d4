"""When a process that died is replaced."""

from farm.policy.retry import LONGEST_PAUSE_S, WELL_S, RestartState, after_death


def test_the_first_death_is_replaced_at_once_and_the_next_ones_ever_later() -> None:
    """Up to a bound, however often."""
    state, pauses = RestartState(), []
    for _ in range(9):
        state, pause_s = after_death(state, lived_s=1.0)
        pauses.append(pause_s)
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert after_death(RestartState(10_000), 1.0)[1] == LONGEST_PAUSE_S


def test_a_process_that_lived_long_did_not_die_of_its_start() -> None:
    """Its successor begins at once, and the count anew."""
    assert after_death(RestartState(5), WELL_S) == (RestartState(1), 0.0)
    assert after_death(RestartState(5), WELL_S - 1.0)[1] > 0
