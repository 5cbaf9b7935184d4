"""When a context is replaced: by the rules, and by the evidence of its usage."""

from hypothesis import given
from hypothesis import strategies as st

from farm.model.memory import MIB
from farm.policy.recycle import ContextUsage, RecycleParams, reason_to_recycle, reason_to_replace


def test_a_context_is_recycled_for_another_site_or_after_its_pages() -> None:
    """A fresh one serves anything."""
    params = RecycleParams(pages=3)
    assert reason_to_recycle(0, None, "a", params) is None
    assert reason_to_recycle(1, "a", "a", params) is None
    assert reason_to_recycle(1, "a", "b", params) == "site"
    assert reason_to_recycle(3, "a", "a", params) == "pages"
    assert reason_to_recycle(1, "a", "a", RecycleParams(per_url=True)) == "url"


@given(st.lists(st.integers(20 * MIB, 60 * MIB), min_size=1, max_size=100))
def test_a_context_that_does_not_grow_is_not_worn(readings: list[int]) -> None:
    """However its memory moves meanwhile."""
    usage = ContextUsage(opened_at=0.0)
    for used in readings:
        usage = usage.measured(used).after(20)
    assert reason_to_replace(usage, 10.0, [20.0], RecycleParams()) is None


def test_a_context_is_worn_by_age_by_growth_and_by_slowness() -> None:
    """Each by its own evidence."""
    params = RecycleParams(age_s=100.0)
    aged = ContextUsage(0.0).measured(30 * MIB).after(20)
    grown = aged.measured(200 * MIB)
    slow = ContextUsage(0.0)
    for _ in range(8):
        slow = slow.after(900)
    assert reason_to_replace(aged, 100.0, [], params) == "age"
    assert reason_to_replace(grown, 10.0, [], params) == "memory"
    assert reason_to_replace(slow, 10.0, [30.0, 40.0, 900.0], params) == "slow"
    assert reason_to_replace(slow, 10.0, [900.0, 900.0], params) is None
