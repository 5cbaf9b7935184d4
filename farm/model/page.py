"""A page as the browser showed it once it had settled, and what it is where it is not the one asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it stands in the document: absolute, not yet canonical."""

    url: str
    text: str = ""
    rel: str = ""


@dataclass(frozen=True, slots=True)
class HashRouter:
    """What shows that a page's script routes by the fragment: it listens to its changes, and there are such links.

    `document` is the page's address without a fragment: the links to it that go on with `#/` or `#!` are routes.
    `id_is_anchor` says that the parameter `id` of a route only says where to scroll, as Docsify writes it.
    """

    document: str
    id_is_anchor: bool = False


@dataclass(frozen=True, slots=True)
class Capture:
    """A file that a visit stores besides the page: a `screenshot`, a `pdf`, or the bytes of a `download`."""

    kind: str
    suffix: str
    content: bytes = field(repr=False)


MOST_ERRORS = 20
"""How many errors of a page are kept; of the others, how many they were."""


@dataclass(frozen=True, slots=True)
class PageError:
    """Something that failed on a page.

    `kind` is `request` (a document of a frame, a script, a stylesheet, XHR or fetch that failed; a script or a
    stylesheet that was answered 4xx or 5xx), `console` (`console.error`) or `exception` (uncaught, or a rejection
    that nobody handled). `url` is the request's, else the script's that it came from. `resource` is what a request
    was for (`document`, `script`, `stylesheet`, `xhr`, `fetch`), empty where it is none.
    """

    kind: str
    url: str
    message: str
    resource: str = ""

    def explained(self, cause_of: Callable[[str], str]) -> "PageError":
        """Return the error of a request that had no answer with its cause; any other as it is."""
        is_unanswered = bool(self.resource) and self.message.startswith("net::")
        cause = cause_of(self.url) if is_unanswered else ""
        return replace(self, message=cause) if cause else self


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The result of one visit.

    `redirects` are the URLs that the visit went through, in order, without the final one: hops of redirects, and
    documents that sent the visitor on by script or by a refresh. `redirect_statuses` are what they answered, 0
    where that is not known. `status` and `headers` are those of the document that was read.
    `timings_ms` has `navigate` and `settle`. `truncated` names what a cap or the deadline cut
    (`html`, `text`, `title`, `links`, `metadata`, `actions`, or a kind of capture), and `document` where its
    connection broke before all of it was there: `broke_off` says how. `actions` says what was done to the page:
    `clicked` by selector, `scrolled`. `errors` are what failed on the page, `MOST_ERRORS` at most;
    `errors_more` counts what failed besides. `metadata` is what the page says of itself to programs, with the keys
    `json_ld`, `open_graph`, `twitter`, `microdata` and `errors`; None where it says nothing.
    """

    final_url: str
    status: int
    headers: Mapping[str, str]
    content_type: str
    title: str = ""
    text: str = ""
    html: str = ""
    links: tuple[Link, ...] = ()
    settled: bool = True
    settle_reason: str = "quiet"
    redirects: tuple[str, ...] = ()
    redirect_statuses: tuple[int, ...] = ()
    robots: str = ""
    canonical: str | None = None
    lang: str = ""
    charset: str = ""
    metadata: Mapping[str, Any] | None = None
    bytes_received: int = 0
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    truncated: tuple[str, ...] = ()
    broke_off: str = ""
    captures: tuple[Capture, ...] = ()
    actions: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    hash_router: HashRouter | None = None
    errors: tuple[PageError, ...] = ()
    errors_more: int = 0
    rendered_by: str = "browser"

    def explained(self, cause_of: Callable[[str], str]) -> "RenderedPage":
        """Return the page with the cause of each request that had no answer; `cause_of` a URL is empty if unknown.

        The browser says only that its proxy, which is the farm's, did not connect.
        """
        if not self.errors:
            return self
        return replace(self, errors=tuple(one.explained(cause_of) for one in self.errors))


class Finding(StrEnum):
    """The kinds of page that a site shows in place of the one requested."""

    BLOCK = "block"
    """A refusal without a task: nothing on this page lets the visitor in."""
    CAPTCHA = "captcha"
    """A task for a person."""
    CHALLENGE = "challenge"
    """A task for the browser."""
    SOFT_404 = "soft_404"
    """A page that says "not found" with a status of success."""
    LOGIN_WALL = "login_wall"
    EMPTY_SHELL = "empty_shell"
    """A document whose scripts never filled it."""


_BLOCKING = frozenset({Finding.BLOCK, Finding.CAPTCHA, Finding.CHALLENGE})


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found, the vendor that blocks (`by`, empty where none does), and the signs of it."""

    finding: Finding
    by: str
    signs: tuple[str, ...]

    @property
    def blocks(self) -> bool:
        """Whether another address could get another page."""
        return self.finding in _BLOCKING
