"""Nothing that a page shows is missed: content that comes late, by every way, and content in odd places.

Each page promises a text and a link. The pages that are not in the demo shop are served here; they note the
moment of their last change, so that it can be told how long after it they were taken.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.render import RenderParams
from farm.model.page import RenderedPage
from fixtures.pages import served_by
from fixtures.shop import Shop
from fixtures.shop.faults import late
from tests.browser.conftest import Browsing, browsing, pool_of_a_module, seen, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON_MS = [50, 300]
LATE_MS = 1000
LAG_MS = 250
CAP_S = 2.0
LONG_S = 30.0
"""Half of the time of a page, and more than a busy machine makes of the cap."""
AT_ONCE = 6
LATE = f'<p>{late.TEXT} <a href="{late.LINK}">Go on</a></p>'

# Name: the body of a page that has the promised text and link in an odd place, or keeps moving beside it.
ODD_PLACES = {
    "shadow in a shadow": (
        "<x-a></x-a><script>const outer = document.querySelector('x-a').attachShadow({ mode: 'open' });"
        "outer.innerHTML = '<x-b></x-b>';"
        f"outer.querySelector('x-b').attachShadow({{ mode: 'open' }}).innerHTML = `{LATE}`;</script>"
    ),
    "declared shadow": f'<x-a><template shadowrootmode="open">{LATE}</template></x-a>',
    "frame in a frame": "<iframe srcdoc=\"<iframe src='/plain'></iframe>\"></iframe>",
    "frame in a shadow": (
        "<x-a></x-a><script>const root = document.querySelector('x-a').attachShadow({ mode: 'open' });"
        "root.innerHTML = '<iframe src=/plain></iframe>';</script>"
    ),
    "document written": f"<script>document.write(`{LATE}`)</script>",
    "microtask": f"<script>Promise.resolve().then(() => document.body.innerHTML += `{LATE}`)</script>",
    "message channel": (
        "<script>const { port1, port2 } = new MessageChannel();"
        f"port1.onmessage = () => {{ document.body.innerHTML += `{LATE}`; }}; port2.postMessage(1);</script>"
    ),
    "after load": (
        f"<script>addEventListener('load', () => {{ document.body.innerHTML += `{LATE}`; }});</script>"
    ),
    "hash route": (
        "<script>const draw = () => { document.body.innerHTML = "
        f"location.hash === '#/late' ? `{LATE}` : '<p>TabSource.</p>'; }};"
        "addEventListener('hashchange', draw); location.hash = '#/late';</script>"
    ),
}
# Pages that never stop: what stood there before is taken, at the cap at the latest.
ENDLESS = ["poll", "animate", "tick", "push-state"]
STAMP = "document.documentElement.dataset.last = Date.now();"
STAMPED = {
    "timer": f"setTimeout(() => {{ document.body.innerHTML += `{LATE}`; {STAMP} }}, 200);",
    "fetch": (
        "fetch('/plain').then((answer) => answer.text()).then((text) => "
        f"{{ document.body.insertAdjacentHTML('beforeend', text); {STAMP} }});"
    ),
    "load": f"addEventListener('load', () => {{ document.body.innerHTML += `{LATE}`; {STAMP} }});",
}


patient = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=8.0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the odd places and the stamped pages; the origin."""

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "plain":
            body = LATE
        elif name in STAMPED:
            body = f"<script>{STAMPED[name]}</script>"
        else:
            body = ODD_PLACES[name]
        html = f'<!doctype html><title>{name}</title><link rel="icon" href="data:,"><body>{body}'
        return web.Response(text=html, content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


def assert_complete(page: RenderedPage, origin: str) -> None:
    """Check that the promised text and link are there."""
    assert late.TEXT in page.text
    assert origin.rstrip("/") + late.LINK in {link.url for link in page.links}
    assert late.LINK in page.html


@pytest.mark.parametrize("delay_ms", SOON_MS)
@pytest.mark.parametrize("way", late.WAYS)
async def test_what_comes_soon_is_waited_for(patient: Browsing, shop: Shop, way: str, delay_ms: int) -> None:
    """By every way that pages use."""
    page = await seen(patient, shop.at(f"/faults/late{way}/{delay_ms}"))
    assert late.TEXT in page.text
    assert shop.at(late.LINK) in {link.url for link in page.links}
    assert page.settled or way == "-unrest"


@pytest.mark.slow
async def test_what_comes_within_a_second_is_waited_for(patient: Browsing, shop: Shop) -> None:
    """Several ways at once, since a second each is long; not all, which no two cores render within the second."""
    paths = [f"/faults/late{way}/{LATE_MS}" for way in late.WAYS]
    pages = []
    for at in range(0, len(paths), AT_ONCE):
        some = paths[at : at + AT_ONCE]
        pages += await asyncio.gather(*(seen(patient, shop.at(path)) for path in some))
    missed = [path for path, page in zip(paths, pages, strict=True) if late.TEXT not in page.text]
    assert missed == []


@pytest.mark.parametrize("name", [name for name in ODD_PLACES if "frame" not in name])
async def test_content_in_an_odd_place_is_found(patient: Browsing, site: str, name: str) -> None:
    """Shadow roots, written documents, tasks that no hook counts."""
    assert_complete(await seen(patient, f"{site}/{name}"), site)


@pytest.mark.parametrize("name", [name for name in ODD_PLACES if "frame" in name])
async def test_content_in_a_frame_of_the_same_origin_is_found(
    patient: Browsing, site: str, name: str
) -> None:
    """Its text and links are the page's; its HTML is its own."""
    page = await seen(patient, f"{site}/{name}")
    assert late.TEXT in page.text
    assert site + late.LINK in {link.url for link in page.links}


async def test_a_page_that_is_streamed_is_read_to_its_end(patient: Browsing, shop: Shop) -> None:
    """Twenty pieces, fifty milliseconds apart."""
    page = await seen(patient, shop.at("/faults/drip/20"))
    assert "Piece 20 of 20." in page.text
    assert shop.at("/faults/piece/20") in {link.url for link in page.links}
    assert page.settled


async def test_a_document_that_is_replaced_is_read_anew(patient: Browsing, shop: Shop) -> None:
    """`document.open` after a hundred milliseconds."""
    page = await seen(patient, shop.at("/faults/document-open"))
    assert "Replaced." in page.text


@pytest.mark.slow
async def test_a_page_that_never_stops_is_taken_as_it_is(shop: Shop, tmp_path: Path) -> None:
    """At the cap at the latest, with what stood there, and it says when it was not settled."""
    async with browsing(tmp_path / "engines", RenderParams(settle_timeout_s=CAP_S)) as opened:
        for name in ENDLESS:
            begun = time.monotonic()
            page = await seen(opened, shop.at(f"/faults/{name}"))
            assert time.monotonic() - begun < LONG_S
            assert "The content was here before the fault." in page.text
            assert page.settled == (page.settle_reason == "quiet")


@pytest.mark.slow
async def test_a_page_is_taken_soon_after_its_last_change(patient: Browsing, site: str) -> None:
    """The median over some pages: one alone may meet a busy machine."""
    lags = []
    for name in [*STAMPED] * 3:
        slot = await patient.slot(f"lag {name}")
        page = await visit(slot, f"{site}/{name}")
        taken_ms = time.time() * 1000
        slot.retire()
        assert late.TEXT in page.text
        stamp = page.html.partition('data-last="')[2].partition('"')[0]
        lags.append(taken_ms - float(stamp))
    assert sorted(lags)[len(lags) // 2] <= LAG_MS, lags
