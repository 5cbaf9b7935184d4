"""Applications of one document, whose pages are `#/` addresses."""

from pathlib import Path

import pytest

from fixtures.shop import Shop
from fixtures.shop.faults.routed import CONTENT, ROUTED
from tests.e2e.farm_process import crawl

EIGHT = 8


def test_the_routes_of_an_application_are_pages_where_it_routes_by_them(shop: Shop, out: Path) -> None:
    """Each once, whatever is written behind it, with its content; links that open a part of a page are none."""
    others = ("api", "plain")
    seeds = [shop.at(f"/faults/routed-{name}") for name in (*ROUTED, *others)]
    done = crawl(out, *seeds, hash_routes="auto").finish()
    assert done.code == 0, done.output
    shown = {record["url"]: record["text"] for record in done.records}
    expected = {f"{seed}{route}" for seed in seeds[: len(ROUTED)] for route in CONTENT} | set(seeds)
    assert set(shown) == expected
    for seed in seeds[: len(ROUTED)]:
        for route, content in CONTENT.items():
            assert content in shown[f"{seed}{route}"]
    assert {record["duplicate_of"] for record in done.records} == {None}
    assert done.summary["recycled"]["contexts"] == 0
    assert "were not visited" not in done.output


def test_routes_that_show_the_same_are_left_after_three(shop: Shop, out: Path) -> None:
    """They are recorded as duplicates, and the others skipped; what was under way is still recorded."""
    seed = shop.at("/faults/routed-same")
    done = crawl(out, seed, hash_routes="auto", contexts="1").finish()
    assert done.code == 0, done.output
    first, *repeats = done.records
    assert (first["url"], first["duplicate_of"]) == (seed, None)
    assert len(repeats) == 3
    assert {record["duplicate_of"] for record in repeats} == {seed}
    skipped = [skip["url"] for skip in done.skips if skip["reason"] == "duplicate_content"]
    assert len(set(skipped) | {record["url"] for record in repeats}) == EIGHT
    assert done.output.count("shows the same at all its #/ addresses") == 1


@pytest.mark.parametrize("flags", [[], ["--hash-routes"]])
def test_routes_that_are_no_pages_are_told(shop: Shop, out: Path, flags: list[str]) -> None:
    """With what would visit them; the flag alone visits all, as they are written."""
    seed = shop.at("/faults/routed-docs")
    done = crawl(out, *flags, seed).finish()
    assert done.code == 0, done.output
    sentence = "has 2 pages behind #/ addresses that were not visited; --hash-routes auto visits them"
    if flags:
        # The list twice, and the guide with each of its anchors.
        assert len(done.records) == 1 + 2 + 3 + 1
        assert "were not visited" not in done.output
    else:
        assert done.urls == [seed]
        assert sentence in done.output
