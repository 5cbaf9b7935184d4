"""The benchmark of the frontier gives its scripts what the farm gives them."""

import re

import pytest

from bench import frontier_sizes
from bench.frontier import ARGUMENTS, started
from tests.tree import ROOT


def test_an_ack_is_given_all_its_arguments() -> None:
    """Its first is the time; links would follow behind the last one."""
    head = (ROOT / "farm/frontier/lua/ack.lua").read_text().partition("-- Returns:")[0]
    last = max(
        int(number) for number in re.findall(r"(?<![.\d])(\d+)(?= [a-z'\d])", head.partition("ARGV:")[2])
    )
    assert f"{last} how many fingerprints" in head
    assert len(ARGUMENTS) == last - 1


async def test_leases_and_audits_are_measured_by_the_size_of_the_crawl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a real Redis: each way of spreading the URLs has its times, its ratios and its audits."""
    monkeypatch.setattr(frontier_sizes, "ROUNDS", 1)
    monkeypatch.setattr(frontier_sizes, "PAIRS", 100)
    async with started() as ground:
        rows = await frontier_sizes.measured(ground, [3_000, 1_500])
    names = [name.strip() for name, _, _ in rows]
    for way in frontier_sizes.TENTHS:
        for size in ("1,500", "3,000"):
            assert f"ack + lease, {size} URLs {way}, median, µs" in names
            assert f"audit of {size} URLs {way}, s" in names
    assert [aim for _, _, aim in rows].count("<= 1.15") == 4
    assert [aim for _, _, aim in rows].count("<= 50") == 4
    assert all(value > 0 for _, value, _ in rows)


def test_a_ratio_is_of_one_round() -> None:
    """What slows a machine down slows both sizes down: only the median of the rounds' ratios is told."""
    times = {("flat", 1): [(10.0, 20.0), (30.0, 60.0)], ("flat", 2): [(11.0, 30.0), (33.0, 90.0)]}
    rows = frontier_sizes.rows_of(times)
    assert [round(value, 6) for name, value, _ in rows if "smallest" in name] == [1.1, 1.5]
