"""One visit: navigate, settle, and collect everything in one call.

Navigation is Playwright's, because it knows when a document is really there; the rest goes over the tab's own
CDP session. `page.content()`, `wait_for_selector` and locators are not used anywhere: each makes Playwright put
its own engine into every new document, which costs more than a small page.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from playwright.async_api import Error, Response

from farm.browser.acting import ActParams, act
from farm.browser.collector import PAGE_TYPES, DocumentHead, ReadParams, page_of
from farm.browser.consent import LOOKS, Choice, Consent, answer_banner
from farm.browser.errors import is_navigated, is_no_page, translate
from farm.browser.pictures import PictureParams, pictures
from farm.browser.reading import COLLECT_S, Reading
from farm.browser.tab import Tab
from farm.model.egress import flat_cdp_headers, media_type_of
from farm.model.errors import SlotLost
from farm.model.event import Phase, SlotPhases
from farm.model.outcome import FailureKind
from farm.model.page import Answered, Capture, HashRouter, RenderedPage

INTERRUPTED_TRIES = 6
INTERRUPTED_PAUSE_S = 0.02
LEAVE_S = 3.0
FETCHED_S = 3.0
"""How long reading the bodies of the page's requests may take after the page itself was read."""
PICTURE_SHARE = 0.25
"""The share of a page's time that is reserved for its pictures."""
CONSENT_SHARE = 0.5
"""The share of a page's time that is reserved for the steps after its cookie banner."""


ROUTER = (
    "((heard) => 'hashchange' in heard ||"
    " ('popstate' in heard && (history.state !== null || /^#[/!]/.test(location.hash)"
    " || document.querySelector('a[href*=\"#!/\"]') !== null)))"
    "(getEventListeners(window)) ? ('$docsify' in window ? 'docsify' : 'yes') : 'no'"
)
"""Evaluated in the page's own world. Routers that listen to `popstate` alone keep their place in the
history's state, begin by adding `#/` to the address, or write `#!/`; Swagger UI does none of it, whose `#/` links
open a part of the page. Docsify's routes are told apart: their parameter `id` is an anchor.
"""
ROUTER_MS = 200
ROUTER_DEADLINE_S = 1.0
TERMINATED = "Execution was terminated"


@dataclass(frozen=True, slots=True)
class RenderParams(ReadParams):
    """How a page is visited, apart from how it is read."""

    page_timeout_s: float = 60.0
    act: ActParams = field(default_factory=ActParams)
    pictures: PictureParams = field(default_factory=PictureParams)
    consent: Choice | None = None
    """The answer to cookie banners; None: they are ignored."""
    find_router: bool = False
    """Whether to detect routers on pages with `#/` links to themselves."""


async def visit(
    tab: Tab,
    url: str,
    params: RenderParams,
    phases: SlotPhases,
    answered: Answered | None = None,
) -> RenderedPage:
    """Visit the URL with the tab and return the page.

    `answered` gets address, status and headers as soon as they arrive. Raises RenderError if the page or its site
    failed, SlotLost if the tab must be replaced. Takes at most `page_timeout_s`; settling ends before
    that, so that the page's current content is returned.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ends = begun + params.page_timeout_s
    phases.enter(Phase.NAVIGATING, url)
    tab.forget_visit()
    await tab.prepare_for(url, params.page_timeout_s)
    try:
        response = await _navigate(tab, url, params.page_timeout_s)
    except Error as error:
        document = tab.document_answer()
        if is_no_page(error) and document is not None:
            if tab.served > 0 and _promises_a_page(document):
                # The visit before failed, and its error page came on top of this one.
                raise SlotLost(FailureKind.CRASH, "the page was pushed aside", innocent=True) from error
            return _no_page(tab, document, loop.time() - begun)
        raise translate(error, tab.events.main_documents.url) from error
    committed = loop.time()
    if response is None:
        # The page before navigated at the same moment, or only the fragment differs and nothing was loaded.
        raise SlotLost(FailureKind.CRASH, "the navigation brought no answer", innocent=tab.served > 0)
    headers = flat_cdp_headers(response.headers)
    if answered is not None:
        await answered(response.url, response.status, headers)
    phases.enter(Phase.SETTLING, url)
    is_page = media_type_of(headers.get("content-type", "")) in PAGE_TYPES
    reading = Reading(tab, params, ends, is_page=is_page)
    actions = await _actions(reading, params, url, response.status) if is_page else Actions()
    seen = await reading.read()
    navigate_ms = round((committed - begun) * 1000)
    timings = {"navigate": navigate_ms, "settle": round((loop.time() - committed) * 1000)}
    captures, short = _files(tab)
    if is_page and params.pictures:
        taken, missing = await pictures(reading, params.pictures)
        captures, short = [*captures, *taken], [*short, *missing]
        timings["capture"] = round((loop.time() - committed) * 1000) - timings["settle"]
    page = _page(tab, response, headers, seen, timings)
    if tab.responses is not None or tab.resources is not None:
        page = await _with_loaded(tab, page, reading)
    if params.find_router and seen.get("routes"):
        page = replace(page, hash_router=await _hash_router(tab, page.final_url, reading.left_s))
    if answered is not None and tab.events.main_documents.has_navigated:
        await answered(page.final_url, page.status, page.headers)
    broke_off = tab.events.broke_off or tab.intercept.broke_off
    broken = ["document"] if broke_off else []
    truncated = (*broken, *page.truncated, *(["actions"] if actions.cut_short else []), *short)
    return replace(
        page,
        captures=tuple(captures),
        exchanges=(*tab.intercept.exchanges, *page.exchanges),
        actions=actions.told,
        truncated=truncated,
        broke_off=broke_off,
    )


@dataclass(frozen=True, slots=True)
class Actions:
    """The actions on a page, in the form of its record; `cut_short` by the page's deadline or length."""

    told: Mapping[str, Any] = field(default_factory=dict)
    cut_short: bool = False


async def _actions(reading: Reading, params: RenderParams, url: str, status: int) -> Actions:
    """Answer the cookie banner, if there is one, and run the user's actions."""
    told: dict[str, Any] = {}
    if params.consent and reading.tab.banner_looks < LOOKS and status < HTTPStatus.BAD_REQUEST:
        consent = await _consent(reading, params, params.consent, url)
        told = {} if consent is None else {"consent": consent.told()}
    if not params.act:
        return Actions(told)
    # As long as enough time is left to read the page.
    await reading.first_settled()
    kept_s = COLLECT_S + (PICTURE_SHARE * params.page_timeout_s if params.pictures else 0.0)
    acted = await act(reading, params.act, reading.ends - kept_s)
    return Actions({"clicked": acted.clicked, "scrolled": acted.scrolled, **told}, acted.cut_short)


async def _consent(reading: Reading, params: RenderParams, choice: Choice, url: str) -> Consent | None:
    """Let the page settle and answer its cookie banner, once in a context."""
    await reading.first_settled()
    consent = await answer_banner(reading, choice, url, reading.ends - CONSENT_SHARE * params.page_timeout_s)
    is_answered = consent is not None and consent.answered
    reading.tab.banner_looks = LOOKS if is_answered else reading.tab.banner_looks + 1
    return consent


async def _navigate(tab: Tab, url: str, deadline_s: float) -> Response | None:
    """Navigate; raises Playwright's errors.

    After a visit that failed, the browser may still be on its way to its own error page, and that interrupts
    the next navigation; a moment later it is there.
    """
    for attempt in range(INTERRUPTED_TRIES):
        try:
            return await _navigate_once(tab, url, deadline_s)
        except Error as error:
            if "interrupted by another navigation" not in error.message:
                raise
            await asyncio.sleep(INTERRUPTED_PAUSE_S * 2**attempt)
    raise SlotLost(FailureKind.CRASH, "every navigation was interrupted by another one", innocent=True)


async def _go(tab: Tab, url: str, deadline_s: float) -> Response | None:
    """Load the document, even if only the fragment differs from the current address."""
    address, mark, _ = url.partition("#")
    if mark and tab.page.url.partition("#")[0] == address:
        # Else the browser would only scroll: without a request, in what the page before made of its document.
        await tab.guard(tab.page.goto("about:blank", wait_until="commit"), LEAVE_S, "leaving the page before")
    call = tab.page.goto(url, wait_until="commit", timeout=deadline_s * 1000)
    return await tab.guard(call, deadline_s, "the navigation")


async def _navigate_once(tab: Tab, url: str, deadline_s: float) -> Response | None:
    """Navigate, and detect a previous page that blocks the navigation.

    Until the request is sent, and again after the answer has arrived, the navigation only waits for the old
    document to be unloaded; no script of the new one has run. Otherwise a page that loops in its `beforeunload` or
    `pagehide` would make the next URL time out.
    """
    going = asyncio.ensure_future(_go(tab, url, deadline_s))
    was_held_up, patience_s = False, min(LEAVE_S, deadline_s / 4)
    try:
        while not (await asyncio.wait({going}, timeout=patience_s))[0]:
            held_up = tab.events.main_documents.url is None or tab.document_answer() is not None
            if held_up and was_held_up and tab.served > 0:
                raise SlotLost(FailureKind.TIMEOUT, "the page before would not go", innocent=True)
            was_held_up = held_up
        return going.result()
    finally:
        going.cancel()


def _page(
    tab: Tab,
    response: Response,
    headers: Mapping[str, str],
    seen: dict[str, Any],
    timings: dict[str, int],
) -> RenderedPage:
    status, documents = response.status, tab.events.main_documents
    chain = documents.redirects_to(seen["came"] if documents.has_navigated else response.url)
    if chain.answer is not None:
        # The page may have navigated on: what answered for the document that was read counts. Playwright joins
        # lines of one header that are written differently.
        status, headers = int(chain.answer["status"]), flat_cdp_headers(chain.answer["headers"])
    page = page_of(seen, DocumentHead(status, headers, chain.urls, chain.statuses), timings)
    return replace(page, errors=tab.events.errors.found, errors_more=tab.events.errors.more)


async def _with_loaded(tab: Tab, page: RenderedPage, reading: Reading) -> RenderedPage:
    """Return the page with the captured responses, and with everything that it loaded, if that is kept."""
    short: tuple[str, ...] = ()
    if tab.resources is not None:
        # Before the others, whose end stops what the page still loads.
        loaded, is_short = await tab.resources.collect(min(FETCHED_S, reading.left_s))
        page, short = replace(page, exchanges=loaded), ("warc",) * is_short
    if tab.responses is not None:
        fetched, is_short = await tab.responses.collect(min(FETCHED_S, reading.left_s))
        page, short = replace(page, responses=fetched), (*short, *("responses",) * is_short)
    return replace(page, truncated=(*page.truncated, *short))


async def _hash_router(tab: Tab, url: str, left_s: float) -> HashRouter | None:
    """Return the router of the page at `url`, if a script listens to changes of the fragment; else None.

    The browser knows every listener, so no hook is needed; it lists them only in the page's own world. There the
    page can forge the answer, but only within `ROUTER_MS`. A page that is too busy to answer has no router.
    """
    try:
        answer = await tab.send(
            "Runtime.evaluate",
            min(ROUTER_DEADLINE_S, left_s),
            expression=ROUTER,
            includeCommandLineAPI=True,
            returnByValue=True,
            timeout=ROUTER_MS,
        )
    except Error as error:
        if is_navigated(error) or TERMINATED in error.message:
            return None
        raise translate(error) from error
    except SlotLost as error:
        if error.kind is not FailureKind.TIMEOUT or tab.lost:
            raise
        return None
    found = answer["result"].get("value")
    return HashRouter(url.partition("#")[0], found == "docsify") if found in {"docsify", "yes"} else None


def _files(tab: Tab) -> tuple[list[Capture], list[str]]:
    """Return the bytes of a download, if they are kept, a HAR file, and the names of what is truncated."""
    file, is_short = tab.intercept.file, tab.intercept.too_large or tab.intercept.broke_off
    files, short = [file] if file is not None else [], ["download"] if is_short else []
    if tab.har is not None:
        files, short = [*files, tab.har.file()], [*short, *(["har"] if tab.har.is_short else [])]
    return files, short


def _no_page(tab: Tab, document: dict[str, Any], took_s: float) -> RenderedPage:
    """Return the page for an answer that is not a document: a download, an empty body."""
    headers = flat_cdp_headers(document["headers"])
    captures, short = _files(tab)
    return RenderedPage(
        responses=None if tab.responses is None else (),
        final_url=document["url"],
        status=int(document["status"]),
        headers=headers,
        content_type=headers.get("content-type", ""),
        settle_reason="no_page",
        timings_ms={"navigate": round(took_s * 1000), "settle": 0},
        captures=tuple(captures),
        exchanges=tuple(tab.intercept.exchanges),
        truncated=tuple(short),
        broke_off=tab.intercept.broke_off,
    )


def _promises_a_page(document: dict[str, Any]) -> bool:
    """Return whether the answer's head is that of a page, so that a document must follow."""
    headers = flat_cdp_headers(document["headers"])
    is_download = headers.get("content-disposition", "").startswith("attachment")
    is_html = media_type_of(headers.get("content-type", "")) in PAGE_TYPES - {""}
    return document["status"] == HTTPStatus.OK and is_html and not is_download
