"""A TCP connection of the gateway: first read by a coroutine, later perhaps joined to another connection.

Invariants: about `buffer_bytes` at most are buffered in either direction (the source is paused before that); every
wait has a limit; `lost` is resolved when the socket is closed, so that closing can be awaited. `http1` interprets
the bytes; `relay` joins two connections into a tunnel.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast


class ConnectionBroken(Exception):
    """A connection broke during a read or a write."""


class IdleTimeout(Exception):
    """A connection moved no byte within its time limit."""


@dataclass(frozen=True, slots=True)
class GatewayParams:
    """The limits of all slot proxies.

    `connect_s` covers everything until a connection is open: the name (`dns_s`), every address, the proxy's
    handshake. `screen_s` bounds the farm's own look-up of a name that a proxy will resolve.
    `response_s` is the wait for a response's head, `idle_s` the longest silence within a body or a tunnel
    and between two requests. `buffer_bytes` is what one direction of one connection may hold before its
    source is paused. `connections` is the cap per slot proxy; a browser opens 32 and a few WebSockets.
    A host that was not reached is remembered for `dead_first_s`, and up to `dead_longest_s` while it stays so.
    `visit_bytes` bounds what one visit may receive over all its connections (0: no cap). `ca_file` verifies
    proxies that are reached over TLS.
    """

    dns_s: float = 5.0
    screen_s: float = 2.0
    connect_s: float = 15.0
    stagger_s: float = 0.3
    response_s: float = 60.0
    idle_s: float = 120.0
    close_s: float = 5.0
    dns_ttl_s: float = 30.0
    dead_first_s: float = 30.0
    dead_longest_s: float = 300.0
    buffer_bytes: int = 256 * 1024
    head_bytes: int = 64 * 1024
    response_head_bytes: int = 256 * 1024
    connections: int = 256
    visit_bytes: int = 0
    ca_file: Path | None = None


@dataclass(slots=True, eq=False)
class Carried:
    """The bytes of a whole gateway, in both directions."""

    total: int = 0


@dataclass(slots=True, eq=False)
class Traffic:
    """The bytes that a slot proxy has received from outside, and its open connections."""

    received: int = 0
    carried: Carried = field(default_factory=Carried)
    """What all slot proxies add to, what is sent included."""
    cap: int | None = None
    """When more than this has been received, `on_excess` is called once and the cap is removed."""
    on_excess: Callable[[], object] | None = None
    live: "set[Connection]" = field(default_factory=set)

    def receive(self, size: int) -> None:
        """Count received bytes; call `on_excess` once when the cap is exceeded."""
        self.received += size
        self.carried.total += size
        if self.cap is not None and self.received > self.cap and self.on_excess is not None:
            self.cap = None
            self.on_excess()


class Connection(asyncio.Protocol):
    """A connection of a slot proxy: from the browser if there is an `on_made` callback, else to the outside."""

    __slots__ = (
        "_buffer_bytes",
        "_chunks",
        "_draining",
        "_held",
        "_loop",
        "_on_made",
        "_outside",
        "_partner",
        "_reading",
        "_traffic",
        "_waiter",
        "ended",
        "error",
        "hold",
        "lost",
        "moved",
        "on_end",
        "transport",
        "writable",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffer_bytes: int,
        traffic: Traffic,
        on_made: Callable[["Connection"], None] | None = None,
    ) -> None:
        self._loop = loop
        self._buffer_bytes = buffer_bytes
        self._traffic = traffic
        self._on_made = on_made
        self._outside = on_made is None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._reading = True
        self.writable = True
        self.ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._draining: asyncio.Future[None] | None = None
        self._partner: Connection | None = None
        self.lost: asyncio.Future[None] = loop.create_future()
        self.error: Exception | None = None
        self.moved = 0
        self.on_end: Callable[[], object] | None = None
        """Called once when the input ends or the connection breaks, before the partner is told."""
        self.hold: Callable[[], object] | None = None
        """Called when bytes arrive for the partner; they are held until `release`."""

    # -- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self._traffic.live.add(self)
        self.transport.set_write_buffer_limits(high=self._buffer_bytes)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes to the partner, or keep them for the reader."""
        size = len(data)
        self.moved += size
        if self._outside:
            self._traffic.receive(size)
        if self._partner is not None and self.hold is None:
            self._partner.write(data)
            return
        self._chunks.append(data)
        self._held += size
        if self._partner is not None and self.hold is not None:
            self.pause()
            self.hold()
        elif self._held > self._buffer_bytes and self._reading:
            self.pause()
        self._wake()

    def eof_received(self) -> bool:
        """Forward the end of input; the connection stays open, since the other direction may go on."""
        self._end()
        if self._partner is not None:
            self._partner.write_end()
            if self._partner.ended:  # both directions are over
                self.close()
                self._partner.close()
        return self.transport.can_write_eof()  # under TLS the transport closes in any case

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake every waiter: no more bytes will arrive."""
        self.error = exc
        self._end()
        if self._draining is not None and not self._draining.done():
            self._draining.set_result(None)
        self._traffic.live.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Pause the partner's input: this side does not keep up."""
        self.writable = False
        if self._partner is not None:
            self._partner.pause()

    def resume_writing(self) -> None:
        """Resume the partner's input, and wake `drain`."""
        self.writable = True
        if self._partner is not None:
            self._partner.resume()
        elif self._draining is not None and not self._draining.done():
            self._draining.set_result(None)

    # -- called by the gateway

    @property
    def idle(self) -> bool:
        """Whether it is open and nothing is buffered."""
        return self.open and not self._chunks

    @property
    def open(self) -> bool:
        """Whether the connection can still be used in both directions."""
        return not self.ended and not self.transport.is_closing()

    async def receive(self, limit_s: float) -> bytes:
        """Return the next bytes, or none at the end; raises `IdleTimeout` or `ConnectionBroken`."""
        if not self._chunks and not self.ended:
            self._waiter = self._loop.create_future()
            await self._within(self._waiter, limit_s)
        if self._chunks:
            data = self._chunks.popleft()
            self._held -= len(data)
            if not self._reading and self._held <= self._buffer_bytes // 2:
                self.resume()
            return data
        if self.error is not None:
            raise ConnectionBroken(str(self.error))
        return b""

    def unread(self, data: bytes) -> None:
        """Put bytes back in front of the buffer."""
        if data:
            self._chunks.appendleft(data)
            self._held += len(data)

    def write(self, data: bytes) -> None:
        """Write without waiting; a sender waits in `drain`."""
        if self.transport.is_closing():
            return
        if self._outside:
            self._traffic.carried.total += len(data)
        self.transport.write(data)

    async def drain(self, limit_s: float) -> None:
        """Wait until the write buffer has drained; raises `IdleTimeout` or `ConnectionBroken`."""
        if not self.writable and not self.transport.is_closing():
            self._draining = self._loop.create_future()
            await self._within(self._draining, limit_s)
        if self.transport.is_closing():
            raise ConnectionBroken(str(self.error or "closed"))

    def write_end(self) -> None:
        """End the output. TLS has no half-closed connection, so under TLS the connection closes."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.close()

    def join(self, partner: "Connection", on_end: Callable[[], object] | None = None) -> None:
        """Forward all input to the partner from now on, beginning with what is buffered."""
        self._partner = partner
        self.on_end = on_end
        while self._chunks:
            partner.write(self._chunks.popleft())
        self._held = 0
        if partner.writable:
            self.resume()
        else:
            self.pause()
        if self.ended:
            if on_end is not None:
                on_end()
            partner.write_end()

    def release(self) -> None:
        """Forward what was held, and stop holding."""
        self.hold = None
        if self._partner is not None and not self.ended:
            self.join(self._partner, self.on_end)

    def close(self) -> None:
        """Close after everything written is sent."""
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def pause(self) -> None:
        """Pause reading."""
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Resume reading."""
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            self._wake()
            if self.on_end is not None:
                self.on_end()

    async def _within(self, waiter: "asyncio.Future[None]", limit_s: float) -> None:
        # A timer of our own: asyncio.timeout() costs ten times as much, and this is the hot path.
        timer = self._loop.call_later(limit_s, _expire, waiter, limit_s)
        try:
            await waiter
        finally:
            timer.cancel()


def _expire(waiter: "asyncio.Future[None]", limit_s: float) -> None:
    if not waiter.done():
        waiter.set_exception(IdleTimeout(f"silent for {limit_s:g} s"))


async def relay(near: Connection, far: Connection, idle_s: float, on_far_end: Callable[[], object]) -> None:
    """Forward bytes both ways until both connections are closed. Raises `IdleTimeout`, and closes neither then.

    Bytes go from one transport to the other without a coroutine between; a side that reads slowly slows the other
    down. When one side closes, the other still gets what is in flight. `on_far_end` is called before the browser
    can see that the far side ended, so that `SlotProxy.failure` already knows the reason.
    """
    near.join(far)
    far.join(near, on_far_end)
    moved = -1
    while not near.lost.done() and not far.lost.done():
        if near.moved + far.moved == moved:
            raise IdleTimeout(f"silent for {idle_s:g} s")
        moved = near.moved + far.moved
        await asyncio.wait({near.lost, far.lost}, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
    near.close()
    far.close()
    await asyncio.wait({near.lost, far.lost}, timeout=idle_s)
