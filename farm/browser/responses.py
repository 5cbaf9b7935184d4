"""The answers to a page's XHR and fetch requests, with their bodies.

The driver passes the events of these requests on to the tab's own session if the engine captures
(`EngineParams.requests`), and a body is read when it is complete. Invariants: at most `most` answers of one visit,
of `body_bytes` each and `all_bytes` together, and the browser keeps little more of them; no answer of the previous
page is among them.
"""

import asyncio
import codecs
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Error

from farm.browser.intercept import NO_BODY, Sender
from farm.model.egress import flat_cdp_headers
from farm.model.errors import SlotLost
from farm.model.page import CaptureRule, FetchedResponse

Listener = Callable[[dict[str, Any]], None]
REQUESTS = ("XHR", "Fetch")
"""CDP's types of requests whose answers are captured."""
ALL_REQUESTS = (
    *("Document", "Stylesheet", "Image", "Media", "Font", "Script", "TextTrack", "XHR", "Fetch", "Prefetch"),
    *("EventSource", "Manifest", "SignedExchange", "Ping", "CSPViolationReport", "Preflight", "Other"),
)
"""CDP's types of requests that are in a HAR file."""
CALL_S = 5.0
MOST_ASKED = 2_000
"""Of how many unanswered requests the method is remembered."""
KEPT_URL_CHARS = 8_000
UNKNOWN = ""
BODY_BYTES, ALL_BYTES = 8 * 2**20, 32 * 2**20
"""If everything that a page loads is kept: the bytes of the largest body, and of all bodies of a visit."""


@dataclass(frozen=True, slots=True)
class CaptureParams:
    """The captured answers are those that a rule covers; none without rules."""

    rules: tuple[CaptureRule, ...] = ()
    body_bytes: int = 2**20
    all_bytes: int = 16 * 2**20
    most: int = 500
    har: bool = False
    """Whether all requests are recorded for a HAR file."""
    exchanges: bool = False
    """Whether everything that a page loads is kept, with bodies (`Resources`)."""

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def requests(self) -> tuple[str, ...]:
        """The types of requests whose events the driver must pass on."""
        return ALL_REQUESTS if self.har or self.exchanges else REQUESTS if self.rules else ()

    @property
    def buffers(self) -> dict[str, int]:
        """How many bytes the browser buffers for the farm: complete bodies are read immediately."""
        total = body = 0
        if self.rules:
            total, body = 2 * self.all_bytes + self.body_bytes, self.body_bytes
        if self.exchanges:
            total, body = total + ALL_BYTES + BODY_BYTES, max(body, BODY_BYTES)
        return {"maxTotalBufferSize": total, "maxResourceBufferSize": body}


@dataclass(slots=True)
class _Answer:
    """An answer whose body has not been read, or never will be."""

    url: str
    method: str
    status: int
    content_type: str
    charset: str
    body: str | None = None
    is_open: bool = True
    is_cut: bool = False


class Responses:
    """The answers of one tab's visit; `beside` adds its listeners to a session's, `collect` ends it."""

    def __init__(self, params: CaptureParams, sender: Sender, frame_id: str) -> None:
        self._params = params
        self._sender = sender
        self._frame_id = frame_id
        self._document = self._before = ""
        self._is_begun = False
        self._reading: set[asyncio.Task[None]] = set()
        self._methods: dict[str, str] = {}
        self._answers: dict[str, _Answer] = {}
        self._left_bytes = 0
        self._is_short = False
        self.forget()

    def beside(self, others: Mapping[str, Listener]) -> dict[str, Listener]:
        """Return what takes each event of the session, by its name: the others first."""
        own = {
            "Network.requestWillBeSent": self._asked,
            "Network.responseReceived": self._answered,
            "Network.loadingFinished": self._finished,
            "Network.loadingFailed": self._failed,
        }
        return beside(others, own)

    def forget(self) -> None:
        """Start a visit; requests of the previous page are ignored."""
        for task in self._reading:
            task.cancel()
        self._before, self._is_begun = self._document, False
        self._methods, self._answers = {}, {}
        self._left_bytes, self._is_short = self._params.all_bytes, False

    async def collect(self, deadline_s: float) -> tuple[tuple[FetchedResponse, ...], bool]:
        """Return the answers in their order, and whether a bound has cut or left out any of them.

        Of an unfinished one the received part is returned; loading is stopped after that.
        """
        if self._reading:
            await asyncio.wait(set(self._reading), timeout=deadline_s)
        still_open = [(number, answer) for number, answer in self._answers.items() if answer.is_open]
        if still_open:
            await asyncio.gather(*(self._read_open(number, one, deadline_s) for number, one in still_open))
            # Otherwise the browser would send the rest to the farm as long as the page is open.
            await self._call("Page.stopLoading", deadline_s)
        answers = tuple(
            FetchedResponse(one.url, one.method, one.status, one.content_type, one.body, one.is_cut)
            for one in self._answers.values()
        )
        return answers, self._is_short or any(one.is_cut for one in self._answers.values())

    def _asked(self, event: dict[str, Any]) -> None:
        if event.get("type") not in REQUESTS or not self._is_begun or event.get("loaderId") == self._before:
            return
        # A redirect asks again under the same number, and not always by the same method.
        self._methods[event["requestId"]] = str(event["request"]["method"])
        if len(self._methods) > MOST_ASKED:
            del self._methods[next(iter(self._methods))]

    def _answered(self, event: dict[str, Any]) -> None:
        number, response = event["requestId"], event["response"]
        if event["type"] == "Document" and event.get("frameId") == self._frame_id:
            # Only now can a script of this document run.
            self._document, self._is_begun = str(event["loaderId"]), True
        method = self._methods.pop(number, None)
        if method is None or event["type"] not in REQUESTS:
            return
        url, headers = str(response["url"])[:KEPT_URL_CHARS], flat_cdp_headers(response["headers"])
        content_type = headers.get("content-type", UNKNOWN)
        if not any(rule.covers(url, content_type) for rule in self._params.rules):
            return
        if len(self._answers) >= self._params.most:
            self._is_short = True
            return
        charset = str(response.get("charset") or "utf-8")
        answer = _Answer(url, method, int(response["status"]), content_type, charset)
        self._answers[number] = answer
        if method == "HEAD" or answer.status in NO_BODY:
            answer.body, answer.is_open = "", False

    def _finished(self, event: dict[str, Any]) -> None:
        answer = self._answers.get(event["requestId"])
        if answer is None or not answer.is_open:
            return
        answer.is_open, answer.is_cut = False, True
        task = asyncio.ensure_future(self._read(event["requestId"], answer))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def _failed(self, event: dict[str, Any]) -> None:
        self._methods.pop(event["requestId"], None)
        answer = self._answers.get(event["requestId"])
        if answer is not None and answer.is_open:
            answer.is_open, answer.is_cut = False, True

    async def _read(self, number: str, answer: _Answer) -> None:
        """Read a complete body; the browser has dropped one that is larger than is kept."""
        said = await self._call("Network.getResponseBody", CALL_S, requestId=number)
        if said is None:
            return
        body = str(said["body"])
        if said.get("base64Encoded"):
            self._keep(answer, _text(b64decode(body), "utf-8"), is_cut=False)
        else:
            self._keep(answer, body, is_cut=False)

    async def _read_open(self, number: str, answer: _Answer, deadline_s: float) -> None:
        """Read the received part of an unfinished body."""
        answer.is_open, answer.is_cut = False, True
        said = await self._call("Network.streamResourceContent", deadline_s, requestId=number)
        if said is not None:
            self._keep(answer, _text(b64decode(said["bufferedData"]), answer.charset), is_cut=True)

    def _keep(self, answer: _Answer, body: str | None, *, is_cut: bool) -> None:
        size = len(body.encode("utf-8", "replace")) if body else 0
        if size <= min(self._params.body_bytes, self._left_bytes):
            self._left_bytes -= size
            answer.body, answer.is_cut = body, is_cut

    async def _call(self, method: str, deadline_s: float, **params: Any) -> Mapping[str, Any] | None:
        """Return the browser's answer; None if the document, or the kept body, is gone."""
        try:
            return await self._sender.send(method, deadline_s, **params)
        except (Error, SlotLost):
            return None


def beside(others: Mapping[str, Listener], own: Mapping[str, Listener]) -> dict[str, Listener]:
    """Return the listener of each event, by its name; the others run first, and get all events of `own` too."""
    return {**others, **{name: _both(others[name], listener) for name, listener in own.items()}}


def _both(first: Listener, second: Listener) -> Listener:
    def take(event: dict[str, Any]) -> None:
        first(event)
        second(event)

    return take


def _text(content: bytes, charset: str) -> str | None:
    """Return the text of the bytes, without an incomplete character at the end; None if they are not text."""
    try:
        decoder = codecs.getincrementaldecoder(charset)()
    except LookupError:
        decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(content)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
