"""Where a page sends its visitor by script or refresh: the document that shows is recorded, and the way to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from farm.browser.events import MOST_DOCUMENTS, MainDocuments
from farm.browser.render import RenderParams
from fixtures.pages import Answer, serving
from tests.browser.conftest import Browsing, browsing, lease, pool_of_a_module, seen, visit

SLOW_MS = 800
WAYS = {
    "script": "<script>location.replace('{to}')</script>",
    "load": "<script>addEventListener('load', () => {{ location.href = '{to}'; }})</script>",
    "timer": "<script>setTimeout(() => location.assign('{to}'), 300)</script>",
    "fetch": "<script>fetch('/slow').then(() => location.replace('{to}'))</script>",
    "meta": "<meta http-equiv=refresh content='0;url={to}'>",
    "meta-soon": "<meta http-equiv=refresh content='1; url={to}'>",
    "form": "<form id=form action='{to}'></form><script>form.submit()</script>",
    "click": "<a id=on href='{to}'>on</a><script>on.click()</script>",
    "frame": "<iframe srcdoc=\"<script>top.location = '{to}'</script>\"></iframe>",
}
GOAL = Answer("<p>The goal</p>", status=404, headers={"x-goal": "yes"}, delay_ms=SLOW_MS)
PAGES: dict[str, str | Answer] = {
    **{name: body.format(to="/goal") for name, body in WAYS.items()},
    "goal": GOAL,
    "twice": "<script>location.replace('/moved')</script>",
    "moved": Answer(status=302, headers={"location": "/load"}),
    "missing": Answer("<script>location.replace('/app?path=missing')</script>", status=404),
    "app": "<p>The application</p>",
    "empty": "<p>Stays</p><script>onload = () => { location.href = '/nothing'; }</script>",
    "nothing": Answer(status=204, delay_ms=200),
    "file": "<p>Stays</p><script>onload = () => { location.href = '/download'; }</script>",
    "download": Answer("x", headers={"content-disposition": "attachment"}, content_type="text/plain"),
    "taken-over": (
        "<p>Stays</p><script>navigation.addEventListener('navigate', (event) => event.intercept({"
        " async handler() { await new Promise((done) => setTimeout(done, 200)); document.body.append('Routed'); }"
        " })); onload = () => { location.href = '/elsewhere'; };</script>"
    ),
    "mail": "<p>Stays</p><script>onload = () => { location.href = 'mailto:a@b.c'; }</script>",
    "never": "<p>Stays</p><script>onload = () => { location.href = '/hangs'; }</script>",
    "hangs": Answer("", delay_ms=60_000),
    "reloads": (
        "<script>if (!sessionStorage.been) { sessionStorage.been = 1; location.reload(); }"
        " else document.write('<p>Twice</p>')</script>"
    ),
    "routes": (
        "<script>const draw = () => { document.body.innerHTML = '<p>Route ' + location.hash + '</p>'; };"
        " draw(); addEventListener('hashchange', draw);</script>"
    ),
}


browser = pool_of_a_module(RenderParams(page_timeout_s=30.0, settle_timeout_s=10.0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages; the origin."""
    async with serving(PAGES) as origin:
        yield origin


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
async def test_a_navigation_under_way_is_waited_for(browser: Browsing, site: str, way: str) -> None:
    """Status, headers and redirects are those of the document that is recorded."""
    page = await seen(browser, f"{site}/{way}")
    assert "The goal" in page.text
    assert page.final_url.rstrip("?") == f"{site}/goal"
    assert (page.status, page.headers["x-goal"]) == (404, "yes")
    assert (page.redirects, page.redirect_statuses) == ((f"{site}/{way}",), (200,))
    assert page.settled


@pytest.mark.asyncio(loop_scope="module")
async def test_the_redirects_of_scripts_and_of_answers_are_listed(browser: Browsing, site: str) -> None:
    """In the order in which they were come to."""
    page = await seen(browser, f"{site}/twice")
    assert page.redirects == (f"{site}/twice", f"{site}/moved", f"{site}/load")
    assert page.redirect_statuses == (200, 302, 200)
    assert page.status == 404


@pytest.mark.asyncio(loop_scope="module")
async def test_each_document_is_told_with_its_address(browser: Browsing, site: str) -> None:
    """Behind the redirects of answers; a redirect of a script is told when it is over."""
    told: list[tuple[str, int]] = []

    async def answered(url: str, status: int, headers: Mapping[str, str]) -> None:
        told.append((url.removeprefix(site), status))

    slot = await browser.slot("told")
    try:
        await slot.render(lease(f"{site}/moved"), answered)
    finally:
        slot.retire()
    assert told == [("/load", 200), ("/goal", 404)]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_missing_page_that_becomes_the_application_says_both(browser: Browsing, site: str) -> None:
    """As the `404.html` of a static host does."""
    page = await seen(browser, f"{site}/missing")
    assert "The application" in page.text
    assert (page.status, page.redirects, page.redirect_statuses) == (200, (f"{site}/missing",), (404,))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ["empty", "file", "taken-over", "mail"])
async def test_a_navigation_that_brings_no_document_leaves_the_page(
    browser: Browsing, site: str, name: str
) -> None:
    """It is recorded as it stands, and has settled."""
    page = await seen(browser, f"{site}/{name}")
    assert "Stays" in page.text
    assert (page.status, page.redirects) == (200, ())
    assert page.settled
    assert ("Routed" in page.text) == (name == "taken-over")


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
async def test_a_navigation_that_never_ends_is_waited_for_until_the_cap(site: str, tmp_path: Path) -> None:
    """What was there is recorded, and says why it had not settled."""
    async with browsing(
        tmp_path / "engines", RenderParams(page_timeout_s=20.0, settle_timeout_s=2.0)
    ) as opened:
        page = await seen(opened, f"{site}/never")
    assert "Stays" in page.text
    assert (page.settled, page.settle_reason) == (False, "navigating")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_that_loads_itself_again_was_not_redirected(browser: Browsing, site: str) -> None:
    """Its address is the same."""
    page = await seen(browser, f"{site}/reloads")
    assert "Twice" in page.text
    assert page.redirects == ()


@pytest.mark.asyncio(loop_scope="module")
async def test_another_fragment_is_loaded_in_the_same_context(browser: Browsing, site: str) -> None:
    """Each route of an application is a document of its own, and costs no context."""
    slot = await browser.slot("routes")
    await visit(slot, f"{site}/routes#/one")
    tab = slot.tab
    pages = [await visit(slot, f"{site}/routes#/{name}") for name in ("two", "two", "three")]
    assert [page.text for page in pages] == ["Route #/two", "Route #/two", "Route #/three"]
    assert [page.status for page in pages] == [200, 200, 200]
    assert slot.tab is tab
    slot.retire()


def _asked(number: str, url: str, **more: Any) -> dict[str, Any]:
    return {"requestId": number, "request": {"url": url}, **more}


def _answered(number: str, status: int, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"requestId": number, "response": {"status": status, "headers": headers or {}}}


def test_a_document_that_did_not_come_is_not_listed() -> None:
    """It failed, or was given up for the next one before it had answered."""
    main_documents = MainDocuments()
    for number in ("1", "2", "3", "4"):
        main_documents.asked(_asked(number, f"http://a/{number}"))
        if number != "3":
            main_documents.answered(_answered(number, 200))
    main_documents.failed({"requestId": "2"})
    assert main_documents.redirects_to("http://a/4").urls == ("http://a/1",)


def test_a_document_that_is_not_known_has_no_way() -> None:
    """So that the first answer stands."""
    main_documents = MainDocuments()
    main_documents.asked(_asked("1", "http://a/"))
    assert main_documents.redirects_to("http://b/").answer is None


def test_a_page_that_goes_on_without_end_is_kept_in_bounds() -> None:
    """The first document and the latest are kept."""
    main_documents = MainDocuments()
    for number in range(20 * MOST_DOCUMENTS):
        main_documents.asked(_asked(str(number), f"http://a/{number}"))
        main_documents.answered(_answered(str(number), 200))
    way = main_documents.redirects_to(f"http://a/{20 * MOST_DOCUMENTS - 1}")
    assert len(way.urls) == MOST_DOCUMENTS - 1
    assert way.urls[0] == "http://a/0"


def test_a_redirect_without_end_is_kept_in_bounds() -> None:
    """The browser ends it after twenty hops; a main_documents does not count on that."""
    main_documents = MainDocuments()
    for number in range(20 * MOST_DOCUMENTS):
        main_documents.asked(_asked("1", f"http://a/{number}", redirectResponse={"status": 302}))
    main_documents.answered(_answered("1", 200))
    assert len(main_documents.redirects_to(f"http://a/{20 * MOST_DOCUMENTS - 1}").urls) < MOST_DOCUMENTS


@pytest.mark.parametrize(
    ("policy", "is_inert"),
    [
        ("sandbox", True),
        ("default-src 'none'; Sandbox allow-same-origin", True),
        ("default-src 'none', sandbox", True),
        ("sandbox allow-forms ALLOW-SCRIPTS", False),
        ("default-src 'self'", False),
        ("", False),
    ],
)
def test_a_sandboxed_document_has_no_timers(policy: str, is_inert: bool) -> None:
    """By its policy; one that lets scripts run has them."""
    main_documents = MainDocuments()
    main_documents.asked(_asked("1", "http://a/"))
    assert not main_documents.is_inert
    main_documents.answered(_answered("1", 200, {"Content-Security-Policy": policy}))
    assert main_documents.is_inert == is_inert


async def test_one_that_was_announced_and_does_not_begin_has_failed() -> None:
    """As a link to a mail program."""
    async with asyncio.timeout(5.0):
        await MainDocuments().stayed(0.01)


async def test_one_that_fails_while_it_is_waited_for_has_failed() -> None:
    """As an answer without a body."""
    main_documents = MainDocuments()
    main_documents.asked(_asked("1", "http://a/"))
    waiting = asyncio.ensure_future(main_documents.stayed(9.0))
    await asyncio.sleep(0)
    main_documents.answered(_answered("1", 204))
    assert not waiting.done()
    main_documents.failed({"requestId": "1"})
    async with asyncio.timeout(5.0):
        await waiting
