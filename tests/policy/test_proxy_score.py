"""When a proxy goes out, when it is tried again, and what brings it back."""

import pytest

from farm.policy.proxy_score import (
    PAIR_WEIGHTS,
    PROXY_WEIGHTS,
    Health,
    Outcome,
    ProxyState,
    ScoreParams,
    adopt_ban,
    step,
)

PARAMS = ScoreParams()
GOOD, DOWN = PROXY_WEIGHTS[Outcome.GOOD], PROXY_WEIGHTS[Outcome.DOWN]


def after(health: Health, *weights: float, now: float = 0.0) -> Health:
    """Return the health after outcomes at one moment."""
    for weight in weights:
        health = step(health, weight, 100.0 if weight == 0 else None, now, PARAMS)
    return health


def test_three_failures_in_a_row_end_it_whatever_was_before() -> None:
    """A thousand successes do not keep a dead proxy in for a fourth failure."""
    health = after(Health(), *[GOOD] * 1000, DOWN, DOWN)
    assert health.state(0) is ProxyState.AVAILABLE
    assert after(health, DOWN).state(0) is ProxyState.BANNED


def test_a_success_in_between_begins_the_row_anew() -> None:
    """Two failures, a success, two failures: still in, though with a worse score."""
    health = after(Health(), DOWN, DOWN, GOOD, DOWN, DOWN)
    assert health.state(0) is ProxyState.AVAILABLE
    assert health.score(0, PARAMS) < after(Health(), GOOD).score(0, PARAMS)


def test_it_is_tried_again_after_its_cooldown_and_a_success_brings_it_back() -> None:
    """Out, on trial, free."""
    health = after(Health(), DOWN, DOWN, DOWN)
    assert health.state(59.9) is ProxyState.BANNED
    assert health.state(60) is ProxyState.ON_TRIAL
    back = after(health, GOOD, now=61)
    assert back.state(61) is ProxyState.AVAILABLE
    assert back.bans == 0


def test_a_failed_trial_doubles_the_cooldown_up_to_an_hour() -> None:
    """One failure is enough on trial."""
    health, now, lengths = after(Health(), DOWN, DOWN, DOWN), 0.0, []
    for _ in range(9):
        lengths.append(health.banned_until - now)
        now = health.banned_until
        health = after(health, DOWN, now=now)
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_what_was_under_way_when_it_went_out_changes_nothing() -> None:
    """Neither a late failure nor a late success."""
    health = after(Health(), DOWN, DOWN, DOWN)
    assert after(health, DOWN, GOOD, now=30) == health


def test_one_block_ends_a_pair() -> None:
    """A captcha is meant for the address."""
    assert after(Health(), PAIR_WEIGHTS[Outcome.BLOCKED]).state(0) is ProxyState.BANNED
    doubted = PAIR_WEIGHTS[Outcome.DOUBTED]
    assert after(Health(), *[doubted] * 5).state(0) is ProxyState.AVAILABLE
    assert after(Health(), *[doubted] * 6).state(0) is ProxyState.BANNED


def test_counts_fade() -> None:
    """Old failures weigh less, and the score of who was not used goes back to the middle."""
    health = after(Health(), DOWN, DOWN)
    assert health.score(0, PARAMS) == pytest.approx(0.25)
    assert health.score(10_000, PARAMS) == pytest.approx(0.5, abs=0.01)


def test_slow_proxies_score_less() -> None:
    """At the same share of successes."""
    fast = step(Health(), GOOD, 100, 0, PARAMS)
    slow = step(Health(), GOOD, 5_000, 0, PARAMS)
    assert slow.score(0, PARAMS) < fast.score(0, PARAMS)


def test_what_other_nodes_have_found_counts() -> None:
    """The later end of two bans."""
    health = adopt_ban(Health(), 100.0, 2)
    assert health.state(99) is ProxyState.BANNED
    assert adopt_ban(health, 50.0, 1) == health
