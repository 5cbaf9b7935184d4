"""What a page cannot do to the engine: hold it up, use up its memory, go on for ever, or keep it from dying."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from farm.light.program import ProgramParams, find_program
from farm.model.errors import BrowserUnavailable, RenderError, RendererUnfit
from farm.model.event import Recycled
from farm.model.outcome import FailureKind
from farm.resources import processes
from fixtures.pages import served_by
from tests.light.conftest import Lights, lighting, params_of, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMES = ("one", "other")
PAGES = {
    "plain": "<p>All is well",
    "loop": "<p>Before</p><script>setTimeout(() => { for (;;); }, 0)</script>",
    "hoard": "<script>const all = []; for (;;) all.push(new Array(1e5).fill(Math.random()))</script>",
    "on": "<script>setTimeout(() => { location.href = '/on?' + Date.now() }, 10)</script>",
    "store": "<script>localStorage.seen = 'yes'; document.cookie = 'seen=yes'</script>",
    "look": "<p><script>document.write(localStorage.seen + '|' + document.cookie)</script>",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages above, and one that never answers."""

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "silent":
            await asyncio.Event().wait()
        return web.Response(text=f"<!doctype html>{PAGES[name]}", content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lights(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lights]:
    """Open a pool whose watchdog, heap and deadlines are small."""
    program = ProgramParams(find_program(), watchdog_ms=700, heap_mib=64)
    params = params_of(program, page_timeout_s=3.0, settle_timeout_s=1.0)
    async with lighting(tmp_path_factory.mktemp("l"), params, NAMES) as opened:
        yield opened


@pytest.mark.parametrize("name", ["loop", "hoard"])
async def test_a_page_that_does_not_end_is_given_up_alone(lights: Lights, site: str, name: str) -> None:
    """It is a browser's then; the slot goes on, and another one beside it never noticed."""
    slot, beside = lights.slots["one"], lights.slots["other"]
    await visit(beside, f"{site}/plain")
    tab = beside.tab
    hanging = asyncio.ensure_future(visit(slot, f"{site}/{name}"))
    assert "All is well" in (await visit(beside, f"{site}/plain")).text
    with pytest.raises(RendererUnfit):
        await hanging
    assert "All is well" in (await visit(slot, f"{site}/plain")).text
    assert beside.tab is tab


async def test_a_page_that_goes_on_for_ever_is_taken_as_it_is(lights: Lights, site: str) -> None:
    """Or given up, where it cannot be caught; and the next page is none of it."""
    slot = lights.slots["one"]
    with contextlib.suppress(RendererUnfit):
        assert not (await visit(slot, f"{site}/on")).settled
    assert (await visit(slot, f"{site}/plain")).final_url == f"{site}/plain"


async def test_a_site_that_does_not_answer_costs_its_deadline(lights: Lights, site: str) -> None:
    """And is no browser's: it would not answer it either."""
    slot = lights.slots["one"]
    with pytest.raises(RenderError) as failed:
        await visit(slot, f"{site}/silent")
    assert failed.value.kind is FailureKind.TIMEOUT
    assert "All is well" in (await visit(slot, f"{site}/plain")).text


async def test_two_sites_of_a_slot_share_nothing(lights: Lights, site: str) -> None:
    """Not even one site with itself, once another was visited in between."""
    slot = lights.slots["one"]
    await visit(slot, f"{site}/store")
    assert "yes|seen=yes" in (await visit(slot, f"{site}/look")).text
    other = site.replace("127.0.0.1", "localhost")
    assert "undefined|" in (await visit(slot, f"{other}/look")).text
    assert "undefined|" in (await visit(slot, f"{site}/look")).text


async def test_each_slot_goes_out_by_its_own_port(lights: Lights, site: str) -> None:
    """In one engine."""
    one, other = lights.slots["one"], lights.slots["other"]
    await visit(one, f"{site}/plain")
    await visit(other, f"{site}/plain")
    seen = {name: lights.proxies[name].bytes_received for name in ("one", "other")}
    await visit(one, f"{site}/plain")
    assert lights.proxies["one"].bytes_received > seen["one"]
    assert lights.proxies["other"].bytes_received == seen["other"]
    assert one.tab is not None
    assert other.tab is not None
    assert one.tab.engine is other.tab.engine


async def test_an_engine_that_is_killed_is_replaced(lights: Lights, site: str) -> None:
    """In the middle of a visit; nothing of it is left, and the next visit has another."""
    slot = lights.slots["one"]
    await visit(slot, f"{site}/plain")
    assert slot.tab is not None
    engine = slot.tab.engine
    folder = lights.folder / engine.name
    visiting = asyncio.ensure_future(visit(slot, f"{site}/silent"))
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(RendererUnfit):
        await visiting
    assert "All is well" in (await visit(slot, f"{site}/plain")).text
    assert slot.tab.engine is not engine
    await lights.pool.idle()
    assert not folder.exists()
    assert [one.name for one in lights.events if isinstance(one, Recycled)] == [engine.name]
    assert not processes.is_running(engine.pid)


async def test_nothing_is_left_of_a_pool_that_was_closed(tmp_path: Path, site: str) -> None:
    """Neither process nor folder."""
    async with lighting(tmp_path / "l") as opened:
        await visit(opened.slots["01"], f"{site}/plain")
        assert [processes.is_running(pid) for pid in opened.pids] == [True]
    assert not any(processes.is_running(pid) for pid in opened.pids)
    assert list((tmp_path / "l").iterdir()) == []


async def test_an_engine_retires_after_its_pages(tmp_path: Path, site: str) -> None:
    """Its slots move to another one, between two visits."""
    async with lighting(tmp_path / "l", params_of(pages=2)) as opened:
        slot = opened.slots["01"]
        engines: list[str] = []
        async with asyncio.timeout(20):
            while len(set(engines)) < 2:
                await visit(slot, f"{site}/plain")
                assert slot.tab is not None
                engines.append(slot.tab.engine.name)
    assert engines[:2] == ["light-1", "light-1"]


async def test_an_engine_that_cannot_start_is_said_with_the_remedy(tmp_path: Path, site: str) -> None:
    """At once, since no page would be brought as it was requested."""
    program = replace(params_of().program, program=Path("/bin/false"))
    async with lighting(tmp_path / "l", params_of(program)) as opened:
        with pytest.raises(BrowserUnavailable, match="use another --render"):
            await visit(opened.slots["01"], f"{site}/plain")
