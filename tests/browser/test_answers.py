"""What a page says of itself: of any size, of any type, and nothing of it gets past the reader unchecked."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as some

from farm.browser.collector import DocumentHead, ReadParams, checked, page_of
from farm.browser.render import RenderParams
from farm.detect import detect
from farm.model.errors import RenderError
from farm.model.page import Image
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, pool_of_a_module, seen, visit

BY_ONE_BROWSER = pytest.mark.asyncio(loop_scope="module")
PARAMS = ReadParams()
WHOLE: dict[str, Any] = {
    **dict.fromkeys(("url", "reason", "title", "text", "html", "robots", "lang", "charset", "came"), "x"),
    "settled": True,
    "canonical": None,
    "truncated": [],
    "links": [["http://h/", "a", ""]],
    "images": [["http://h/i", "a", 1, None]],
    "media": [["http://h/v", "video"]],
    "metadata": {"ld": ["{}"], "graph": {}, "twitter": {}, "items": []},
    "loggedIn": True,
}
ODD: dict[str, tuple[Any, ...]] = {
    "settled": (1, "yes"),
    "came": (None,),
    "truncated": ([1],),
    "links": ([["http://h/", "a"]], [["http://h/", "a", None]], ["abc"]),
    "images": (None, [["http://h/"]], [["http://h/", "a", "1", 1]], [[1, "a", 1, 1]], {}),
    "media": (3, [["http://h/", "video", "x"]], [None]),
    "metadata": ({}, {**WHOLE["metadata"], "ld": [{}]}, {**WHOLE["metadata"], "graph": []}, [], "x"),
    "loggedIn": (0, "no"),
}
"""What a page's own process can answer in the place of a field."""
HEAD = DocumentHead(200, {"content-type": "text/html"})
ANYTHING = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=10,
)
FORMS = {
    "form": '<form name="title"><input name="lang"></form>',
    "image": '<img name="title">',
    "two": '<img name="title"><img name="title">',
    "frame": '<iframe name="title"></iframe>',
}
FIELDS = {
    "shadowRoot": '<form><input name="shadowRoot"></form><p>Within.',
    "localName": '<form><input name="localName"><input name="children"></form><p>Within.',
    "innerText": (
        "<div></div><script>const div = document.querySelector('div');"
        "div.attachShadow({ mode: 'open' }).innerHTML = '<form>Within.<input name=innerText></form>';</script>"
    ),
    "root": (
        "<div></div><script>document.querySelector('div').attachShadow({ mode: 'open' }).innerHTML = '<i></i>';"
        "const form = document.createElement('form'); document.documentElement.replaceWith(form);"
        "form.append(document.createElement('div'), 'Within.');"
        "form.firstChild.attachShadow({ mode: 'open' });"
        "for (const name of ['outerHTML', 'lang', 'localName', 'cloneNode', 'getHTML'])"
        " form.append(Object.assign(document.createElement('input'), { name }));</script>"
    ),
}
LARGE = {
    "title": "document.title = 'x'.repeat(5e7);",
    "lang": "document.documentElement.lang = 'x'.repeat(1e7);",
    "robots": (
        "const m = document.createElement('meta'); m.name = 'robots'; m.content = 'x'.repeat(1e7);"
        "document.head.append(m);"
    ),
    "canonical": (
        "const l = document.createElement('link'); l.rel = 'canonical'; l.href = '/' + 'x'.repeat(1e5);"
        "document.head.append(l);"
    ),
    "links": (
        "for (let n = 0; n < 50; n += 1) { const a = document.createElement('a');"
        "a.href = '/' + 'x'.repeat(1e5); document.body.append(a); }"
    ),
    "html": "document.body.append(document.createComment('\\ud800\\u0001'.repeat(3e6)));",
}


rendering = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0))


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve these pages by name."""

    async def answer(request: web.Request) -> web.Response:
        name = request.path.strip("/")
        script = f"<script>{LARGE[name]}</script>" if name in LARGE else ""
        text = f"<!doctype html><title>The title</title><body><p>Content.{(FORMS | FIELDS).get(name, '')}{script}"
        return web.Response(text=text, content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


@BY_ONE_BROWSER
async def test_elements_in_place_of_a_documents_own_names_are_no_text(rendering: Browsing, site: str) -> None:
    """In a page's own world `document.title` is a form where it has one of that name; not in the farm's."""
    slot = await rendering.slot()
    for name in FORMS:
        page = await visit(slot, f"{site}/{name}")
        assert page.title == "The title"
        assert page.lang == ""
        assert detect(page) is None


@BY_ONE_BROWSER
@pytest.mark.parametrize("name", FIELDS)
async def test_a_field_in_place_of_an_elements_own_name_costs_nothing(
    rendering: Browsing, site: str, name: str
) -> None:
    """A form shows its fields as its own properties: such a page could not be read at all."""
    page = await seen(rendering, f"{site}/{name}")
    assert "Within." in (page.text if name != "root" else page.html)
    assert "[object" not in page.text
    assert page.html.rstrip().endswith("</form>" if name == "root" else "</html>")


@BY_ONE_BROWSER
async def test_what_is_too_large_is_cut_and_named(rendering: Browsing, site: str) -> None:
    """In the page, before it is carried anywhere."""
    slot = await rendering.slot()
    for name in LARGE:
        page = await visit(slot, f"{site}/{name}")
        assert name in page.truncated, name
        assert len(page.title) <= PARAMS.title_cap
        assert len(page.lang) <= PARAMS.word_cap
        assert len(page.robots) <= PARAMS.word_cap
        assert page.canonical is None
        assert len(json.dumps(page.html)) + len(json.dumps(page.text)) <= PARAMS.all_cap
        assert page.links == ()


@settings(max_examples=50)
@given(ANYTHING)
def test_an_answer_of_any_form_is_a_failure_of_the_page(said: Any) -> None:
    """Never an error of another kind."""
    with suppress(RenderError):
        checked(json.dumps(said))
    with suppress(RenderError):
        checked(said)


@settings(max_examples=50)
@given(some.sampled_from(sorted(WHOLE)), ANYTHING)
def test_a_field_of_any_form_is_a_failure_or_fits(name: str, said: Any) -> None:
    """What passes can be taken apart as the reader does."""
    with suppress(RenderError):
        seen = checked(json.dumps({**WHOLE, name: said}))
        assert all(len(one) == 3 and all(isinstance(part, str) for part in one) for one in seen["links"])
        assert isinstance(page_of(seen, HEAD, {}).title, str)


@pytest.mark.parametrize(("name", "said"), [(name, one) for name, odd in ODD.items() for one in odd])
def test_a_field_of_another_form_fails_its_page_alone(name: str, said: Any) -> None:
    """Taken apart it would be an error that nobody expects, and such a one ends the node."""
    with pytest.raises(RenderError, match="its answer is none"):
        checked(json.dumps({**WHOLE, name: said}))


@pytest.mark.parametrize("said", [None, 1, "", "{", "[" * 100_000, b"\xff", "null", "[]", {}, "{}"])
def test_what_is_no_answer_is_a_failure_of_the_page(said: Any) -> None:
    """Found by the above, and thought of."""
    with pytest.raises(RenderError):
        checked(said)


def test_an_answer_that_fits_is_returned() -> None:
    """Half of a surrogate pair included."""
    assert checked(json.dumps(WHOLE)) == WHOLE
    assert page_of(WHOLE, HEAD, {}).images == (Image("http://h/i", "a", 1),)
    assert checked('{"frame":true}') == {"frame": True}
    assert checked(json.dumps({**WHOLE, "title": "\ud800"}))["title"] == "\ud800"
