"""One visit: navigate, settle, and collect everything in one call.

Navigation is Playwright's, because it knows when a document is really there; the rest goes over the tab's own
CDP session. `page.content()`, `wait_for_selector` and locators are not used anywhere: each makes Playwright put
its own engine into every new document, which costs more than a small page.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any

import orjson
from playwright.async_api import Error, Response

from farm.browser.failure import is_navigated, is_no_page, translate
from farm.browser.tab import Tab
from farm.model.errors import RenderError, SlotLost
from farm.model.event import Phase
from farm.model.outcome import FailureKind
from farm.model.page import Link, RenderedPage

_JS = files("farm.browser").joinpath("js")
SOURCE = "\n".join(_JS.joinpath(name).read_text(encoding="utf-8") for name in ("settle.js", "collect.js"))
WORLD = "farm"
PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", ""})
INTERRUPTED_TRIES = 6
INTERRUPTED_PAUSE_S = 0.02
LEAVE_S = 3.0
SETTLE_GRACE_S = 5.0
"""A page's main thread may be busy when the cap falls due; so much later it counts as hung."""


Answered = Callable[[int, Mapping[str, str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RenderParams:
    """`wait` is `settle`, `load`, `domcontentloaded` or `css`; caps are characters and numbers of links."""

    wait: str = "settle"
    selector: str = ""
    page_timeout_s: float = 60.0
    settle_timeout_s: float = 10.0
    quiet_ms: int = 50
    html_cap: int = 8_000_000
    text_cap: int = 2_000_000
    link_cap: int = 10_000
    link_text_cap: int = 300


async def visit(
    tab: Tab,
    url: str,
    params: RenderParams,
    phase: Callable[[Phase], None],
    answered: Answered | None = None,
) -> RenderedPage:
    """Visit the URL with the tab and return what the page showed.

    `answered` is told status and headers as soon as they are there. Raises RenderError when the page or its site
    failed, SlotLost when the tab must be replaced. Takes no longer
    than `page_timeout_s`; settling ends before that, so that what is there by then is returned.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ends = begun + params.page_timeout_s
    phase(Phase.NAVIGATING)
    tab.forget_document()
    try:
        response = await _navigate(tab, url, params.page_timeout_s)
    except Error as error:
        document = tab.document_answer()
        if is_no_page(error) and document is not None:
            if tab.served > 0 and _promises_a_page(document):
                # The visit before failed, and its error page came on top of this one.
                raise SlotLost(FailureKind.CRASH, "the page was pushed aside", innocent=True) from error
            return _no_page(document, loop.time() - begun)
        raise translate(error, tab.asked_url) from error
    committed = loop.time()
    if response is None:
        # The page before navigated at the same moment, or only the fragment differs and nothing was loaded.
        raise SlotLost(FailureKind.CRASH, "the navigation brought no answer", innocent=tab.served > 0)
    if answered is not None:
        await answered(response.status, response.headers)
    phase(Phase.SETTLING)
    content_type = response.headers.get("content-type", "")
    seen = await _settle_and_collect(tab, params, ends, is_page=_mime(content_type) in PAGE_TYPES)
    navigate_ms = round((committed - begun) * 1000)
    settle_ms = round((loop.time() - committed) * 1000)
    return _page(response, content_type, seen, {"navigate": navigate_ms, "settle": settle_ms})


async def _navigate(tab: Tab, url: str, deadline_s: float) -> Response | None:
    """Go there; Playwright's errors are the caller's to judge.

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


async def _navigate_once(tab: Tab, url: str, deadline_s: float) -> Response | None:
    """Navigate, and notice when it is the page before that holds it up.

    As long as nothing was asked for, and again once the answer has come, all that is waited for is that the old
    document goes; no script of the new one has run. A page that loops in its `beforeunload` or `pagehide` would
    otherwise cost the next URL its deadline.
    """
    call = tab.page.goto(url, wait_until="commit", timeout=deadline_s * 1000)
    going = asyncio.ensure_future(tab.guard(call, deadline_s, "the navigation"))
    was_held_up, patience_s = False, min(LEAVE_S, deadline_s / 4)
    try:
        while not (await asyncio.wait({going}, timeout=patience_s))[0]:
            held_up = tab.asked_url is None or tab.document_answer() is not None
            if held_up and was_held_up and tab.served > 0:
                raise SlotLost(FailureKind.TIMEOUT, "the page before would not go", innocent=True)
            was_held_up = held_up
        return going.result()
    finally:
        going.cancel()


async def _settle_and_collect(
    tab: Tab, params: RenderParams, ends: float, *, is_page: bool
) -> dict[str, Any]:
    """Evaluate until one evaluation survives: the page may navigate on its own while it is looked at."""
    loop = asyncio.get_running_loop()
    settle_ends = min(loop.time() + params.settle_timeout_s, ends - 1.0)
    world, framed = None, False
    while True:
        left_s = max(0.05, settle_ends - loop.time())
        deadline_s = min(left_s + SETTLE_GRACE_S, max(0.05, ends - loop.time()))
        try:
            if world is None:
                world = await tab.send(
                    "Page.createIsolatedWorld", deadline_s, frameId=tab.frame_id, worldName=WORLD
                )
                source, framed = SOURCE, False
            else:
                source = ""
            answer = await tab.send(
                "Runtime.evaluate",
                deadline_s,
                expression=_expression(
                    source,
                    tab.nonce,
                    params,
                    left_s,
                    is_page=is_page,
                    framed=framed,
                    on_demand=tab.engine.frames_on_demand,
                ),
                contextId=world["executionContextId"],
                awaitPromise=True,
                returnByValue=True,
            )
            if answer["result"].get("value", {}).get("frame"):
                await tab.frame()
                framed = True
                continue
        except Error as error:
            world = None
            if is_navigated(error) and loop.time() < settle_ends:
                continue
            if is_navigated(error):
                # It would do so under the next visit too.
                raise SlotLost(FailureKind.TIMEOUT, "the page navigates without end") from error
            raise translate(error) from error
        thrown = answer.get("exceptionDetails")
        if thrown is not None:
            text = thrown.get("exception", {}).get("description") or thrown.get("text", "")
            raise RenderError(FailureKind.CRASH, f"the page could not be read: {text[:200]}")
        seen: dict[str, Any] = answer["result"]["value"]
        if seen["url"].startswith("chrome-error:"):
            raise RenderError(FailureKind.NETWORK, "the browser shows its own error page")
        if params.wait == "settle" and tab.loading and loop.time() < settle_ends:
            # A script is on its way that no script can know of: a module that another one imports.
            await tab.loaded(settle_ends - loop.time())
            framed = False
            continue
        return seen


def _expression(
    source: str,
    nonce: str,
    params: RenderParams,
    left_s: float,
    *,
    is_page: bool,
    framed: bool,
    on_demand: bool,
) -> str:
    settle = {
        "nonce": nonce,
        "wait": params.wait,
        "selector": params.selector,
        "quietMs": params.quiet_ms,
        "capMs": round(left_s * 1000),
        "framed": framed,
        "onDemand": on_demand,
    }
    collect = {
        "htmlCap": params.html_cap,
        "textCap": params.text_cap,
        "linkCap": params.link_cap,
        "linkTextCap": params.link_text_cap,
        "isPage": is_page,
    }
    return (
        f"{source}\n settle({orjson.dumps(settle).decode()}).then((settled) => settled.frame ? settled :"
        f" ({{ ...collect({orjson.dumps(collect).decode()}), ...settled }}))"
    )


def _page(
    response: Response, content_type: str, seen: dict[str, Any], timings: dict[str, int]
) -> RenderedPage:
    redirects: list[str] = []
    request = response.request.redirected_from
    while request is not None:
        redirects.append(request.url)
        request = request.redirected_from
    return RenderedPage(
        final_url=seen["url"],
        status=response.status,
        headers=response.headers,
        content_type=content_type,
        title=seen["title"],
        text=seen["text"],
        html=seen["html"],
        links=tuple(Link(url, text, rel) for url, text, rel in seen["links"]),
        settled=seen["settled"],
        settle_reason=seen["reason"],
        redirects=tuple(reversed(redirects)),
        robots=seen["robots"],
        canonical=seen["canonical"],
        lang=seen["lang"],
        timings_ms=timings,
        truncated=tuple(seen["truncated"]),
    )


def _no_page(document: dict[str, Any], took_s: float) -> RenderedPage:
    """Return what is known of an answer that is no document: a download, an empty body."""
    headers = {str(name).lower(): str(value) for name, value in document["headers"].items()}
    return RenderedPage(
        final_url=document["url"],
        status=int(document["status"]),
        headers=headers,
        content_type=headers.get("content-type", ""),
        settle_reason="no_page",
        timings_ms={"navigate": round(took_s * 1000), "settle": 0},
    )


def _promises_a_page(document: dict[str, Any]) -> bool:
    """Whether the answer's head is that of a page, so that something must have been shown."""
    headers = {str(name).lower(): str(value) for name, value in document["headers"].items()}
    is_download = headers.get("content-disposition", "").startswith("attachment")
    is_html = _mime(headers.get("content-type", "")) in PAGE_TYPES - {""}
    return document["status"] == HTTPStatus.OK and is_html and not is_download


def _mime(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
