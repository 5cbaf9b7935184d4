"""What a page's scripts fetch, as `--capture` keeps it: from a real browser, whole or with its end said."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.render import RenderParams
from farm.browser.responses import REQUESTS, CaptureParams
from farm.browser.tab import TabParams
from farm.model.page import CaptureRule, FetchedResponse, RenderedPage
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, browsing, pool_of_a_module, visit

RENDER = RenderParams(page_timeout_s=20.0, settle_timeout_s=1.5)
CAP = 100_000
BY_ONE_BROWSER = pytest.mark.asyncio(loop_scope="module")
PART = '{"part": 1}\n'
PAGES = {
    "/shop": """<p>shop<script>(async () => {
        await fetch('/api/first?a=1'); await fetch('/api/second', { method: 'POST', body: '{}' });
        await new Promise((done) => { const old = new XMLHttpRequest(); old.onload = done;
            old.open('GET', '/api/third'); old.send(); });
        await fetch('/moved'); await fetch('/api/none'); await fetch('/api/first', { method: 'HEAD' });
        await fetch('/binary'); await fetch('/packed'); await fetch('/text'); await fetch('/api/missing');
        await fetch('data:application/json,[]');
        document.body.append(' all came') })()</script>""",
    "/frames": """<p>frames<iframe src=/inner></iframe>
        <iframe srcdoc="<script>fetch('/api/inline')</script>"></iframe><script>
        fetch('//localhost:' + location.port + '/api/preflight', { headers: { 'X-Mine': '1' } })</script>""",
    "/inner": "<p>inner<script>fetch('/api/inside')</script>",
    "/endless": "<p>endless<script>fetch('/never'); fetch('/api/short')</script>",
    "/broken": "<p>broken<script>fetch('/breaks').then((it) => it.text()).catch(() => 0)</script>",
    "/large": "<p>large<script>fetch('/api/large'); fetch('/api/fits')</script>",
    "/many": "<p>many<script>for (let n = 0; n < 30; n += 1) fetch('/api/n' + n)</script>",
    "/quiet": "<p>quiet",
    "/leaves": """<p>leaves<script>onpagehide = () => 0;
        setInterval(() => fetch('/api/old', { keepalive: true }).catch(() => 0), 1)</script>""",
}
ALLOWED = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer with a page, or with what its scripts ask for."""
    path = request.path
    if path in PAGES:
        return web.Response(text=f"<!doctype html>{PAGES[path]}", content_type="text/html")
    if path == "/moved":
        raise web.HTTPFound("/api/there")
    if path == "/api/none":
        return web.Response(status=204)
    if path == "/binary":
        return web.Response(body=bytes(range(256)), content_type="application/octet-stream")
    if path == "/text":
        return web.Response(text="plain wörds", content_type="text/plain")
    if path in {"/never", "/breaks"}:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        await stream.write(PART.encode())
        if path == "/breaks":
            assert request.transport is not None
            request.transport.abort()
        else:
            await asyncio.Event().wait()
        return stream
    size = {"/api/large": CAP + 10, "/api/fits": CAP - 100}.get(path, 0)
    told = web.json_response(
        {"path": path, "method": request.method, "more": "é" * (size // 2)},
        status=404 if path == "/api/missing" else 200,
        headers=ALLOWED,
        dumps=lambda it: json.dumps(it, ensure_ascii=False),
    )
    if path == "/packed":
        told.enable_compression(web.ContentCoding.gzip)
    return told


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages, also to requests of other methods than GET."""
    async with served_by(answer, every_method=True) as origin:
        yield origin


pool = pool_of_a_module(RENDER, TabParams(capture=CaptureParams((CaptureRule(),))))


async def captured(
    pool: Browsing, url: str, *rules: str, params: CaptureParams | None = None
) -> tuple[RenderedPage, tuple[FetchedResponse, ...]]:
    """Return the page, and its answers with addresses without their origin."""
    capture = params or CaptureParams(tuple(map(CaptureRule.parse, rules)), body_bytes=CAP)
    slot = await pool.slot_with(TabParams(capture=capture))
    page = await visit(slot, url)
    slot.retire()
    assert page.responses is not None
    return page, page.responses


def short(answers: tuple[FetchedResponse, ...]) -> list[tuple[str, str, int]]:
    """Return method, path and status of each."""
    return [(one.method, one.url.split("/", 3)[3], one.status) for one in answers]


def told(path: str, method: str = "GET") -> dict[str, Any]:
    """Return what the site says at an address."""
    return {"path": path, "method": method, "more": ""}


@BY_ONE_BROWSER
async def test_answers_are_kept_whole_in_their_order(pool: Browsing, site: str) -> None:
    """Fetched or by XMLHttpRequest; where a redirect led; nothing of what is no text; no data: address."""
    page, answers = await captured(pool, f"{site}/shop", "all")
    assert page.text.endswith("all came")
    assert short(answers) == [
        ("GET", "api/first?a=1", 200),
        ("POST", "api/second", 200),
        ("GET", "api/third", 200),
        ("GET", "api/there", 200),
        ("GET", "api/none", 204),
        ("HEAD", "api/first", 200),
        ("GET", "binary", 200),
        ("GET", "packed", 200),
        ("GET", "text", 200),
        ("GET", "api/missing", 404),
    ]
    bodies = [json.loads(one.body) if one.body and one.body[0] == "{" else one.body for one in answers]
    assert bodies == [
        *(told("/api/first"), told("/api/second", "POST"), told("/api/third"), told("/api/there"), "", ""),
        *(None, told("/packed"), "plain wörds", told("/api/missing")),
    ]
    assert not any(one.is_cut for one in answers)
    assert answers[0].content_type == "application/json; charset=utf-8"
    assert "responses" not in page.truncated


@BY_ONE_BROWSER
async def test_frames_are_captured_and_preflights_are_not(pool: Browsing, site: str) -> None:
    """A frame of the page, one without an address, and an answer of another origin, once."""
    _, answers = await captured(pool, f"{site}/frames", "json")
    assert sorted(short(answers)) == [
        ("GET", "api/inline", 200),
        ("GET", "api/inside", 200),
        ("GET", "api/preflight", 200),
    ]


@BY_ONE_BROWSER
async def test_a_body_that_never_ends_is_kept_as_far_as_it_came(pool: Browsing, site: str) -> None:
    """And says that it is cut; the others are whole."""
    page, answers = await captured(pool, f"{site}/endless", "json")
    never, whole = sorted(answers, key=lambda one: one.url, reverse=True)
    assert (never.body, never.is_cut) == (PART, True)
    assert (json.loads(whole.body or ""), whole.is_cut) == (told("/api/short"), False)
    assert page.truncated == ("responses",)


@BY_ONE_BROWSER
async def test_a_body_that_breaks_off_is_left_out(pool: Browsing, site: str) -> None:
    """What came of it is no answer."""
    page, answers = await captured(pool, f"{site}/broken", "json")
    assert [(one.status, one.body, one.is_cut) for one in answers] == [(200, None, True)]
    assert page.truncated == ("responses",)


@BY_ONE_BROWSER
async def test_a_body_above_the_cap_is_left_out(pool: Browsing, site: str) -> None:
    """One just below is kept."""
    page, answers = await captured(pool, f"{site}/large", "json")
    kept = {one.url.rpartition("/")[2]: one for one in answers}
    assert (kept["large"].body, kept["large"].is_cut) == (None, True)
    assert kept["fits"].body is not None
    assert not kept["fits"].is_cut
    assert page.truncated == ("responses",)


@BY_ONE_BROWSER
async def test_number_and_sum_have_a_bound(pool: Browsing, site: str) -> None:
    """The first ones are kept, and the record says that there were more."""
    longest = len(json.dumps(told("/api/n10")))
    params = CaptureParams((CaptureRule(),), body_bytes=CAP, all_bytes=5 * longest, most=20)
    page, answers = await captured(pool, f"{site}/many", params=params)
    assert len(answers) == 20
    bodies = [one.body for one in answers if one.body is not None]
    assert len(bodies) >= 5
    assert sum(map(len, bodies)) <= 5 * longest
    assert all(one.is_cut is (one.body is None) for one in answers)
    assert page.truncated == ("responses",)


@BY_ONE_BROWSER
async def test_the_next_page_has_none_of_them(pool: Browsing, site: str) -> None:
    """Also where the page before fetches until the last moment."""
    capture = CaptureParams((CaptureRule(),))
    slot = await pool.slot_with(TabParams(capture=capture))
    before = await visit(slot, f"{site}/leaves")
    assert before.responses
    assert (await visit(slot, f"{site}/quiet")).responses == ()
    slot.retire()


@BY_ONE_BROWSER
async def test_only_who_captures_hears_of_it(tmp_path: Path, site: str) -> None:
    """Without a rule the driver passes on nothing of XHR and fetch, and the browser keeps no body."""
    heard: list[str] = []

    def note(event: dict[str, Any]) -> None:
        if event["method"].startswith("Network."):
            heard.append(event["params"].get("type", ""))

    async with browsing(tmp_path / "engines", RENDER) as pool:
        slot = await pool.slot()
        await visit(slot, f"{site}/quiet")
        assert slot.tab is not None
        slot.tab.cdp.on("event", note)
        page = await visit(slot, f"{site}/shop")
    assert page.responses is None
    assert "Document" in heard
    assert not set(heard) & set(REQUESTS)


@pytest.mark.parametrize(
    ("text", "url", "content_type", "is_covered"),
    [
        ("json", "https://a.example/x", "application/json; charset=utf-8", True),
        ("json", "https://a.example/x", "application/vnd.api+json", True),
        ("json", "https://a.example/x", "application/x-ndjson", True),
        ("json", "https://a.example/x", "text/html", False),
        ("json", "blob:https://a.example/x", "application/json", False),
        ("text", "https://a.example/x", "application/json", True),
        ("text", "https://a.example/x", "image/svg+xml", False),
        ("text", "https://a.example/x", "application/rss+xml", True),
        ("text", "https://a.example/x", "", False),
        ("all", "https://a.example/x", "", True),
        ("/api/*", "https://a.example/api/v1/x?q=/api/", "image/png", True),
        ("/api/*", "https://a.example/v1/api/", "application/json", False),
        ("/", "https://a.example", "", True),
        ("json:/api/*", "https://a.example/api/x", "text/html", False),
        ("json:/api/*", "https://a.example/api/x", "application/json", True),
        ("*/api/*", "https://a.example/v1/api/x", "", True),
        ("https://api.a.example/*", "https://api.a.example/x", "", True),
        ("https://api.a.example/*", "https://a.example/x", "", False),
        ("/find?q=*", "https://a.example/find?q=shoes", "", True),
        ("/find?q=*", "https://a.example/find", "", False),
        ("/f[1]", "https://a.example/f[1]", "", True),
        ("/f[1]", "https://a.example/f1", "", False),
    ],
)
def test_a_rule_covers_a_kind_and_an_address(
    text: str, url: str, content_type: str, is_covered: bool
) -> None:
    """By the type that the site names, and by path or address."""
    assert CaptureRule.parse(text).covers(url, content_type) is is_covered


@pytest.mark.parametrize("text", ["", "xml", "json:", "html:/api/*", "api/*", "ftp://a.example/*"])
def test_anything_else_is_no_rule(text: str) -> None:
    """And the error says what may be written."""
    with pytest.raises(ValueError, match="write json, text, all, a pattern"):
        CaptureRule.parse(text)
