"""HTTP/1.1 on a wire, and one exchange carried from the browser's wire to the outside one.

What always holds: bodies stream, with back-pressure, and are never whole in memory; hop-by-hop and `Proxy-*`
headers end here in both directions; nothing is added that the origin could see. Framing is h11's business.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

import h11

from farm.egress.errors import Unreachable, WireLost, WireSilent
from farm.egress.params import GatewayParams
from farm.egress.wire import Wire
from farm.model.egress import GateFault

Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]
Message = h11.Request | h11.InformationalResponse | h11.Response
Headers = list[tuple[bytes, bytes]]

INFORMATIONAL = 16
"""How many 1xx answers may come before the one that counts; a site can send them without end."""
HEADERS = 1_000
"""How many header lines an answer may have: each is parsed by the browser again, in all of its processes."""
EVENTS_A_TURN = 256
"""Chunks of one byte come by the ten thousand in one piece; after so many events the loop gets its turn."""

_FRAMING = frozenset({b"transfer-encoding", b"content-length"})
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"host"}) | _FRAMING


class HttpWire:
    """A wire and the h11 connection that reads and writes it."""

    __slots__ = ("_events", "_said", "h", "wire")

    def __init__(self, wire: Wire, role: type[h11.CLIENT] | type[h11.SERVER], head_bytes: int) -> None:
        self.wire = wire
        self.h = h11.Connection(role, max_incomplete_event_size=head_bytes)
        self._said: list[bytes] = []
        self._events = 0

    async def hear(self, limit_s: float) -> Event:
        """Return the next event; raises `WireSilent`, `WireLost` or h11's `RemoteProtocolError`."""
        while (event := self.h.next_event()) is h11.NEED_DATA:
            self.h.receive_data(await self.wire.receive(limit_s))
        if self.is_long():
            await asyncio.sleep(0)
        return event

    def is_long(self) -> bool:
        """Count an event, and say whether it is time to let others run."""
        self._events += 1
        if self._events < EVENTS_A_TURN:
            return False
        self._events = 0
        return True

    def say(self, event: h11.Event) -> None:
        """Note down an event; `flush` writes them, since each write is a system call of its own."""
        data = self.h.send(event)
        if data:
            self._said.append(data)

    def say_head(self, event: h11.Event, rest: bytes) -> None:
        """Note down a head, of which `event` has the framing and `rest` the other lines.

        h11 has checked these lines when they came in; to have it check them again costs as much as all else.
        """
        head = self.h.send(event) or b""
        self._said.append(head[:-2] + rest + head[-2:])

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


class Head(NamedTuple):
    """The headers of a message, parted by whom they concern."""

    framing: Headers
    """What h11 must know: where the body ends, and whether the connection becomes a WebSocket."""
    rest: bytes
    """What the two ends say to each other, as it was written."""
    websocket: bool


def part(message: Message) -> Head:
    """Part a message's headers; those of the hop that it came by, and `Host`, are in neither half."""
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
    return Head(framing, b"".join(rest), websocket)


class Exchange:
    """One request that stands at the browser's side, and its answer from outside.

    What fails outside is `Unreachable` with `blame`; what fails at the browser's side is passed through as
    it is, since there is nobody left to tell.
    """

    def __init__(
        self,
        near: HttpWire,
        far: HttpWire,
        params: GatewayParams,
        blame: GateFault,
        on_status: Callable[[int], object] | None = None,
    ) -> None:
        self._near = near
        self._far = far
        self._params = params
        self._blame = blame
        self._on_status = on_status
        self._upload: asyncio.Task[None] | None = None
        self.answered = False
        """Whether anything of an answer came."""

    async def carry(self, request: h11.Request, rest: bytes, body: Event) -> bool:
        """Carry the request out and the answer in; True if both sides switched to a WebSocket.

        `rest` are the header lines that `request` leaves out. `body` is the request's end where it has no
        body; otherwise what is there of the body already.
        """
        self._far.say_head(request, rest)
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
        for _ in range(INFORMATIONAL + 1):
            event = await self._from_outside(self._params.response_s)
            if not isinstance(event, h11.Response | h11.InformationalResponse):
                raise Unreachable(self._blame, self._closed)
            if len(event.headers) > HEADERS:
                raise Unreachable(self._blame, f"answers with more than {HEADERS} headers")
            if isinstance(event, h11.Response):
                return event
            switched = event.status_code == HTTPStatus.SWITCHING_PROTOCOLS
            framing, rest, _ = part(event)
            self._near.say_head(
                h11.InformationalResponse(
                    status_code=event.status_code, reason=event.reason, headers=framing
                ),
                rest,
            )
            if switched:
                self._near.flush()
                return event
        raise Unreachable(self._blame, f"answers more than {INFORMATIONAL} times that it is going to answer")

    async def _send_answer(self, head: h11.Response | h11.InformationalResponse) -> None:
        if head.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            # A browser would take it for the gate's own, and ask for credentials that it must not have.
            raise Unreachable(self._blame, "asks for credentials (407)")
        framing, rest, _ = part(head)
        if self._on_status is not None:
            self._on_status(head.status_code)
        self._near.say_head(
            h11.Response(status_code=head.status_code, reason=head.reason, headers=framing), rest
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
                if self._far.is_long():
                    await asyncio.sleep(0)
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
