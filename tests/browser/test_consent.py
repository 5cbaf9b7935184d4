"""Cookie banners: twelve of different kinds, six of them made without a look at the rules; answered, and gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.page_frames import below
from farm.browser.render import RenderParams
from farm.model.page import RenderedPage
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, pool_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAYS = "We and our partners use cookies to store and access information on your device."
BAR = "position:fixed;bottom:0;left:0;right:0;z-index:9999;background:white;padding:20px"


def pressed(choice: str, banner: str, *, after: str = "") -> str:
    """Return a handler of clicks that notes the choice and takes the banner away."""
    return (
        f"document.cookie = 'choice={choice}; path=/'; document.querySelector('{banner}').remove(); "
        f"document.body.append(' Chosen: {choice}.'); {after}"
    )


def button(choice: str, banner: str, attributes: str, text: str, *, after: str = "") -> str:
    """Return a button of a banner."""
    return f'<button {attributes} onclick="{pressed(choice, banner, after=after)}">{text}</button>'


KNOWN = {
    "onetrust": (
        f'<div id="onetrust-consent-sdk"><div id="onetrust-banner-sdk" style="{BAR}">{SAYS}'
        + button("accept", "#onetrust-consent-sdk", 'id="onetrust-accept-btn-handler"', "Accept All")
        + button("reject", "#onetrust-consent-sdk", 'id="onetrust-reject-all-handler"', "Reject All")
        + "</div></div>"
    ),
    "cookieconsent": (
        f'<div id="cc-main"><div class="cm-wrapper"><div class="cm" style="{BAR}">{SAYS}'
        + button("accept", "#cc-main", 'class="cm__btn" data-role="all"', "Accept all")
        + button("reject", "#cc-main", 'class="cm__btn" data-role="necessary"', "Necessary only")
        + "</div></div></div>"
    ),
    "complianz": (
        f'<div id="cmplz-cookiebanner-container"><div class="cmplz-cookiebanner" style="{BAR}">{SAYS}'
        + button("accept", "#cmplz-cookiebanner-container", 'class="cmplz-btn cmplz-accept"', "Accept")
        + button("reject", "#cmplz-cookiebanner-container", 'class="cmplz-btn cmplz-deny"', "Deny")
        + "</div></div>"
    ),
    "cookieyes": (
        f'<div class="cky-consent-container" style="{BAR}">{SAYS}'
        + button("accept", ".cky-consent-container", 'data-cky-tag="accept-button"', "Accept All")
        + button("reject", ".cky-consent-container", 'data-cky-tag="reject-button"', "Reject All")
        + "</div>"
    ),
    "osano": (
        "<script>window.Osano = { cm: { dialogOpen: true } };</script>"
        f'<div class="osano-cm-window"><div class="osano-cm-dialog" style="{BAR}">{SAYS}'
        + button("accept", ".osano-cm-window", 'class="osano-cm-accept-all"', "Accept All")
        + button("reject", ".osano-cm-window", 'class="osano-cm-denyAll"', "Reject Non-Essential")
        + "</div></div>"
    ),
    "iubenda": (
        f'<div id="iubenda-cs-banner" style="{BAR}">{SAYS}'
        + button("accept", "#iubenda-cs-banner", 'class="iubenda-cs-accept-btn"', "Accept")
        + button("reject", "#iubenda-cs-banner", 'class="iubenda-cs-reject-btn"', "Reject")
        + "</div>"
    ),
}
"""As six products build theirs."""
OWN = {
    "bar": (
        f'<div class="notice" style="{BAR}"><p>This website uses cookies to improve your experience.</p>'
        + button("reject", ".notice", "", "Reject all")
        + button("accept", ".notice", "", "Accept all")
        + "</div>"
    ),
    "german": (
        f'<section class="hinweis" style="{BAR}"><p>Wir verwenden Cookies, um Inhalte zu personalisieren und die '
        "Zugriffe auf unsere Website zu analysieren.</p>"
        + button("accept", ".hinweis", "", "Alle akzeptieren")
        + button("reject", ".hinweis", "", "Alle ablehnen")
        + "</section>"
    ),
    "dialog": (
        '<dialog id="ask"><p>We use cookies and similar technologies. You can accept or decline them.</p>'
        + button("accept", "#ask", "", "Accept")
        + button("reject", "#ask", "", "Decline")
        + "</dialog><script>document.getElementById('ask').showModal()</script>"
    ),
    "late": (
        "<script>fetch('/empty').then(() => setTimeout(() => { document.body.insertAdjacentHTML('beforeend', "
        "document.getElementById('later').innerHTML); }, 50));</script><template id=\"later\">"
        '<div id="gdpr-wall" role="dialog" aria-modal="true" style="position:fixed;inset:0;z-index:9999">'
        "<p>We value your privacy. We use cookies to analyse our traffic.</p>"
        + button("accept", "#gdpr-wall", "", "Accept All Cookies")
        + button("reject", "#gdpr-wall", "", "Reject All Cookies")
        + "</div></template>"
    ),
    "reloading": (
        f'<div class="again" style="{BAR}" hidden><p>Nous utilisons des cookies pour mesurer notre audience.</p>'
        + button("accept", ".again", "", "Tout accepter", after="location.reload()")
        + button("reject", ".again", "", "Tout refuser", after="location.reload()")
        + "</div><script>const made = /choice=(\\w+)/.exec(document.cookie);"
        "if (made) { document.querySelector('.again').remove(); document.body.append(`Chosen: ${made[1]}.`); }"
        "else document.querySelector('.again').hidden = false;</script>"
    ),
    "links": (
        f'<div id="cookie-popup" style="{BAR}"><span>We use cookies on this site to personalise content.</span> '
        f'<a href="#" role="button" onclick="{pressed("accept", "#cookie-popup")}; return false">I agree</a> '
        f'<a href="#" role="button" onclick="{pressed("reject", "#cookie-popup")}; return false">No, thanks</a>'
        "</div>"
    ),
}
"""As sites build their own; written before the rules were read."""
FRAMED = (
    '<iframe id="sp_message_iframe_1" style="position:fixed;inset:0;width:100%;height:100%" '
    "src=\"ORIGIN/index.html?message_id=1\"></iframe><script>addEventListener('message', (event) => { "
    "document.querySelector('iframe').remove(); document.body.append(`Chosen: ${event.data}.`); })</script>"
)
CHOICES = f"<p>{SAYS}</p>" + "".join(
    f"<button class=\"{name}\" onclick=\"parent.postMessage('{choice}', '*')\">{choice} all</button>"
    for name, choice in (("sp_choice_type_11", "accept"), ("sp_choice_type_13", "reject"))
)
"""In a frame, which is of the page's site or of another one."""
WITHOUT = {
    "article": "<p>How cookies are baked: accept no butter that is cold. Reject all shortcuts.</p>",
    "newsletter": (
        f'<div class="box" style="{BAR}"><p>Subscribe to our newsletter</p>'
        + button("accept", ".box", "", "Subscribe")
        + button("reject", ".box", "", "No thanks")
        + "</div>"
    ),
}
BANNERS = KNOWN | OWN
PAGES = BANNERS | WITHOUT


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages() -> AsyncIterator[str]:
    """Serve each page at its name; return the address."""

    async def page(request: web.Request) -> web.Response:
        name, port = request.match_info["name"], request.url.port
        if name == "index.html":
            return web.Response(text=CHOICES, content_type="text/html")
        if name.startswith("framed-by-"):
            framed = FRAMED.replace("ORIGIN", f"http://{name.removeprefix('framed-by-')}:{port}")
            return web.Response(text=f"<h1>The content</h1>{framed}", content_type="text/html")
        if name not in PAGES:
            return web.Response(text="")
        html = f"<!doctype html><title>{name}</title><h1>The content</h1>{PAGES[name]}"
        return web.Response(text=html, content_type="text/html")

    async with served_by(page) as url:
        yield f"{url}/"


rejecting = pool_of_a_module(RenderParams(page_timeout_s=25.0, settle_timeout_s=5.0, consent="reject"))
accepting = pool_of_a_module(RenderParams(page_timeout_s=25.0, settle_timeout_s=5.0, consent="accept"))


async def shown(browser: Browsing, url: str) -> RenderedPage:
    """Visit the page in a context of its own."""
    slot = await browser.slot(url)
    try:
        return await visit(slot, url)
    finally:
        slot.retire()


async def test_banners_of_twelve_kinds_are_rejected(rejecting: Browsing, pages: str) -> None:
    """The pages say so, nothing of the banners is left in what is read, and the records name what knew them."""
    shows = await asyncio.gather(*(shown(rejecting, f"{pages}{name}") for name in BANNERS))
    told = {name: page.actions.get("consent", {}) for name, page in zip(BANNERS, shows, strict=True)}
    assert {name: (one.get("choice"), one.get("answered")) for name, one in told.items()} == dict.fromkeys(
        BANNERS, ("reject", True)
    )
    assert all(one["by"] for one in told.values())
    for page in shows:
        assert page.text.startswith("The content")
        assert "Chosen: reject." in page.text
        assert "cookies" not in page.text.lower()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_banner_in_a_frame_is_rejected(rejecting: Browsing, pages: str, host: str) -> None:
    """Also in that of another site, which has a process of its own."""
    page = await shown(rejecting, f"{pages}framed-by-{host}")
    assert "Chosen: reject." in page.text
    assert page.actions["consent"]["answered"]


@pytest.mark.parametrize("name", ["onetrust", "osano", "german", "reloading"])
async def test_a_banner_is_accepted(accepting: Browsing, pages: str, name: str) -> None:
    """By the rule that knows it, or by what its buttons say."""
    page = await shown(accepting, f"{pages}{name}")
    assert "Chosen: accept." in page.text
    assert page.actions["consent"]["answered"]


@pytest.mark.parametrize("name", WITHOUT)
async def test_a_page_without_a_banner_is_left_alone(
    rejecting: Browsing, accepting: Browsing, pages: str, name: str
) -> None:
    """Whatever it says of cookies, and whatever else it asks."""
    for browser in (rejecting, accepting):
        page = await shown(browser, f"{pages}{name}")
        assert page.actions == {}
        assert "Chosen" not in page.text


async def test_a_context_is_asked_once(rejecting: Browsing, pages: str) -> None:
    """It has the answer as a cookie; a banner that ignores that is not answered again."""
    slot = await rejecting.slot("once")
    first, second = [await visit(slot, f"{pages}{name}") for name in ("bar", "german")]
    slot.retire()
    assert first.actions["consent"]["answered"]
    assert second.actions == {}
    assert "Wir verwenden Cookies" in second.text


async def test_frames_in_frames_are_found_however_deep_they_are() -> None:
    """The outer ones first: of those that can have a banner only some are looked at."""
    tree: dict[str, Any] = {"frame": {"id": "own"}}
    at = tree
    for number in range(5_000):
        at["childFrames"] = [{"frame": {"id": number}}, {"frame": {"id": -number}}]
        at = at["childFrames"][0]
    found = [one["id"] for one in below(tree)]
    assert len(found) == 10_000
    assert found[:4] == [0, 0, 1, -1]
