"""Shares of a limit: together never more than it, and nobody waits while another does not use what it has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.policy.lending import HEADROOM, MORE, Share, is_significant, lend, raised

LEAST = 0.01
PARTS = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 12)), min_size=2, max_size=16)


def _shares(parts: list[tuple[float, float]]) -> list[Share]:
    return [Share(max(LEAST, allowed), used) for allowed, used in parts]


@given(PARTS)
def test_the_sum_is_never_more_than_the_limit(parts: list[tuple[float, float]]) -> None:
    """Whatever was used, also more than was allowed; and each keeps the least."""
    shares = _shares(parts)
    total = sum(share.allowed for share in shares)
    after = lend(total, shares, LEAST)
    assert sum(after) <= total * (1 + 1e-9)
    assert min(after) >= LEAST * (1 - 1e-9)


@given(PARTS, st.integers(0, 15))
def test_whoever_alone_wants_more_has_nearly_all_of_it_soon(
    parts: list[tuple[float, float]], at: int
) -> None:
    """Since the others use nothing; it takes some rounds, in each of which they give up half."""
    shares = _shares(parts)
    after: tuple[float, ...] = ()
    total, wanting = sum(share.allowed for share in shares), at % len(shares)
    for _ in range(40):
        after = lend(total, shares, LEAST)
        shares = [Share(part, part if place == wanting else 0.0) for place, part in enumerate(after)]
    assert after[wanting] == pytest.approx(total - LEAST * (len(shares) - 1))


@given(PARTS)
def test_those_that_all_want_more_have_the_same(parts: list[tuple[float, float]]) -> None:
    """Whatever they had."""
    shares = [Share(share.allowed, share.allowed) for share in _shares(parts)]
    total = sum(share.allowed for share in shares)
    assert lend(total, shares, LEAST) == pytest.approx([total / len(shares)] * len(shares))


def test_what_one_can_use_it_keeps() -> None:
    """With room, so that it is not lowered by what it uses."""
    after = lend(10, [Share(5, 2), Share(5, 5)], LEAST)
    assert after == (3, 7)


@pytest.mark.parametrize("counts", [(3, 4), (4, 5), (8, 10), (20, 25)])
def test_a_count_that_wavers_takes_nothing_from_the_busy_one(counts: tuple[int, int]) -> None:
    """In two seconds a few visits may begin, or one or two more: that is no sign of being held back."""
    total, window_s = 40.0, 2.0
    shares = [Share(20, 0, 1 / window_s), Share(20, 20, 1 / window_s)]
    for number in range(40):
        after = lend(total, shares, LEAST)
        shares = [
            Share(after[0], counts[number % 2] / window_s, 1 / window_s),
            Share(after[1], after[1], 1 / window_s),
        ]
        if number > 4:
            assert after[0] <= (counts[1] * HEADROOM + MORE) / window_s


def test_without_demand_nothing_moves() -> None:
    """A crawl that is paused is as it was when it goes on."""
    shares = [Share(1, 0), Share(9, 0)]
    assert lend(10, shares, LEAST) == (1, 9)
    assert not is_significant(shares, lend(10, shares, LEAST))


@given(PARTS)
def test_nobody_is_raised_by_what_others_could_not_give_up(parts: list[tuple[float, float]]) -> None:
    """Together no more than the limit; where there is room, all that was asked for."""
    kept, asked = [part for part, _ in parts], [wish for _, wish in parts]
    total = 40.0
    after = raised(total, kept, asked)
    assert sum(after) <= max(total, sum(kept)) * (1 + 1e-9)
    assert all(now >= before for now, before in zip(after, kept, strict=True))
    if sum(map(max, kept, asked)) <= total:
        assert after == pytest.approx([max(pair) for pair in zip(kept, asked, strict=True)])
