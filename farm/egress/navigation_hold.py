"""Holds the document requests of a visit in the slot proxy until the farm allows them.

They wait here, and not before the navigation, because a slot may take seconds between the two, and visits that
were granted at intervals would arrive together. In plain HTTP each document of the visit is seen, redirects
included; in a tunnel only the first bytes of the visit. Invariants: only documents wait; a visit that was refused
stays refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from farm.egress.authority import Authority
from farm.egress.errors import Unreachable
from farm.model.egress import EgressFault

Ask = Callable[[str], Awaitable[bool]]
"""Waits until a document of this host (and port) may be requested; returns False if it may not."""
_NAVIGATES, _DESTINATION = b"upgrade-insecure-requests", b"sec-fetch-dest"


def is_navigation(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request is for the document of a page or of a frame."""
    return any(name == _NAVIGATES for name, _ in headers)


@dataclass(slots=True)
class NavigationHold:
    """The hold on a visit to `authority`."""

    authority: Authority
    ask: Ask
    _expected: bool = True
    """Whether the main document is still expected: before the first response, and after a redirect."""
    _opened: "asyncio.Task[bool] | None" = None
    _refused: bool = False

    async def for_request(self, host: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Hold a plain HTTP request if it is for a document of the visit; return whether it is.

        Raises Unreachable if it may not be sent.
        """
        is_document = self._is_document(headers)
        if is_document and (self._refused or not await self.ask(host.decode("latin-1"))):
            self._refuse()
        return is_document

    async def for_tunnel(self, authority: Authority) -> None:
        """Hold a tunnel to the site of the visit. Raises Unreachable if nothing may be sent."""
        if authority != self.authority:
            return
        if self._opened is None:
            self._opened = asyncio.ensure_future(self.ask(str(authority)))
        # A browser may open two connections: closing one must not cancel the request of the other.
        if self._refused or not await asyncio.shield(self._opened):
            self._refuse()

    def answered(self, status: int) -> None:
        """Record the status of a response to a document request."""
        self._expected = self._expected and 300 <= status < 400  # noqa: PLR2004

    def _is_document(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        hints = {name: value for name, value in headers if name in {_NAVIGATES, _DESTINATION}}
        # If the browser says what it requests, that counts; only this header tells frames from pages.
        return hints.get(_DESTINATION) == b"document" or (
            self._expected and _NAVIGATES in hints and hints.get(_DESTINATION, b"document") == b"document"
        )

    def _refuse(self) -> None:
        self._refused = True
        raise Unreachable(EgressFault.NOT_NOW, "the site may not be visited now")
