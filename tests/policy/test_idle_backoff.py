"""When slots ask again, and when they come back after an outage."""

from hypothesis import given
from hypothesis import strategies as st

from farm.policy.idle_backoff import IDLE_LONGEST_S, OUTAGE_S, ask_again_s, come_back_s

jitters = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 500), st.floats(0.001, 60), jitters)
def test_many_ask_hardly_more_often_than_one(resting: int, expected_s: float, jitter: float) -> None:
    """Together at most three times as often, until each waits as long as anybody does."""
    each_s = ask_again_s(expected_s, resting, jitter)
    assert 0.01 <= each_s <= IDLE_LONGEST_S * 1.25
    at_least_s = min(expected_s * resting / 3, IDLE_LONGEST_S * 0.75)
    assert each_s >= at_least_s


@given(st.lists(jitters, min_size=40, max_size=40))
def test_slots_come_back_one_after_the_other(draws: list[float]) -> None:
    """After an outage no second has more than twice its share of them."""
    turns = [come_back_s(OUTAGE_S, index, 40, 10.0, jitter) for index, jitter in enumerate(draws)]
    for start in turns:
        assert sum(start <= other < start + 1.0 for other in turns) <= 8
    assert max(turns) <= 10.0


def test_a_lease_that_came_at_once_is_visited_at_once() -> None:
    """Nobody waits without an outage, whatever the spread."""
    assert come_back_s(OUTAGE_S - 0.1, 39, 40, 10.0, 0.9) == 0.0
