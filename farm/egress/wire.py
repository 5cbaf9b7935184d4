"""One TCP connection as the gateway uses it: read by a coroutine first, joined to another one later.

What always holds: no more than about `buffer_bytes` wait in either direction (the source is paused before
that); whoever waits, waits with a limit; and `lost` is resolved once the socket is gone, so that closing can be
waited for. What the bytes mean is for `http1`; when joined wires end is for `relay`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from farm.egress.errors import WireLost, WireSilent


@dataclass(slots=True, eq=False)
class Traffic:
    """What one gate moves: the bytes that crossed the farm's edge, and every connection that is alive."""

    received: int = 0
    sent: int = 0
    cap: int | None = None
    """Once so much was received, `on_excess` is called; whoever sets it takes it away again."""
    on_excess: Callable[[], object] | None = None
    live: "set[Wire]" = field(default_factory=set)

    def receive(self, size: int) -> None:
        """Count what came in, and tell once when it is too much."""
        self.received += size
        if self.cap is not None and self.received > self.cap and self.on_excess is not None:
            self.cap = None
            self.on_excess()


class Wire(asyncio.Protocol):
    """A connection of a gate: to the outside, or to the browser, in which case `on_made` hears of it."""

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
        on_made: Callable[["Wire"], None] | None = None,
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
        self._partner: Wire | None = None
        self.lost: asyncio.Future[None] = loop.create_future()
        self.error: Exception | None = None
        self.moved = 0
        self.on_end: Callable[[], object] | None = None
        """Called once when what comes in ends or the connection breaks, before any partner hears of it."""
        self.hold: Callable[[], object] | None = None
        """Called when something comes in for a partner, who is not given it before `release`."""

    # -- what the transport calls

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
        """Pass the end on; the connection stays, since the other direction may go on."""
        self._end()
        if self._partner is not None:
            self._partner.write_end()
            if self._partner.ended:  # both directions are over
                self.close()
                self._partner.close()
        return self.transport.can_write_eof()  # under TLS the transport closes whatever is said

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits: nothing will come any more."""
        self.error = exc
        self._end()
        if self._draining is not None and not self._draining.done():
            self._draining.set_result(None)
        self._traffic.live.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        """Stop what feeds this side: it does not keep up."""
        self.writable = False
        if self._partner is not None:
            self._partner.pause()

    def resume_writing(self) -> None:
        """Go on feeding it: it caught up."""
        self.writable = True
        if self._partner is not None:
            self._partner.resume()
        elif self._draining is not None and not self._draining.done():
            self._draining.set_result(None)

    # -- what the gateway calls

    @property
    def idle(self) -> bool:
        """Whether it is open and nothing waits to be read."""
        return self.open and not self._chunks

    @property
    def open(self) -> bool:
        """Whether the connection can still be used in both directions."""
        return not self.ended and not self.transport.is_closing()

    async def receive(self, limit_s: float) -> bytes:
        """Return the next bytes, or none at the end; raises `WireSilent` or `WireLost`."""
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
            raise WireLost(str(self.error))
        return b""

    def unread(self, data: bytes) -> None:
        """Put back bytes that belong to what follows."""
        if data:
            self._chunks.appendleft(data)
            self._held += len(data)

    def write(self, data: bytes) -> None:
        """Send without waiting; `drain` is where a sender that is too fast waits."""
        if self.transport.is_closing():
            return
        if self._outside:
            self._traffic.sent += len(data)
        self.transport.write(data)

    async def drain(self, limit_s: float) -> None:
        """Wait until the other side keeps up; raises `WireSilent` or `WireLost`."""
        if not self.writable and not self.transport.is_closing():
            self._draining = self._loop.create_future()
            await self._within(self._draining, limit_s)
        if self.transport.is_closing():
            raise WireLost(str(self.error or "closed"))

    def write_end(self) -> None:
        """Say that no more will be sent; TLS knows no half-closed connection, so there all ends."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.close()

    def join(self, partner: "Wire", on_end: Callable[[], object] | None = None) -> None:
        """Hand everything that comes in to the partner from now on, beginning with what was kept."""
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
        """Give the partner what was held, and hold no more."""
        self.hold = None
        if self._partner is not None and not self.ended:
            self.join(self._partner, self.on_end)

    def close(self) -> None:
        """Close once everything written is sent."""
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def pause(self) -> None:
        """Read no more for now."""
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
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
        waiter.set_exception(WireSilent(f"silent for {limit_s:g} s"))
