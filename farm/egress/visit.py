"""One visit as its slot proxy sees it: its failures, and the hold on its document requests.

The requests are held here, and not before the navigation, because a slot may take seconds between the two, and
visits that were granted at intervals would arrive together. In plain HTTP each document of the visit is seen,
redirects included; in a tunnel only the first bytes of the visit. Invariants: only documents wait; a visit that
was refused stays refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from farm.egress.authority import Authority, Unreachable
from farm.model.egress import EgressFailure, EgressFault

MAX_FAILURES = 1024
Ask = Callable[[str], Awaitable[bool]]
"""Waits until a document of this host (and port) may be requested; returns False if it may not."""
_NAVIGATES, _DESTINATION = b"upgrade-insecure-requests", b"sec-fetch-dest"
_NOT_BY_SITE = frozenset({EgressFault.UPSTREAM, EgressFault.TUNNEL, EgressFault.SHORTAGE})


def is_navigation(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request is for the document of a page or of a frame."""
    return any(name == _NAVIGATES for name, _ in headers)


@dataclass(slots=True)
class NavigationHold:
    """The hold on a visit to `authority`."""

    authority: Authority
    ask: Ask
    waited_s: float = 0.0
    """How long documents were held, in seconds."""
    _expected: bool = True
    """Whether the main document is still expected: before the first response, and after a redirect."""
    _opened: "asyncio.Task[bool] | None" = None
    _refused: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether a document was not requested, because its site may not be visited now."""
        return self._refused

    async def for_request(self, host: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Hold a plain HTTP request if it is for a document of the visit; return whether it is.

        Raises Unreachable if it may not be sent.
        """
        is_document = self._is_document(headers)
        if is_document and (self._refused or not await self._allowed(host.decode("latin-1"))):
            self._refuse()
        return is_document

    async def for_tunnel(self, authority: Authority) -> None:
        """Hold a tunnel to the site of the visit. Raises Unreachable if nothing may be sent."""
        if authority != self.authority:
            return
        if self._opened is None:
            self._opened = asyncio.ensure_future(self._allowed(str(authority)))
        # A browser may open two connections: closing one must not cancel the request of the other.
        if self._refused or not await asyncio.shield(self._opened):
            self._refuse()

    async def _allowed(self, host: str) -> bool:
        begun = time.monotonic()
        try:
            return await self.ask(host)
        finally:
            self.waited_s += time.monotonic() - begun

    def answered(self, status: int) -> None:
        """Record the status of a response to a document request."""
        self._expected = self._expected and 300 <= status < 400  # noqa: PLR2004

    def _is_document(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        hints = {name: value for name, value in headers if name in {_NAVIGATES, _DESTINATION}}
        # If the browser sends this header, it decides; only this header distinguishes frames from pages.
        return hints.get(_DESTINATION) == b"document" or (
            self._expected and _NAVIGATES in hints and hints.get(_DESTINATION, b"document") == b"document"
        )

    def _refuse(self) -> None:
        self._refused = True
        raise Unreachable(EgressFault.NOT_NOW, "the site may not be visited now")


@dataclass(slots=True)
class Visit:
    """The failures of one visit, and its hold on navigations."""

    failures: dict[Authority, EgressFailure] = field(default_factory=dict)
    broken: dict[Authority, EgressFailure] = field(default_factory=dict)
    """The first failure of the proxy, or of this machine, per authority: a part of the page is missing, whatever
    worked later."""
    excess: EgressFailure | None = None
    hold: NavigationHold | None = None
    """What its documents wait for; None if they need not wait."""
    host: str = ""
    """The host of its page; empty if the visit has none."""
    is_retry: bool = False
    shortages: int = 0
    """How often descriptors had been lacking when it began."""

    def note(self, authority: Authority, failure: EgressFailure, *, lacks: bool = True) -> None:
        """Record a failure; beyond `MAX_FAILURES` authorities the oldest is dropped.

        `lacks` says whether a part of the page is missing because of it.
        """
        self.failures[authority] = failure
        if lacks and failure.fault in _NOT_BY_SITE and len(self.broken) < MAX_FAILURES:
            self.broken.setdefault(authority, failure)
        if len(self.failures) > MAX_FAILURES:
            del self.failures[next(iter(self.failures))]

    def is_elsewhere(self, authority: Authority) -> bool:
        """Return whether an authority is not of the page's own host, with or without `www.`, whatever the port."""
        own = self.host.removeprefix("www.")
        return bool(own) and authority.host.removeprefix("www.") != own

    def may_recall(self, authority: Authority) -> bool:
        """Return whether a remembered failure may answer for the authority: only a part of the page is lost by it.

        Never for the page's own host, whatever the port, and never in a retry: its document may have been
        redirected, which a tunnel hides, and a page that failed because of a memory must be able to succeed.
        """
        return not self.is_retry and self.is_elsewhere(authority)

    def clear(self, authority: Authority) -> None:
        """Forget the last failure: a later attempt reached the authority."""
        self.failures.pop(authority, None)
