"""Ramp, admission, memory, recycling and the breaker, by their properties."""

from hypothesis import given
from hypothesis import strategies as st

from farm.policy.admission import Admission, admit
from farm.policy.breaker import Breaker, BreakerParams
from farm.policy.ramp import start_times
from farm.policy.recycle import RecycleParams, reason_to_recycle

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


def test_the_smallest_limit_is_admitted_and_named() -> None:
    """Of equal limits the first one is told."""
    assert admit({"contexts": 8, "memory": 3, "ramp": 5}) == Admission(3, "memory")
    assert admit({"contexts": 8, "memory": 8}) == Admission(8, "contexts")


def test_a_context_is_recycled_for_another_site_or_after_its_pages() -> None:
    """A fresh one serves anything."""
    params = RecycleParams(pages=3)
    assert reason_to_recycle(0, None, "a", params) is None
    assert reason_to_recycle(1, "a", "a", params) is None
    assert reason_to_recycle(1, "a", "b", params) == "site"
    assert reason_to_recycle(3, "a", "a", params) == "pages"
    assert reason_to_recycle(1, "a", "a", RecycleParams(per_url=True)) == "url"


@given(jitters)
def test_the_breaker_opens_after_failures_in_a_row(jitter: float) -> None:
    """A success closes it; each failure lengthens the pause."""
    params, breaker, pauses = BreakerParams(failures=5), Breaker(), []
    for _ in range(5):
        assert not breaker.is_open(params)
        pauses.append(breaker.pause_s(jitter, params))
        breaker = breaker.after(success=False)
    assert breaker.is_open(params)
    assert pauses == sorted(pauses)
    assert pauses[0] == 0
    assert not breaker.after(success=True).is_open(params)
