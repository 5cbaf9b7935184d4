"""One visit by the light engine: navigate, settle, and read everything in one call.

The scripts that settle and read a page are the browser's, so that both mean the same by it. What this engine
cannot show as a browser would is said to be unfit, and never returned as a page: what is no HTML, what needs a
part of the platform that it lacks, what it fails at.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol

from farm.light.documents import Requested
from farm.light.tab import LightTab
from farm.model.egress import flat_cdp_headers, leads_on, media_type_of
from farm.model.errors import RenderError, RendererUnfit, SlotLost
from farm.model.event import Phase, SlotPhases
from farm.model.outcome import FailureKind
from farm.model.page import Answered, RenderedPage, Renderer

COLLECT_S = 1.0
"""Of a page's time, what is kept for reading it."""
OVERDUE_S = 1.0
LAST_TRIES = 3
"""How often a page that goes on to another document is asked for what there is, when its time is over."""
BEGIN_S = 1.0
"""How long after a page has left for another document its request may take to be seen."""
HTML = "text/html"
NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})
TLS = ("SSL", "Tls", "Peer", "Certificate")
SLOW = ("Timedout", "Timeout")
PARTIAL = "PartialFile"


class PageScripts(Protocol):
    """What is asked of a page, and what its answer means."""

    def expression(self, nonce: str, left_s: float, *, stayed: bool = False) -> str:
        """Return what waits for the page, `left_s` at most, and reads it; `stayed`: it did not leave after all."""
        ...

    def checked(self, said: Any) -> dict[str, Any]:
        """Return what it came to; raises RenderError if it is not of that form."""
        ...

    def page(
        self,
        seen: Mapping[str, Any],
        status: int,
        headers: Mapping[str, str],
        way: Sequence[tuple[str, int]],
        timings_ms: Mapping[str, int],
    ) -> RenderedPage:
        """Return the page that was read, `way` being the addresses before its own and what they answered."""
        ...


@dataclass(frozen=True, slots=True)
class LightRenderParams:
    """How a page is visited."""

    scripts: PageScripts
    page_timeout_s: float = 60.0
    settle_timeout_s: float = 10.0
    refuses_routes: bool = False
    """Whether a page with `#/` links to itself is a browser's: there it can be asked if it routes by them."""


async def visit_lightly(
    tab: LightTab,
    url: str,
    params: LightRenderParams,
    phases: SlotPhases,
    answered: Answered | None = None,
) -> RenderedPage:
    """Visit the URL with the tab and return what the page showed.

    `answered` is told address, status and headers as soon as they are there. Raises RenderError if the site
    failed, RendererUnfit if a browser may do better, SlotLost when the tab must be replaced. Takes no longer than
    `page_timeout_s`.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ends = begun + params.page_timeout_s
    phases.enter(Phase.NAVIGATING, url)
    tab.begin_visit()
    first = await _navigate(tab, url, ends)
    committed = loop.time()
    if answered is not None:
        await answered(first.urls[-1], first.status, _flat(first))
    why = _why_unfit(first)
    if why:
        raise RendererUnfit(FailureKind.NETWORK, why)
    phases.enter(Phase.SETTLING, url)
    seen = await _read(tab, params, ends)
    document, way = tab.documents.way()
    if document is None:
        raise SlotLost(FailureKind.CRASH, "the page that was read is not known")
    if document is not first:
        if answered is not None:
            await answered(document.urls[-1], document.status, _flat(document))
        why = _why_unfit(document)
        if why:
            raise RendererUnfit(FailureKind.NETWORK, why)
    if seen.get("needs"):
        raise RendererUnfit(FailureKind.CRASH, f"it uses {seen['needs']}")
    timings = {
        "navigate": round((committed - begun) * 1000),
        "settle": round((loop.time() - committed) * 1000),
    }
    if params.refuses_routes and seen.get("routes"):
        raise RendererUnfit(FailureKind.CRASH, "it may route by the fragment")
    page = params.scripts.page(seen, document.status, _flat(document), way, timings)
    return replace(page, rendered_by=Renderer.LIGHT)


async def _navigate(tab: LightTab, url: str, ends: float) -> Requested:
    """Go there; return the document once it is shown."""
    loop = asyncio.get_running_loop()
    try:
        said = await tab.call("Page.navigate", ends - loop.time(), url=url)
    except SlotLost as error:
        if error.kind is FailureKind.TIMEOUT and not tab.is_lost:
            # The site has not answered: it will not answer a browser sooner. What was begun goes on in this tab.
            tab.close("its site did not answer")
            raise RenderError(
                FailureKind.TIMEOUT, "the site did not answer in time", _reached(tab)
            ) from error
        raise
    failure = str(said.get("errorText", ""))
    if failure:
        raise _failure(failure, _reached(tab))
    while True:
        # The one that was asked for, or by now one to which it has gone on.
        document, _ = tab.documents.way()
        if document is not None:
            return document
        try:
            async with asyncio.timeout(max(0.0, ends - loop.time())):
                await tab.documents.changed()
        except TimeoutError as error:
            raise SlotLost(FailureKind.TIMEOUT, "the document was not shown in time") from error


async def _read(tab: LightTab, params: LightRenderParams, ends: float) -> dict[str, Any]:
    """Evaluate until one evaluation survives: the page may navigate on its own while it is looked at."""
    loop = asyncio.get_running_loop()
    settle_ends = min(loop.time() + params.settle_timeout_s, ends - COLLECT_S)
    misses, stayed = 0, False
    while True:
        left_s = max(0.0, settle_ends - loop.time())
        deadline_s = min(left_s + OVERDUE_S, max(0.05, ends - loop.time()))
        if left_s <= 0:
            deadline_s = max(0.05, ends - loop.time())
        expression = params.scripts.expression(tab.nonce, left_s, stayed=stayed)
        # In a line of its own before the answer, which may be long, and is not to be written out twice.
        wrapped = f"{expression}.then((said) => `${{needed({tab.nonce!r})}}\\n${{said}}`)"
        try:
            said = await tab.evaluate(wrapped, deadline_s)
        except SlotLost as error:
            if error.kind is FailureKind.TIMEOUT and left_s > 0 and not tab.is_lost:
                continue
            raise
        if said is None:
            misses += left_s <= 0
            if misses >= LAST_TRIES:
                raise SlotLost(FailureKind.TIMEOUT, "the page navigates without end")
            stayed = False
            continue
        seen = _taken(params.scripts, said)
        if seen.get("leaving") or (left_s > 0 and tab.documents.is_moving):
            stayed = await _stayed(tab, left_s)
            continue
        return seen


def _taken(scripts: PageScripts, said: Any) -> dict[str, Any]:
    """Return what the page showed, with what it `needs`, empty if nothing is known of that."""
    needs, _, answer = str(said).partition("\n")
    return {**scripts.checked(answer), "needs": needs}


async def _stayed(tab: LightTab, left_s: float) -> bool:
    """Wait until the document on its way takes over; return True where it does not come."""
    loop = asyncio.get_running_loop()
    ends, begins = loop.time() + left_s, loop.time() + min(BEGIN_S, left_s)
    shown = tab.documents.count
    while tab.documents.count == shown:
        until = ends if tab.documents.is_moving else begins
        try:
            async with asyncio.timeout(max(0.0, until - loop.time())):
                await tab.documents.changed()
        except TimeoutError:
            return True
    return False


def _why_unfit(document: Requested) -> str:
    """Return why this engine does not show the document as a browser would; empty if it does."""
    headers = _flat(document)
    kind = media_type_of(headers.get("content-type", ""))
    if kind != HTML:
        return f"its type is {kind or 'not given'}"
    if document.status in NO_BODY:
        return f"status {document.status}"
    if headers.get("content-disposition", "").startswith("attachment"):
        return "it is a download"
    if "sandbox" in headers.get("content-security-policy", "").lower():
        return "its policy sandboxes it"
    if leads_on(headers):
        return "its head sends its visitors on"
    return ""


def _flat(document: Requested) -> dict[str, str]:
    return flat_cdp_headers((document.answer or {}).get("headers", {}))


def _reached(tab: LightTab) -> str | None:
    last = tab.documents.last
    return last.urls[-1] if last is not None else None


def _failure(text: str, url: str | None) -> RenderError | RendererUnfit:
    """Return the error of a navigation that failed, by the engine's word for it."""
    if text == PARTIAL:
        return RendererUnfit(FailureKind.NETWORK, "its connection broke before all of it was there")
    if text.startswith(TLS):
        # A browser completes chains that this engine does not.
        return RendererUnfit(FailureKind.TLS, text)
    if any(word in text for word in SLOW):
        return RenderError(FailureKind.TIMEOUT, text, url)
    return RenderError(FailureKind.NETWORK, text, url)
