"""`Page`: the page that a handler gets, and the handler's results."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn

import ada_url
import orjson
from playwright.async_api import Page as BrowserPage

from farm.api.items import Emitted
from farm.api.selection import Selected, find, select
from farm.extract.documents import Document
from farm.model.handling import (
    FollowedLink,
    PageFailed,
    PageHandled,
    PageRetried,
    PageSkipped,
    VisitedPage,
)
from farm.model.page import Link, RenderedPage
from farm.model.page_caps import usable_base
from farm.policy.renderers import RenderMode
from farm.scope.seeds import MAX_META
from farm.sinks.record import NO_METADATA, json_line

MOST_LINKS = 10_000
LONGEST_DELAY_S = 7 * 86_400.0
MOST_REASON_CHARS = 500
_ADDRESSES = ("http://", "https://", "/", "./", "../", "?")
_PRIORITIES = range(-5, 5)
_NO_PAGE = RenderedPage("", 0, {}, "")


class PageVerdict(BaseException):
    """Ends a handler with its verdict. Not an Exception, so that an `except` in a handler does not catch it."""


class Page:
    """The page that a handler gets; only `live` accesses the browser."""

    def __init__(self, visited: VisitedPage, labels: frozenset[str]) -> None:
        self._visited = visited
        self._page = visited.page or _NO_PAGE
        self._labels = labels
        self._document: Document | None = None
        self._base: str | None = None
        self._emitted = Emitted()
        self._links: list[FollowedLink] = []
        self._verdict: PageSkipped | PageRetried | PageFailed | None = None

    @property
    def url(self) -> str:
        """The canonical URL of the visit, independent of redirects."""
        return self._visited.lease.task.url

    @property
    def final_url(self) -> str:
        """Where the page ended; empty before the navigation."""
        return self._page.final_url

    @property
    def status(self) -> int:
        """The HTTP status of the document; 0 before the navigation."""
        return self._page.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers, names in lower case."""
        return self._page.headers

    @property
    def title(self) -> str:
        """The document's title."""
        return self._page.title

    @property
    def text(self) -> str:
        """The visible text."""
        return self._page.text

    @property
    def html(self) -> str:
        """The DOM of the settled page."""
        return self._page.html

    @property
    def links(self) -> tuple[Link, ...]:
        """The links in the order of the document, each with `url` (absolute), `text` and `rel`."""
        return self._page.links

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The page's metadata for programs: `json_ld`, `open_graph`, `twitter`, `microdata`, `errors`."""
        return self._page.metadata or NO_METADATA

    @property
    def meta(self) -> Mapping[str, Any]:
        """The `meta` of the seed, or of the handler that followed a link here."""
        return self._visited.lease.task.meta

    @property
    def label(self) -> str | None:
        """The label with which a link was followed; None without one."""
        return self._visited.lease.task.label or None

    @property
    def depth(self) -> int:
        """How many links lead from a seed to this page."""
        return self._visited.lease.task.depth

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._visited.lease.attempt

    @property
    def blocked_by(self) -> str | None:
        """The vendor of a block; None if the page is not a block."""
        found = self._visited.detection
        return found.by if found is not None and found.blocks else None

    def css(self, selector: str) -> list[Selected]:
        """Return the matches of a CSS selector in the HTML, in order. Raises ValueError for an invalid one."""
        return select(self._parsed(), selector)

    def xpath(self, path: str) -> list[Selected]:
        """Return the results of an XPath expression in the HTML. Raises ValueError for an invalid one."""
        return find(self._parsed(), path)

    async def live(self) -> BrowserPage:
        """Return Playwright's page; it stays open until the handler ends.

        docs/python.md describes its costs and its differences.
        """
        shown: BrowserPage = await self._visited.live()
        return shown

    def emit(self, item: Any, kind: str | None = None) -> None:
        """Keep a copy of an item with the page: a dict, a dataclass or a pydantic model.

        The default `kind` is its class's name in lower case, and `item` for a dict. Raises TypeError or
        ValueError for an item that cannot be written as JSON, or is too much for a page, and RuntimeError before
        the navigation, when there is no page to keep it with.
        """
        if self._visited.page is None:
            raise RuntimeError("nothing is kept before the navigation; emit the item in a handler")
        self._emitted.add(item, kind)

    def follow(
        self,
        target: str | Link | Selected | Sequence[str | Link | Selected],
        label: str | None = None,
        priority: int = 0,
        meta: Mapping[str, Any] | None = None,
        render: Literal["auto", "browser", "light", "fetch"] | None = None,
    ) -> int:
        """Follow a link, regardless of the scope, and return how many; each URL is visited once in a crawl.

        `target` is a URL, a link or element of the page, a CSS selector, of which all that it matches is followed,
        or a list of these. A text is a URL where it begins with `http:`, `https:`, `/`, `./`, `../` or `?`.
        `label` names the handler, and `meta` goes along to it. `priority` is from -5 to 4: a higher one is visited
        first. `render` says by what the pages are brought, as the option does; by the browser where the run has
        not that.
        Raises ValueError for a label without a handler, or for what is too much for a page.
        """
        if label is not None and label not in self._labels:
            raise ValueError(f'no handler has the label {label!r}; write @farm.page(label="{label}")')
        if priority not in _PRIORITIES:
            raise ValueError(f"a priority is from {_PRIORITIES[0]} to {_PRIORITIES[-1]}, and not {priority}")
        given = _storable(meta) if meta else {}
        if render is not None and render not in [*RenderMode]:
            raise ValueError(f"render is one of {', '.join(RenderMode)}, and not {render!r}")
        urls = self._targets(target)
        if len(self._links) + len(urls) > MOST_LINKS:
            raise ValueError(f"a page is followed to more than {MOST_LINKS:,} links")
        self._links += [FollowedLink(url, label or "", priority, given, render) for url in urls]
        return len(urls)

    def skip(self, reason: str) -> NoReturn:
        """End the handler and keep only the links that it follows; the page is not a failure."""
        self._end(PageSkipped(reason[:MOST_REASON_CHARS]))

    def retry(self, reason: str, delay_s: float | None = None) -> NoReturn:
        """End the handler and visit the page again, as often as failures are retried; keep nothing of this one."""
        if delay_s is not None and not 0 <= delay_s <= LONGEST_DELAY_S:
            raise ValueError(f"a delay is from 0 to {LONGEST_DELAY_S:,.0f} seconds, and not {delay_s}")
        self._end(PageRetried(reason[:MOST_REASON_CHARS], delay_s))

    def fail(self, reason: str) -> NoReturn:
        """End the handler and give the page up immediately: it becomes a dead letter with this reason."""
        self._end(PageFailed(reason[:MOST_REASON_CHARS]))

    def handled(self) -> PageHandled:
        """Return the results for the page."""
        return PageHandled(self._emitted.items, self._links, self._verdict)

    def _end(self, verdict: PageSkipped | PageRetried | PageFailed) -> NoReturn:
        self._verdict = verdict
        raise PageVerdict(verdict.why)

    def _parsed(self) -> Document:
        if self._document is None:
            self._document = Document(self._page.html)
        return self._document

    def _targets(self, target: str | Link | Selected | Sequence[str | Link | Selected]) -> list[str]:
        if isinstance(target, Link):
            return [target.url]
        if isinstance(target, str) and target.startswith(_ADDRESSES):
            return [self._absolute(target)]
        if isinstance(target, str):
            nodes = self._matches(target)
        elif isinstance(target, Selected):
            nodes = [target]
        else:
            return [url for one in target for url in self._targets(one)]
        found = (one.address for one in nodes)
        return [self._absolute(address) for address in found if address is not None]

    def _matches(self, selector: str) -> list[Selected]:
        try:
            return self.css(selector)
        except ValueError as error:
            raise ValueError(f"{error}; a URL begins with one of {' '.join(_ADDRESSES)}") from None

    def _absolute(self, address: str) -> str:
        if self._base is None:
            self._base = self._page.final_url or self.url
            bases = self.css("base[href]") if "<base" in self._page.html else []
            if bases:
                self._base = _joined(usable_base(bases[0].attr("href") or ""), self._base)
        return _joined(address, self._base)


def _storable(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of what goes along with a link; half of a surrogate pair, as a title may have it, is replaced.

    Raises TypeError for what JSON cannot hold, and ValueError for too much.
    """
    given = dict(meta)
    try:
        # In a record it is some levels deeper than here.
        size = len(orjson.dumps([[[[given]]]]))
    except TypeError as error:
        if "surrogates" not in str(error):
            raise
        given = orjson.loads(json_line(given))
        size = len(orjson.dumps([[[[given]]]]))
    if size > MAX_META:
        raise ValueError(f"meta has more than {MAX_META:,} bytes; keep it elsewhere, and its key here")
    return given


def _joined(address: str, base: str) -> str:
    """Return the absolute address; an invalid one is not changed, and is skipped with its reason."""
    try:
        return str(ada_url.URL(address, base=base).href)
    except ValueError:
        return address
