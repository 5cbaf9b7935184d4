"""What a real browser makes of a gate: pages come through, and what is refused is never a page."""

import os
import shutil
from collections.abc import AsyncIterator, Sequence

import pytest
from playwright.async_api import Browser, Error, Page, async_playwright

from farm.egress import SlotProxy
from farm.model.egress import GateFault

from .conftest import OpenGate
from .servers import answering, closing, listening, ok

# Starting a browser is slow, and the loop that it is driven from makes no difference to it.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

NAMES = ("chromium-headless-shell", "headless_shell", "chromium", "google-chrome")
PAGE = ok(b"<title>here</title><p>a page", b"Content-Type: text/html")


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Start whatever browser the machine has, Playwright's own when PATH names none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=found, args=arguments)
        yield started
        await started.close()


async def page_by(chromium: Browser, gate: SlotProxy) -> Page:
    """Open a page whose every request goes by the gate."""
    context = await chromium.new_context(proxy={"server": gate.proxy_url})
    return await context.new_page()


async def test_pages_come_through_on_kept_connections(open_gate: OpenGate, chromium: Browser) -> None:
    """Two navigations, one connection outside."""
    gate = await open_gate()
    page = await page_by(chromium, gate)
    async with listening(answering(PAGE)) as origin:
        for path in ("/one", "/two"):
            gate.begin()
            answer = await page.goto(origin.url + path)
            assert answer is not None
            assert answer.status == 200
            assert await page.title() == "here"
            assert gate.bytes_received >= len(PAGE)
        assert origin.connections <= 2  # the second one is for the icon


FAULTS = {
    "http://127.0.0.1:{inside}/": GateFault.REFUSED,
    "http://localhost:{inside}/": GateFault.REFUSED,
    "http://2130706433:{inside}/": GateFault.REFUSED,
    "http://[::ffff:127.0.0.1]:{inside}/": GateFault.REFUSED,
    "https://127.0.0.1:{inside}/": GateFault.REFUSED,
    "http://169.254.169.254/latest/": GateFault.REFUSED,
    "http://nowhere.invalid/": GateFault.DNS,
    "https://nowhere.invalid/": GateFault.DNS,
    "http://127.0.0.1:{hangs_up}/": GateFault.CONNECT,
}


async def test_a_failure_is_no_page_and_has_a_name(open_gate: OpenGate, chromium: Browser) -> None:
    """Each navigation fails, and the gate says why."""

    async def lookup(name: str) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    async with listening(answering(PAGE)) as inside, listening(closing) as hangs_up:
        gate = await open_gate(allow=(f"127.0.0.1:{hangs_up.port}",), lookup=lookup)
        for url, fault in FAULTS.items():
            page = await page_by(chromium, gate)
            wanted = url.format(inside=inside.port, hangs_up=hangs_up.port)
            with pytest.raises(Error, match="net::ERR_"):
                await page.goto(wanted)
            failure = gate.failure(wanted)
            assert failure is not None
            assert failure.fault is fault
            await page.context.close()
        assert inside.connections == 0


async def test_nothing_goes_direct_when_the_gate_is_gone(open_gate: OpenGate, chromium: Browser) -> None:
    """A browser whose gate is closed reaches nobody."""
    gate = await open_gate()
    page = await page_by(chromium, gate)
    async with listening(answering(PAGE)) as origin:
        await gate.close()
        with pytest.raises(Error, match="net::ERR_PROXY_CONNECTION_FAILED"):
            await page.goto(origin.url)
        assert origin.connections == 0
