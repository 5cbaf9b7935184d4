"""Interception of requests: to block them, to add headers that only some sites may see, to save files.

The browser itself matches the URL patterns of `--block` (CDP's `Network.setBlockedURLs`); `page.route`
would send every request to Node and Python and back, which costs more than the page. Images need no pattern: Blink
does not load them (see `chromium`), which costs nothing per image.

CDP's Fetch domain pauses a request in the browser until the farm answers, a round trip each; so it is enabled only
for the requests that need it. Invariants: every paused request is continued or failed; a header is never sent to a
site that `may_see` refuses, and each hop of a redirect is checked.
"""

import asyncio
import contextlib
import mimetypes
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from playwright.async_api import Error

from farm.browser.collector import PAGE_TYPES
from farm.model.egress import flat_headers, media_type_of
from farm.model.errors import SlotLost
from farm.model.page import Capture, PageExchange
from farm.model.url import path_of

OF_IMAGES = ("png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "bmp")
EXTENSIONS = {
    "media": ("mp4", "webm", "mp3", "m4a", "ogg", "ogv", "wav", "flac", "aac", "mov", "m3u8", "mpd", "ts"),
    "fonts": ("woff", "woff2", "ttf", "otf", "eot"),
    "stylesheets": ("css",),
}
TRACKERS = (
    "google-analytics.com",
    "googletagmanager.com",
    "googlesyndication.com",
    "doubleclick.net",
    "connect.facebook.net",
    "hotjar.com",
    "segment.io",
    "mixpanel.com",
    "newrelic.com",
    "nr-data.net",
    "scorecardresearch.com",
    "quantserve.com",
    "clarity.ms",
    "bat.bing.com",
)
IMAGES = "images"
KINDS = (IMAGES, *EXTENSIONS, "trackers")
LENGTH_DIGITS = 18
CALL_S = 10.0
BODY_S = 600.0
"""Longer than any page may take: the page's own deadline applies first."""
BEGINNING_S = 30.0
"""How long to wait for a document that is kept."""
MOST_EXCHANGES = 40
NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})
SHOWN = re.compile(r"(text/.+|image/.+|application/(.+\+)?(json|xml))$")
"""The types that the browser displays; any other would become a download."""
SUFFIX = re.compile(r"\.([a-z0-9]{1,8})$", re.IGNORECASE)
_TYPES = mimetypes.MimeTypes()


def blocked_urls(kinds: Iterable[str], *, images: bool = False) -> tuple[str, ...]:
    """Return the patterns for the kinds (see KINDS), with `*` as the wildcard; raises KeyError for another.

    `images` says whether the browser loads images, so that those that are blocked need patterns too.

    Only subresources are blocked: the browser exempts the main request, so a navigation to a video's URL passes.
    """
    patterns: list[str] = []
    for kind in kinds:
        if kind == "trackers":
            patterns += [f"*://*{host}/*" for host in TRACKERS]
        elif kind == IMAGES:
            patterns += by_extension(OF_IMAGES) if images else ()
        else:
            patterns += by_extension(EXTENSIONS[kind])
    return tuple(patterns)


def by_extension(extensions: Iterable[str]) -> list[str]:
    """Return the patterns of URLs whose path has one of these extensions, in lower or upper case."""
    written = [case for extension in extensions for case in (extension, extension.upper())]
    return [f"*.{case}{query}" for case in written for query in ("", "?*")]


def _any_url(_url: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class InterceptParams:
    """`headers` go to the URLs that `may_see` allows; files of up to `file_bytes` are saved, none if it is 0.

    Of the main documents of a visit up to `body_bytes` are kept with their heads, as `exchanges`; none if it is 0.
    A document is passed to the page when it is complete; one that is incomplete after `BEGINNING_S` has timed out.
    `patterns` are CDP patterns of the URLs that may get the headers; other requests are not paused.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    patterns: tuple[str, ...] = ("*",)
    may_see: Callable[[str], bool] = _any_url
    file_bytes: int = 0
    body_bytes: int = 0


class Sender(Protocol):
    """Calls CDP: a tab."""

    async def send(self, method: str, deadline_s: float, **params: Any) -> dict[str, Any]:
        """Call within the deadline."""
        ...

    async def read_stream(self, stream: str, cap_bytes: int, deadline_s: float) -> bytes | None:
        """Read a stream to its end and close it; None if it has more than `cap_bytes`."""
        ...

    async def read_beginning(self, stream: str, cap_bytes: int, deadline_s: float) -> tuple[bytes, str]:
        """Read a stream and close it; return what came, and whether `length` or `time` has cut it."""
        ...


class Interceptor:
    """The interceptor of one tab. `file` and `too_large` are those of the visit's main request."""

    def __init__(self, params: InterceptParams, sender: Sender) -> None:
        self.file: Capture | None = None
        self.too_large = False
        self.answer: dict[str, Any] | None = None
        """The response of the file, in the form of the Network domain."""
        self.broke_off = ""
        """How many bytes of the file arrived, if that is less than announced."""
        self.exchanges: list[PageExchange] = []
        """The kept documents of the visit, in the order of their arrival."""
        self.frame_id = ""
        self._params = params
        self._with_headers = [params] if params.headers else []
        self._sender = sender
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, frame_id: str) -> None:
        """Enable interception, if any request needs it."""
        self.frame_id = frame_id
        await self._enable()

    async def add(self, more: Sequence[InterceptParams]) -> None:
        """Add headers; of two of one name the later counts. The browser's errors pass."""
        if more:
            self._with_headers += more
            await self._enable()

    async def _enable(self) -> None:
        wanted = dict.fromkeys(pattern for one in self._with_headers for pattern in one.patterns)
        patterns = [{"urlPattern": one, "requestStage": "Request"} for one in wanted]
        if self._params.file_bytes or self._params.body_bytes:
            patterns.append({"urlPattern": "*", "resourceType": "Document", "requestStage": "Response"})
        if patterns:
            await self._sender.send("Fetch.enable", CALL_S, patterns=patterns)

    def forget(self) -> None:
        """Reset for a new visit."""
        self.file, self.too_large, self.answer = None, False, None
        self.broke_off = ""
        # Another list: what comes late of the visit before is not this one's.
        self.exchanges = []

    def paused(self, event: dict[str, Any]) -> None:
        """Handle a paused request in the background."""
        task = asyncio.ensure_future(self._handle(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, event: dict[str, Any]) -> None:
        # The request, and its page, may be gone by now: then there is nothing to continue.
        with contextlib.suppress(Error, SlotLost):
            if (
                "responseStatusCode" in event
                and self._params.body_bytes
                and event["frameId"] == self.frame_id
            ):
                await self._keep(event)
            elif "responseStatusCode" in event and self._params.file_bytes and self._is_file(event):
                await self._save(event)
            elif "responseStatusCode" in event or "responseErrorReason" in event:
                await self._continue(event)
            else:
                await self._continue(event, self._headers(event["request"]))

    async def _continue(self, event: dict[str, Any], headers: list[dict[str, str]] | None = None) -> None:
        given = {"headers": headers} if headers else {}
        await self._sender.send("Fetch.continueRequest", CALL_S, requestId=event["requestId"], **given)

    def _headers(self, request: dict[str, Any]) -> list[dict[str, str]] | None:
        """Return all headers of a request that gets additional ones; None if it gets none."""
        added = {
            name.lower(): (name, value)
            for one in self._with_headers
            if one.may_see(request["url"])
            for name, value in one.headers.items()
        }
        if not added:
            return None
        sent = [(name, value) for name, value in request["headers"].items() if name.lower() not in added]
        return [{"name": name, "value": value} for name, value in (*sent, *added.values())]

    def _is_file(self, event: dict[str, Any]) -> bool:
        if event["frameId"] != self.frame_id or _has_no_body(event):
            return False
        headers = _flat(event)
        return _mime(headers) not in PAGE_TYPES or _is_attachment(headers)

    async def _save(self, event: dict[str, Any]) -> None:
        """Save the body, and pass it on to the browser if it can display it."""
        url, headers = event["request"]["url"], _flat(event)
        length, cap = _length(headers), self._params.file_bytes
        if length > cap:
            self.too_large = True
            await self._continue(event)
            return
        number = event["requestId"]
        taken = await self._sender.send("Fetch.takeResponseBodyAsStream", CALL_S, requestId=number)
        body = await self._sender.read_stream(taken["stream"], cap, BODY_S)
        self.answer = _answer(event, headers)
        if body is None:
            self.too_large = True
        # The browser tells the end of a stream and a broken connection alike. No half of a file is kept.
        elif len(body) < length and "content-encoding" not in headers:
            self.broke_off = f"{len(body)} of {length} bytes came"
        else:
            self.file = Capture("download", suffix_of(headers, url), body)
        await self._hand_over(event, headers, body)

    async def _keep(self, event: dict[str, Any]) -> None:
        """Keep the exchange, and pass the document on to the page."""
        exchanges, headers, cut = self.exchanges, _flat(event), ""
        if _has_no_body(event):
            _add(exchanges, event)
            await self._continue(event)
        elif self._params.file_bytes and self._is_file(event):
            await self._save(event)
            body = self.file.content if self.file is not None else b""
            _add(
                exchanges, event, body, "length" if self.too_large else "disconnect" if self.broke_off else ""
            )
        else:
            left = self._params.body_bytes - sum(len(one.body) for one in exchanges)
            number = event["requestId"]
            taken = await self._sender.send("Fetch.takeResponseBodyAsStream", CALL_S, requestId=number)
            body, cut = await self._sender.read_beginning(taken["stream"], max(0, left), BEGINNING_S)
            if cut == "time":
                # The browser gives a stream in blocks: of a short document without end nothing would be there.
                await self._sender.send("Fetch.failRequest", CALL_S, requestId=number, errorReason="TimedOut")
                return
            length = _length(headers)
            if not cut and len(body) < length and "content-encoding" not in headers:
                cut = "disconnect"
            if cut and exchanges is self.exchanges:
                self.broke_off = f"{len(body)} bytes of it came" + (f" of {length}" if length else "")
            _add(exchanges, event, body, cut)
            if self._is_file(event):
                self.answer = _answer(event, headers)
            await self._hand_over(event, headers, body)

    async def _hand_over(self, event: dict[str, Any], headers: Mapping[str, str], body: bytes | None) -> None:
        """Pass a document whose stream was read to the page; end the request if it would be a download."""
        number = event["requestId"]
        is_shown = SHOWN.match(_mime(headers)) or not _mime(headers)
        if body is None or _is_attachment(headers) or not is_shown:
            await self._sender.send("Fetch.failRequest", CALL_S, requestId=number, errorReason="Aborted")
            return
        # The body is already decompressed.
        left_out = {"content-encoding", "content-length", "transfer-encoding"}
        kept = [one for one in event["responseHeaders"] if one["name"].lower() not in left_out]
        await self._sender.send(
            "Fetch.fulfillRequest",
            CALL_S,
            requestId=number,
            responseCode=event["responseStatusCode"],
            responseHeaders=kept,
            body=b64encode(body).decode(),
        )


def _has_no_body(event: dict[str, Any]) -> bool:
    status = event["responseStatusCode"]
    return HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST or status in NO_BODY


def _length(headers: Mapping[str, str]) -> int:
    """Return how many bytes are announced, 0 if unknown."""
    told = headers.get("content-length", "")[:LENGTH_DIGITS]
    return int(told) if told.isascii() and told.isdigit() else 0


def _answer(event: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Return an answer in the form of the Network domain."""
    return {"url": event["request"]["url"], "status": event["responseStatusCode"], "headers": headers}


def _add(
    exchanges: list[PageExchange], event: dict[str, Any], body: bytes = b"", truncated: str = ""
) -> None:
    """Add a request and its answer; a page that redirects endlessly is cut off."""
    if len(exchanges) >= MOST_EXCHANGES:
        return
    request = event["request"]
    exchanges.append(
        PageExchange(
            request["url"],
            request["method"],
            event["responseStatusCode"],
            tuple(request["headers"].items()),
            tuple((one["name"], one["value"]) for one in event.get("responseHeaders", ())),
            body,
            truncated,
        )
    )


def suffix_of(headers: Mapping[str, str], url: str) -> str:
    """Return the file's suffix by its type, else by its URL; `bin` if neither tells."""
    mime = _mime(headers)
    guessed = None if mime in {"", "application/octet-stream"} else _TYPES.guess_extension(mime)
    if guessed is not None:
        return guessed.lstrip(".")
    found = SUFFIX.search(path_of(url))
    return found.group(1).lower() if found else "bin"


def _flat(event: dict[str, Any]) -> dict[str, str]:
    return flat_headers((one["name"], one["value"]) for one in event.get("responseHeaders", ()))


def _mime(headers: Mapping[str, str]) -> str:
    return media_type_of(headers.get("content-type", ""))


def _is_attachment(headers: Mapping[str, str]) -> bool:
    return headers.get("content-disposition", "").strip().lower().startswith("attachment")
