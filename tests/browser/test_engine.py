"""Engines: started, watched and ended with everything that belongs to them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from farm.browser import driver
from farm.browser import engine as engines
from farm.browser.chromium import BrowserBinary, find_browser
from farm.browser.engine import Engine, EngineParams
from farm.browser.pool import Pool, PoolParams
from farm.browser.slot_state import SlotState
from farm.model.clock import SystemClock
from farm.model.errors import BrowserUnavailable, SlotLost
from farm.model.outcome import FailureKind
from farm.model.secret import KEPT
from farm.policy.recycle import RecycleParams
from farm.policy.retry import BreakerParams
from fixtures.shop import Shop
from tests.browser.conftest import Browsing, browsing, visit

HEIR = """
import os, sys
dead = os.posix_spawn("/bin/true", ["true"], {}, setsid=True)
os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
print(dead, flush=True)
sys.stdin.read()
"""
"""Has a child that is dead and leads a group, and does not ask how it ended."""


def engine_params(binary: BrowserBinary | None = None) -> EngineParams:
    """Return what an engine is started with here."""
    return EngineParams(binary or find_browser(), sandbox=os.geteuid() != 0)


def group(pids: tuple[int, ...]) -> list[psutil.Process]:
    """Return every living process of the groups."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) in pids and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


async def test_an_engine_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    """Driver, browser and renderers, profile and launcher."""
    named: list[int] = []
    freed: list[int] = []
    engine = Engine(1, engine_params(), tmp_path / "engines", named.append, freed.append)
    await engine.start()
    assert len(group(engine.pids)) > 3
    assert tuple(named) == engine.pids
    assert freed == []
    await engine.close()
    # Their numbers may be others' from now on.
    assert freed == named
    assert group(engine.pids) == []
    assert list((tmp_path / "engines").iterdir()) == []


async def test_the_end_of_an_engine_does_not_wait_for_whoever_inherits_its_zombies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PID 1 of a container may never look at them; they run no more, and hold nothing."""
    monkeypatch.setattr(engines, "CLOSE_STEP_S", 1e6)
    heir = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-c", HEIR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with heir:
        assert heir.stdout is not None
        engine = Engine(1, engine_params(), tmp_path, lambda _: None, lambda _: None)
        engine.pids = (int(heir.stdout.readline()),)
        assert psutil.Process(engine.pids[0]).status() == psutil.STATUS_ZOMBIE
        async with asyncio.timeout(30):
            await engine.close()
        assert psutil.Process(engine.pids[0]).status() == psutil.STATUS_ZOMBIE
        heir.kill()


async def test_driver_and_browser_lead_groups_of_their_own(tmp_path: Path) -> None:
    """Ctrl-C in a terminal goes to the farm's group, and must not end the browser under a drain."""
    engine = Engine(1, engine_params(), tmp_path, lambda _: None, lambda _: None)
    await engine.start()
    try:
        assert len(engine.pids) == 2
        assert all(os.getpgid(pid) == pid for pid in engine.pids)
    finally:
        await engine.close()


async def test_a_browser_gets_nothing_of_the_farms_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings may hold secrets; a browser runs strangers' code."""
    monkeypatch.setenv("FARM_REDIS", "redis://:secret@127.0.0.1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    engine = Engine(1, engine_params(), tmp_path, lambda _: None, lambda _: None)
    await engine.start()
    try:
        driver, browser = (psutil.Process(pid).environ() for pid in engine.pids)
        for environment in (driver, browser):
            assert "FARM_REDIS" not in environment
            assert "AWS_SECRET_ACCESS_KEY" not in environment
        assert browser["HOME"].startswith(str(tmp_path))
    finally:
        await engine.close()


async def test_the_flags_that_close_the_ways_around_the_gateway_are_in_force(tmp_path: Path) -> None:
    """As the running process has them, Playwright's own list of disabled features included."""
    engine = Engine(1, engine_params(), tmp_path, lambda _: None, lambda _: None)
    await engine.start()
    try:
        line = psutil.Process(engine.pids[1]).cmdline()
    finally:
        await engine.close()
    assert any(part.startswith("--host-resolver-rules=MAP * ~NOTFOUND") for part in line)
    assert "--disable-quic" in line
    [features] = [part for part in line if part.startswith("--disable-features=")]
    # The first is Playwright's, the last ours.
    assert {"HttpsUpgrades", "RenderDocument"} <= set(features.partition("=")[2].split(","))
    assert any(part.startswith("--proxy-server=") for part in line)
    assert "--disable-popup-blocking" not in line
    # Containers need no larger /dev/shm for it: docker/compose.yaml and docker/kubernetes have none.
    assert "--disable-dev-shm-usage" in line


async def test_a_browser_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    """With the program and the remedy."""
    false = BrowserBinary(Path("/bin/false"), headless_shell=False, source="configured")
    engine = Engine(1, engine_params(false), tmp_path / "engines", lambda _: None, lambda _: None)
    with pytest.raises(BrowserUnavailable, match=r"/bin/false cannot be started .*farm doctor"):
        await engine.start()
    assert list((tmp_path / "engines").iterdir()) == []


async def test_a_pool_gives_up_when_no_browser_can_live(tmp_path: Path) -> None:
    """After as many launches as the breaker allows, not after an endless storm."""
    false = BrowserBinary(Path("/bin/false"), headless_shell=False, source="configured")
    breaker = BreakerParams(failures=3, base_s=0.01)
    started: list[int] = []
    async with browsing(tmp_path) as opened:
        params = opened.pool._slot_params
    pool = Pool(
        PoolParams(2, breaker),
        engine_params(false),
        params,
        tmp_path,
        started.append,
        lambda _: None,
        lambda _: None,
        SystemClock(),
    )
    with pytest.raises(BrowserUnavailable):
        await pool.engine()
    await pool.close()
    assert len(started) == 3


@pytest.mark.parametrize("which", [0, 1], ids=["driver", "browser"])
async def test_a_dead_process_is_noticed_and_its_engine_replaced(
    rendering: Browsing, shop: Shop, which: int
) -> None:
    """And the slot goes on with the next visit."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    assert slot.tab is not None
    engine = slot.tab.engine
    psutil.Process(engine.pids[which]).kill()
    async with asyncio.timeout(30):
        await engine.lost
    page = await visit(slot, shop.at("/about"))
    assert page.status == 200
    assert slot.tab is not None
    assert slot.tab.engine is not engine
    assert group(engine.pids) == [] or engine.lost.done()


async def test_a_browser_that_dies_under_a_visit_costs_the_visit_alone(
    rendering: Browsing, shop: Shop
) -> None:
    """The slot is empty afterwards and good for the next visit."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    visiting = asyncio.create_task(visit(slot, shop.at("/faults/hang")))
    await shop.seen(lambda journal: any(v.path == "/faults/hang" and v.status is None for v in journal.all()))
    psutil.Process(rendering.pids[1]).kill()
    with pytest.raises(SlotLost) as lost:
        await visiting
    assert lost.value.kind is FailureKind.CRASH
    assert slot.state is SlotState.EMPTY
    assert (await visit(slot, shop.url)).status == 200


async def test_a_frozen_browser_is_noticed(rendering: Browsing, shop: Shop) -> None:
    """It is there and connected, and answers nothing."""
    slot = await rendering.slot()
    await visit(slot, shop.url)
    assert slot.tab is not None
    engine = slot.tab.engine
    psutil.Process(engine.pids[1]).suspend()
    async with asyncio.timeout(30):
        assert "no sign of life" in await engine.lost
    assert (await visit(slot, shop.url)).status == 200


async def test_slots_are_spread_over_the_engines(tmp_path: Path, shop: Shop) -> None:
    """Four slots on two engines are two each."""
    async with browsing(tmp_path, engines=2) as opened:
        slots = [await opened.slot(f"{n}") for n in range(4)]
        for slot in slots:
            await visit(slot, shop.url)
        names = sorted(slot.tab.engine.name for slot in slots if slot.tab is not None)
    assert names == ["engine-1", "engine-1", "engine-2", "engine-2"]


async def test_a_context_is_replaced_after_its_pages_and_for_another_site(tmp_path: Path, shop: Shop) -> None:
    """The page is the same object only as long as neither is the case."""
    async with browsing(tmp_path, recycle=RecycleParams(pages=2)) as opened:
        slot = await opened.slot()
        tabs = []
        for path in ("/", "/about", "/", "/about"):
            await visit(slot, shop.at(path))
            tabs.append(slot.tab)
        other = shop.url.replace("127.0.0.1", "localhost")
        await visit(slot, other)
        tabs.append(slot.tab)
    assert tabs[0] is tabs[1]
    assert tabs[1] is not tabs[2]
    assert tabs[2] is tabs[3]
    assert tabs[3] is not tabs[4]


async def test_a_farm_that_stood_still_itself_does_not_blame_its_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that slept: the deadline has passed when it wakes, and nobody had a chance to answer."""
    engine = Engine(1, engine_params(), tmp_path, lambda _: None, lambda _: None)
    await engine.start()
    processes = [psutil.Process(pid) for pid in engine.pids]
    try:
        for process in processes:
            process.suspend()
        with monkeypatch.context() as patched:
            readings = iter((100.0, 100.8))
            patched.setattr(engines, "time", SimpleNamespace(monotonic=lambda: next(readings)))
            await engine.check(0.2)
        assert not engine.lost.done()
        await engine.check(0.2)
        assert engine.lost.result().startswith("no sign of life")
    finally:
        for process in processes:
            process.resume()
        await engine.close()


async def test_events_of_the_browser_come_as_they_are(rendering: Browsing, shop: Shop) -> None:
    """Playwright's own look through each of them costs as much as all the rest of Python does for a page."""
    slot = await rendering.slot()
    await visit(slot, shop.at("/about"))
    assert slot.tab is not None
    [listener] = slot.tab.cdp._impl_obj.listeners("event")
    assert listener.__module__ == "farm.browser.tab"


def test_the_driver_gets_what_it_needs_of_the_environment_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name: a variable of Playwright's own can switch off what keeps the browser behind the gateway."""
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\nexec env > {tmp_path}/seen\n")
    node.chmod(0o700)
    for name in (
        "PLAYWRIGHT_DISABLE_FORCED_CHROMIUM_PROXIED_LOOPBACK",
        "PLAYWRIGHT_BROWSERS_PATH",
        "PLAYWRIGHT_CHROMIUM_EXTRA_ARGS",
        "NODE_OPTIONS",
        "DEBUG",
        "PWDEBUG",
        "https_proxy",
        "FARM_REDIS",
    ):
        monkeypatch.setenv(name, "1")
    folder = tmp_path / "engine"
    folder.mkdir()
    subprocess.run([driver.write_launcher(folder, str(node))], check=True, timeout=20)
    seen = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert seen - {"PWD", "SHLVL", "_", "OLDPWD"} <= {*KEPT, "TMPDIR"}
    assert "PATH" in seen
