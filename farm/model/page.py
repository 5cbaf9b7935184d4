"""A page as the browser showed it once it had settled, and what it is where it is not the one asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The result of one visit.

    `redirects` are the URLs that the visit went through, in order, without the final one: hops of redirects, and
    documents that sent the visitor on by script or by a refresh. `redirect_statuses` are what they answered, 0
    where that is not known. `status` and `headers` are those of the document that was read.
    `timings_ms` has `navigate` and `settle`. `truncated` names what a cap or the deadline cut
    (`html`, `text`, `title`, `links`, `actions`, or a kind of capture), and `document` where its connection broke
    before all of it was there: `broke_off` says how. `actions` says what was done to the page:
    `clicked` by selector, `scrolled`.
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
    bytes_received: int = 0
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    truncated: tuple[str, ...] = ()
    broke_off: str = ""
    captures: tuple[Capture, ...] = ()
    actions: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    hash_router: HashRouter | None = None


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
