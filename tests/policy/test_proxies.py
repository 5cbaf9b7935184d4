"""Proxies: when one goes out and comes back, and which one a slot takes."""

from collections import Counter
from typing import get_args

import pytest

from farm.policy.proxies import (
    PAIR_WEIGHTS,
    PROXY_WEIGHTS,
    Candidate,
    Health,
    Outcome,
    ProxyState,
    Rotation,
    ScoreParams,
    adopt_ban,
    choose,
    choose_for_site,
    depends_on_site,
    keeps_proxy,
    step,
)
from farm.settings.commands import RunSettings

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


LABELS = ("a", "b", "c")


@pytest.mark.parametrize(
    ("rotation", "pages", "keeps"),
    [
        (Rotation.CONTEXT, 0, True),
        (Rotation.CONTEXT, 4, True),
        (Rotation.CONTEXT, 5, False),
        (Rotation.PAGE, 0, True),
        (Rotation.PAGE, 1, False),
        (Rotation.SITE, 500, True),
    ],
)
def test_a_slot_keeps_its_proxy_as_the_rotation_says(rotation: Rotation, pages: int, keeps: bool) -> None:
    """A context of five pages; a proxy that has served nothing yet is kept by every rotation."""
    assert keeps_proxy(rotation, pages, 5) is keeps


@pytest.mark.parametrize("rotation", Rotation)
def test_every_rotation_has_its_rules(rotation: Rotation) -> None:
    """A member without rules would be a rotation that fails on the first page."""
    assert keeps_proxy(rotation, 0, 1) is True
    assert depends_on_site(rotation) is (rotation is Rotation.SITE)
    assert choose(rotation, dict.fromkeys(LABELS, Candidate(0, 0))) in LABELS
    assert rotation.meaning in str(RunSettings.model_fields["proxy_rotation"].description)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Candidate(3, 9, has_due_trial=True, is_suspect=True, is_poor=True), Candidate(0, 0)),
        (Candidate(3, 9, is_poor=True), Candidate(0, 0, is_suspect=True)),
        (Candidate(1, 9, is_poor=True), Candidate(2, 0)),
        (Candidate(1, 9), Candidate(1, 0, is_poor=True)),
        (Candidate(1, 3), Candidate(1, 4)),
    ],
    ids=["a due trial", "no recent failure", "fewer users", "a good score", "used longest ago"],
)
def test_what_decides_between_two_proxies(better: Candidate, worse: Candidate) -> None:
    """In this order."""
    for labels in (("better", "worse"), ("worse", "better")):
        known = {"better": better, "worse": worse}
        assert choose(Rotation.CONTEXT, {label: known[label] for label in labels}) == "better"


def test_by_page_the_proxies_take_turns_whoever_uses_them() -> None:
    """The number of users does not count where each page takes another proxy."""
    known = {"a": Candidate(0, 2), "b": Candidate(5, 1)}
    assert choose(Rotation.PAGE, known) == "b"


def test_a_site_keeps_its_proxy_when_another_one_goes() -> None:
    """Only the sites of the proxy that went take another one, and all proxies get sites."""
    sites = [f"shop{number}.example" for number in range(200)]
    before = {site: choose_for_site(site, LABELS) for site in sites}
    after = {site: choose_for_site(site, LABELS[:2]) for site in sites}
    assert min(Counter(before.values()).values()) > 30
    assert {site for site in sites if before[site] != after[site]} == {
        site for site in sites if before[site] == "c"
    }


def test_the_option_takes_every_rotation() -> None:
    """The settings declare no list of their own."""
    annotation = RunSettings.model_fields["proxy_rotation"].annotation
    assert annotation is Rotation, get_args(annotation)
