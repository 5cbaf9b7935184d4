"""The HAR file of a page: every request of it, valid by HAR 1.2, without credentials, within its bounds."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import orjson
import pytest_asyncio
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from farm.browser.har import MOST, HarLog
from farm.browser.render import RenderParams
from farm.browser.responses import CaptureParams
from farm.browser.tab import TabParams
from farm.model.page import RenderedPage
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, browsing, visit

DEAD = "http://127.0.0.1:2"
PAGES = {
    "/page": f"""<title>page</title><link rel=stylesheet href=/a.css><script src=/a.js></script>
        <iframe src=/inner></iframe><script>fetch('/api?a=1&a=&b=%20').then(() => fetch('/moved'));
        fetch('{DEAD}/dead').catch(() => 0)</script>""",
    "/inner": "inner<script>fetch('/inside')</script>",
    "/next": "next",
}


class _Strict(BaseModel):
    """An object of the format: fields of one's own begin with `_`."""

    model_config = ConfigDict(strict=True, extra="allow")


class Pair(_Strict):
    """A header, or a parameter."""

    name: str
    value: str


class Request(_Strict):
    """http://www.softwareishard.com/blog/har-12-spec/#request."""

    method: str
    url: str
    httpVersion: str  # noqa: N815
    cookies: list[Pair]
    headers: list[Pair]
    queryString: list[Pair]  # noqa: N815
    headersSize: int  # noqa: N815
    bodySize: int  # noqa: N815


class Content(_Strict):
    """http://www.softwareishard.com/blog/har-12-spec/#content."""

    size: int
    mimeType: str  # noqa: N815


class Answer(_Strict):
    """http://www.softwareishard.com/blog/har-12-spec/#response."""

    status: int
    statusText: str  # noqa: N815
    httpVersion: str  # noqa: N815
    cookies: list[Pair]
    headers: list[Pair]
    content: Content
    redirectURL: str  # noqa: N815
    headersSize: int  # noqa: N815
    bodySize: int  # noqa: N815
    error: str = Field(default="", alias="_error")


class Timings(_Strict):
    """http://www.softwareishard.com/blog/har-12-spec/#timings."""

    send: float = Field(ge=0)
    wait: float = Field(ge=0)
    receive: float = Field(ge=0)


class Entry(_Strict):
    """http://www.softwareishard.com/blog/har-12-spec/#entries."""

    pageref: str
    startedDateTime: datetime = Field(strict=False)  # noqa: N815
    time: float
    request: Request
    response: Answer
    cache: dict[str, object]
    timings: Timings


class PageEntry(_Strict):
    """http://www.softwareishard.com/blog/har-12-spec/#pages."""

    startedDateTime: datetime = Field(strict=False)  # noqa: N815
    id: str
    title: str
    pageTimings: dict[str, float]  # noqa: N815


class Log(_Strict):
    """http://www.softwareishard.com/blog/har-12-spec/#log."""

    version: str
    creator: dict[str, str]
    pages: list[PageEntry]
    entries: list[Entry]


async def answer(request: web.Request) -> web.Response:
    """Answer with a page, or with what a page asks for."""
    if request.path in PAGES:
        page = web.Response(text=f"<!doctype html>{PAGES[request.path]}", content_type="text/html")
        page.headers["X-Session-Id"] = "hidden"
        page.headers["Link"] = "<https://user:hidden@a.example/>; rel=up"
        return page
    if request.path == "/moved":
        raise web.HTTPFound("/there?x")
    kind = {"css": "text/css", "js": "text/javascript"}.get(
        request.path.rpartition(".")[2], "application/json"
    )
    return web.Response(text="" if kind != "application/json" else "{}", content_type=kind)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[str]:
    """Serve the pages."""
    async with served_by(answer) as origin:
        yield origin


@pytest_asyncio.fixture
async def recording(tmp_path: Path) -> AsyncIterator[Browsing]:
    """Open a pool that writes HAR files."""
    render = RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0)
    tab = TabParams(capture=CaptureParams(har=True))
    async with browsing(tmp_path / "engines", render, tab=tab) as opened:
        yield opened


def log_of(page: RenderedPage) -> Log:
    """Return the page's file, checked."""
    [file] = page.captures
    assert (file.kind, file.suffix) == ("har", "har")
    log = Log.model_validate(orjson.loads(file.content)["log"])
    assert log.version == "1.2"
    for entry in log.entries:
        took = entry.timings
        assert abs(entry.time - took.send - took.wait - took.receive) < 0.01
        assert entry.pageref == log.pages[0].id
    return log


async def test_every_request_of_a_page_is_written_down(recording: Browsing, site: str) -> None:
    """Of its frames too, and each hop of a redirect; the next page begins anew."""
    slot = await recording.slot()
    page = await visit(slot, f"{site}/page")
    log = log_of(page)
    seen = {entry.request.url.removeprefix(site): entry for entry in log.entries}
    assert set(seen) == {
        *("/page", "/a.css", "/a.js", "/inner", "/api?a=1&a=&b=%20", "/inside", "/moved"),
        *(f"{DEAD}/dead", "/there?x"),
    }
    assert log.entries[0].request.url == log.pages[0].title == f"{site}/page"
    query = [(one.name, one.value) for one in seen["/api?a=1&a=&b=%20"].request.queryString]
    assert query == [("a", "1"), ("a", ""), ("b", " ")]
    assert seen["/a.js"].response.content.mimeType == "text/javascript"
    moved, dead = seen["/moved"].response, seen[f"{DEAD}/dead"].response
    assert (moved.status, moved.redirectURL) == (302, f"{site}/there?x")
    assert (dead.status, dead.error) == (0, "net::ERR_EMPTY_RESPONSE")
    headers = {one.name.lower(): one.value for one in seen["/page"].response.headers}
    assert (headers["x-session-id"], headers["link"]) == ("***", "<https://a.example/>; rel=up")
    assert b"hidden" not in page.captures[0].content
    assert page.truncated == ()
    following = log_of(await visit(slot, f"{site}/next"))
    assert [entry.request.url for entry in following.entries] == [f"{site}/next"]


def test_a_file_has_a_bound_whatever_a_page_loads() -> None:
    """What is beyond it is left out; half a surrogate pair in an address is no reason to lose the file."""
    log, headers = HarLog("main"), {"a": "x" * 1000, "b": "x" * 1000}
    asked = log.beside(dict.fromkeys(EVENTS, lambda _: None))["Network.requestWillBeSent"]
    event = {"loaderId": "d", "frameId": "main", "type": "Document", "timestamp": 1.0, "wallTime": 1.0}
    for number in range(MOST + 10):
        url = f"https://a.example/{number}" + ("" if number else "\ud800")
        request = {"url": url, "method": "GET", "headers": headers}
        asked({**event, "requestId": str(number), "request": request})
    entries = orjson.loads(log.file().content.replace(rb"\ud800", b""))["log"]["entries"]
    assert log.is_short
    assert len(entries) < MOST
    assert len(log.file().content) < 6_000_000


EVENTS = (
    *("Network.requestWillBeSent", "Network.responseReceived", "Network.loadingFinished"),
    "Network.loadingFailed",
)
