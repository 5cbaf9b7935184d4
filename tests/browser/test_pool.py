"""The pool under pressure: whose renderer is whose, caps, kills, successors, engines that leave."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import psutil
import pytest

from farm.browser.reclaim import LONG_VISIT_S, NICER, CpuDeprioritizer
from farm.browser.slot_state import SlotState
from farm.model.errors import SlotLost
from farm.model.event import Recycled
from farm.model.memory import Measure, ReclaimAction
from farm.model.outcome import FailureKind
from farm.policy.recycle import RecycleParams
from farm.resources import processes
from farm.resources.memory import MemoryMeter, limit_growth
from fixtures.shop import Shop, serve_shop
from fixtures.shop.journal import Journal
from tests.arrivals import assert_spread, on_a_machine_of_our_own
from tests.browser.conftest import Browsing, browsing, visit

MIB = 2**20


def _asked_more_than(times: int, journal: Journal) -> bool:
    return sum(visit.path == "/faults/hang?engine" for visit in journal.all()) > times


async def crashed(slot_tab_lost: asyncio.Future[str]) -> str:
    """Wait for a crash that must come."""
    async with asyncio.timeout(10):
        return await slot_tab_lost


async def test_a_renderer_is_told_to_be_its_contexts_own(rendering: Browsing, shop: Shop) -> None:
    """Each of four contexts has another; killing one renderer costs that context alone its page."""
    slots = [await rendering.slot(f"{n}") for n in range(4)]
    await asyncio.gather(*(visit(slot, shop.url) for slot in slots))
    tabs = [slot.tab for slot in slots if slot.tab is not None]
    assert len({tab.pid for tab in tabs} - {0}) == 4
    os.kill(tabs[2].pid, signal.SIGKILL)
    assert await crashed(tabs[2]._crashed) == "the page crashed"
    assert [tab.lost for tab in tabs] == [False, False, True, False]


async def test_a_reading_is_near_the_sum_and_knows_the_contexts(rendering: Browsing, shop: Shop) -> None:
    """The estimate between two readings of PSS is what is compared; every renderer has its slot."""
    slots = [await rendering.slot(f"{n}") for n in range(2)]
    for slot in slots:
        await visit(slot, shop.url)
    meter = MemoryMeter(0)
    await asyncio.to_thread(meter.sample, rendering.pool.inventory())
    for slot in slots:
        await visit(slot, shop.at("/about"))
    reading = await asyncio.to_thread(meter.sample, rendering.pool.inventory())
    pids = [os.getpid(), *processes.descendants(os.getpid())]
    exact = sum(processes.pss_bytes(pid) for pid in pids if psutil.pid_exists(pid))
    assert {one.slot for one in reading.renderers} == {"0", "1"}
    assert abs(reading.used_bytes - exact) < 0.15 * exact
    assert set(reading.engines) == {"engine-1"}


@pytest.mark.parametrize(
    ("used_mib", "why"),
    [
        (150, "the page needed more than the renderer's 200 MiB; give more by --memory"),
        (50, "the page crashed"),
    ],
)
async def test_a_page_that_allocates_without_end_is_stopped_by_the_kernel(
    rendering: Browsing, shop: Shop, used_mib: int, why: str
) -> None:
    """At its cap, by the last reading, and not at what the machine has; the context beside it does not notice."""
    greedy, neighbour = await rendering.slot("greedy"), await rendering.slot("neighbour")
    await visit(greedy, shop.url)
    await visit(neighbour, shop.url)
    assert greedy.tab is not None
    assert neighbour.tab is not None
    assert limit_growth(greedy.tab.pid, 200 * MIB)
    greedy.tab.cap_bytes = 200 * MIB
    greedy.measured(used_mib * MIB)
    tab, beside = greedy.tab, neighbour.tab
    # A good machine reads the page before it has all of its cap; then the context dies after the visit.
    outcome = await asyncio.gather(visit(greedy, shop.at("/faults/allocate")), return_exceptions=True)
    if isinstance(outcome[0], SlotLost):
        assert (outcome[0].kind, outcome[0].detail) == (FailureKind.CRASH, why)
    await crashed(tab._crashed)
    assert tab._crashed.result() == why
    await visit(neighbour, shop.at("/about"))
    assert neighbour.tab is beside
    assert (await visit(greedy, shop.at("/about"))).status == 200


async def test_a_kill_by_order_ends_the_visit_with_its_reason(rendering: Browsing, shop: Shop) -> None:
    """The URL's failure says who killed its renderer and why."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    assert slot.tab is not None
    visiting = asyncio.create_task(visit(slot, shop.at("/faults/hang?killed")))
    await shop.seen(lambda journal: any(v.path == "/faults/hang?killed" for v in journal.all()))
    rendering.pool.reclaim(ReclaimAction(Measure.KILL, "01", "97% of the budget", 300 * MIB, slot.tab.pid))
    with pytest.raises(SlotLost, match="killed at 300 MiB: 97% of the budget"):
        await visiting
    assert slot.state is SlotState.EMPTY


async def test_a_process_that_is_no_renderer_of_the_pool_is_not_killed(
    rendering: Browsing, shop: Shop
) -> None:
    """A number may have another process by the time of the action."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    rendering.pool.reclaim(ReclaimAction(Measure.KILL, "01", "a mistake", 1, rendering.pids[0]))
    assert (await visit(slot, shop.at("/about"))).status == 200
    assert psutil.pid_exists(rendering.pids[0])


async def test_a_successor_is_up_before_the_context_goes(tmp_path: Path, shop: Shop) -> None:
    """The last page of the old one and the opening of the new one overlap."""
    async with browsing(tmp_path, recycle=RecycleParams(pages=3)) as opened:
        slot = await opened.slot()
        for _ in range(2):
            await visit(slot, shop.url)
        assert slot._successor is not None
        successor = await slot._successor
        await visit(slot, shop.at("/about"))
        await visit(slot, shop.url)
        assert slot.tab is successor
        assert [event.reason for event in opened.events if isinstance(event, Recycled)] == ["pages"]


async def test_without_memory_for_both_the_old_context_goes_first(tmp_path: Path, shop: Shop) -> None:
    """No successor is opened."""
    async with browsing(tmp_path, recycle=RecycleParams(pages=3)) as opened:
        opened.pool.has_spare_memory = False
        slot = await opened.slot()
        for _ in range(3):
            await visit(slot, shop.url)
        assert slot._successor is None
        assert (await visit(slot, shop.url)).status == 200


async def test_an_idle_context_is_recycled_at_once(rendering: Browsing, shop: Shop) -> None:
    """Its memory comes back without waiting for a page."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    assert slot.tab is not None
    rendering.pool.reclaim(ReclaimAction(Measure.RECYCLE, "01", "tight", 1, slot.tab.pid))
    await asyncio.gather(*rendering.pool._background)
    assert slot.state.value == "empty"


async def test_an_engine_that_leaves_is_replaced_when_its_contexts_have_gone(
    rendering: Browsing, shop: Shop
) -> None:
    """The slot goes over to the next one between two pages."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    assert slot.tab is not None
    before = slot.tab.engine
    rendering.pool.reclaim(ReclaimAction(Measure.ENGINE, before.name, "worn"))
    async with asyncio.timeout(60):
        for _ in range(20):
            await visit(slot, shop.at("/about"))
            if before.lost.done():
                break
            if slot._successor is not None:
                await slot._successor
        assert slot.tab.engine is not before
        assert await before.lost == "replaced"


async def test_an_engines_death_is_held_against_no_url_the_first_times(
    rendering: Browsing, shop: Shop
) -> None:
    """The third time it is: a page may kill browsers."""
    slot, verdicts = await rendering.slot(), []
    for number in range(3):
        path = "/faults/hang?engine"
        visiting = asyncio.create_task(visit(slot, shop.at(path)))
        await shop.seen(partial(_asked_more_than, number))
        assert slot.tab is not None
        os.kill(slot.tab.engine.pids[1], signal.SIGKILL)
        with pytest.raises(SlotLost) as lost:
            await visiting
        verdicts.append(lost.value.innocent)
    assert verdicts == [True, True, False]


@pytest.mark.slow
async def test_after_a_mass_recycle_contexts_come_back_one_after_the_other(tmp_path: Path) -> None:
    """By the arrivals at the server: no second has more than twice its share of them."""
    share = 2.0
    async with serve_shop() as shop, browsing(tmp_path, open_every_s=1 / share) as opened:
        slots = [await opened.slot(f"{number:02d}") for number in range(12)]
        for round_ in ("start", "recycled"):
            with on_a_machine_of_our_own():
                begun = len(shop.requests.pages())
                await asyncio.gather(*(visit(slot, shop.at(f"/about?{round_}")) for slot in slots))
                assert_spread([one.at for one in shop.requests.pages()[begun:]], share)
            for slot in slots:
                slot.recycle("tight")
            assert {slot.state for slot in slots} == {SlotState.EMPTY}


async def test_a_page_that_loops_is_put_behind_the_others(rendering: Browsing, shop: Shop) -> None:
    """By its renderer's priority, once its visit has lasted; the context goes after it."""
    slot, other = await rendering.slot("01"), await rendering.slot("02")
    await visit(slot, shop.url)
    await visit(other, shop.url)
    tab, beside = slot.tab, other.tab
    assert tab is not None
    assert beside is not None
    looping = asyncio.create_task(visit(slot, shop.at("/faults/loop?deprioritized")))
    await shop.seen(lambda journal: any(v.path == "/faults/loop?deprioritized" for v in journal.all()))
    deprioritizer, renderer = CpuDeprioritizer(), psutil.Process(tab.pid)
    async with asyncio.timeout(30):
        while not slot.is_deprioritized:
            deprioritizer.check([slot, other], slot.since + LONG_VISIT_S)
            await tab.engine.check(10.0)
    base = psutil.Process(beside.pid).nice()
    assert base == psutil.Process().nice()
    assert renderer.nice() == min(processes.LOWEST_PRIORITY, base + NICER)
    renderer.kill()
    with pytest.raises(SlotLost):
        await looping
    await visit(slot, shop.at("/about"))
    assert slot.tab is not tab
    assert not slot.is_deprioritized
