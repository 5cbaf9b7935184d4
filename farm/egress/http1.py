"""HTTP/1.1 on a wire, and one exchange carried from the browser's wire to the outside one.

What always holds: bodies stream, with back-pressure, and are never whole in memory; hop-by-hop and `Proxy-*`
headers end here in both directions; nothing is added that the origin could see. Framing is h11's business.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

import h11

from farm.egress.failing import Unreachable, WireLost, WireSilent
from farm.egress.params import GatewayParams
from farm.egress.wire import Wire
from farm.model.egress import GateFault

Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]
Message = h11.Request | h11.InformationalResponse | h11.Response
Headers = list[tuple[bytes, bytes]]

# h11 reads the framing from these and writes its own; no Connection header may take them away.
_UNTOUCHABLE = frozenset({b"transfer-encoding", b"content-length", b"host"})
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"})


class HttpWire:
    """A wire and the h11 connection that reads and writes it."""

    __slots__ = ("_said", "h", "wire")

    def __init__(self, wire: Wire, role: type[h11.CLIENT] | type[h11.SERVER], head_bytes: int) -> None:
        self.wire = wire
        self.h = h11.Connection(role, max_incomplete_event_size=head_bytes)
        self._said: list[bytes] = []

    async def hear(self, limit_s: float) -> Event:
        """Return the next event; raises `WireSilent`, `WireLost` or h11's `RemoteProtocolError`."""
        while (event := self.h.next_event()) is h11.NEED_DATA:
            self.h.receive_data(await self.wire.receive(limit_s))
        return event

    def say(self, event: h11.Event) -> None:
        """Note down an event; `flush` writes them, since each write is a system call of its own."""
        data = self.h.send(event)
        if data:
            self._said.append(data)

    def flush(self) -> None:
        """Write what was said."""
        if self._said:
            self.wire.write(self._said[0] if len(self._said) == 1 else b"".join(self._said))
            self._said.clear()

    @property
    def reusable(self) -> bool:
        """Whether another exchange can follow."""
        return self.h.our_state is h11.DONE and self.h.their_state is h11.DONE and self.wire.open

    def give_up_h11(self) -> Wire:
        """Return the bare wire for what is no HTTP any more, with the bytes that h11 had read too far."""
        self.wire.unread(self.h.trailing_data[0])
        return self.wire


def is_websocket(request: h11.Request) -> bool:
    """Whether the request asks for a WebSocket."""
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in request.headers)


def end_to_end(message: Message, *, websocket: bool = False) -> Headers:
    """Return the headers that concern more than this hop, as they were written."""
    # On the hot path: iterating over raw items and lowering them is cheaper than h11's own view of them.
    headers = [(raw, value, raw.lower()) for raw, value in message.headers.raw_items()]
    drop = _HOP_BY_HOP
    for _, value, name in headers:
        if name == b"connection":
            drop = drop | {token.strip().lower() for token in value.split(b",")}
    drop -= _UNTOUCHABLE
    if websocket:
        drop -= {b"upgrade", b"connection"}
        headers = [
            (raw, b"Upgrade" if name == b"connection" else value, name) for raw, value, name in headers
        ]
    return [
        (raw, value) for raw, value, name in headers if name not in drop and not name.startswith(b"proxy-")
    ]


def outgoing(
    request: h11.Request, host: bytes, target: bytes, extra: Iterable[tuple[bytes, bytes]] = ()
) -> h11.Request:
    """Return the request as the next hop is to see it; `Host` says what the target said."""
    headers = [
        (name, host if name.lower() == b"host" else value)
        for name, value in end_to_end(request, websocket=is_websocket(request))
    ]
    return h11.Request(method=request.method, target=target, headers=[*headers, *extra])


class Exchange:
    """One request that stands at the browser's side, and its answer from outside.

    What fails outside is `Unreachable` with `blame`; what fails at the browser's side is passed through as
    it is, since there is nobody left to tell.
    """

    def __init__(self, near: HttpWire, far: HttpWire, params: GatewayParams, blame: GateFault) -> None:
        self._near = near
        self._far = far
        self._params = params
        self._blame = blame
        self._upload: asyncio.Task[None] | None = None
        self.answered = False
        """Whether anything of an answer came."""

    async def carry(self, request: h11.Request, body: Event) -> bool:
        """Carry the request out and the answer in; True if both sides switched to a WebSocket.

        `body` is the request's end where it has no body; otherwise what is there of the body already.
        """
        self._far.say(request)
        if isinstance(body, h11.EndOfMessage):
            self._far.say(h11.EndOfMessage())
        else:
            # An answer may come before the body has gone out whole, and then end the exchange.
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
        while True:
            event = await self._from_outside(self._params.response_s)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise Unreachable(self._blame, self._closed)
            switched = event.status_code == HTTPStatus.SWITCHING_PROTOCOLS
            headers = end_to_end(event, websocket=switched)
            self._near.say(
                h11.InformationalResponse(status_code=event.status_code, reason=event.reason, headers=headers)
            )
            if switched:
                self._near.flush()
                return event

    async def _send_answer(self, head: h11.Response | h11.InformationalResponse) -> None:
        if head.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            # A browser would take it for the gate's own, and ask for credentials that it must not have.
            raise Unreachable(self._blame, "asks for credentials (407)")
        self._near.say(
            h11.Response(status_code=head.status_code, reason=head.reason, headers=end_to_end(head))
        )
        idle_s = self._params.idle_s
        while isinstance(event := await self._from_outside(idle_s), h11.Data):
            self._near.say(h11.Data(data=event.data))
        if not isinstance(event, h11.EndOfMessage):
            raise Unreachable(self._blame, self._closed)
        self._near.say(h11.EndOfMessage())
        self._near.flush()

    async def _send_body(self, event: Event) -> None:
        idle_s = self._params.idle_s
        if event is h11.NEED_DATA:
            event = await self._near.hear(idle_s)
        while isinstance(event, h11.Data):
            self._far.say(h11.Data(data=event.data))
            self._far.flush()
            await self._far.wire.drain(idle_s)
            event = await self._near.hear(idle_s)
        if isinstance(event, h11.EndOfMessage):
            self._far.say(h11.EndOfMessage())
            self._far.flush()

    @property
    def _closed(self) -> str:
        return f"closed {'within' if self.answered else 'without'} an answer"

    async def _from_outside(self, limit_s: float) -> Event:
        data = None
        while True:
            try:
                event = self._far.h.next_event()
            except h11.RemoteProtocolError as error:
                raise Unreachable(
                    self._blame, self._closed if data == b"" else f"answers what is not HTTP: {error}"
                ) from None
            if event is not h11.NEED_DATA:
                self.answered = True
                return event
            # Only now: what came in one piece goes out in one piece.
            self._near.flush()
            await self._near.wire.drain(self._params.idle_s)
            try:
                data = await self._far.wire.receive(limit_s)
            except WireSilent as silent:
                if self._upload is not None and not self._upload.done():
                    continue  # the site waits for the rest of the request, whose steps have limits of their own
                raise Unreachable(GateFault.TIMEOUT, f"answers nothing, {silent}") from None
            except WireLost as lost:
                raise Unreachable(self._blame, str(lost)) from None
            self._far.h.receive_data(data)
