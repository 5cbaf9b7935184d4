"""The browser's events of one visit: the documents of its main frame, pending requests, and errors.

A page may redirect by a script or a refresh; the record is that of the last document, so its answer counts, and
the addresses before it are listed as redirects. Invariants: at most `MOST_DOCUMENTS` documents are kept, and of
each at most as many hops, the first and the latest; at most `MOST_LOADING` pending requests; at most `MOST_ERRORS`
errors, each once, in the order of their arrival.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from farm.model.egress import flat_cdp_headers
from farm.model.page import MOST_ERRORS, PageError

MOST_DOCUMENTS = 40
MOST_LOADING = 1_000
"""How many scripts of a page are tracked at once; a page can request a million."""
ARRIVING_S = 0.025
"""For so long a script that has come counts as pending: it has yet to run."""
URL_CHARS = 2_000
MESSAGE_CHARS = 300
_AWAITED = frozenset({"Script", "Document"})


class PageEvents:
    """The pending requests of one tab: `listeners` take the events of its session, `forget` starts a visit."""

    def __init__(self) -> None:
        self.main_documents = MainDocuments()
        self.errors = PageErrors()
        self.loading: set[str] = set()
        """Scripts and documents of frames that were requested and have not arrived."""
        self.broke_off = ""
        """Why the rest of the document is missing, in the browser's words; empty if it is complete."""
        self.on_break: Callable[[], None] = _nothing
        self._frame_id = ""
        self._document_request = ""
        self._loaded = asyncio.Event()

    def listeners(self, frame_id: str) -> dict[str, Callable[[dict[str, Any]], None]]:
        """Return the listener of each event, by its name, for a tab with this main frame."""
        self._frame_id = frame_id
        return {
            "Network.requestWillBeSent": self._asked,
            "Network.responseReceived": self._answered,
            "Network.loadingFinished": self._ended,
            "Network.loadingFailed": self._failed,
            "Farm.pageError": self.errors.note,
        }

    def forget(self) -> None:
        """Start a visit: drop the request and the answer of the previous one."""
        self.main_documents.forget()
        self.errors.forget()
        self.loading.clear()
        self._document_request = self.broke_off = ""
        self.on_break = _nothing

    async def loaded(self) -> None:
        """Wait until nothing is `loading`."""
        while self.loading:
            self._loaded.clear()
            await self._loaded.wait()

    def _asked(self, event: dict[str, Any]) -> None:
        if event.get("type") == "Document" and event.get("frameId") == self._frame_id:
            if self.main_documents.url is None:
                self.errors.forget()  # what the page before has said since the visit began
            self.main_documents.asked(event)
            self.loading.clear()
            self._loaded.set()
        elif event.get("type") in _AWAITED and event.get("loaderId") and len(self.loading) < MOST_LOADING:
            # A worker's own script belongs to no document, and its end is not reported here.
            self.loading.add(event["requestId"])
            self._loaded.clear()

    def _answered(self, event: dict[str, Any]) -> None:
        if event["type"] == "Document" and event.get("frameId") == self._frame_id:
            self.main_documents.answered(event)
            self._document_request, self.broke_off = event["requestId"], ""

    def _failed(self, event: dict[str, Any]) -> None:
        # What the page itself gives up (`document.open`, another navigation) is cancelled, and is not missing.
        if event["requestId"] == self._document_request and not event.get("canceled"):
            self.broke_off = str(event.get("errorText")) or "it broke off"
            self.on_break()
        self.main_documents.failed(event)
        self._ended(event)

    def _ended(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self.loading:
            # Its end may be heard before the answer to an evaluation is looked at in which it was still loading.
            asyncio.get_running_loop().call_later(ARRIVING_S, self._arrived, event["requestId"])

    def _arrived(self, request_id: str) -> None:
        self.loading.discard(request_id)
        if not self.loading:
            self._loaded.set()


def _nothing() -> None:
    """Stand in where nobody waits for a document."""


@dataclass(slots=True)
class DocumentRequest:
    """A document of the main frame: the addresses that its request went through, and its answer."""

    request_id: str
    urls: list[str]
    answer: dict[str, Any] | None = None
    statuses: list[int] = field(default_factory=list)
    """The statuses of the addresses before the last one."""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class RedirectChain:
    """The addresses before a document's own, the status of each (0 if unknown), and its own answer."""

    urls: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    answer: dict[str, Any] | None = None


class MainDocuments:
    """The documents that the main frame requested, with their redirects and answers."""

    def __init__(self) -> None:
        self._requests: list[DocumentRequest] = []
        self._changed = asyncio.Event()

    def forget(self) -> None:
        """Start a visit: drop the documents of the previous one."""
        self._requests = []
        self._changed.set()

    def asked(self, event: Mapping[str, Any]) -> None:
        """Note a request for a document of the main frame: a new one, or the next hop of a redirect."""
        url = str(event["request"]["url"])
        last = self._requests[-1] if self._requests else None
        if last is not None and last.request_id == event["requestId"]:
            if len(last.urls) >= MOST_DOCUMENTS:
                del last.urls[1], last.statuses[1]
            last.urls.append(url)
            last.statuses.append(int(event.get("redirectResponse", {}).get("status", 0)))
        else:
            if len(self._requests) >= MOST_DOCUMENTS:
                del self._requests[1]
            self._requests.append(DocumentRequest(str(event["requestId"]), [url]))
        self._changed.set()

    def answered(self, event: Mapping[str, Any]) -> None:
        """Note the answer to such a request."""
        for document in self._requests:
            if document.request_id == event["requestId"]:
                document.answer = event["response"]

    def failed(self, event: Mapping[str, Any]) -> None:
        """Note the failure of any request: a document that did not arrive is dropped."""
        for document in self._requests:
            if document.request_id == event["requestId"]:
                document.failed = True
                self._changed.set()

    def has(self, request_id: str) -> bool:
        """Whether the visit requested the document that arrived, or failed, under this request."""
        return any(document.request_id == request_id for document in self._requests)

    async def stayed(self, begin_s: float) -> None:
        """Return when no document is loading any more because the last one failed.

        One that was announced and is not requested within `begin_s` counts as failed. Never returns if it arrived:
        it replaces the current document, which the caller notices otherwise.
        """
        count = len(self._requests)
        if self._is_idle:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(begin_s):
                    while len(self._requests) == count:
                        await self._change()
            if len(self._requests) == count:
                return
        while not (self._requests and self._requests[-1].failed):
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    @property
    def _is_idle(self) -> bool:
        return not self._requests or self._requests[-1].answer is not None or self._requests[-1].failed

    @property
    def is_moving(self) -> bool:
        """Whether the page has requested another document that has not been answered yet."""
        return self.has_navigated and not self._is_idle

    @property
    def has_navigated(self) -> bool:
        """Whether the page requested another document than the first one."""
        return len(self._requests) > 1

    @property
    def url(self) -> str | None:
        """The current address of the main request; None before the first."""
        return self._requests[-1].urls[-1] if self._requests else None

    @property
    def answer(self) -> dict[str, Any] | None:
        """The last answer, as CDP gives it; None before the first."""
        return next((one.answer for one in reversed(self._requests) if one.answer is not None), None)

    @property
    def is_inert(self) -> bool:
        """Whether the last document is one in which neither scripts nor timers run: its policy sandboxes it."""
        answer = self.answer
        if answer is None:
            return False
        headers = flat_cdp_headers(answer["headers"])
        return any(
            words[0] == "sandbox" and "allow-scripts" not in words
            for directive in headers.get("content-security-policy", "").lower().replace(",", ";").split(";")
            if (words := directive.split())
        )

    def redirects_to(self, url: str) -> RedirectChain:
        """Return the redirects to the document that answered under this address.

        Documents that never arrived, and addresses that were only reloaded, are left out. The result is empty for
        an unknown document.
        """
        address = url.partition("#")[0]
        came = [
            document for document in self._requests if document.answer is not None and not document.failed
        ]
        known = [
            number for number, document in enumerate(came) if document.urls[-1].partition("#")[0] == address
        ]
        if not known:
            return RedirectChain()
        last = came[known[-1]]
        steps: list[tuple[str, int]] = []
        for document in came[: known[-1] + 1]:
            status = int((document.answer or {}).get("status", 0))
            steps += zip(document.urls, (*document.statuses, status), strict=True)
        hops = [step for step, following in pairwise(steps) if step[0] != following[0]]
        return RedirectChain(tuple(url for url, _ in hops), tuple(status for _, status in hops), last.answer)


class PageErrors:
    """The errors on the page; `note` takes the driver's event `Farm.pageError` (`js/page_errors.cjs`)."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], PageError] = {}
        self.more = 0
        """How many more errors there were than are kept, repeats included."""

    def forget(self) -> None:
        """Start a visit: drop the errors of the previous one."""
        self._found.clear()
        self.more = 0

    def note(self, event: Mapping[str, Any]) -> None:
        """Note an error, or the number of errors that the driver only counted."""
        if "more" in event:
            self.more += int(event["more"])
            return
        kind, url, message = (str(event.get(name, "")) for name in ("kind", "url", "message"))
        error = PageError(kind, url[:URL_CHARS], message[:MESSAGE_CHARS], str(event.get("type", "")))
        # The failure of one request may be reported in two ways.
        known = (kind, error.url, "" if kind == "request" else error.message)
        if known in self._found:
            return
        if len(self._found) >= MOST_ERRORS:
            self.more += 1
            return
        self._found[known] = error

    @property
    def found(self) -> tuple[PageError, ...]:
        """The errors so far."""
        return tuple(self._found.values())
