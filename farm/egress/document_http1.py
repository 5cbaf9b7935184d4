"""HTTP/1.1 for documents, by `h11`: one request at a time on a connection, answers read as a browser does."""

import asyncio

import h11

from farm.egress.document_http2 import Headers
from farm.egress.response import INFORMATIONAL, ResponseReader
from farm.model.errors import RendererUnfit
from farm.model.outcome import FailureKind

_CHUNK = 64 * 1024
_HEAD_BYTES = 256 * 1024


class Http1Connection:
    """A connection to one authority; a request is in absolute form if `form` says how that begins."""

    own_headers: Headers = [(b"Connection", b"keep-alive")]  # noqa: RUF012

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._form = form
        h = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._responses = ResponseReader(h, _HEAD_BYTES)

    @property
    def is_reusable(self) -> bool:
        """Whether the last answer has ended and another request may follow."""
        h = self._responses.h
        # What came behind the answer would be taken for that of the next request.
        return h.our_state is h.their_state is h11.DONE and not h.trailing_data[0]

    async def head(self, host: bytes, path: bytes, headers: Headers) -> tuple[int, Headers]:
        """Send a GET request; return the status and the headers of its answer.

        Raises h11's `ProtocolError`, RendererUnfit, and OSError if the connection ends.
        """
        if self.is_reusable:
            self._responses.h.start_next_cycle()
        self._responses.expect(b"GET")
        target = self._form + host + path if self._form else path
        request = h11.Request(
            method=b"GET", target=target, headers=[(b"Host", host), *self.own_headers, *headers]
        )
        h = self._responses.h
        self._writer.write((h.send(request) or b"") + (h.send(h11.EndOfMessage()) or b""))
        response = await self._response()
        return response.status_code, list(response.headers)

    async def piece(self) -> bytes:
        """Return the next piece of the body, empty at its end.

        Raises h11's `RemoteProtocolError` and OSError if the body breaks off.
        """
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _next(self) -> h11.Event:
        responses = self._responses
        while not isinstance(event := responses.read(), h11.Event):
            if event is h11.PAUSED:
                return h11.EndOfMessage()
            responses.receive(await self._reader.read(_CHUNK))
        if responses.should_yield():
            await asyncio.sleep(0)
        return event

    async def _response(self) -> h11.Response:
        for _ in range(INFORMATIONAL + 1):
            try:
                event = await self._next()
            except h11.RemoteProtocolError:
                if self._reader.at_eof() and not self._responses.answered:
                    raise ConnectionError("closed without an answer") from None
                raise
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise ConnectionError("closed without an answer")
        raise RendererUnfit(FailureKind.NETWORK, f"more than {INFORMATIONAL} informational answers")
