"""Pages that would hang, crash or confuse a browser: the slot comes back within its deadline, whatever they do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from farm.browser.render import RenderParams
from farm.model.errors import RenderError, SlotLost
from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage
from fixtures.shop import Shop
from tests.browser.conftest import Browsing, browsing, visit

PAGE_S = 4.0
BACK_S = PAGE_S + 5.0

HANGING = ["loop", "loop-after-load", "alert", "hang"]
CRASHING = ["crash"]
ENDLESS = ["poll", "animate", "tick", "push-state", "console", "never-ends", "never-loads"]
ODD = ["popup", "fork", "print", "beforeunload", "throw", "hostile", "loop-on-leave", "drip/20"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browsing]:
    """Open one pool for all of them: what one page does must not harm the next."""
    folder: Path = tmp_path_factory.mktemp("hostile") / "engines"
    async with browsing(folder, RenderParams(page_timeout_s=PAGE_S, settle_timeout_s=1.0)) as opened:
        yield opened


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


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", CRASHING)
async def test_a_page_that_crashes_is_said_to_have_crashed(
    impatient: Browsing, shop: Shop, path: str
) -> None:
    """And at once, not at the deadline."""
    result = await attempt(impatient, shop, path)
    assert isinstance(result, SlotLost)
    assert result.kind is FailureKind.CRASH


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ENDLESS)
async def test_a_page_that_never_rests_is_taken_as_it_is_at_the_cap(
    impatient: Browsing, shop: Shop, path: str
) -> None:
    """Its content is there; whether it counts as settled depends on what it does."""
    result = await attempt(impatient, shop, path)
    assert isinstance(result, RenderedPage), repr(result)
    assert result.status == 200


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ODD)
async def test_a_page_that_does_odd_things_is_rendered_all_the_same(
    impatient: Browsing, shop: Shop, path: str
) -> None:
    """Dialogues, windows, broken built-ins, a deep tree."""
    result = await attempt(impatient, shop, path)
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
async def test_a_broken_connection_is_the_networks_fault(impatient: Browsing, shop: Shop, path: str) -> None:
    """The tab survives it."""
    result = await attempt(impatient, shop, path)
    assert isinstance(result, RenderError)
    assert result.kind is FailureKind.NETWORK


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_opens_windows_leaves_none_behind(impatient: Browsing, shop: Shop) -> None:
    """A slot has one page."""
    slot = await impatient.slot("windows")
    await visit(slot, shop.at("/faults/popup"))
    assert slot.tab is not None
    context = slot.tab.page.context
    async with asyncio.timeout(BACK_S):
        for window in [page for page in context.pages if page is not slot.tab.page]:
            if not window.is_closed():
                await window.wait_for_event("close", timeout=BACK_S * 1000)
    slot.retire()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_replaces_its_document_is_read_after_that(impatient: Browsing, shop: Shop) -> None:
    """`document.open` throws away what was hooked in the old one."""
    page = await attempt(impatient, shop, "document-open")
    assert isinstance(page, RenderedPage)
    assert "Replaced." in page.text


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["redirect-script", "redirect-meta", "redirect-late"])
async def test_a_client_side_redirect_is_followed(impatient: Browsing, shop: Shop, path: str) -> None:
    """The page that is recorded is the one that was reached."""
    page = await attempt(impatient, shop, path)
    assert isinstance(page, RenderedPage)
    assert page.final_url != shop.at(f"/faults/{path}")
