"""Contexts come along the ramp, seen from the servers: no burst, and all of them in time."""

import asyncio
from pathlib import Path

import pytest

from fixtures.shop import serve_shop
from tests.arrivals import assert_spread, on_a_machine_of_our_own
from tests.e2e.farm_process import crawl

CONTEXTS, RAMP_S = 12, 6.0


@pytest.mark.slow
async def test_first_navigations_are_spread_over_the_ramp(tmp_path: Path) -> None:
    """No second of it has more than twice its share; the shops hold each page, so each context comes once.

    Two shops, because no site is visited by all twelve before it has shown what it bears.
    """
    async with serve_shop(held=True) as one, serve_shop(held=True) as other:
        shops = (one, other)
        seeds = tmp_path / "seeds.txt"
        seeds.write_text("\n".join(shops[n % 2].at(f"/about?n={n}") for n in range(CONTEXTS)))
        with on_a_machine_of_our_own():
            running = crawl(
                tmp_path / "out",
                seeds=str(seeds),
                scope="page",
                contexts=str(CONTEXTS),
                ramp_up=f"{RAMP_S:g}s",
            )
            for shop in shops:
                await shop.seen(lambda journal: len(journal.pages()) >= CONTEXTS / 2, 60)
            arrivals = sorted(visit.at for shop in shops for visit in shop.requests.pages())
            for shop in shops:
                shop.release()
            await asyncio.to_thread(running.finish)
            assert_spread(arrivals, CONTEXTS / RAMP_S)
            assert arrivals[-1] - arrivals[0] <= 1.5 * RAMP_S
