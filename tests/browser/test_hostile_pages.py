"""Pages that would hang, crash or confuse a browser: the slot comes back within its deadline, whatever they do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from farm.browser.render import RenderParams
from farm.model.errors import RenderError, SlotLost
from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage
from fixtures.pages import ADD, ARRIVED, serving
from fixtures.shop import Shop
from tests.browser.conftest import Browsing, pool_of_a_module, visit

PAGE_S = 4.0
"""Of a page that hangs, and costs as much."""
PATIENT_S = 60.0
"""Of a page that ends by itself: it is never waited for so long, also where other programs have the processor."""
BACK_S = PATIENT_S + 30.0

BUSY_MS = 6_500
"""Longer than a page may settle here, and not as long as it may take."""
HANGING = ["loop", "loop-after-load", "hang"]
CRASHING = ["crash"]
ENDLESS = ["poll", "animate", "tick", "push-state", "console", "never-ends", "never-loads"]
ODD = ["popup", "fork", "print", "beforeunload", "throw", "hostile", "loop-on-leave", "drip/20"]


impatient = pool_of_a_module(RenderParams(page_timeout_s=PAGE_S, settle_timeout_s=1.0))
"""For all pages that hang: what one page does must not harm the next."""
capped = pool_of_a_module(RenderParams(page_timeout_s=PATIENT_S, settle_timeout_s=1.0))
"""For all pages that may never settle."""
patient = pool_of_a_module(RenderParams(page_timeout_s=PATIENT_S, settle_timeout_s=PATIENT_S / 2))
"""For all pages that settle in the end."""


async def attempt(rendering: Browsing, shop: Shop, path: str) -> RenderedPage | RenderError | SlotLost:
    """Visit a fault page, then a good one, each within the deadline; return what the first came to."""
    name = path.replace("/", "-")
    slot = await rendering.slot(name)
    result: RenderedPage | RenderError | SlotLost
    try:
        async with asyncio.timeout(BACK_S):
            result = await visit(slot, shop.at(f"/faults/{path}"))
    except (RenderError, SlotLost) as error:
        result = error
    async with asyncio.timeout(BACK_S):
        good = await visit(slot, shop.at("/about"))
    assert "About" in good.title or good.text
    assert good.status == 200
    slot.retire()
    return result


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", HANGING)
async def test_a_page_that_hangs_costs_its_deadline(impatient: Browsing, shop: Shop, path: str) -> None:
    """The context goes, and the slot has another one."""
    result = await attempt(impatient, shop, path)
    if isinstance(result, RenderedPage):
        assert not result.settled
    else:
        assert result.kind is FailureKind.TIMEOUT


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_is_busy_for_long_is_read_when_it_is_done(capped: Browsing) -> None:
    """As it is then: it renders thousands of parts in one go, or shares the processor with many."""
    loop = f"const end = Date.now() + {BUSY_MS}; while (Date.now() < end);"
    busy = f"<script>onload = () => {{ {loop} {ADD}; }}</script>"
    async with serving({"busy": busy}) as origin:
        slot = await capped.slot("busy")
        page = await visit(slot, f"{origin}/busy")
        slot.retire()
    assert ARRIVED in page.text


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_asks_for_ever_is_ended(impatient: Browsing, shop: Shop) -> None:
    """By the count of what it sends, or at its deadline where the machine is slow."""
    result = await attempt(impatient, shop, "alert")
    assert isinstance(result, SlotLost)
    assert result.kind is FailureKind.TIMEOUT or "flooded" in result.detail


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", CRASHING)
async def test_a_page_that_crashes_is_said_to_have_crashed(capped: Browsing, shop: Shop, path: str) -> None:
    """And at once, not at the deadline."""
    result = await attempt(capped, shop, path)
    assert isinstance(result, SlotLost)
    assert result.kind is FailureKind.CRASH


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", [*ENDLESS, *ODD])
async def test_a_page_that_never_rests_or_does_odd_things_is_rendered_all_the_same(
    capped: Browsing, shop: Shop, path: str
) -> None:
    """As it is at the cap; whether it counts as settled depends on what it does."""
    result = await attempt(capped, shop, path)
    assert isinstance(result, RenderedPage), repr(result)
    assert result.status == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["reload", "reload-after-load", "redirect-loop", "redirect-nowhere"])
async def test_a_page_that_goes_in_circles_comes_to_an_end(
    impatient: Browsing, shop: Shop, path: str
) -> None:
    """As a page or as a failure of the page, never as a hang."""
    await attempt(impatient, shop, path)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["reset", "garbage"])
async def test_a_broken_connection_is_the_networks_fault(capped: Browsing, shop: Shop, path: str) -> None:
    """The tab survives it."""
    result = await attempt(capped, shop, path)
    assert isinstance(result, RenderError)
    assert result.kind is FailureKind.NETWORK


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_opens_windows_leaves_none_behind(capped: Browsing, shop: Shop) -> None:
    """A slot has one page."""
    slot = await capped.slot("windows")
    await visit(slot, shop.at("/faults/popup"))
    assert slot.tab is not None
    context = slot.tab.page.context
    async with asyncio.timeout(BACK_S):
        for window in [page for page in context.pages if page is not slot.tab.page]:
            if not window.is_closed():
                await window.wait_for_event("close", timeout=BACK_S * 1000)
    slot.retire()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_replaces_its_document_is_read_after_that(patient: Browsing, shop: Shop) -> None:
    """`document.open` throws away what was hooked in the old one."""
    page = await attempt(patient, shop, "document-open")
    assert isinstance(page, RenderedPage)
    assert "Replaced." in page.text


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["redirect-script", "redirect-meta", "redirect-late"])
async def test_a_client_side_redirect_is_followed(patient: Browsing, shop: Shop, path: str) -> None:
    """The page that is recorded is the one that was reached."""
    page = await attempt(patient, shop, path)
    assert isinstance(page, RenderedPage)
    assert page.final_url != shop.at(f"/faults/{path}")


class SlowSite:
    """Sends its visitors on to a page that answers when the test wants it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = b"<title>Leaving</title>before<script>location.replace('/next')</script>"
        if head.startswith(b"GET /next"):
            self.asked.set()
            await self.answer.wait()
            body = b"<title>Arrived</title>after"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + body)
        writer.close()


@asynccontextmanager
async def slow_site() -> AsyncIterator[tuple[SlowSite, str]]:
    """Open the site; yield it with its address."""
    site = SlowSite()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield site, f"http://{host}:{port}/"
    finally:
        site.answer.set()
        server.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_that_a_visitor_is_sent_to_is_waited_for(patient: Browsing) -> None:
    """However long its answer takes: as long as it is under way, the old page has not settled."""
    async with slow_site() as (site, url), asyncio.timeout(BACK_S):
        visiting = asyncio.ensure_future(visit(await patient.slot("sent-on"), url))
        await site.asked.wait()
        assert not (await asyncio.wait({visiting}, timeout=1.0))[0]
        site.answer.set()
        page = await visiting
    assert (page.final_url, page.text, page.settled) == (f"{url}next", "after", True)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_sends_its_visitor_nowhere_is_read_itself(capped: Browsing) -> None:
    """At the cap, and it has not settled; its context is good for the next page."""
    async with slow_site() as (site, url), asyncio.timeout(BACK_S):
        slot = await capped.slot("sent-nowhere")
        page = await visit(slot, url)
        assert (page.final_url, page.text) == (url, "before")
        assert (page.settled, page.settle_reason) == (False, "navigating")
        tab = slot.tab
        site.answer.set()
        page = await visit(slot, f"{url}next")
        assert (page.text, slot.tab) == ("after", tab)
