"""The result of a visit: the settled page, and its detection if it is not the requested one."""

import fnmatch
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from farm.model.text import utf_8

if TYPE_CHECKING:
    from farm.model.tiers import TierNotes


class Renderer(StrEnum):
    """What renders a page."""

    BROWSER = "browser"
    """Chromium."""
    LIGHT = "light"
    """An engine that runs scripts and paints nothing."""
    FETCH = "fetch"
    """Plain HTTP and an HTML parser; no script is run."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it stands in the document: absolute, not yet canonical."""

    url: str
    text: str = ""
    rel: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the browser has chosen it: absolute, not yet canonical; its size in pixels, if known."""

    url: str
    alt: str = ""
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """A medium of a page; `kind` is `video`, `audio`, `track` (captions) or `poster` (the preview image)."""

    url: str
    kind: str


@dataclass(frozen=True, slots=True)
class FetchedResponse:
    """An answer that a script of the page got; `body` is its text, None if it is none or was left out.

    `is_cut` says that the body is not there as a whole.
    """

    url: str
    method: str
    status: int
    content_type: str = ""
    body: str | None = field(default=None, repr=False)
    is_cut: bool = False


CAPTURE_KINDS = ("json", "text", "all")
_JSON = re.compile(r"(application|text)/([^/]+\+json|(x-)?(nd)?json(-seq|l|lines|p)?)")
_TEXT = re.compile(r"text/.+|application/([^/]+\+xml|xml|(x-)?javascript|x-www-form-urlencoded)")


@dataclass(frozen=True, slots=True)
class CaptureRule:
    """Which answers are captured: those of a `kind` (`json`, `text`, `all`) whose address matches.

    A `pattern` that begins with `/` is one of the path, any other of the whole address; `*` stands for anything.
    The query counts where the pattern has a `?`.
    """

    kind: str = "all"
    pattern: re.Pattern[str] | None = None
    of_path: bool = False
    with_query: bool = False

    @classmethod
    def parse(cls, text: str) -> "CaptureRule":
        """Parse `KIND`, `PATTERN` or `KIND:PATTERN`; raises ValueError for anything else."""
        if text in CAPTURE_KINDS:
            return cls(text)
        kind, _, rest = text.partition(":")
        kind, glob = (kind, rest) if kind in CAPTURE_KINDS else ("all", text)
        if not glob.startswith(("/", "*", "http://", "https://")):
            raise ValueError(
                "write json, text, all, a pattern of addresses such as '/api/*', or both as in 'json:/api/*'"
            )
        # Its translation never tries again what a `*` has taken: addresses are as long as a page likes.
        literal = glob.replace("[", "[[]").replace("?", "[?]")
        return cls(kind, re.compile(fnmatch.translate(literal)), glob.startswith("/"), "?" in glob)

    def covers(self, url: str, content_type: str) -> bool:
        """Whether the answer of this address and type is to be captured; it must have come over HTTP."""
        if not url.startswith(("http://", "https://")) or not self._has_kind(content_type):
            return False
        if self.pattern is None:
            return True
        address, _, query = url.partition("#")[0].partition("?")
        if self.of_path:
            address = "/" + address.partition("://")[2].partition("/")[2]
        return self.pattern.match(f"{address}?{query}" if self.with_query else address) is not None

    def _has_kind(self, content_type: str) -> bool:
        mime = content_type.partition(";")[0].strip().lower()
        is_json = _JSON.fullmatch(mime) is not None
        return self.kind == "all" or is_json or (self.kind == "text" and _TEXT.fullmatch(mime) is not None)


@dataclass(frozen=True, slots=True)
class HashRouter:
    """Evidence that a page's script routes by the fragment: it listens to its changes, and there are such links.

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
class PageSnapshot:
    """The state of a page when its URL was given up: a JPEG of the window and the DOM; either may be missing."""

    screenshot: bytes | None = field(default=None, repr=False)
    html: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PageExchange:
    """A request of the page and its answer, as the browser had them; heads are (name, value) pairs.

    `body` is without its content encoding. `truncated` says why the end of it is missing, in the words of WARC
    (`length`, `time`, `disconnect`); empty if it is all there.
    """

    url: str
    method: str
    status: int
    request_headers: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    truncated: str = ""


@dataclass(frozen=True, slots=True)
class ContentHash:
    """A hash to compare the texts of pages: `hex`, and the number of characters of the normalised text.

    `hex` is the SHA-256 of the text in Unicode NFC, with single spaces for white space and none at the ends, in
    UTF-8, as 64 hex digits; None if there is no text.
    """

    hex: str | None
    chars: int

    @classmethod
    def of(cls, text: str) -> "ContentHash":
        """Return the hash of a page's visible text."""
        words = text.split()
        normalised = " ".join(words)
        if not normalised.isascii() and not _has_long_run(words, normalised):
            normalised = unicodedata.normalize("NFC", normalised)
        # As a sink writes it, so that the hash of the record's text is the same.
        data = utf_8(normalised)
        return cls(sha256(data).hexdigest() if data else None, len(normalised))


_MOST_MARKS = 30
# Every combining mark, and few other characters: no letters, digits, dashes, lines, arrows or emoji.
_LONG_RUN = re.compile(
    rf"[^\w\s\x00-\x7f\u2000-\u20cf\u2100-\u2cee\u3000-\u3029\U0001f000-\U0001faff]{{{_MOST_MARKS + 1}}}"
)


def _has_long_run(words: Sequence[str], text: str) -> bool:
    """Whether more combining marks follow each other than Unicode's stream-safe format has.

    Ordering such a run takes quadratic time: five seconds for 60,000 marks, in which nothing else runs.
    """
    return max(map(len, words), default=0) > _MOST_MARKS and _LONG_RUN.search(text) is not None


MOST_ERRORS = 20
"""How many errors of a page are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class PageError:
    """Something that failed on a page.

    `kind` is `request` (a document of a frame, a script, a stylesheet, XHR or fetch that failed; a script or a
    stylesheet that was answered 4xx or 5xx), `console` (`console.error`) or `exception` (uncaught, or a rejection
    that nobody handled). `url` is the request's, else the script's that it came from. `resource` is what a request
    was for (`document`, `script`, `stylesheet`, `xhr`, `fetch`), empty if it is none.
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


Answered = Callable[[str, int, Mapping[str, str]], Awaitable[None]]
"""Receives address, status and headers of a document as soon as they are there, names in lower case."""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The result of one visit.

    `redirects` are the URLs that the visit went through, in order, without the final one: hops of redirects, and
    documents that redirected by a script or a refresh. `redirect_statuses` are their statuses, 0
    if unknown. `status` and `headers` are those of the document that was read.
    `timings_ms` has `navigate` and `settle`. `truncated` names what a cap or the deadline cut
    (`html`, `text`, `title`, `links`, `metadata`, `images`, `responses`, `warc`,
    `actions`, or a kind of capture), and `document` where
    its connection broke before it was complete: `broke_off` says how. `actions` are the actions on the
    page: `clicked` by selector, `scrolled`. `errors` are errors on the page, at most `MOST_ERRORS`;
    `errors_more` counts the others. `metadata` is what the page declares for programs, with the keys
    `json_ld`, `open_graph`, `twitter`, `microdata` and `errors`; None if it declares nothing. `images` and `media`
    are None unless they are listed. `exchanges` are those of the main documents, in order, and of what they
    loaded, if they are recorded. `responses` are the answers to the page's XHR and fetch requests in the order of
    their arrival; None unless they are captured. `tiers` are the visit's results for the renderers at the page's
    template; None without `--render auto`.
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
    images: tuple[Image, ...] | None = None
    media: tuple[Media, ...] | None = None
    bytes_received: int = 0
    timings_ms: Mapping[str, int] = field(default_factory=dict)
    truncated: tuple[str, ...] = ()
    broke_off: str = ""
    captures: tuple[Capture, ...] = ()
    responses: tuple[FetchedResponse, ...] | None = None
    exchanges: tuple[PageExchange, ...] = ()
    actions: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    hash_router: HashRouter | None = None
    errors: tuple[PageError, ...] = ()
    errors_more: int = 0
    rendered_by: Renderer = Renderer.BROWSER
    logged_in: bool | None = None
    """Whether the page belongs to a logged-in session; None if nothing tells."""
    tiers: "TierNotes | None" = None

    def explained(self, cause_of: Callable[[str], str]) -> "RenderedPage":
        """Return the page with the cause of each request that had no answer; `cause_of` a URL is empty if unknown.

        The browser says only that its proxy, which is the farm's, did not connect.
        """
        if not self.errors:
            return self
        return replace(self, errors=tuple(one.explained(cause_of) for one in self.errors))


class Finding(StrEnum):
    """The kinds of page that a site shows instead of the requested one."""

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
    """The finding, the vendor of a block (`by`, empty if none), and the signs of it."""

    finding: Finding
    by: str
    signs: tuple[str, ...]

    @property
    def blocks(self) -> bool:
        """Whether another address could get another page."""
        return self.finding in _BLOCKING
