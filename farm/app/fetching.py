"""The renderer by plain HTTP, with the parameters of a browser's contexts, so that both look alike to a site."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from typing import Any

from farm import __version__
from farm.app.preflight import RunPlan
from farm.app.traffic import USER_AGENT
from farm.browser.context import SlotParams
from farm.browser.metadata import metadata_of
from farm.browser.tab import TabParams
from farm.egress import SlotProxy
from farm.egress.document_client import DocumentClient, TlsTrust
from farm.extract.page_reader import DocumentParams
from farm.extract.parser_pool import PageReader
from farm.fetch.renderer import FetchRenderer, FetchRenderParams
from farm.fetch.requests import RequestParams
from farm.model.clock import Clock
from farm.model.event import Emit, SlotPhases
from farm.model.memory import MIB
from farm.model.page_caps import PageCaps
from farm.scope.rules import registrable_domain

_SHEETS = "*.css"
"""The pattern of style sheets among the blocked patterns."""
BEFORE_BROWSER = 0.5
"""Of the time of a page, what plain HTTP may take where a browser may have to follow."""
MOST_DOCUMENT_BYTES, LEAST_DOCUMENT_BYTES = 32 * MIB, 2 * MIB
DOCUMENTS_SHARE = 0.15
"""Of the memory budget, what documents that are read at once may take; each is there twice for a moment."""


def fetch_renderer(
    plan: RunPlan,
    slots: SlotParams,
    reader: PageReader,
    browser_agent: Callable[[], str] | None,
    emit: Emit,
    clock: Clock,
) -> Callable[[str, SlotProxy], FetchRenderer]:
    """Return the factory of a slot's renderer, by the slot's name and port.

    `browser_agent` returns the user agent of the browsers, empty until one is known; None if there is none.
    """
    cap_bytes = document_cap(plan.budget_bytes, plan.contexts)
    params = _fetch_params(slots, cap_bytes, browser_agent)
    trust = TlsTrust(plan.settings.ca_file, insecure=plan.settings.insecure)

    @cache
    def tls(http2: bool) -> ssl.SSLContext:
        # It reads the system's authorities: only where a page needs them.
        return trust.context(http2)

    def make(name: str, slot_proxy: SlotProxy) -> FetchRenderer:
        documents = DocumentClient(slot_proxy, tls)
        return FetchRenderer(documents, reader, params, SlotPhases(name, emit, clock), clock)

    return make


def document_cap(budget_bytes: int, contexts: int) -> int:
    """Return how much of a document is read, in bytes: a site can have every slot read a large one at once."""
    return min(
        MOST_DOCUMENT_BYTES, max(LEAST_DOCUMENT_BYTES, int(DOCUMENTS_SHARE * budget_bytes) // contexts)
    )


def _fetch_params(
    slots: SlotParams, cap_bytes: int, browser_agent: Callable[[], str] | None
) -> FetchRenderParams:
    tab, render = slots.tab, slots.render
    width, height = tab.viewport
    caps = {one.name: getattr(render, one.name) for one in fields(PageCaps)}
    suffix = f" CrawlFarm/{__version__}"

    def user_agent() -> str:
        known = browser_agent() if browser_agent is not None else ""
        return tab.user_agent or (f"{known}{suffix}" if known else USER_AGENT)

    requests = RequestParams(
        user_agent,
        registrable_domain,
        cap_bytes=cap_bytes,
        locale=tab.locale,
        headers_for=_headers_for(tab),
        cookies_for=_cookies_for(tab),
    )
    return FetchRenderParams(
        requests,
        metadata_of,
        asdict(DocumentParams(**caps, width=width, height=height)),
        deadline_s=render.page_timeout_s * (1.0 if browser_agent is None else BEFORE_BROWSER),
        pages=slots.recycle.pages,
        per_url=slots.recycle.per_url,
        exchange_bytes=tab.intercept.body_bytes,
        refuses_routes=render.find_router,
        loads_styles=_loads_styles(tab),
    )


def _loads_styles(tab: TabParams) -> Callable[[str], bool]:
    def of(site_url: str) -> bool:
        own = tab.own_for(site_url) if tab.own_for is not None else None
        blocked = tab.blocked_urls if own is None or own.blocked_urls is None else own.blocked_urls
        return _SHEETS not in blocked

    return of


def _headers_for(tab: TabParams) -> Callable[[str, str], Mapping[str, str]]:
    def of(site_url: str, url: str) -> Mapping[str, str]:
        own = tab.own_for(site_url) if tab.own_for is not None else None
        sources = (tab.intercept, *(own.headers if own is not None else ()))
        # Of two of one name the later counts, however it is written.
        added = {
            name.lower(): (name, value)
            for one in sources
            if one.headers and one.may_see(url)
            for name, value in one.headers.items()
        }
        return dict(added.values())

    return of


def _cookies_for(tab: TabParams) -> Callable[[str], Sequence[Mapping[str, Any]]]:
    def of(site_url: str) -> Sequence[Mapping[str, Any]]:
        state = tab.state_for(site_url) if tab.state_for is not None else None
        return state["cookies"] if state is not None else ()

    return of
