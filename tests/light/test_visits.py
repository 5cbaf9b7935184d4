"""What a visit by the real engine brings: late content, odd places, redirects, and what it leaves to a browser."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from farm.light.pool import LightSlot
from farm.model.errors import RenderError, RendererUnfit
from farm.model.outcome import FailureKind
from farm.model.page import Renderer
from fixtures.authority import Authority
from fixtures.pages import served_by
from fixtures.shop import Shop
from fixtures.shop.faults import late
from tests.egress.servers import answering, listening, ok
from tests.light.conftest import lights_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")
light = lights_of_a_module()

DELAY_MS = 50
NOT_RENDERED = {"-transition"}
"""Nothing is painted, so nothing moves."""
A_BROWSERS = "-socket"
"""The engine says itself that it cannot."""
LATE = f'<p>{late.TEXT} <a href="{late.LINK}">Go on</a></p>'
PAGES: dict[str, tuple[str, Mapping[str, str]]] = {
    "plain": (LATE, {}),
    "shadow": (
        f"<x-a id=host></x-a><script>host.attachShadow({{ mode: 'open' }}).innerHTML = `{LATE}`;</script>",
        {},
    ),
    "frame": ("<iframe src=/plain></iframe>", {}),
    "script": ("<script>location.href = '/plain'</script>", {}),
    "refresh": ("<meta http-equiv=refresh content='0;url=/plain'>", {}),
    "pushed": (f"{LATE}<script>history.pushState({{}}, '', '/elsewhere')</script>", {}),
    "dialogs": (f"<script>alert(1); confirm(2); open('/plain'); document.write(`{LATE}`)</script>", {}),
    "loop": ("<p>Before</p><script>setTimeout(() => { for (;;); }, 0)</script>", {}),
    "hoard": ("<script>const all = []; for (;;) all.push(new Array(1e5).fill(Math.random()))</script>", {}),
    "for ever": ("<script>setTimeout(() => { location.href = '/for ever?' + Date.now() }, 20)</script>", {}),
    "text": ("no page", {"content-type": "text/plain"}),
    "untyped": ("no type", {"content-type": ""}),
    "download": ("a file", {"content-disposition": "attachment"}),
    "sandboxed": (LATE, {"content-security-policy": "sandbox"}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages above, two hops of redirects, a site that breaks off, and one that is silent."""

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name == "hop":
            raise web.HTTPFound("/hop again")
        if name == "hop again":
            raise web.HTTPMovedPermanently("/plain")
        if name == "broken":
            response = web.StreamResponse(headers={"content-type": "text/html", "content-length": "9999"})
            await response.prepare(request)
            await response.write(b"<p>Begun")
            if request.transport is not None:
                request.transport.abort()
            return response
        if name == "silent":
            await asyncio.Event().wait()
        if name == "missing":
            return web.Response(text="<title>none</title>", status=404, content_type="text/html")
        body, headers = PAGES[name]
        html = f'<!doctype html><title>{name}</title><link rel="icon" href="data:,"><body>{body}'
        return web.Response(text=html, headers={"content-type": "text/html; charset=utf-8", **headers})

    async with served_by(answer) as origin:
        yield origin


@pytest.mark.parametrize("way", [way for way in late.WAYS if way not in {*NOT_RENDERED, A_BROWSERS}])
async def test_what_comes_late_is_waited_for(light: LightSlot, shop: Shop, way: str) -> None:
    """By all ways but those that need a picture or a web socket."""
    page = await visit(light, shop.at(f"/faults/late{way}/{DELAY_MS}"))
    assert late.TEXT in page.text
    assert shop.at(late.LINK) in {link.url for link in page.links}
    assert page.rendered_by is Renderer.LIGHT
    assert page.status == 200


async def test_a_page_with_a_web_socket_is_a_browsers(light: LightSlot, shop: Shop) -> None:
    """The engine's own would go past the gateway."""
    with pytest.raises(RendererUnfit, match="WebSocket"):
        await visit(light, shop.at(f"/faults/late{A_BROWSERS}/{DELAY_MS}"))


@pytest.mark.parametrize(
    "name", ["plain", "shadow", "frame", "dialogs", "hop", "script", "refresh", "pushed"]
)
async def test_the_page_that_shows_in_the_end_is_read(light: LightSlot, site: str, name: str) -> None:
    """Whatever it was come to by, and wherever its content stands."""
    page = await visit(light, f"{site}/{name}")
    assert late.TEXT in page.text
    assert site + late.LINK in {link.url for link in page.links}
    assert page.settled


async def test_the_way_to_a_page_is_told(light: LightSlot, site: str) -> None:
    """Hops with what they answered, and documents that sent the visitor on."""
    hopped = await visit(light, f"{site}/hop")
    assert hopped.final_url == f"{site}/plain"
    assert hopped.redirects == (f"{site}/hop", f"{site}/hop%20again")
    assert hopped.redirect_statuses == (302, 301)
    sent = await visit(light, f"{site}/script")
    assert (sent.final_url, sent.redirects, sent.redirect_statuses) == (
        f"{site}/plain",
        (f"{site}/script",),
        (200,),
    )
    pushed = await visit(light, f"{site}/pushed")
    assert (pushed.final_url, pushed.redirects) == (f"{site}/elsewhere", ())


async def test_status_and_headers_are_told_before_the_page_is_read(light: LightSlot, site: str) -> None:
    """A page that is missing is a page."""
    told: list[tuple[str, int, str]] = []

    async def answered(url: str, status: int, headers: Mapping[str, str]) -> None:
        told.append((url, status, headers["content-type"]))

    page = await visit(light, f"{site}/missing", answered=answered)
    assert told == [(f"{site}/missing", 404, "text/html; charset=utf-8")]
    assert (page.status, page.title) == (404, "none")
    told.clear()
    await visit(light, f"{site}/hop", answered=answered)
    await visit(light, f"{site}/script", answered=answered)
    assert [url.removeprefix(site) for url, _, _ in told] == ["/plain", "/script", "/plain"]


@pytest.mark.parametrize("name", ["text", "untyped", "download", "sandboxed", "broken"])
async def test_what_a_browser_shows_otherwise_is_a_browsers(light: LightSlot, site: str, name: str) -> None:
    """Downloads, what is no HTML, and documents that break off."""
    with pytest.raises(RendererUnfit):
        await visit(light, f"{site}/{name}")
    assert late.TEXT in (await visit(light, f"{site}/plain")).text


async def test_a_site_that_is_not_there_failed_by_itself(light: LightSlot) -> None:
    """A browser would not reach it either."""
    with pytest.raises(RenderError) as failed:
        await visit(light, "http://127.0.0.1:1/")
    assert failed.value.kind is FailureKind.NETWORK


async def test_a_certificate_that_the_engine_does_not_know_is_a_browsers(
    light: LightSlot, tmp_path: Path
) -> None:
    """Many servers send chains that only browsers complete."""
    tls = Authority().issue().server_context(tmp_path)
    async with listening(answering(ok(b"<p>text", b"Content-Type: text/html")), tls=tls) as there:
        with pytest.raises(RendererUnfit) as unfit:
            await visit(light, f"https://127.0.0.1:{there.port}/")
    assert unfit.value.kind is FailureKind.TLS
