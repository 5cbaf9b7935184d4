"""The resources of a page beside its own documents, with their bodies, for an archive.

The tab's own session gets the events of every request if the engine's driver passes them on
(`EngineParams.requests`), and a body is read when it is complete. Invariants: at most `MOST` answers of one visit,
with at most `BODY_BYTES` of each body and `ALL_BYTES` together; no requests of the previous page.
"""

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from playwright.async_api import Error

from farm.browser.intercept import NO_BODY, Sender
from farm.browser.responses import ALL_BYTES, BODY_BYTES, Listener, beside
from farm.model.errors import SlotLost
from farm.model.page import PageExchange

MOST = 2_000
CALL_S = 5.0
KEPT_URL_CHARS = 8_000
MOST_HEADERS = 200
VALUE_CHARS = 8_000
_AS_BROWSERS = dict.fromkeys(("iso-8859-1", "latin1", "us-ascii", "ascii"), "windows-1252")
"""The encodings that browsers use for these labels, by https://encoding.spec.whatwg.org/#names-and-labels."""
NO_BODY_AT_ALL = frozenset({"Preflight", "Ping", "CSPViolationReport"})
"""CDP's types of requests whose answers are not kept."""


@dataclass(slots=True)
class _Asked:
    """A request without an answer yet."""

    url: str
    method: str
    kind: str
    headers: tuple[tuple[str, str], ...]

    def answered(self, response: Mapping[str, Any]) -> PageExchange:
        """Return it with the head of its answer, whose body has not come."""
        status, headers = int(response["status"]), _pairs(response["headers"])
        return PageExchange(self.url, self.method, status, self.headers, headers, truncated="time")


class Resources:
    """The resources of one tab's visit; `beside` adds its listeners to a session's, `collect` ends it."""

    def __init__(self, sender: Sender, frame_id: str) -> None:
        self._sender = sender
        self._frame_id = frame_id
        self._document = self._before = ""
        self._is_begun = False
        self._reading: set[asyncio.Task[None]] = set()
        self._asked: dict[str, _Asked] = {}
        self._open: dict[str, int] = {}
        self._charsets: dict[str, str] = {}
        self._exchanges: list[PageExchange] = []
        self.forget()

    def beside(self, others: Mapping[str, Listener]) -> dict[str, Listener]:
        """Return what takes each event of the session, by its name: the others first."""
        own = {
            "Network.requestWillBeSent": self._note_asked,
            "Network.responseReceived": self._note_answered,
            "Network.loadingFinished": self._note_finished,
            "Network.loadingFailed": self._note_failed,
        }
        return beside(others, own)

    def forget(self) -> None:
        """Start a visit; requests of the previous page are ignored."""
        for task in self._reading:
            task.cancel()
        self._before, self._is_begun, self._is_short = self._document, False, False
        self._asked, self._open, self._charsets, self._exchanges = {}, {}, {}, []
        self._left_bytes = ALL_BYTES

    async def collect(self, deadline_s: float) -> tuple[tuple[PageExchange, ...], bool]:
        """Return the resources, in the order of their answers, and whether a bound has cut any of them.

        A resource that is still loading has no body.
        """
        if self._reading:
            _, late = await asyncio.wait(set(self._reading), timeout=max(0.0, deadline_s))
            self._is_short = self._is_short or bool(late)
        return tuple(self._exchanges), self._is_short

    def _note_asked(self, event: dict[str, Any]) -> None:
        number, request, kind = event["requestId"], event["request"], str(event.get("type", "Other"))
        if kind == "Document" and event.get("frameId") == self._frame_id:
            # The documents of the page itself are kept byte by byte, where they pass on to the page.
            self._document, self._is_begun = str(event["loaderId"]), True
            return
        if not self._is_begun or event.get("loaderId") == self._before:
            return
        before = self._asked.pop(number, None)
        if before is not None and "redirectResponse" in event:
            self._add(replace(before.answered(event["redirectResponse"]), truncated=""))
        url = str(request["url"])
        if url.startswith("http") and len(self._asked) < MOST:
            method = str(request["method"])
            self._asked[number] = _Asked(url[:KEPT_URL_CHARS], method, kind, _pairs(request["headers"]))
        elif url.startswith("http"):
            self._is_short = True

    def _note_answered(self, event: dict[str, Any]) -> None:
        number, response = event["requestId"], event["response"]
        asked = self._asked.pop(number, None)
        if asked is None:
            return
        exchange = asked.answered(response)
        if asked.method == "HEAD" or asked.kind in NO_BODY_AT_ALL or exchange.status in NO_BODY:
            self._add(replace(exchange, truncated=""))
        elif self._add(exchange):
            self._open[number] = len(self._exchanges) - 1
            self._charsets[number] = str(response.get("charset") or "utf-8")

    def _note_finished(self, event: dict[str, Any]) -> None:
        number = event["requestId"]
        place = self._open.pop(number, None)
        if place is None:
            return
        exchanges, charset = self._exchanges, self._charsets.pop(number)
        exchanges[place] = replace(exchanges[place], truncated="length")
        task = asyncio.ensure_future(self._read(number, exchanges, place, charset))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def _note_failed(self, event: dict[str, Any]) -> None:
        number = event["requestId"]
        self._asked.pop(number, None)
        place = self._open.pop(number, None)
        if place is not None:
            self._exchanges[place] = replace(self._exchanges[place], truncated="disconnect")

    def _add(self, exchange: PageExchange) -> bool:
        if len(self._exchanges) >= MOST:
            self._is_short = True
            return False
        self._exchanges.append(exchange)
        return True

    async def _read(self, number: str, exchanges: list[PageExchange], place: int, charset: str) -> None:
        """Read a complete body; the browser has dropped one that is larger than is kept."""
        try:
            said = await self._sender.send("Network.getResponseBody", CALL_S, requestId=number)
        except (Error, SlotLost):
            # The document, or what the browser has kept of it, is gone.
            said = None
        body = _body(said, charset) if said is not None else None
        if body is None or len(body) > min(BODY_BYTES, self._left_bytes):
            self._is_short = True
            return
        self._left_bytes -= len(body)
        exchanges[place] = replace(exchanges[place], body=body, truncated="")


def _body(said: Mapping[str, Any], charset: str) -> bytes:
    """Return the bytes of a body; text, which the browser returns decoded, is encoded in its charset again."""
    body = str(said["body"])
    if said.get("base64Encoded"):
        return b64decode(body)
    try:
        return body.encode(_AS_BROWSERS.get(charset.lower(), charset))
    except (LookupError, UnicodeEncodeError):
        return body.encode("utf-8", "replace")


def _pairs(headers: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return a head as pairs; the browser joins several of one name by newlines."""
    found = [
        (str(name), part[:VALUE_CHARS]) for name, value in headers.items() for part in str(value).split("\n")
    ]
    return tuple(found[:MOST_HEADERS])
