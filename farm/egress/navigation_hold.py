"""A visit's turn: its request for a document waits at the gate until the farm says that it may go out.

Here, and not before the navigation, because a slot may take seconds from one to the other, and visits that
were granted apart would arrive together. Of plain HTTP each document of the visit is seen, redirects included;
of a tunnel only that something is sent for the first time in the visit. What always holds: only documents
wait; a visit that was refused once stays refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from farm.egress.authority import Authority
from farm.egress.errors import Unreachable
from farm.model.egress import GateFault

Ask = Callable[[str], Awaitable[bool]]
"""Returns when a document of this host (and port) may be asked for; False where it may not."""
_NAVIGATES, _DESTINATION = b"upgrade-insecure-requests", b"sec-fetch-dest"


@dataclass(slots=True)
class NavigationHold:
    """The turn of a visit to `authority`."""

    authority: Authority
    ask: Ask
    _expected: bool = True
    """Whether the main document is still to come: before the first answer, and after one that redirects."""
    _opened: "asyncio.Task[bool] | None" = None
    _refused: bool = False

    async def for_request(self, host: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Wait for the turn of a request of plain HTTP, and say whether it is for a document of the visit.

        Raises Unreachable where it may not go out.
        """
        is_document = self._is_document(headers)
        if is_document and (self._refused or not await self.ask(host.decode("latin-1"))):
            self._refuse()
        return is_document

    async def for_tunnel(self, authority: Authority) -> None:
        """Wait for the turn of the visit, if the tunnel leads to its site; raises Unreachable as above."""
        if authority != self.authority:
            return
        if self._opened is None:
            self._opened = asyncio.ensure_future(self.ask(str(authority)))
        # A browser opens two connections to be sure of one: the end of either is not the end of the turn.
        if self._refused or not await asyncio.shield(self._opened):
            self._refuse()

    def answered(self, status: int) -> None:
        """Hear how a request for a document was answered."""
        self._expected = self._expected and 300 <= status < 400  # noqa: PLR2004

    def _is_document(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        told = {name: value for name, value in headers if name in {_NAVIGATES, _DESTINATION}}
        # Where the browser says what it asks for, that counts; frames are not told apart otherwise.
        return told.get(_DESTINATION) == b"document" or (
            self._expected and _NAVIGATES in told and told.get(_DESTINATION, b"document") == b"document"
        )

    def _refuse(self) -> None:
        self._refused = True
        raise Unreachable(GateFault.NOT_NOW, "the site is not to be asked for now")
