"""What becomes of engines: a start that is cancelled, a death laid to one page, memory that is given back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from farm.light.engine import LightEngine
from farm.light.permits import MOST_A_SECOND, Permits
from farm.light.program import ProgramParams, find_program
from farm.model.errors import RendererUnfit
from farm.model.memory import MIB, Measure, ReclaimAction
from farm.resources import processes
from farm.resources.memory import MemoryMeter, ProcessInventory
from fixtures.pages import served_by
from tests.light.conftest import lighting, visit
from tests.turns import turns

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Site:
    """Answers `/plain` at once, and `/held` never: each request for that is counted."""

    def __init__(self) -> None:
        self.held = asyncio.Semaphore(0)
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer."""
        if request.match_info["name"] == "held":
            self.held.release()
            await asyncio.Event().wait()
        return web.Response(text="<!doctype html><p>All is well", content_type="text/html")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    """Serve it."""
    one = Site()
    async with served_by(one.answer) as one.url:
        yield one


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    """Whenever it is: the thread that starts the process cannot be cancelled, and is waited for."""
    own: list[int] = []
    freed: list[int] = []
    for begun in (1, 2, 5):
        engine = LightEngine(begun, ProgramParams(find_program()), tmp_path, own.append, freed.append)
        starting = asyncio.create_task(engine.start(()))
        await turns(begun)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert len(own) == 3
    assert freed == own
    assert not any(map(processes.is_running, own))
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a look at what is left


async def test_the_death_of_an_engine_is_laid_to_one_page(tmp_path: Path, site: Site) -> None:
    """It may be any page's on it; of eight in a row that were unfit their template would be given up."""
    async with lighting(tmp_path / "l", names=("one", "other")) as opened:
        slots = list(opened.slots.values())
        for slot in slots:
            await visit(slot, f"{site.url}/plain")
        engines = {slot.tab.engine.pid for slot in slots if slot.tab is not None}
        visits = [asyncio.ensure_future(visit(slot, f"{site.url}/held")) for slot in slots]
        async with asyncio.timeout(20):
            for _ in slots:
                await site.held.acquire()
        assert len(engines) == 1
        os.kill(engines.pop(), signal.SIGKILL)
        ends = await asyncio.gather(*visits, return_exceptions=True)
    assert [type(end) for end in ends] == [RendererUnfit] * 2
    assert sorted(end.innocent for end in ends if isinstance(end, RendererUnfit)) == [False, True]


async def test_an_engine_that_is_gone_is_no_pages_fault(tmp_path: Path, site: Site) -> None:
    """One that cannot be started any more brings none, and says nothing of them."""
    async with lighting(tmp_path / "l") as opened:
        opened.pool.failure = "The light engine cannot be started (for the test); take another --render."
        with pytest.raises(RendererUnfit, match="for the test") as caught:
            await visit(opened.slots["01"], f"{site.url}/plain")
    assert caught.value.innocent


async def test_memory_is_given_back_by_another_engine(tmp_path: Path, site: Site) -> None:
    """The meter counts it; it is replaced between two pages, or at once where it is over the cap."""
    async with lighting(tmp_path / "l") as opened:
        slot, pool = opened.slots["01"], opened.pool
        await visit(slot, f"{site.url}/plain")
        reading = MemoryMeter(2**30).sample(ProcessInventory(light=pool.pids))
        assert list(reading.light) == ["light-1"]
        assert MIB < reading.light["light-1"] < reading.used_bytes
        assert pool.reclaim(ReclaimAction(Measure.RECYCLE, "light-1", "memory is tight"))
        assert "All is well" in (await visit(slot, f"{site.url}/plain")).text
        assert slot.tab is not None
        assert slot.tab.engine.name == "light-2"
        assert not pool.reclaim(ReclaimAction(Measure.RECYCLE, "01", "a context's", 1, 7))
        assert pool.reclaim(ReclaimAction(Measure.KILL, "light-2", "over the cap"))
        assert "All is well" in (await visit(slot, f"{site.url}/plain")).text
        assert slot.tab.engine.name == "light-3"
        pids = list(opened.pids)
    assert not any(map(processes.is_running, pids))
    assert sorted(opened.freed) == sorted(pids)


async def test_a_flood_of_calls_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses them then, and the engine is said to be lost."""
    listener, other = os.pipe()
    told: list[str] = []
    monkeypatch.setattr("fcntl.ioctl", lambda *_: 0)
    one = Permits(listener, (), lambda: told.append("flooded"))
    for _ in range(3 * MOST_A_SECOND):
        one._answer()
        if told:
            break
    monkeypatch.undo()
    os.close(other)
    assert told == ["flooded"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(listener)
