"""One slot's way out: a loopback port, the connections that came in by it, and what became of them.

What always holds: the port is bound to 127.0.0.1, so nobody outside this machine reaches it; and where the kernel
says whose the other end of a connection is (`peer`), only processes of the farm's own user are answered.
Another user would gain a way out by the slot's proxy and to the networks that the operator opened. Credentials
on the port would cost a quarter of the throughput (the browser intercepts every request for them); so where the
kernel does not tell, a farm with paid proxies or opened networks belongs on a machine, or in a network namespace,
of its own.
"""

import asyncio
import logging
from contextlib import suppress

from farm.egress.authority import authority_of
from farm.egress.dial import Dialer
from farm.egress.navigation_hold import Ask, NavigationHold
from farm.egress.params import GatewayParams
from farm.egress.peer import PeerCheck
from farm.egress.proxies import Upstream
from farm.egress.session import Outlet, Session, Visit
from farm.egress.wire import Traffic, Wire
from farm.model.egress import GateFailure, GateFault

log = logging.getLogger("farm.egress")


class SlotProxy:
    """The port of one slot; made by `Gateway.open`."""

    def __init__(
        self, name: str, dialer: Dialer, params: GatewayParams, upstream: Upstream | None, peers: PeerCheck
    ) -> None:
        self.name = name
        self._peers = peers
        self._dialer = dialer
        self._params = params
        self._outlet = Outlet(upstream=upstream, traffic=Traffic(on_excess=self._overflow))
        self._received_before = 0
        self._sent_before = 0
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    def __repr__(self) -> str:
        return f"<SlotProxy {self.name} on {self.port} by {self.upstream or 'no proxy'}>"

    # -- what the slot sees

    @property
    def proxy_url(self) -> str:
        """The address that the slot's context is given as its proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def bytes_received(self) -> int:
        """How many bytes came from outside since `begin`."""
        return self._outlet.traffic.received - self._received_before

    @property
    def bytes_sent(self) -> int:
        """How many bytes went outside since `begin`."""
        return self._outlet.traffic.sent - self._sent_before

    def begin(self, url: str = "", ask: Ask | None = None) -> None:
        """Start a visit: forget the failures and the bytes of the one before.

        With `ask` the documents that the visit to the URL asks for wait until it says that they may go out.
        """
        visit = self._outlet.visit = Visit()  # what is still under way notes its end in the old one
        authority = authority_of(url)
        if ask is not None and authority is not None:
            visit.turn = NavigationHold(authority, ask)
        for session in self._sessions.values():
            session.hold(visit)
        self._received_before = self._outlet.traffic.received
        if self._params.visit_bytes:
            self._outlet.traffic.cap = self._received_before + self._params.visit_bytes
        self._sent_before = self._outlet.traffic.sent

    def failure(self, url: str) -> GateFailure | None:
        """How the last attempt of this visit to reach the URL's host and port failed, if it did.

        A visit that brought too much has failed whatever is asked for.
        """
        authority = authority_of(url)
        if self._outlet.visit.excess is not None:
            return self._outlet.visit.excess
        return None if authority is None else self._outlet.visit.failures.get(authority)

    def shortfall(self, url: str) -> GateFailure | None:
        """Say what a page that was shown is without, through the proxy's fault or by the cap.

        That the proxy is gone counts wherever the browser wanted to go. That something broke behind it counts for
        the page's own host only: what others are like on a page is not the visit's business.
        """
        visit = self._outlet.visit
        if visit.excess is not None:
            return visit.excess
        for failure in visit.broken.values():
            if failure.fault is GateFault.UPSTREAM:
                return failure
        authority = authority_of(url)
        return None if authority is None else visit.broken.get(authority)

    # -- what the farm decides

    @property
    def upstream(self) -> Upstream | None:
        """The proxy behind the gate; None where connections go direct."""
        return self._outlet.upstream

    def switch(self, upstream: Upstream | None) -> None:
        """Send what follows by another way; connections of the old one are closed."""
        if upstream == self._outlet.upstream:
            return
        self._outlet.upstream = upstream
        self._cut()

    @property
    def connections(self) -> int:
        """How many connections of the browser are open."""
        return len(self._sessions)

    # -- what the gateway calls

    async def listen(self) -> None:
        """Open the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Wire(loop, self._params.buffer_bytes, self._outlet.traffic, self._accept),
            "127.0.0.1",
            0,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the port and every connection; returns once they are gone, or after `close_s`."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        tasks = tuple(self._sessions)
        for task in tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._params.close_s):
                await asyncio.gather(*tasks, return_exceptions=True)
                live = tuple(self._outlet.traffic.live)
                for wire in live:
                    wire.abort()
                await asyncio.gather(*(wire.lost for wire in live))
                await server.wait_closed()

    def _cut(self) -> None:
        for task, session in self._sessions.items():
            session.drop()
            task.cancel()

    def _overflow(self) -> None:
        """Close everything of the visit, and open nothing before the next."""
        size = self._params.visit_bytes
        self._outlet.visit.excess = GateFailure(GateFault.TOO_LARGE, f"more than {size} bytes came")
        self._cut()

    def _accept(self, near: Wire) -> None:
        is_full = len(self._sessions) >= self._params.connections
        if self._server is None or is_full or self._outlet.visit.excess is not None:
            near.abort()
            return
        transport = near.transport
        if not self._peers.is_own(transport.get_extra_info("peername"), transport.get_extra_info("sockname")):
            log.warning("gate %s: a process of another user connected, and was not answered", self.name)
            near.abort()
            return
        session = Session(near, self._outlet, self._dialer, self._params)
        task = asyncio.create_task(session.run(), name=f"egress {self.name}")
        near.on_end = task.cancel  # the browser gave up: so does whatever is done for it
        self._sessions[task] = session
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        # Here, not in the session: a task that is cancelled before its first step never reaches its `finally`.
        self._sessions.pop(task).drop()
        if not task.cancelled() and task.exception() is not None:
            task.get_loop().call_exception_handler(
                {"message": f"a session of gate {self.name} broke", "exception": task.exception()}
            )
