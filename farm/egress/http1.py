"""HTTP/1.1 on a connection, and the forwarding of one exchange between the browser and the outside.

Invariants: bodies stream, with back-pressure, and are never whole in memory; hop-by-hop and `Proxy-*` headers are
removed in both directions; nothing is added that the origin could see. h11 does the framing.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

import h11

from farm.egress.authority import Unreachable
from farm.egress.connection import Connection, ConnectionBroken, GatewayParams, IdleTimeout
from farm.egress.response import HEADERS, INFORMATIONAL, Event, ResponseReader
from farm.model.egress import EgressFault

Message = h11.Request | h11.InformationalResponse | h11.Response
Headers = list[tuple[bytes, bytes]]

_FRAMING = frozenset({b"transfer-encoding", b"content-length"})
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"host"}) | _FRAMING


class HttpConnection(ResponseReader):
    """A connection with h11 on it: reads requests of the browser, or responses from outside, and writes either."""

    __slots__ = ("_pending", "connection")

    def __init__(
        self, connection: Connection, role: type[h11.CLIENT] | type[h11.SERVER], head_bytes: int
    ) -> None:
        super().__init__(h11.Connection(role, max_incomplete_event_size=head_bytes), head_bytes)
        self.connection = connection
        self._pending: list[bytes] = []

    async def next_event(self, limit_s: float) -> Event:
        """Return the next event; raises `IdleTimeout`, `ConnectionBroken` or h11's `RemoteProtocolError`."""
        while (event := self.h.next_event()) is h11.NEED_DATA:
            self.h.receive_data(await self.connection.receive(limit_s))
        if self.should_yield():
            await asyncio.sleep(0)
        return event

    def send(self, event: h11.Event) -> None:
        """Queue an event; `flush` writes what is queued, since each write is a system call."""
        data = self.h.send(event)
        if data:
            self._pending.append(data)

    def send_head(self, event: h11.Event, rest: bytes) -> None:
        """Queue a head: `event` has its framing headers, `rest` its other lines.

        h11 checked these lines when they were received; checking them again would double the cost of an exchange.
        """
        head = self.h.send(event) or b""
        self._pending.append(head[:-2] + rest + head[-2:])

    def flush(self) -> None:
        """Write what is queued."""
        if self._pending:
            self.connection.write(self._pending[0] if len(self._pending) == 1 else b"".join(self._pending))
            self._pending.clear()

    @property
    def reusable(self) -> bool:
        """Whether the connection can serve another exchange."""
        return self.h.our_state is h11.DONE and self.h.their_state is h11.DONE and self.connection.open

    def detach(self) -> Connection:
        """Return the bare connection, for a tunnel or a WebSocket, with the bytes that h11 read ahead."""
        self.connection.unread(self.h.trailing_data[0])
        return self.connection


class ForwardedHeaders(NamedTuple):
    """The headers of a message that are forwarded: those that h11 must see, and the rest as bytes."""

    framing: Headers
    """The headers that h11 needs: the end of the body, and an upgrade to a WebSocket."""
    rest: bytes
    """The end-to-end headers, exactly as they were written."""
    websocket: bool


def part(message: Message) -> ForwardedHeaders:
    """Split a message's headers; hop-by-hop headers and `Host` are in neither part."""
    headers = [(raw.lower(), raw, value) for raw, value in message.headers.raw_items()]
    drop, websocket = _HOP_BY_HOP, False
    for name, _, value in headers:
        if name == b"connection":
            drop = drop | {token.strip().lower() for token in value.split(b",")}
        elif name == b"upgrade":
            websocket = websocket or value.lower() == b"websocket"
    framing = [(raw, value) for name, raw, value in headers if name in _FRAMING]
    if websocket:
        framing += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    rest = [
        b"%s: %s\r\n" % (raw, value)
        for name, raw, value in headers
        if name not in drop and not name.startswith(b"proxy-")
    ]
    return ForwardedHeaders(framing, b"".join(rest), websocket)


class Exchange:
    """One request of the browser, and its response from outside.

    A failure outside raises `Unreachable` with the fault `blame`. A failure on the browser's side is raised as it
    is, since there is nobody left to report it to.
    """

    def __init__(
        self,
        near: HttpConnection,
        far: HttpConnection,
        params: GatewayParams,
        blame: EgressFault,
        on_status: Callable[[int], object] | None = None,
    ) -> None:
        self._near = near
        self._far = far
        self._params = params
        self._blame = blame
        self._on_status = on_status
        self._upload: asyncio.Task[None] | None = None

    async def run(self, request: h11.Request, rest: bytes, body: Event) -> bool:
        """Forward the request and its response; return True if both sides switched to a WebSocket.

        `rest` has the header lines that `request` leaves out. `body` is the end of the request if it has no body,
        else what has already arrived of the body. Raises `Unreachable`.
        """
        self._far.expect(request.method)
        self._far.send_head(request, rest)
        if isinstance(body, h11.EndOfMessage):
            self._far.send(h11.EndOfMessage())
        else:
            # A response may arrive before the whole body is sent, and ends the exchange then.
            self._upload = asyncio.create_task(self._send_body(body))
        self._far.flush()
        try:
            head = await self._head()
            if head.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                return True
            await self._send_answer(head)
        finally:
            if self._upload is not None:
                self._upload.cancel()
                await asyncio.gather(self._upload, return_exceptions=True)
        return False

    async def _head(self) -> h11.Response | h11.InformationalResponse:
        for _ in range(INFORMATIONAL + 1):
            event = await self._from_outside(self._params.response_s)
            if not isinstance(event, h11.Response | h11.InformationalResponse):
                raise Unreachable(self._blame, self._closed)
            if len(event.headers) > HEADERS:
                raise Unreachable(self._blame, f"the response has more than {HEADERS} headers")
            if isinstance(event, h11.Response):
                return event
            switched = event.status_code == HTTPStatus.SWITCHING_PROTOCOLS
            framing, rest, _ = part(event)
            self._near.send_head(
                h11.InformationalResponse(
                    status_code=event.status_code, reason=event.reason, headers=framing
                ),
                rest,
            )
            if switched:
                self._near.flush()
                return event
        raise Unreachable(self._blame, f"more than {INFORMATIONAL} informational responses")

    async def _send_answer(self, head: h11.Response | h11.InformationalResponse) -> None:
        if head.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            # The browser would take it for the slot proxy's own response, and ask the user for credentials.
            raise Unreachable(self._blame, "asks for credentials (407)")
        framing, rest, _ = part(head)
        if self._on_status is not None:
            self._on_status(head.status_code)
        self._near.send_head(
            h11.Response(status_code=head.status_code, reason=head.reason, headers=framing), rest
        )
        idle_s = self._params.idle_s
        while isinstance(event := await self._from_outside(idle_s), h11.Data):
            self._near.send(h11.Data(data=event.data))
        if not isinstance(event, h11.EndOfMessage):
            raise Unreachable(self._blame, self._closed)
        self._near.send(h11.EndOfMessage())
        self._near.flush()

    async def _send_body(self, event: Event) -> None:
        idle_s = self._params.idle_s
        if event is h11.NEED_DATA:
            event = await self._near.next_event(idle_s)
        while isinstance(event, h11.Data):
            self._far.send(h11.Data(data=event.data))
            self._far.flush()
            await self._far.connection.drain(idle_s)
            event = await self._near.next_event(idle_s)
        if isinstance(event, h11.EndOfMessage):
            self._far.send(h11.EndOfMessage())
            self._far.flush()

    @property
    def _closed(self) -> str:
        return f"closed {'within' if self._far.answered else 'without'} an answer"

    async def _from_outside(self, limit_s: float) -> Event:
        far, data = self._far, None
        while True:
            try:
                event = far.read()
            except h11.RemoteProtocolError as error:
                raise Unreachable(
                    self._blame, self._closed if data == b"" else f"answers what is not HTTP: {error}"
                ) from None
            if event is not h11.NEED_DATA:
                if far.should_yield():
                    await asyncio.sleep(0)
                return event
            # Flush only before waiting, so that what was read in one piece is written in one piece.
            self._near.flush()
            await self._near.connection.drain(self._params.idle_s)
            data = await self._receive(limit_s)
            far.receive(data)

    async def _receive(self, limit_s: float) -> bytes:
        """Return what comes next, empty at the end; raises `Unreachable`."""
        while True:
            try:
                return await self._far.connection.receive(limit_s)
            except IdleTimeout as silent:
                if self._upload is not None and not self._upload.done():
                    continue  # the site waits for the rest of the request, which has its own time limit
                raise Unreachable(EgressFault.TIMEOUT, f"answers nothing, {silent}") from None
            except ConnectionBroken as lost:
                raise Unreachable(self._blame, str(lost)) from None
