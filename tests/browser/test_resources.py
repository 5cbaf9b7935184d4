"""What a page loads, as `--warc-all` keeps it: byte by byte from a real browser, within bounds that are said."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser import resources
from farm.browser.intercept import InterceptParams
from farm.browser.render import RenderParams
from farm.browser.resources import MOST, Resources
from farm.browser.responses import CaptureParams
from farm.browser.tab import TabParams
from farm.model.page import PageExchange, RenderedPage
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, pool_of_a_module, visit

PIXEL = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)
SCRIPT = "document.title = 'größer €'; " + "// ä\n" * 10_000
BY_ONE_BROWSER = pytest.mark.asyncio(loop_scope="module")
PAGES = {
    "/page": """<title>page</title><link rel=stylesheet href=/a.css><script src=/a.js></script><img src=/a.gif>
        <iframe src=/inner></iframe><script>fetch('/api', { method: 'POST', body: 'x' })
        .then(() => fetch('/moved')).then(() => fetch('/a.js', { method: 'HEAD' }));
        new Image().src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='</script>""",
    "/inner": "inner<script>fetch('/inside')</script>",
    "/next": "next<script src=/a.js></script>",
    "/endless": "endless<script>fetch('/never'); fetch('/breaks').then((it) => it.text()).catch(() => 0)</script>",
}


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer with a page, or with what a page asks for."""
    path = request.path
    if path in PAGES:
        return web.Response(text=f"<!doctype html>{PAGES[path]}", content_type="text/html")
    if path == "/moved":
        raise web.HTTPFound("/there")
    if path == "/a.gif":
        return web.Response(body=PIXEL, content_type="image/gif")
    if path in {"/never", "/breaks"}:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        await stream.write(b"[1, ")
        if path == "/breaks":
            assert request.transport is not None
            request.transport.abort()
        else:
            await asyncio.Event().wait()
        return stream
    if path == "/a.js":
        latin = web.Response(
            body=SCRIPT.encode("cp1252"), headers={"Content-Type": "text/javascript; charset=iso-8859-1"}
        )
        latin.enable_compression(web.ContentCoding.gzip)
        return latin
    return web.Response(
        text=f"{request.method} {path}", content_type="text/css" if path == "/a.css" else "text/plain"
    )


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages, also to requests of other methods than GET."""
    async with served_by(answer, every_method=True) as origin:
        yield origin


# It keeps all that a page loads.
keeping = pool_of_a_module(
    RenderParams(page_timeout_s=20.0, settle_timeout_s=3.0),
    TabParams(capture=CaptureParams(exchanges=True), intercept=InterceptParams(body_bytes=2**20)),
)


def loaded(page: RenderedPage, site: str) -> dict[tuple[str, str], PageExchange]:
    """Return the exchanges by method and path."""
    return {(one.method, one.url.removeprefix(site)): one for one in page.exchanges}


@BY_ONE_BROWSER
async def test_all_that_a_page_loads_is_there_as_it_was_sent(keeping: Browsing, site: str) -> None:
    """Scripts, styles, images, what scripts fetch, frames and redirects, once each; the next page has its own."""
    slot = await keeping.slot()
    page = await visit(slot, f"{site}/page")
    found = loaded(page, site)
    assert len(page.exchanges) == len(found)
    assert {key: (one.status, one.body) for key, one in found.items()} == {
        ("GET", "/page"): (200, f"<!doctype html>{PAGES['/page']}".encode()),
        ("GET", "/a.css"): (200, b"GET /a.css"),
        ("GET", "/a.js"): (200, SCRIPT.encode("cp1252")),
        ("GET", "/a.gif"): (200, PIXEL),
        ("GET", "/inner"): (200, f"<!doctype html>{PAGES['/inner']}".encode()),
        ("GET", "/inside"): (200, b"GET /inside"),
        ("POST", "/api"): (200, b"POST /api"),
        ("GET", "/moved"): (302, b""),
        ("GET", "/there"): (200, b"GET /there"),
        ("HEAD", "/a.js"): (200, b""),
    }
    assert page.exchanges[0].url == f"{site}/page"
    assert {one.truncated for one in page.exchanges} == {""}
    assert "warc" not in page.truncated
    headers = dict(found["GET", "/a.js"].headers)
    assert headers["Content-Type"] == "text/javascript; charset=iso-8859-1"
    assert "User-Agent" in dict(found["GET", "/a.js"].request_headers)
    following = loaded(await visit(slot, f"{site}/next"), site)
    assert {key[1]: len(one.body) for key, one in following.items()} == {
        "/next": len(f"<!doctype html>{PAGES['/next']}"),
        "/a.js": len(SCRIPT),
    }


@BY_ONE_BROWSER
async def test_what_has_no_end_is_said_to_have_none(keeping: Browsing, site: str) -> None:
    """The site's doing, which no bound of ours has cut."""
    page = await visit(await keeping.slot(), f"{site}/endless")
    found = loaded(page, site)
    assert (found["GET", "/never"].body, found["GET", "/never"].truncated) == (b"", "time")
    assert (found["GET", "/breaks"].body, found["GET", "/breaks"].truncated) == (b"", "disconnect")


@BY_ONE_BROWSER
@pytest.mark.parametrize("bound", ["BODY_BYTES", "ALL_BYTES"])
async def test_bodies_have_a_bound(
    keeping: Browsing, site: str, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """The record says so, and what is cut does; the others are whole."""
    monkeypatch.setattr(resources, bound, 1000)
    page = await visit(await keeping.slot(), f"{site}/page")
    found = loaded(page, site)
    script = found["GET", "/a.js"]
    assert (script.status, script.body, script.truncated) == (200, b"", "length")
    assert found["GET", "/a.gif"].body == PIXEL
    assert "warc" in page.truncated


async def test_a_page_without_end_of_requests_has_a_bound() -> None:
    """Whatever comes after it is left out, and that is said."""
    kept = Resources(_Nobody(), "main")
    take = kept.beside(dict.fromkeys(EVENTS, lambda _: None))
    document = {"requestId": "d", "loaderId": "d", "frameId": "main", "type": "Document"}
    take["Network.requestWillBeSent"](document | {"request": _request("https://a.example/")})
    response = {"url": "", "status": 204, "headers": {"a": "x\ny"}}
    for number in range(MOST + 10):
        event = {"requestId": str(number), "loaderId": "d", "type": "Image"}
        take["Network.requestWillBeSent"](event | {"request": _request(f"https://a.example/{number}")})
        take["Network.responseReceived"](event | {"response": response})
    exchanges, is_short = await kept.collect(0.0)
    assert (len(exchanges), is_short) == (MOST, True)
    assert exchanges[0].headers == (("a", "x"), ("a", "y"))
    kept.forget()
    take["Network.responseReceived"]({"requestId": "1", "type": "Image", "response": response})
    assert await kept.collect(0.0) == ((), False)


class _Nobody:
    async def send(self, method: str, deadline_s: float, **params: object) -> dict[str, object]:
        raise AssertionError(method)

    async def read_stream(self, stream: str, cap_bytes: int, deadline_s: float) -> bytes | None:
        raise AssertionError(stream)

    async def read_beginning(self, stream: str, cap_bytes: int, deadline_s: float) -> tuple[bytes, str]:
        raise AssertionError(stream)


def _request(url: str) -> dict[str, object]:
    return {"url": url, "method": "GET", "headers": {}}


EVENTS = (
    *("Network.requestWillBeSent", "Network.responseReceived", "Network.loadingFinished"),
    "Network.loadingFailed",
)
