"""The benchmark of the frontier gives its scripts what the farm gives them."""

import re

from bench.frontier import ARGUMENTS
from tests.tree import ROOT


def test_an_ack_is_given_all_its_arguments() -> None:
    """Its first is the time; links would follow behind the last one."""
    head = (ROOT / "farm/frontier/lua/ack.lua").read_text().partition("-- Returns:")[0]
    last = max(
        int(number) for number in re.findall(r"(?<![.\d])(\d+)(?= [a-z'\d])", head.partition("ARGV:")[2])
    )
    assert f"{last} how many fingerprints" in head
    assert len(ARGUMENTS) == last - 1
