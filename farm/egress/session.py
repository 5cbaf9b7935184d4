"""One connection of the browser to its slot proxy, from its first request to its end.

Invariants: a session has at most one connection outside, reused for consecutive requests to the same authority (a
browser keeps a connection per origin, so no other reuse is possible); a failure is recorded in the visit in which
the request arrived, however late it happens; a request that fails never gets a response that a browser could show
as a page.
"""

import asyncio
from dataclasses import dataclass, field

import h11

from farm.egress.authority import Authority, Target, Unreachable, target_from, tunnel_target_from
from farm.egress.connection import Connection, ConnectionBroken, GatewayParams, IdleTimeout, Traffic, relay
from farm.egress.dial import Dialer
from farm.egress.http1 import Exchange, HttpConnection, part
from farm.egress.response import Event
from farm.egress.upstream import Upstream, authorization
from farm.egress.visit import NavigationHold, Visit, is_navigation
from farm.model.egress import EgressFailure, EgressFault

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# Every browser shows its own error for this, never the body of the response.
_NO_TUNNEL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class SlotProxyState:
    """What the sessions of one slot proxy share. The slot proxy writes it, the sessions read it."""

    visit: Visit = field(default_factory=Visit)
    upstream: Upstream | None = None
    traffic: Traffic = field(default_factory=Traffic)


class Session:
    """Serves one connection of the browser."""

    def __init__(
        self, near: Connection, state: SlotProxyState, dialer: Dialer, params: GatewayParams
    ) -> None:
        self._near = HttpConnection(near, h11.SERVER, params.head_bytes)
        self._far: HttpConnection | None = None
        self._far_authority: Authority | None = None
        self._forward: Upstream | None = None
        self._state = state
        self._dialer = dialer
        self._params = params
        self._tunnel_to: Authority | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve requests until either side closes the connection."""
        try:
            while await self._serve():
                pass
        except (h11.ProtocolError, ConnectionBroken, IdleTimeout):
            return  # the browser's side broke or sent invalid HTTP: there is nobody to report it to
        # The last bytes written may still be in flight.
        near = self._near.connection
        near.close()
        await asyncio.wait({near.lost}, timeout=self._params.idle_s)

    def hold_for(self, visit: Visit) -> None:
        """Hold what the browser sends next through a tunnel that was opened in an earlier visit."""
        hold, near = visit.hold, self._near.connection
        near.hold = None
        if hold is None or hold.authority != self._tunnel_to:
            return

        def held() -> None:
            if self._waiting is None or self._waiting.done():
                self._waiting = asyncio.create_task(self._wait(hold, visit))

        near.hold = held

    async def _wait(self, hold: NavigationHold, visit: Visit) -> None:
        try:
            await hold.for_tunnel(hold.authority)
        except Unreachable as unreachable:
            visit.note(hold.authority, unreachable.failure)
            self.drop()
        else:
            self._near.connection.release()

    def drop(self) -> None:
        """Close both connections at once."""
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            self._waiting.cancel()
        self._near.connection.abort()
        self._drop_far()

    def _drop_far(self) -> None:
        if self._far is not None:
            self._far.connection.on_end = None
            self._far.connection.abort()
            self._far = None

    async def _serve(self) -> bool:
        """Serve one request; return False if the connection cannot serve another."""
        request = await self._near.next_event(self._params.idle_s)
        if not isinstance(request, h11.Request):
            return False
        visit = self._state.visit
        tunnel = request.method == b"CONNECT"
        target = (tunnel_target_from if tunnel else target_from)(request.target)
        if target is None:
            return False  # not a request that a browser makes to a proxy
        authority = target.authority
        # Do not wait for the body: a client may wait for the site's "100 Continue" before it sends one.
        body = self._near.h.next_event()
        try:
            if tunnel:
                await self._tunnel(authority, visit)
                return False
            return await self._exchange(request, target, body, visit)
        except Unreachable as unreachable:
            visit.note(authority, unreachable.failure)
            if tunnel:
                self._near.connection.write(_NO_TUNNEL)
            # Close without a response, so that the navigation fails: any response could be shown as a page.
            return False

    async def _tunnel(self, authority: Authority, visit: Visit) -> None:
        self._drop_far()
        upstream = self._state.upstream
        far = await self._tunnel_far(authority, upstream, visit)
        if visit.hold is not None:
            await visit.hold.for_tunnel(authority)
            if not far.open:
                # The site did not wait that long.
                self._drop_far()
                far = await self._tunnel_far(authority, upstream, visit)
        self._tunnel_to = authority
        self._near.connection.write(_ESTABLISHED)
        visit.clear(authority)
        await self._relay(self._near.detach(), far, authority, visit)

    async def _tunnel_far(self, authority: Authority, upstream: Upstream | None, visit: Visit) -> Connection:
        recall, is_part = visit.may_recall(authority), visit.is_elsewhere(authority)
        traffic = self._state.traffic
        far = await self._dialer.dial(authority, upstream, traffic, recall=recall, is_part=is_part)
        self._far = HttpConnection(far, h11.CLIENT, self._params.response_head_bytes)
        return far

    async def _relay(self, near: Connection, far: Connection, authority: Authority, visit: Visit) -> None:
        asked, answered = near.moved, far.moved
        blame = EgressFault.TUNNEL if self._state.upstream else EgressFault.CONNECT

        def far_ended() -> None:
            if near.ended or near.moved == asked:
                return  # the browser closed it first, or never used it
            if far.error is not None:
                # After a response, a reset may be the way in which the site closes an idle connection.
                lacks = far.moved == answered
                visit.note(
                    authority, EgressFailure(blame, f"{authority}: the connection was reset"), lacks=lacks
                )
            elif far.moved == answered:
                visit.note(authority, EgressFailure(blame, f"{authority} closed without an answer"))

        try:
            await relay(near, far, self._params.idle_s, far_ended)
        except IdleTimeout as silent:
            if far.moved == answered and near.moved != asked:
                visit.note(authority, EgressFailure(EgressFault.TIMEOUT, f"{authority} is {silent}"))
            raise

    async def _exchange(self, request: h11.Request, target: Target, body: Event, visit: Visit) -> bool:
        authority = target.authority
        framing, rest, websocket = part(request)
        recall = not is_navigation(request.headers) and visit.may_recall(authority)
        how = {"websocket": websocket, "recall": recall, "is_part": visit.is_elsewhere(authority)}
        near, (far, reused) = self._near, await self._far_for(authority, **how)
        blame = EgressFault.TUNNEL if self._state.upstream else EgressFault.CONNECT
        hold, answered = visit.hold, None
        if hold is not None and await hold.for_request(target.host, request.headers):
            answered = hold.answered
            if not far.connection.idle:
                # The site did not wait that long: it closed, and may have said so, which would be no answer.
                far, reused = await self._far_for(authority, **how)
        exchange = Exchange(near, far, self._params, blame, answered)
        path, framing = target.path, [(b"Host", target.host), *framing]
        if self._forward is not None:
            path = b"http://" + target.host + path
            framing += authorization(self._forward)
        try:
            switched = await exchange.run(
                h11.Request(method=request.method, target=path, headers=framing), rest, body
            )
        except Unreachable:
            if reused and not far.answered:
                return False  # closed while idle: the browser repeats the request on a new connection
            raise
        visit.clear(authority)
        if switched:
            await self._relay(near.detach(), far.detach(), authority, visit)
            return False
        return self._ready_for_next(near, far)

    async def _far_for(
        self, authority: Authority, *, websocket: bool, recall: bool, is_part: bool
    ) -> tuple[HttpConnection, bool]:
        """Return the connection to the authority, and whether it has served an exchange before."""
        far = self._far
        # A WebSocket needs a tunnel: proxies seldom forward an upgrade in absolute form.
        fit = self._far_authority == authority and not (websocket and self._forward)
        if far is not None and fit and far.connection.idle:
            far.connection.on_end = None
            return far, True
        self._drop_far()
        upstream, traffic = self._state.upstream, self._state.traffic
        if websocket:
            dialling = self._dialer.dial(authority, upstream, traffic, recall=recall, is_part=is_part)
            connection = await dialling
            self._forward = None
        else:
            connection, self._forward = await self._dialer.dial_http(
                authority, upstream, traffic, recall=recall, is_part=is_part
            )
        self._far = HttpConnection(connection, h11.CLIENT, self._params.response_head_bytes)
        self._far_authority = authority
        return self._far, False

    def _ready_for_next(self, near: HttpConnection, far: HttpConnection) -> bool:
        if not near.reusable:
            return False
        near.h.start_next_cycle()
        if far.reusable and far.connection.idle and not far.h.trailing_data[0]:
            far.h.start_next_cycle()
            # If the site closes now, close the browser's idle connection, so that no request fails.
            far.connection.on_end = near.connection.close
        else:
            self._drop_far()
        return True
