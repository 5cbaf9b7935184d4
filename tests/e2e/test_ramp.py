"""Contexts come along the ramp, seen from the server: no burst, and all of them in time."""

import asyncio
from pathlib import Path

import pytest

from fixtures.shop import serve_shop
from tests.e2e.farm_process import crawl

CONTEXTS, RAMP_S = 12, 6.0


@pytest.mark.slow
async def test_first_navigations_are_spread_over_the_ramp(tmp_path: Path) -> None:
    """No second of it has more than twice its share; the shop holds each page, so each context comes once."""
    async with serve_shop(held=True) as shop:
        seeds = tmp_path / "seeds.txt"
        seeds.write_text("\n".join(shop.at(f"/about?n={n}") for n in range(CONTEXTS)))
        running = crawl(
            tmp_path / "out",
            seeds=str(seeds),
            scope="page",
            contexts=str(CONTEXTS),
            ramp_up=f"{RAMP_S:g}s",
        )
        await shop.seen(lambda journal: len(journal.pages()) >= CONTEXTS, 60)
        arrivals = [visit.at for visit in shop.requests.pages()]
        shop.release()
        await asyncio.to_thread(running.finish)
    share = CONTEXTS / RAMP_S
    for start in arrivals:
        # One more than twice the share: a window may catch the edges of two intervals.
        assert sum(start <= other < start + 1.0 for other in arrivals) <= 2 * share + 1
    assert arrivals[-1] - arrivals[0] <= 1.5 * RAMP_S
