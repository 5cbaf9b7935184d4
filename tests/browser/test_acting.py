"""What is done to a page before it is read: clicks, and scrolling until nothing new comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.acting import ActParams, act
from farm.browser.reading import Reading
from farm.browser.render import RenderParams
from farm.model.errors import SlotLost, UsageError
from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, pool_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE_S = 8.0
GROWS = """
let shown = 0;
const more = () => fetch('/empty?' + shown).then((answer) => answer.text()).then(() => {
  for (let at = 0; at < 5 && shown < LAST; at += 1) {
    shown += 1;
    const line = document.createElement('p');
    line.textContent = 'Item ' + shown + '.';
    line.style.height = '300px';
    document.getElementById('list').append(line);
  }
});
"""
NAMES = (
    '<form name="scrollingElement"><input name="scrollHeight"><input name="clientHeight">'
    '<input name="scrollTo"></form>'
    '<img name="documentElement"><form name="querySelectorAll"></form>'
)
"""A document shows its forms and images as its own properties, and a form its fields."""
PAGES = {
    "wall": (
        '<div id="wall"><button id="yes">Yes</button></div><script>'
        "document.getElementById('yes').onclick = () => {"
        " document.getElementById('wall').remove();"
        " fetch('/empty').then(() => { document.body.append('The content behind the wall.'); }); };</script>"
    ),
    "shadow-wall": (
        "<x-wall></x-wall><script>const root = document.querySelector('x-wall').attachShadow({ mode: 'open' });"
        "root.innerHTML = '<button id=yes>Yes</button>';"
        "root.querySelector('button').onclick = () => document.body.append('The content behind the wall.');"
        "</script>"
    ),
    "hidden": (
        '<button class="x" style="display:none" onclick="document.body.append(\'Wrong.\')">No</button>'
        '<button class="x" onclick="document.body.append(\'Right.\')">Yes</button>'
    ),
    "more": (
        f'<div id="list"></div><button id="more">More</button><script>{GROWS.replace("LAST", "23")}'
        "document.getElementById('more').onclick = () => more().then(() => {"
        " if (shown === 23) document.getElementById('more').remove(); });</script>"
    ),
    "toggle": (
        '<button id="more">More</button><script>document.getElementById("more").onclick = () => {'
        " const shown = document.getElementById('shown');"
        " if (shown) shown.remove(); else { const line = document.body.appendChild(document.createElement('p'));"
        " line.id = 'shown'; line.textContent = 'It is open.'; } };</script>"
    ),
    "leads-away": '<a id="go" href="/elsewhere">Go</a>',
    "elsewhere": "<p>This is elsewhere.</p>",
    "hangs": '<button id="yes" onclick="for (;;);">Yes</button>',
    "very-long": '<div style="height: 100000px">Long.</div>',
    "endless": (
        f'<div id="list"></div><div id="end">.</div><script>{GROWS.replace("LAST", "1e9")}'
        "more(); new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) more(); })"
        ".observe(document.getElementById('end'));</script>"
    ),
    "ends": (
        f'<div id="list"></div><div id="end">.</div><script>{GROWS.replace("LAST", "40")}'
        "more(); new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) more(); })"
        ".observe(document.getElementById('end'));</script>"
    ),
    "by-event": (
        f'<div id="list"></div><script>{GROWS.replace("LAST", "20")}'
        "more(); let waits = 0; addEventListener('scroll', () => { clearTimeout(waits);"
        " waits = setTimeout(() => {"
        " if (scrollY + innerHeight > document.body.scrollHeight - 50) more(); }, 100); });"
        "</script>"
    ),
    "box": (
        "<style>html, body { height: 100%; margin: 0; overflow: hidden }</style>"
        '<main style="height: 100%; overflow: auto"><div id="list"></div><div id="end">.</div></main>'
        f"<script>{GROWS.replace('LAST', '20')}"
        "more(); new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) more(); })"
        ".observe(document.getElementById('end'));</script>"
    ),
    "named": (
        f'<div id="list"></div>{NAMES}<div id="end">.</div><script>{GROWS.replace("LAST", "20")}'
        "more(); new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) more(); })"
        ".observe(document.getElementById('end'));</script>"
    ),
    "named-form": (
        '<form id="ask" onclick="this.remove(); document.body.append(\'Right.\')">Yes<input name="disabled">'
        '<input name="click"><input name="getBoundingClientRect"><input name="dispatchEvent"></form>'
    ),
    "in-the-middle": (
        '<div style="height: 3000px">Top.</div><div id="middle" style="height: 10px"></div>'
        '<div style="height: 3000px">Bottom.</div><script>const mark = document.getElementById("middle");'
        "new IntersectionObserver((seen) => {"
        " if (seen.some((one) => one.isIntersecting)) mark.textContent = 'Half way.'; }).observe(mark);</script>"
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages; the origin."""

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name == "empty":
            return web.Response(text="")
        html = f'<!doctype html><title>{name}</title><link rel="icon" href="data:,"><body>{PAGES[name]}'
        return web.Response(text=html, content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


hands = pool_of_a_module(RenderParams(page_timeout_s=PAGE_S, settle_timeout_s=3.0))


async def acted(
    hands: Browsing, url: str, clicks: Sequence[str] = (), *, times: int = 1, scrolls: int = 0
) -> RenderedPage:
    """Visit with a slot of its own that does this."""
    params = RenderParams(
        page_timeout_s=PAGE_S, settle_timeout_s=3.0, act=ActParams(tuple(clicks), times, scrolls)
    )
    slot = await hands.slot(url + str(clicks) + str(scrolls))
    slot._params = type(slot._params)(slot._params.tab, params, slot._params.recycle)
    try:
        return await visit(slot, url)
    finally:
        slot.retire()


@pytest.mark.parametrize("name", ["wall", "shadow-wall"])
async def test_what_a_click_brings_is_waited_for(hands: Browsing, site: str, name: str) -> None:
    """A wall is in the document or in a component."""
    page = await acted(hands, f"{site}/{name}", ["#yes"])
    assert "The content behind the wall." in page.text
    assert page.actions == {"clicked": {"#yes": 1}, "scrolled": 0}
    assert page.settled


async def test_what_cannot_be_seen_is_not_clicked(hands: Browsing, site: str) -> None:
    """The first visible one is."""
    page = await acted(hands, f"{site}/hidden", [".x"])
    assert "Right." in page.text
    assert "Wrong." not in page.text


async def test_a_form_is_clicked_whatever_its_fields_are_called(hands: Browsing, site: str) -> None:
    """They stand in the place of what a click is made of."""
    page = await acted(hands, f"{site}/named-form", ["#ask"])
    assert "Right." in page.text
    assert page.actions["clicked"] == {"#ask": 1}


class Saying:
    """A page whose own process says what it likes when it is acted on. In the place of a `Reading`."""

    def __init__(self, said: Any) -> None:
        self._said = said
        self.calls = 0

    async def act(self, _call: str, _deadline_s: float) -> Any:
        """Say it."""
        self.calls += 1
        return self._said

    async def settled(self) -> None:
        """Do nothing."""

    async def passing(self, _deadline_s: float) -> None:
        """Do nothing."""

    async def frame(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "said", [None, True, "x", [], {}, {"elements": {}, "height": "9"}, {"elements": None}, -1, 1e300]
)
async def test_whatever_a_page_says_of_itself_ends_no_more_than_its_visit(said: Any) -> None:
    """Of what is no number nothing is compared."""
    page = Saying(said)
    acted = await act(cast("Reading", page), ActParams(("a",), 2, 2), asyncio.get_running_loop().time() + 60)
    assert acted.scrolled >= 1
    assert page.calls < 1_000


async def test_a_button_is_clicked_while_it_brings_something(hands: Browsing, site: str) -> None:
    """And no more often when it has gone."""
    page = await acted(hands, f"{site}/more", ["#more"], times=50)
    assert "Item 23." in page.text
    assert page.actions["clicked"] == {"#more": 5}


async def test_a_button_is_clicked_once_where_nothing_else_is_said(hands: Browsing, site: str) -> None:
    """What opens on the first click would close on the second."""
    page = await acted(hands, f"{site}/toggle", ["#more"])
    assert "It is open." in page.text


async def test_a_selector_that_never_comes_costs_nothing(hands: Browsing, site: str) -> None:
    """The record says that it was not there."""
    begun = time.monotonic()
    page = await acted(hands, f"{site}/elsewhere", [".never", "#nor-this"])
    assert time.monotonic() - begun < PAGE_S
    assert page.actions["clicked"] == {".never": 0, "#nor-this": 0}
    assert "This is elsewhere." in page.text


async def test_a_click_that_leads_away_is_followed(hands: Browsing, site: str) -> None:
    """The page that is read is the one that it leads to."""
    page = await acted(hands, f"{site}/leads-away", ["#go", ".never"])
    assert page.final_url == f"{site}/elsewhere"
    assert "This is elsewhere." in page.text


@pytest.mark.slow
async def test_a_click_under_which_the_page_hangs_costs_the_tab(hands: Browsing, site: str) -> None:
    """Not the farm: the slot goes on with another."""
    begun = time.monotonic()
    with pytest.raises(SlotLost) as lost:
        await acted(hands, f"{site}/hangs", ["#yes"])
    assert lost.value.kind is FailureKind.TIMEOUT
    assert time.monotonic() - begun < PAGE_S + 30.0
    assert "This is elsewhere." in (await acted(hands, f"{site}/elsewhere")).text


@pytest.mark.parametrize("wrong", ["###", "a[", "//div"])
async def test_what_is_no_selector_is_the_users_fault(hands: Browsing, site: str, wrong: str) -> None:
    """It ends the run, instead of failing every page."""
    with pytest.raises(UsageError, match="selector") as said:
        await acted(hands, f"{site}/elsewhere", [wrong])
    assert wrong in str(said.value)


@pytest.mark.parametrize(
    ("name", "last"),
    [("ends", "Item 40."), ("by-event", "Item 20."), ("box", "Item 20."), ("named", "Item 20.")],
)
async def test_a_page_is_scrolled_until_nothing_new_comes(
    hands: Browsing, site: str, name: str, last: str
) -> None:
    """By an observer, by the scroll event, in a page that scrolls inside itself, whatever its parts are called."""
    page = await acted(hands, f"{site}/{name}", scrolls=50)
    assert last in page.text
    assert 0 < page.actions["scrolled"] < 50
    assert page.settled


async def test_a_page_that_is_longer_than_a_way_down_says_so(hands: Browsing, site: str) -> None:
    """A hundred windows are looked at; what lies between them and the end is not."""
    long, short = [await acted(hands, f"{site}/{name}", scrolls=1) for name in ("very-long", "elsewhere")]
    assert (long.truncated, short.truncated) == (("actions",), ())


async def test_a_page_without_an_end_is_scrolled_so_often_and_no_more(hands: Browsing, site: str) -> None:
    """Each way down ends where the page ended when it began."""
    once, thrice = [await acted(hands, f"{site}/endless", scrolls=number) for number in (1, 3)]
    assert once.actions["scrolled"] == 1
    assert thrice.actions["scrolled"] == 3
    assert len(once.text) < len(thrice.text)


async def test_what_stands_half_way_is_seen_on_the_way(hands: Browsing, site: str) -> None:
    """A jump to the end would pass it by."""
    page = await acted(hands, f"{site}/in-the-middle", scrolls=1)
    assert "Half way." in page.text


@pytest.mark.slow
async def test_acting_ends_with_the_page_and_leaves_time_to_read_it(hands: Browsing, site: str) -> None:
    """A page without an end, and a user who wants a thousand ways down."""
    page = await acted(hands, f"{site}/endless", scrolls=1000)
    assert "actions" in page.truncated
    assert "Item 10." in page.text
    assert 3 < page.actions["scrolled"] < 1000
