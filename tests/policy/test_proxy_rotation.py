"""Rotations: when a slot takes another proxy, and which one it takes."""

from collections import Counter
from typing import get_args

import pytest

from farm.policy.proxy_rotation import Candidate, Rotation, choose, depends_on_site, keeps_proxy
from farm.settings.commands import RunSettings

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
    assert choose(rotation, LABELS, "shop.example", lambda _: Candidate(0, 0)) in LABELS


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
        assert choose(Rotation.CONTEXT, labels, "shop.example", known.__getitem__) == "better"


def test_by_page_the_proxies_take_turns_whoever_uses_them() -> None:
    """The number of users does not count where each page takes another proxy."""
    known = {"a": Candidate(0, 2), "b": Candidate(5, 1)}
    assert choose(Rotation.PAGE, ("a", "b"), None, known.__getitem__) == "b"


def test_a_site_keeps_its_proxy_when_another_one_goes() -> None:
    """Only the sites of the proxy that went take another one, and all proxies get sites."""

    def unused(label: str) -> Candidate:
        raise AssertionError(label)

    sites = [f"shop{number}.example" for number in range(200)]
    before = {site: choose(Rotation.SITE, LABELS, site, unused) for site in sites}
    after = {site: choose(Rotation.SITE, LABELS[:2], site, unused) for site in sites}
    assert min(Counter(before.values()).values()) > 30
    assert {site for site in sites if before[site] != after[site]} == {
        site for site in sites if before[site] == "c"
    }


def test_the_option_takes_every_rotation() -> None:
    """The settings declare no list of their own."""
    annotation = RunSettings.model_fields["proxy_rotation"].annotation
    assert annotation is Rotation, get_args(annotation)
