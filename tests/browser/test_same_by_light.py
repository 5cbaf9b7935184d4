"""The light engine reads of a page what a real browser shows of it, style sheets and scripts included."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from multidict import CIMultiDict

from farm.browser.render import RenderParams
from farm.light.pool import LightSlot
from farm.model.page import RenderedPage
from farm.scope.directives import Directives, directives_of
from fixtures.pages import html, served_by
from fixtures.shop import Shop
from tests.browser.conftest import Browsing, pool_of_a_module
from tests.browser.conftest import visit as visit_by_browser
from tests.light.conftest import lights_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")
light = lights_of_a_module()
opened = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0))
MENU = "<nav><a href=/a>One</a><a href=/b>Two</a><b>Three</b></nav><p>End"
STYLED = {
    "flex": f"<style>nav {{ display: flex }}</style>{MENU}",
    "grid in a media query": f"<style>@media (min-width: 10px) {{ nav {{ display: grid }} }}</style>{MENU}",
    "media that does not match": f"<style>@media (max-width: 10px) {{ nav {{ display: grid }} }}</style>{MENU}",
    "blocks": f"<style>a {{ display: block }}</style>{MENU}",
    "the stronger rule": f"<style>nav > a {{ display: block }} a {{ display: inline }}</style>{MENU}",
    "the later rule": f"<style>a {{ display: block }} a {{ display: inline }}</style>{MENU}",
    "important": f"<style>a {{ display: block !important }} nav a {{ display: inline }}</style>{MENU}",
    "its own style": "<style>b { display: block }</style><p>a<b style='display:inline'>b</b>c",
    "escaped": "<style>.md\\:block { display: block }</style><p>a<b class='md:block'>b</b>c",
    "float": "<style>b { float: left }</style><p>a<b>b</b>c",
    "absolute": "<style>b { position: absolute }</style><p>a<b>b</b>c",
    "hidden": "<style>.no { display: none } i { visibility: hidden }</style><p>a<b class=no>b</b><i>c</i>d",
    "white space": "<style>div { white-space: pre-line }</style><div>one  two\n  three</div>",
    "capitals": "<style>b { text-transform: uppercase }</style><p>a <b>bcd</b> e",
    "a table of boxes": (
        "<style>.t { display: table } .r { display: table-row } .c { display: table-cell }</style>"
        "<div class=t><p class=r><b class=c>a</b><b class=c>b</b></p><p class=r><b class=c>c</b></p></div>"
    ),
    "contents": "<style>div div { display: contents } b { display: block }</style><div>a<div><b>b</b>c</div>d",
    "margins": "<style>nav a { margin: 0 4px }</style><nav><a href=/a>One</a><a href=/b>Two</a></nav>",
    "margins behind": "<style>nav a { margin-right: 4px }</style><nav><a href=/a>One</a><a href=/b>Two</a></nav>",
    "comments and icons": (
        "<style>i { display: inline-block }</style>"
        "<nav><button>Edit<i></i></button><!----><button><!--x--><b>Cut</b></button>"
    ),
    "a sheet made by script": (
        "<p>a<b>b</b>c<script>const sheet = new CSSStyleSheet(); sheet.replaceSync('b { display: block }');"
        "document.adoptedStyleSheets = [sheet];</script>"
    ),
    "a sheet from elsewhere": f"<link rel=stylesheet href=/sheet.css>{MENU}",
    "a list that a script makes": (
        "<ul></ul><script>for (let n = 0; n < 3; n += 1) document.querySelector('ul').innerHTML +="
        " `<li><a href='/item/${n}' rel=next>Item ${n}</a></li>`; document.title = 'Made'</script>"
    ),
}
TWICE = {
    "X-Robots-Tag": (
        "otherbot: noindex",
        "unavailable_after: Wed, 25 Jun 2030 15:00:00 PST, nofollow",
        "all",
    ),
    "Vary": ("a", "b"),
    "Content-Type": ("text/plain", "text/html; charset=utf-8"),
}
"""Headers of several lines; a name may be written otherwise on each."""
SHOP = ("/", "/c/lamps", "/p/brook-night-light", "/about")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the styled pages, and a sheet for one of them."""

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "sheet.css":
            return web.Response(text="nav { display: flex }", content_type="text/css")
        if name == "twice":
            lines = CIMultiDict[str]()
            for header, values in TWICE.items():
                for number, value in enumerate(values):
                    lines.add(header.lower() if number else header, value)
            return web.Response(body=html(name, "<p>Shown").encode(), headers=lines)
        return web.Response(text=html(name, STYLED[name]), content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


def kept(page: RenderedPage) -> dict[str, Any]:
    """Return what a record has of a page."""
    return {
        "text": page.text.split("\n"),
        "links": [(one.url, one.text, one.rel) for one in page.links],
        **{
            name: getattr(page, name)
            for name in (
                "final_url",
                "status",
                "title",
                "robots",
                "canonical",
                "lang",
                "charset",
                "metadata",
                "html",
            )
        },
    }


async def test_headers_of_several_lines_are_the_same(opened: Browsing, light: LightSlot, site: str) -> None:
    """Each line of `X-Robots-Tag` says for itself whom it is for; of several types the last counts."""
    slot = await opened.slot()
    pages = [await visit_by_browser(slot, f"{site}/twice"), await visit(light, f"{site}/twice")]
    slot.retire()
    for page in pages:
        assert page.text.endswith("Shown")
        assert page.headers["x-robots-tag"] == "\n".join(TWICE["X-Robots-Tag"])
        assert page.headers["vary"] == "a, b"
        assert page.headers["content-type"] == page.content_type == ", ".join(TWICE["Content-Type"])
        assert directives_of(page.headers, page.robots) == Directives(nofollow=True)


async def test_a_page_is_read_as_the_browser_shows_it(
    opened: Browsing, light: LightSlot, site: str, shop: Shop
) -> None:
    """Text by its lines, links in their order, the HTML, and what the head says."""
    slot = await opened.slot()
    differ: dict[str, Any] = {}
    for url in (*(f"{site}/{name}" for name in STYLED), *map(shop.at, SHOP)):
        by_browser, by_light = kept(await visit_by_browser(slot, url)), kept(await visit(light, url))
        differ |= {
            f"{url}: {key}": (by_light[key], said)
            for key, said in by_browser.items()
            if by_light[key] != said
        }
    slot.retire()
    assert differ == {}
