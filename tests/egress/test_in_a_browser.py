"""What a real browser makes of a slot proxy: pages come through, and what is refused is never a page."""

from collections.abc import Sequence

import pytest
from playwright.async_api import Browser, Error, Page

from farm.egress import SlotProxy
from farm.model.egress import EgressFault

from .callers import fault_of
from .conftest import OpenSlotProxy
from .servers import answering, closing, listening, ok

# Starting a browser is slow, and the loop that it is driven from makes no difference to it.
pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

PAGE = ok(b"<title>here</title><p>a page", b"Content-Type: text/html")


async def page_by(chromium: Browser, slot_proxy: SlotProxy) -> Page:
    """Open a page whose every request goes by the slot proxy."""
    context = await chromium.new_context(proxy={"server": slot_proxy.proxy_url})
    return await context.new_page()


async def test_pages_come_through_on_kept_connections(
    open_slot_proxy: OpenSlotProxy, chromium: Browser
) -> None:
    """Two navigations, one connection outside."""
    slot_proxy = await open_slot_proxy()
    page = await page_by(chromium, slot_proxy)
    async with listening(answering(PAGE)) as origin:
        for path in ("/one", "/two"):
            slot_proxy.begin()
            answer = await page.goto(origin.url + path)
            assert answer is not None
            assert answer.status == 200
            assert await page.title() == "here"
            assert slot_proxy.bytes_received >= len(PAGE)
        assert origin.connections <= 2  # the second one is for the icon


FAULTS = {
    "http://127.0.0.1:{inside}/": EgressFault.REFUSED,
    "http://localhost:{inside}/": EgressFault.REFUSED,
    "http://2130706433:{inside}/": EgressFault.REFUSED,
    "http://[::ffff:127.0.0.1]:{inside}/": EgressFault.REFUSED,
    "https://127.0.0.1:{inside}/": EgressFault.REFUSED,
    "http://169.254.169.254/latest/": EgressFault.REFUSED,
    "http://nowhere.invalid/": EgressFault.DNS,
    "https://nowhere.invalid/": EgressFault.DNS,
    "http://127.0.0.1:{hangs_up}/": EgressFault.CONNECT,
}


async def test_a_failure_is_no_page_and_has_a_name(open_slot_proxy: OpenSlotProxy, chromium: Browser) -> None:
    """Each navigation fails, and the slot proxy says why."""

    async def lookup(name: str) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    async with listening(answering(PAGE)) as inside, listening(closing) as hangs_up:
        slot_proxy = await open_slot_proxy(allow=(f"127.0.0.1:{hangs_up.port}",), lookup=lookup)
        for url, fault in FAULTS.items():
            page = await page_by(chromium, slot_proxy)
            wanted = url.format(inside=inside.port, hangs_up=hangs_up.port)
            with pytest.raises(Error, match="net::ERR_"):
                await page.goto(wanted)
            assert fault_of(slot_proxy, wanted) is fault
            await page.context.close()
        assert inside.connections == 0


async def test_nothing_goes_direct_when_the_slot_proxy_is_gone(
    open_slot_proxy: OpenSlotProxy, chromium: Browser
) -> None:
    """A browser whose slot proxy is closed reaches nobody."""
    slot_proxy = await open_slot_proxy()
    page = await page_by(chromium, slot_proxy)
    async with listening(answering(PAGE)) as origin:
        await slot_proxy.close()
        with pytest.raises(Error, match="net::ERR_PROXY_CONNECTION_FAILED"):
            await page.goto(origin.url)
        assert origin.connections == 0
