"""One connection of the browser to its gate, from its first request to its end.

What always holds: a session has at most one connection outside, which lives for consecutive requests to the
same authority (a browser keeps a connection per origin itself, so that is all the reuse there is to have); a
failure is noted for the visit in which the request came, whenever it happens; a request that cannot be carried
out is never answered with something that a browser could show as a page.
"""

import asyncio
from dataclasses import dataclass, field

import h11

from farm.egress.authority import Authority, Target, target_from, tunnel_target_from
from farm.egress.dial import Dialer
from farm.egress.errors import Unreachable, WireLost, WireSilent
from farm.egress.http1 import Event, Exchange, HttpWire, part
from farm.egress.navigation_hold import NavigationHold
from farm.egress.params import GatewayParams
from farm.egress.proxies import Upstream
from farm.egress.relay import relay
from farm.egress.upstream import authorization
from farm.egress.wire import Traffic, Wire
from farm.model.egress import GateFailure, GateFault

MAX_FAILURES = 1024
_BY_PROXY = frozenset({GateFault.UPSTREAM, GateFault.TUNNEL})

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# Every browser shows its own error for this, never the body of the answer.
_NO_TUNNEL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Visit:
    """What became of one visit: the last failure per authority, and whether it brought too much."""

    failures: dict[Authority, GateFailure] = field(default_factory=dict)
    broken: dict[Authority, GateFailure] = field(default_factory=dict)
    """The first failure per authority that was a proxy's: what it cost is missing, whatever came later."""
    excess: GateFailure | None = None
    turn: NavigationHold | None = None
    """What its documents wait for, where the farm has a say in it."""

    def note(self, authority: Authority, failure: GateFailure, *, lacks: bool = True) -> None:
        """Keep a failure; a page that tries thousands of addresses only pushes out its own older ones.

        `lacks` says whether something that was asked for did not come because of it.
        """
        self.failures[authority] = failure
        if lacks and failure.fault in _BY_PROXY and len(self.broken) < MAX_FAILURES:
            self.broken.setdefault(authority, failure)
        if len(self.failures) > MAX_FAILURES:
            del self.failures[next(iter(self.failures))]

    def clear(self, authority: Authority) -> None:
        """Forget it: a later attempt reached the authority."""
        self.failures.pop(authority, None)


@dataclass(slots=True)
class Outlet:
    """What the sessions of one gate share; the gate changes it."""

    visit: Visit = field(default_factory=Visit)
    upstream: Upstream | None = None
    traffic: Traffic = field(default_factory=Traffic)


class Session:
    """Serves one connection of the browser."""

    def __init__(self, near: Wire, outlet: Outlet, dialer: Dialer, params: GatewayParams) -> None:
        self._near = HttpWire(near, h11.SERVER, params.head_bytes)
        self._far: HttpWire | None = None
        self._far_authority: Authority | None = None
        self._forward: Upstream | None = None
        self._outlet = outlet
        self._dialer = dialer
        self._params = params
        self._tunnel_to: Authority | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve request after request until either side has enough."""
        try:
            while await self._serve():
                pass
        except (h11.ProtocolError, WireLost, WireSilent):
            return  # the browser's side broke, or sent what is not HTTP: there is nobody to tell
        # What was written last is still on its way.
        near = self._near.wire
        near.close()
        await asyncio.wait({near.lost}, timeout=self._params.idle_s)

    def hold(self, visit: Visit) -> None:
        """Let what the browser sends next wait for its turn: the tunnel was opened for an earlier visit."""
        turn, near = visit.turn, self._near.wire
        near.hold = None
        if turn is None or turn.authority != self._tunnel_to:
            return

        def held() -> None:
            if self._waiting is None or self._waiting.done():
                self._waiting = asyncio.create_task(self._wait(turn, visit))

        near.hold = held

    async def _wait(self, turn: NavigationHold, visit: Visit) -> None:
        try:
            await turn.for_tunnel(turn.authority)
        except Unreachable as unreachable:
            visit.note(turn.authority, unreachable.failure)
            self.drop()
        else:
            self._near.wire.release()

    def drop(self) -> None:
        """Close both connections at once."""
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            self._waiting.cancel()
        self._near.wire.abort()
        self._drop_far()

    def _drop_far(self) -> None:
        if self._far is not None:
            self._far.wire.on_end = None
            self._far.wire.abort()
            self._far = None

    async def _serve(self) -> bool:
        """Serve one request; False when the connection is of no use for another."""
        request = await self._near.hear(self._params.idle_s)
        if not isinstance(request, h11.Request):
            return False
        visit = self._outlet.visit
        tunnel = request.method == b"CONNECT"
        target = (tunnel_target_from if tunnel else target_from)(request.target)
        if target is None:
            return False  # no request that a browser makes to a proxy
        authority = target.authority
        # Not awaited: a client may wait for a "100 Continue" from the site before it sends the body.
        body = self._near.h.next_event()
        try:
            if tunnel:
                await self._tunnel(authority, visit)
                return False
            return await self._exchange(request, target, body, visit)
        except Unreachable as unreachable:
            visit.note(authority, unreachable.failure)
            if tunnel:
                self._near.wire.write(_NO_TUNNEL)
            # Without an answer a navigation fails; any answer could be taken for a page.
            return False

    async def _tunnel(self, authority: Authority, visit: Visit) -> None:
        self._drop_far()
        upstream = self._outlet.upstream
        far = await self._dialer.dial(authority, upstream, self._outlet.traffic)
        self._far = HttpWire(far, h11.CLIENT, self._params.response_head_bytes)
        if visit.turn is not None:
            await visit.turn.for_tunnel(authority)
        self._tunnel_to = authority
        self._near.wire.write(_ESTABLISHED)
        visit.clear(authority)
        await self._relay(self._near.give_up_h11(), far, authority, visit)

    async def _relay(self, near: Wire, far: Wire, authority: Authority, visit: Visit) -> None:
        asked, answered = near.moved, far.moved
        blame = GateFault.TUNNEL if self._outlet.upstream else GateFault.CONNECT

        def far_ended() -> None:
            if near.ended or near.moved == asked:
                return  # the browser had enough, or never used the tunnel
            if far.error is not None:
                # With bytes of an answer behind it, a reset may well be how a site ends an idle connection.
                lacks = far.moved == answered
                visit.note(
                    authority, GateFailure(blame, f"{authority}: the connection was reset"), lacks=lacks
                )
            elif far.moved == answered:
                visit.note(authority, GateFailure(blame, f"{authority} closed without an answer"))

        try:
            await relay(near, far, self._params.idle_s, far_ended)
        except WireSilent as silent:
            if far.moved == answered and near.moved != asked:
                visit.note(authority, GateFailure(GateFault.TIMEOUT, f"{authority} is {silent}"))
            raise

    async def _exchange(self, request: h11.Request, target: Target, body: Event, visit: Visit) -> bool:
        authority = target.authority
        framing, rest, websocket = part(request)
        near, (far, reused) = self._near, await self._far_for(authority, websocket=websocket)
        blame = GateFault.TUNNEL if self._outlet.upstream else GateFault.CONNECT
        turn, answered = visit.turn, None
        if turn is not None and await turn.for_request(target.host, request.headers):
            answered = turn.answered
        exchange = Exchange(near, far, self._params, blame, answered)
        path, framing = target.path, [(b"Host", target.host), *framing]
        if self._forward is not None:
            path = b"http://" + target.host + path
            framing += authorization(self._forward)
        try:
            switched = await exchange.carry(
                h11.Request(method=request.method, target=path, headers=framing), rest, body
            )
        except Unreachable:
            if reused and not exchange.answered:
                return False  # closed while idle: the browser asks again on a new connection by itself
            raise
        visit.clear(authority)
        if switched:
            await self._relay(near.give_up_h11(), far.give_up_h11(), authority, visit)
            return False
        return self._ready_for_next(near, far)

    async def _far_for(self, authority: Authority, *, websocket: bool) -> tuple[HttpWire, bool]:
        """Return the connection outside, and whether it served an exchange before."""
        far = self._far
        # A WebSocket needs a tunnel: proxies that are asked in absolute form seldom pass an upgrade on.
        fit = self._far_authority == authority and not (websocket and self._forward)
        if far is not None and fit and far.wire.idle:
            far.wire.on_end = None
            return far, True
        self._drop_far()
        upstream, traffic = self._outlet.upstream, self._outlet.traffic
        if websocket:
            wire, self._forward = await self._dialer.dial(authority, upstream, traffic), None
        else:
            wire, self._forward = await self._dialer.dial_http(authority, upstream, traffic)
        self._far = HttpWire(wire, h11.CLIENT, self._params.response_head_bytes)
        self._far_authority = authority
        return self._far, False

    def _ready_for_next(self, near: HttpWire, far: HttpWire) -> bool:
        if not near.reusable:
            return False
        near.h.start_next_cycle()
        if far.reusable and far.wire.idle and not far.h.trailing_data[0]:
            far.h.start_next_cycle()
            # The browser sees an idle connection of its own end, not a request that fails.
            far.wire.on_end = near.wire.close
        else:
            self._drop_far()
        return True
