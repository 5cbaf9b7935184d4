"""A crawl is opened with what its settings ask of every lease."""

from pathlib import Path
from typing import Any

import pytest

from farm.app.place import open_place
from farm.app.preflight import preflight
from farm.model.task import Idle, Lease, LeaseRequest
from farm.runtime.warden import Warden
from farm.settings.commands import RunSettings

SEEDS = ("http://a.example/1", "http://a.example/2", "http://b.example/1", "http://b.example/2")


async def _sites(folder: Path, **settings: Any) -> list[str]:
    """Open a crawl of two sites and return where four slots that ask at once may go."""
    warden = Warden()
    try:
        plan = preflight(RunSettings(urls=SEEDS, output=folder / "out", **settings))
        async with open_place(plan, warden) as place:
            asked = [await place.frontier.lease(LeaseRequest(f"s{n}", f"r{n}")) for n in range(4)]
            assert {one.reason for one in asked if isinstance(one, Idle)} <= {"waiting"}
            return sorted(one.task.site for one in asked if isinstance(one, Lease))
    finally:
        warden.close()


@pytest.mark.parametrize(
    ("settings", "sites"),
    [
        ({}, ["a.example", "a.example", "b.example", "b.example"]),
        ({"rate": "1/m"}, ["a.example", "b.example"]),
        ({"site_concurrency": 1}, ["a.example", "b.example"]),
        ({"global_rate": "1/m"}, ["a.example"]),
        ({"global_concurrency": 3}, ["a.example", "a.example", "b.example"]),
    ],
)
async def test_the_limits_of_a_crawl_hold_for_every_lease(
    tmp_path: Path, settings: dict[str, Any], sites: list[str]
) -> None:
    """As the options say, whoever asks."""
    assert await _sites(tmp_path, **settings) == sites
