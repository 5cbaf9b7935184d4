"""Errors on a page are reported: requests, lines of the console, exceptions; each once, and bounded."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.events import PageErrors
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.model.page import MOST_ERRORS, PageError
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, pool_of_a_module, visit

BY_ONE_BROWSER = pytest.mark.asyncio(loop_scope="module")
DEAD = "http://127.0.0.1:2"
"""Nobody listens on this port, and a browser may ask for it by a proxy."""
PAGES = {
    "/broken": f"""<!doctype html><title>shell</title>
        <link rel=stylesheet href=/a.css?status=500><img src={DEAD}/a.png>
        <script src={DEAD}/app.js></script><script src={DEAD}/app.js?again></script>
        <script src=/gone.js?status=404></script><script src=/blocked.js></script>
        <iframe src={DEAD}/frame></iframe>
        <script>
        fetch('{DEAD}/api').catch(() => 0); fetch('/api?status=500');
        const given = new AbortController();
        fetch('/slow', {{ signal: given.signal }}).catch(() => 0); given.abort();
        const old = new XMLHttpRequest(); old.open('GET', '{DEAD}/xhr'); old.send();
        console.log('no error'); console.warn('nor this');
        </script>""",
    "/loud": """<!doctype html><p>loud<script src=/loud.js></script>
        <iframe srcdoc="<script>parent.told = 1; null.inside</script>"></iframe>""",
    "/long": "<!doctype html><p>long<script>for (let i = 0; i < 70; i += 1) console.error('number', i)</script>",
    "/flood": """<!doctype html><p>flood<script>
        for (let i = 0; i < 200000; i += 1) Promise.reject(new Error('number ' + i))</script>""",
    "/well": """<!doctype html><link rel=stylesheet href=/a.css><p>well<script src=/a.js></script>
        <script>fetch('/api').then(() => console.log('came'))</script>""",
}
LOUD = """
for (let i = 0; i < 3; i += 1) console.error('said', { a: i }, new TypeError('meant'), 7, null);
console.error('x'.repeat(1000) + '\\ud83d');
setTimeout(() => null.far);
Promise.reject(new RangeError('unheard'));
Promise.reject('a word');
setTimeout(() => { throw { some: 'thing' } });
"""


async def answer(request: web.Request) -> web.Response:
    """Answer with a page, or with what a page asks for."""
    if request.path in PAGES:
        return web.Response(text=PAGES[request.path], content_type="text/html")
    kind = "text/css" if request.path.endswith("css") else "text/javascript"
    text = LOUD if request.path == "/loud.js" else ""
    return web.Response(text=text, content_type=kind, status=int(request.query.get("status", "200")))


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages."""
    async with served_by(answer) as origin:
        yield origin


# It loads stylesheets and images, and blocks one address.
shown = pool_of_a_module(
    RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0), TabParams(blocked_urls=("*blocked*",))
)


@BY_ONE_BROWSER
async def test_requests_that_failed_are_named_with_what_they_were_for(shown: Browsing, site: str) -> None:
    """Not what the page gave up, what the farm blocks, images, nor answers to XHR and fetch."""
    page = await visit(await shown.slot(), f"{site}/broken")
    assert page.status == 200
    assert all(one.kind == "request" for one in page.errors)
    assert {(one.resource, one.url.replace(site, "")): one.message for one in page.errors} == {
        ("stylesheet", "/a.css?status=500"): "answered 500",
        ("script", f"{DEAD}/app.js"): "net::ERR_EMPTY_RESPONSE",
        ("script", f"{DEAD}/app.js?again"): "net::ERR_EMPTY_RESPONSE",
        ("script", "/gone.js?status=404"): "answered 404",
        ("document", f"{DEAD}/frame"): "net::ERR_EMPTY_RESPONSE",
        ("fetch", f"{DEAD}/api"): "net::ERR_EMPTY_RESPONSE",
        ("xhr", f"{DEAD}/xhr"): "net::ERR_EMPTY_RESPONSE",
    }
    failure = shown.slot_proxies["01"].failure(f"{DEAD}/app.js")
    assert failure is not None
    explained = page.explained(lambda url: failure.detail if url.startswith(DEAD) else "")
    assert {one.message for one in explained.errors} == {failure.detail, "answered 404", "answered 500"}


@BY_ONE_BROWSER
async def test_what_the_page_says_and_throws_is_told_once_each(shown: Browsing, site: str) -> None:
    """In the words of the browser's console, cut, with the script that it came from; also of a frame."""
    page = await visit(await shown.slot(), f"{site}/loud")
    script = f"{site}/loud.js"
    told = [one for one in page.errors if one.url == script]
    assert told[0] == PageError("console", script, "said Object TypeError: meant 7 null")
    assert told[1] == PageError("console", script, "x" * 300)
    assert {one.kind for one in told[2:]} == {"exception"}
    assert sorted(one.message for one in told[2:]) == [
        "Uncaught (in promise) RangeError: unheard",
        "Uncaught (in promise) a word",
        "Uncaught Object",
        "Uncaught TypeError: Cannot read properties of null (reading 'far')",
    ]
    assert [one.kind for one in page.errors if "reading 'inside'" in one.message] == ["exception"]
    assert page.errors_more == 0


@BY_ONE_BROWSER
async def test_the_next_page_starts_without_errors(shown: Browsing, site: str) -> None:
    """And a page with more of them than are kept says how many."""
    slot = await shown.slot()
    page = await visit(slot, f"{site}/long")
    assert [one.message for one in page.errors] == [f"number {number}" for number in range(MOST_ERRORS)]
    assert page.errors_more == 70 - MOST_ERRORS
    page = await visit(slot, f"{site}/well")
    assert (page.errors, page.errors_more) == ((), 0)
    assert len((await visit(slot, f"{site}/long")).errors) == MOST_ERRORS


@BY_ONE_BROWSER
async def test_a_page_without_errors_costs_no_message(shown: Browsing, site: str) -> None:
    """Neither in the driver nor here; one with a thousand costs no more than its bound and one for each answer."""
    slot = await shown.slot()
    await visit(slot, f"{site}/well")
    assert slot.tab is not None
    told: list[str] = []

    def note(event: dict[str, Any]) -> None:
        told.append(event["method"])

    slot.tab.cdp.on("event", note)
    await visit(slot, f"{site}/well?again")
    assert set(told) <= {
        "Network.requestWillBeSent",
        "Network.responseReceived",
        "Network.loadingFinished",
    }
    told.clear()
    page = await visit(slot, f"{site}/flood")
    assert len(page.errors) == MOST_ERRORS
    assert page.errors_more >= 1000 - MOST_ERRORS
    assert MOST_ERRORS <= told.count("Farm.pageError") < MOST_ERRORS + 60


def test_what_is_kept_has_a_bound_whatever_the_driver_says() -> None:
    """A request that failed in two ways failed once; what is beyond the bound is counted."""
    errors = PageErrors()
    errors.note({"kind": "request", "type": "script", "url": "http://a/", "message": "answered 404"})
    errors.note({"kind": "request", "type": "script", "url": "http://a/", "message": "net::ERR_FAILED"})
    assert list(errors.found) == [PageError("request", "http://a/", "answered 404", "script")]
    for number in range(MOST_ERRORS + 5):
        errors.note({"kind": "console", "url": "u" * 9_000, "message": f"{number} " + "m" * 900})
    assert [len(errors.found), errors.more] == [MOST_ERRORS, 6]
    longest = errors.found[1]
    assert (len(longest.url), len(longest.message)) == (2_000, 300)
    errors.note({"more": 30})
    assert errors.more == 36
    errors.forget()
    assert not errors.found
    assert errors.more == 0
