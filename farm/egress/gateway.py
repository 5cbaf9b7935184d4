"""The gateway: a forward proxy on loopback with one port per slot, the slot proxy.

Invariants: all traffic of a slot's browser passes through its slot proxy or is dropped; nothing is left open when
`close` has returned. The farm's own fetches (robots.txt, sitemaps) use slot proxies too.

Security: the port is bound to 127.0.0.1, so it cannot be reached from other machines. Where the kernel says who
owns the other end of a connection (`peer`), only processes of the farm's own user are answered: another user would
gain access to the slot's upstream proxy and to the networks that the operator allows. Credentials would cost a
quarter of the throughput, since the browser intercepts every request to add them. So where the kernel does not
tell, a farm with paid proxies or allowed networks belongs on a machine, or in a network namespace, of its own.
"""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from farm.egress.authority import authority_of
from farm.egress.connection import Carried, Connection, GatewayParams, Traffic
from farm.egress.dial import Dialer
from farm.egress.guard import Guard
from farm.egress.hosts import Lookup, Resolver, system_lookup
from farm.egress.peer import PeerCheck
from farm.egress.session import Session, SlotProxyState
from farm.egress.shortage import is_shortage
from farm.egress.upstream import Upstream
from farm.egress.visit import Ask, NavigationHold, Visit
from farm.model.egress import EgressFailure, EgressFault

log = logging.getLogger("farm.egress")
_WITHOUT_HOLD = Visit()


class SlotProxy:
    """The port of one slot, its connections and their failures; made by `Gateway.open`."""

    def __init__(
        self,
        name: str,
        dialer: Dialer,
        params: GatewayParams,
        upstream: Upstream | None,
        peers: PeerCheck,
        carried: Carried,
    ) -> None:
        self.name = name
        self._peers = peers
        self._dialer = dialer
        self._params = params
        self._shortages = dialer.shortages
        self._state = SlotProxyState(
            visit=Visit(shortages=self._shortages.count),
            upstream=upstream,
            traffic=Traffic(carried=carried, on_excess=self._overflow),
        )
        self._received_before = 0
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    def __repr__(self) -> str:
        return f"<SlotProxy {self.name} on {self.port} by {self.upstream or 'no proxy'}>"

    # -- what the slot sees

    @property
    def proxy_url(self) -> str:
        """The URL of this proxy, for the slot's browser context."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def bytes_received(self) -> int:
        """The bytes received from outside since `begin`."""
        return self._state.traffic.received - self._received_before

    def begin(self, url: str = "", ask: Ask | None = None, *, is_retry: bool = False) -> None:
        """Start a visit: reset the failures and the byte count.

        With `ask` the visit's document requests wait until it allows them. In a retry every host is tried, also
        those that are remembered as not reached.
        """
        authority = authority_of(url)
        host = authority.host if authority is not None else ""
        # Requests still under way record their end in the previous visit.
        visit = self._state.visit = Visit(host=host, is_retry=is_retry, shortages=self._shortages.count)
        if ask is not None and authority is not None:
            visit.hold = NavigationHold(authority, ask)
        for session in self._sessions.values():
            session.hold_for(visit)
        self._received_before = self._state.traffic.received
        if self._params.visit_bytes:
            self._state.traffic.cap = self._received_before + self._params.visit_bytes

    def begin_again(self) -> None:
        """Hold the next request for the visit's document as the first one was: the page is visited once more.

        What failed before says nothing of the page that comes now, which may have as many bytes as the first one.
        """
        visit = self._state.visit
        if visit.hold is None:
            return
        hold = NavigationHold(visit.hold.authority, visit.hold.ask)
        visit = self._state.visit = Visit(
            hold=hold, host=visit.host, is_retry=visit.is_retry, shortages=self._shortages.count
        )
        if self._params.visit_bytes:
            self._state.traffic.cap = self._state.traffic.received + self._params.visit_bytes
        for session in self._sessions.values():
            session.hold_for(visit)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Keep what is requested within apart from the visit: its failures, its bytes and its cap are its own."""
        visit, traffic = self._state.visit, self._state.traffic
        before, cap = traffic.received, traffic.cap
        try:
            yield
        finally:
            came = traffic.received - before
            self._received_before += came
            traffic.cap = None if cap is None else cap + came
            self._state.visit = visit
            for session in self._sessions.values():
                # What a page that is open sends now waits for nothing.
                session.hold_for(_WITHOUT_HOLD)

    @property
    def waited_s(self) -> float:
        """How long the documents of the page waited for the pace of their sites, in seconds."""
        hold = self._state.visit.hold
        return 0.0 if hold is None else hold.waited_s

    @property
    def is_put_off(self) -> bool:
        """Whether the visit's document was not requested, because its site may not be visited now."""
        hold = self._state.visit.hold
        return hold is not None and hold.is_refused

    def failure(self, url: str) -> EgressFailure | None:
        """Return how the visit's last attempt to reach the URL's host and port failed; None if it did not.

        A visit that exceeded its bytes has failed for every URL. If nothing else is known, descriptors that were
        lacking during the visit are the failure: what connects to this port may have had none.
        """
        authority, visit = authority_of(url), self._state.visit
        if visit.excess is not None:
            return visit.excess
        known = None if authority is None else visit.failures.get(authority)
        return known or self._shortages.since(visit.shortages)

    def note_shortage(self) -> None:
        """Record that a client of this port in this process had no descriptor for its connection."""
        self._shortages.note()

    def shortfall(self, url: str) -> EgressFailure | None:
        """Return the failure because of which a page that loaded is incomplete; None if it is complete.

        It is incomplete if it exceeded the bytes of a visit, if the proxy was unreachable or this machine had no
        descriptor for any host, or if a connection through the proxy broke for the page's own host. Other hosts'
        broken connections do not count.
        """
        visit = self._state.visit
        if visit.excess is not None:
            return visit.excess
        for failure in visit.broken.values():
            if failure.fault in {EgressFault.UPSTREAM, EgressFault.SHORTAGE}:
                return failure
        authority = authority_of(url)
        return None if authority is None else visit.broken.get(authority)

    # -- what the farm decides

    @property
    def upstream(self) -> Upstream | None:
        """The upstream proxy; None if connections are direct."""
        return self._state.upstream

    def switch(self, upstream: Upstream | None) -> None:
        """Use another upstream proxy from now on; connections through the old one are closed."""
        if upstream == self._state.upstream:
            return
        self._state.upstream = upstream
        self._cut()

    @property
    def connections(self) -> int:
        """The number of open connections of the browser."""
        return len(self._sessions)

    # -- what the gateway calls

    async def listen(self) -> None:
        """Open the port; raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(loop, self._params.buffer_bytes, self._state.traffic, self._accept),
            "127.0.0.1",
            0,
        )
        if not self._server.sockets:
            # asyncio leaves out what it could not make a socket for, and does not say why.
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
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
                live = tuple(self._state.traffic.live)
                for connection in live:
                    connection.abort()
                await asyncio.gather(*(connection.lost for connection in live))
                await server.wait_closed()

    def _cut(self) -> None:
        for task, session in self._sessions.items():
            session.drop()
            task.cancel()

    def _overflow(self) -> None:
        """Close all connections of the visit, and accept none before the next."""
        size = self._params.visit_bytes
        self._state.visit.excess = EgressFailure(EgressFault.TOO_LARGE, f"more than {size} bytes came")
        self._cut()

    def _accept(self, near: Connection) -> None:
        is_full = len(self._sessions) >= self._params.connections
        if self._server is None or is_full or self._state.visit.excess is not None:
            near.abort()
            return
        transport = near.transport
        if not self._peers.is_own(transport.get_extra_info("peername"), transport.get_extra_info("sockname")):
            log.warning("slot proxy %s: a process of another user connected, and was not answered", self.name)
            near.abort()
            return
        session = Session(near, self._state, self._dialer, self._params)
        task = asyncio.create_task(session.run(), name=f"egress {self.name}")
        near.on_end = task.cancel  # if the browser closes it, stop the work for it
        self._sessions[task] = session
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        # Not in the session: a task that is cancelled before its first step never runs its `finally`.
        self._sessions.pop(task).drop()
        if not task.cancelled() and task.exception() is not None:
            task.get_loop().call_exception_handler(
                {"message": f"a session of slot proxy {self.name} broke", "exception": task.exception()}
            )


class Gateway:
    """Opens and closes the slot proxies, which share the guard, the resolver and the limits."""

    def __init__(
        self,
        guard: Guard,
        params: GatewayParams | None = None,
        *,
        lookup: Lookup = system_lookup,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._params = params or GatewayParams()
        self._resolver = Resolver(ttl_s=self._params.dns_ttl_s, limit_s=self._params.dns_s, lookup=lookup)
        self._slot_proxies: dict[int, SlotProxy] = {}
        self._dialer = Dialer(guard, self._resolver, self._params, self._slot_proxies, now)
        self._peers: PeerCheck | None = None
        self._running = False
        self._carried = Carried()

    @property
    def bytes_carried(self) -> int:
        """How many bytes the connections to the outside have carried so far, both ways."""
        return self._carried.total

    async def start(self) -> None:
        """Allow slot proxies to be opened; raises `UsageError` if `ca_file` cannot be read."""
        if self._params.ca_file is not None:
            self._dialer.trust()
        self._peers = PeerCheck()
        self._running = True

    async def open(self, slot_name: str, upstream: Upstream | None = None) -> SlotProxy:
        """Open a port for a slot; raises RuntimeError if the gateway is not running, OSError if there is none."""
        if not self._running or self._peers is None:
            raise RuntimeError("the gateway is not running")
        slot_proxy = SlotProxy(slot_name, self._dialer, self._params, upstream, self._peers, self._carried)
        try:
            await slot_proxy.listen()
        except OSError as error:
            if is_shortage(error):
                self._dialer.shortages.note()
            raise
        self._slot_proxies[slot_proxy.port] = slot_proxy
        return slot_proxy

    async def close_slot(self, slot_proxy: SlotProxy) -> None:
        """Close a slot's port and all its connections."""
        self._slot_proxies.pop(slot_proxy.port, None)
        await slot_proxy.close()

    async def close(self) -> None:
        """Close every slot proxy."""
        self._running = False
        await asyncio.gather(
            *(self.close_slot(slot_proxy) for slot_proxy in tuple(self._slot_proxies.values()))
        )
        await self._resolver.close()
        if self._peers is not None:
            self._peers.close()
            self._peers = None
