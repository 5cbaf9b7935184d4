"""A page by plain HTTP: its document, with its redirects and cookies, read by an HTML parser.

Invariants: no script is run, and nothing is requested but the document and, once for its site, its style
sheets; cookies and connections of one site are gone before another site is visited; a page is read in a process of
its own, within bounds.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from farm.fetch.requests import (
    REDIRECTED,
    DocumentSource,
    Heads,
    RequestParams,
    SiteRequests,
    redirect_target,
)
from farm.fetch.sheets import SheetCache
from farm.model.clock import Clock
from farm.model.egress import DocumentAnswer, flat_headers, leads_on, media_type_of
from farm.model.errors import RenderError, RendererUnfit
from farm.model.event import Phase, SlotPhases
from farm.model.outcome import FailureKind
from farm.model.page import Answered, Image, Link, Media, PageExchange, RenderedPage, Renderer
from farm.model.task import Lease

MOST_REDIRECTS = 20
"""As many a browser follows."""
SHEETS_S = 10.0
"""How long the style sheets of a page may take in all; it is read without those that have not come."""
_NO_PAGE = frozenset({204, 205})
_HTML, _XHTML = "text/html", "application/xhtml+xml"
_ROUTES = ("/", "!")
"""How a fragment begins by which a script may show another page."""
_TEXTS = ("text/", "application/json", "application/javascript", "application/x-javascript")
_XML = frozenset({"text/xml", "application/xml"})
_SNIFFED_BYTES = 512
_TAGS = (b"<!", b"<html", b"<head", b"<body", b"<p", b"<div", b"<title", b"<script", b"<h1", b"<table", b"<a")
"""The beginnings of answers that are pages although their heads do not say so."""


class DocumentReader(Protocol):
    """Reads documents in processes of their own."""

    async def read(
        self, job: str, arguments: Mapping[str, Any], body: bytes, *sheets: bytes
    ) -> dict[str, Any]:
        """Return the contents of a `page` with its style sheets, or of a `text`. Raises RendererUnfit."""
        ...


def _all_styles(_site_url: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class FetchRenderParams:
    """`deadline_s` bounds a visit, `caps` what is read of a page.

    Cookies are forgotten after `pages` visits, or after each where `per_url` says so. `exchange_bytes` of the
    documents of a visit are kept with their heads.
    """

    requests: RequestParams
    metadata_of: Callable[[Mapping[str, Any] | None], Mapping[str, Any] | None]
    caps: Mapping[str, Any]
    deadline_s: float = 60.0
    pages: int = 100
    per_url: bool = False
    exchange_bytes: int = 0
    refuses_routes: bool = False
    """Whether a page with `#/` links to itself is a browser's: there it can be asked if it routes by them."""
    loads_styles: Callable[[str], bool] = _all_styles
    """Whether the site of a URL has its style sheets loaded."""
    sheets: SheetCache = field(default_factory=SheetCache, repr=False)
    """Those that all renderers of a node share."""


@dataclass(slots=True)
class _Navigation:
    """The redirects of one visit to its document."""

    url: str
    fragment: str
    redirects: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    exchanges: list[PageExchange] = field(default_factory=list)


class FetchRenderer:
    """Visits one URL at a time for one slot. Adapter of `CheapRenderer`."""

    def __init__(
        self,
        documents: DocumentSource,
        reader: DocumentReader,
        params: FetchRenderParams,
        phases: SlotPhases,
        clock: Clock,
    ) -> None:
        self._requests = SiteRequests(documents, params.requests, clock)
        self._reader = reader
        self._params = params
        self._phases = phases
        self._clock = clock
        self._site: str | None = None
        self._served = 0

    async def render(self, lease: Lease, answered: Answered | None = None) -> RenderedPage:
        """Fetch and read the page. Raises RenderError if no answer comes, else RendererUnfit.

        `answered` receives the head of the document.
        """
        url = lease.task.url
        self._prepare(lease.task.site, url)
        self._phases.enter(Phase.NAVIGATING, url)
        self._served += 1
        try:
            async with asyncio.timeout(self._params.deadline_s):
                return await self._visited(url, answered)
        except TimeoutError:
            detail = f"no page came by plain HTTP within {self._params.deadline_s:g} s"
            raise RendererUnfit(FailureKind.TIMEOUT, detail) from None

    def retire(self) -> None:
        """Forget the site, with its cookies and connections."""
        self._site, self._served = None, 0
        self._requests.forget()

    def _prepare(self, site: str, url: str) -> None:
        params = self._params
        if self._site == site and self._served < params.pages and not params.per_url:
            return
        self._site, self._served = site, 0
        self._requests.begin(url)

    async def _visited(self, url: str, answered: Answered | None) -> RenderedPage:
        begun = self._clock.monotonic()
        navigate_ms = 0
        address, _, fragment = url.partition("#")
        navigation = _Navigation(address, fragment)

        async def heads(status: int, headers: Mapping[str, str]) -> None:
            nonlocal navigate_ms
            navigate_ms = round((self._clock.monotonic() - begun) * 1000)
            if answered is not None and not (status in REDIRECTED and "location" in headers):
                await answered(navigation.url, status, headers)

        answer = await self._arrived(navigation, heads)
        self._phases.enter(Phase.SETTLING, url)
        page = await self._page(navigation, answer, navigate_ms)
        took_ms = round((self._clock.monotonic() - begun) * 1000)
        page.timings_ms["settle"] = took_ms - navigate_ms  # type: ignore[index]
        return page

    async def _arrived(self, navigation: _Navigation, heads: Heads) -> DocumentAnswer:
        """Follow the redirects; return the answer that is none."""
        while True:
            url = navigation.url
            answer = await self._requests.document(url, heads, self._is_without_body)
            self._keep(navigation, answer)
            location = answer.header("location") if answer.status in REDIRECTED else ""
            if not location:
                return answer
            if len(navigation.redirects) >= MOST_REDIRECTS:
                raise RenderError(FailureKind.NETWORK, f"more than {MOST_REDIRECTS} redirects", url)
            navigation.redirects.append(url)
            navigation.statuses.append(answer.status)
            target, mark, fragment = redirect_target(url, location).partition("#")
            navigation.url, navigation.fragment = target, fragment if mark else navigation.fragment

    def _is_without_body(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether nothing of an answer's body would be kept: it is no page; a browser reads none of it either."""
        found = _job_by_head(status, headers)
        return not self._params.exchange_bytes and found is not None and not found[0]

    def _keep(self, navigation: _Navigation, answer: DocumentAnswer) -> None:
        if not self._params.exchange_bytes:
            return
        left = self._params.exchange_bytes - sum(len(one.body) for one in navigation.exchanges)
        is_cut = answer.truncated or len(answer.body) > left
        cut = "disconnect" if answer.broke_off else "length" if is_cut else ""
        body = answer.body[: max(0, left)]
        navigation.exchanges.append(
            PageExchange(answer.url, "GET", answer.status, answer.request_headers, answer.headers, body, cut)
        )

    async def _page(self, navigation: _Navigation, answer: DocumentAnswer, navigate_ms: int) -> RenderedPage:
        headers = flat_headers(one for one in answer.headers if one[0] != "set-cookie")
        content_type = headers.get("content-type", "")
        job, why = _job_of(answer, headers)
        final_url = f"{navigation.url}#{navigation.fragment}" if navigation.fragment else navigation.url
        seen: dict[str, Any] = {}
        if job:
            arguments = {"url": final_url, "content_type": content_type, "caps": self._params.caps}
            seen = await self._read(job, arguments, answer.body)
        cut = [*(["html"] if answer.truncated else []), *(["document"] if answer.broke_off else [])]
        page = RenderedPage(
            final_url=final_url,
            status=answer.status,
            headers=headers,
            content_type=content_type,
            settle_reason="fetched" if job else "no_page",
            redirects=tuple(navigation.redirects),
            redirect_statuses=tuple(navigation.statuses),
            exchanges=tuple(navigation.exchanges),
            timings_ms={"navigate": navigate_ms, "settle": 0},
            broke_off=answer.broke_off,
            rendered_by=Renderer.FETCH,
            **_shown(seen, self._params.metadata_of),
            truncated=(*cut, *seen.get("truncated", ())),
        )
        why = (
            why or seen.get("unlike", "") or ("it sends its visitors on" if job and leads_on(headers) else "")
        )
        if not why and self._params.refuses_routes and _may_route(page):
            why = "it may route by the fragment"
        if why:
            raise RendererUnfit(FailureKind.CRASH, why, page)
        return page

    async def _read(self, job: str, arguments: dict[str, Any], body: bytes) -> dict[str, Any]:
        """Read a document; a page that has style sheets which no page of its site had before is read twice."""
        if job != "page":
            return await self._reader.read(job, arguments, body)
        site, url, cache = self._site or "", arguments["url"], self._params.sheets
        loads = self._params.loads_styles(url)
        known = cache.expected(site) if loads else {}
        seen = await self._reader.read(job, {**arguments, "sheets": [*known]}, body, *known.values())
        missing = cache.missing(site, seen["sheets"]) if loads else []
        lacking = missing or [one for one in seen["sheets"] if one not in known]
        if not lacking or not loads:
            return seen
        ends = self._clock.monotonic() + SHEETS_S
        for one in missing:
            is_late = self._clock.monotonic() >= ends
            cache.keep(site, one, None if is_late else await self._requests.sheet(one, url))
        known = cache.expected(site)
        return await self._reader.read(job, {**arguments, "sheets": [*known]}, body, *known.values())


def _job_of(answer: DocumentAnswer, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return what is to be made of a document, nothing if it is no page, and why a browser may show another."""
    found = _job_by_head(answer.status, headers)
    if found is not None:
        return found
    begins = answer.body[:_SNIFFED_BYTES].lstrip().lower()
    return ("page" if begins.startswith(_TAGS) else "" if b"\0" in begins else "text"), ""


def _job_by_head(status: int, headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what `_job_of` returns as far as its head says it; None if the body has to."""
    disposition = headers.get("content-disposition", "").strip().lower()
    mime = media_type_of(headers.get("content-type", ""))
    job = why = ""
    if status in _NO_PAGE or disposition.startswith("attachment"):
        pass
    elif mime == _HTML:
        job = "page"
    elif mime == _XHTML:
        job, why = "page", "XHTML is read in another way"
    elif mime in _XML or mime.endswith("+xml"):
        why = "XML is shown by a style"
    elif mime.startswith(_TEXTS) or mime.endswith("+json"):
        job = "text"
    elif not mime:
        return None
    return job, why


def _may_route(page: RenderedPage) -> bool:
    """Return whether a page has links to itself by which its script may show another one."""
    own = page.final_url.partition("#")[0] + "#"
    return any(
        one.url.startswith(own) and len(one.url) > len(own) + 1 and one.url[len(own)] in _ROUTES
        for one in page.links
    )


def _shown(
    seen: Mapping[str, Any],
    metadata_of: Callable[[Mapping[str, Any] | None], Mapping[str, Any] | None],
) -> dict[str, Any]:
    """Return the contents, by the fields of a rendered page."""
    if not seen:
        return {}
    named = {name: seen[name] for name in ("title", "text", "html", "robots", "canonical", "lang", "charset")}
    return {
        **named,
        "links": tuple(Link(*one) for one in seen["links"]),
        "metadata": metadata_of(seen["metadata"]),
        "images": tuple(Image(*one) for one in seen["images"]) if "images" in seen else None,
        "media": tuple(Media(*one) for one in seen["media"]) if "media" in seen else None,
    }
