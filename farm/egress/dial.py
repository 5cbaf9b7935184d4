"""From `host:port` to an open connection, by way of the guard.

What always holds: a connection that goes direct goes to an address that the guard has just allowed, not to a
name that could resolve differently a moment later; every way ends within `connect_s`; every failure is an
`Unreachable` that says whose it is.

What is checked when a slot has an upstream proxy. The proxy resolves names itself, in its own network, so
the farm cannot bind the proxy to an address. Refused are: addresses inside (in every notation), `localhost`
names, and names of which *any* address that the farm's own resolver knows lies inside. Not seen are names
that only the proxy can resolve, and names that it resolves differently: what such a name reaches is the inside of
the proxy's network, so a proxy that stands in one's own network must be told itself what it may reach. The
proxy's own address is the operator's word and is not judged.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from farm.egress import upstream as proxied
from farm.egress.authority import Authority
from farm.egress.errors import TunnelForbidden, Unreachable
from farm.egress.guard import Guard, IPAddress, is_this_machine
from farm.egress.params import GatewayParams
from farm.egress.proxies import Upstream
from farm.egress.race import first_of
from farm.egress.resolve import Resolver
from farm.egress.wire import Traffic, Wire
from farm.model.egress import GateFault
from farm.model.errors import UsageError

MAX_TUNNELLESS = 1024
_LOCALHOST = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


class Dialer:
    """Opens connections for all gates; `own_ports` are those of the gateway itself, which nobody may ask for."""

    def __init__(
        self, guard: Guard, resolver: Resolver, params: GatewayParams, own_ports: Container[int]
    ) -> None:
        self._guard = guard
        self._resolver = resolver
        self._params = params
        self._own_ports = own_ports
        self._tls: ssl.SSLContext | None = None
        self._tunnelless: set[tuple[Upstream, int]] = set()

    async def dial(self, authority: Authority, upstream: Upstream | None, traffic: Traffic) -> Wire:
        """Connect to the authority, end to end, or raise `Unreachable`."""
        if upstream is None:
            late = Unreachable(GateFault.TIMEOUT, f"{authority} did not connect in time")
            return await self._in_time(self._direct(authority, traffic), lambda: late)
        way = _Way(upstream)
        return await self._in_time(self._through(authority, way, traffic), way.late)

    async def dial_http(
        self, authority: Authority, upstream: Upstream | None, traffic: Traffic
    ) -> tuple[Wire, Upstream | None]:
        """Connect for plain HTTP; the second value is a proxy that must be asked in absolute form.

        A tunnel is tried first, for plain HTTP too: what comes out of it is the site's, while an answer in
        absolute form may be the proxy's own error page and look like one of the site's. But some proxies
        make tunnels to port 443 only; that is remembered, per proxy and port.
        """
        if upstream is None or upstream.is_socks:
            return await self.dial(authority, upstream, traffic), None
        if (upstream, authority.port) not in self._tunnelless:
            try:
                return await self.dial(authority, upstream, traffic), None
            except TunnelForbidden:
                if len(self._tunnelless) >= MAX_TUNNELLESS:
                    self._tunnelless.clear()
                self._tunnelless.add((upstream, authority.port))
        way = _Way(upstream)
        return await self._in_time(self._plain(authority, upstream, traffic), way.late), upstream

    async def _in_time(self, dialling: Awaitable[Wire], late: Callable[[], Unreachable]) -> Wire:
        try:
            async with asyncio.timeout(self._params.connect_s):
                return await dialling
        except TimeoutError:
            raise late() from None

    async def _direct(self, authority: Authority, traffic: Traffic) -> Wire:
        found = _known(authority) or await self._resolver.resolve(authority.host)
        allowed = [ip for ip in found if not self._objection(ip, authority.port)]
        if not allowed:
            raise self._refused(authority, found[0])
        try:
            return await self._open(allowed, authority.port, traffic)
        except OSError as error:
            raise Unreachable(GateFault.CONNECT, f"{authority}: {_sentence(error)}") from None

    async def _through(self, authority: Authority, way: "_Way", traffic: Traffic) -> Wire:
        known, upstream = await self._screen(authority), way.upstream
        if upstream.is_socks:
            way.reached = True  # the handshake is python-socks's: how far it came is not seen
            return await self._socks(authority, known, upstream, traffic)
        wire = await self._to_proxy(upstream, traffic)
        way.reached = True
        try:
            await proxied.ask_for_tunnel(wire, upstream, authority, self._params)
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _plain(self, authority: Authority, upstream: Upstream, traffic: Traffic) -> Wire:
        await self._screen(authority)
        return await self._to_proxy(upstream, traffic)

    async def _to_proxy(self, upstream: Upstream, traffic: Traffic) -> Wire:
        at = await self._where(upstream)
        tls = self.trust() if upstream.scheme == "https" else None
        try:
            return await self._open(at, upstream.port, traffic, tls, upstream.host)
        except OSError as error:  # ssl's errors are among them
            raise Unreachable(GateFault.UPSTREAM, f"{upstream}: {_sentence(error)}") from None

    async def _where(self, upstream: Upstream) -> Sequence[IPAddress]:
        literal = _known(Authority(upstream.host, upstream.port))
        try:
            return literal or await self._resolver.resolve(upstream.host)
        except Unreachable as unreachable:
            raise Unreachable(GateFault.UPSTREAM, unreachable.failure.detail) from None

    async def _socks(
        self, authority: Authority, known: Sequence[IPAddress], upstream: Upstream, traffic: Traffic
    ) -> Wire:
        at = await self._where(upstream)
        try:
            sock = await proxied.open_socks(upstream, at, authority, known)
        except OSError as error:
            raise Unreachable(GateFault.UPSTREAM, f"{upstream}: {_sentence(error)}") from None
        loop = asyncio.get_running_loop()
        try:
            _, wire = await loop.create_connection(
                lambda: Wire(loop, self._params.buffer_bytes, traffic), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        return wire

    async def _screen(self, authority: Authority) -> tuple[IPAddress, ...]:
        """Refuse what lies inside, as far as it can be seen from here; return the addresses known here."""
        try:
            known = _known(authority) or await self._resolver.resolve(authority.host, self._params.screen_s)
        except Unreachable:
            return ()  # the farm's own resolver may know less than the proxy's
        for ip in known:
            if self._objection(ip, authority.port):
                raise self._refused(authority, ip)
        return known

    def _objection(self, ip: IPAddress, port: int) -> str:
        if port in self._own_ports and is_this_machine(ip):
            return "a gate of the farm itself"
        return self._guard.decide(ip, port).reason

    def _refused(self, authority: Authority, ip: IPAddress) -> Unreachable:
        reason = self._objection(ip, authority.port)
        return Unreachable(GateFault.REFUSED, f"{authority} is {ip}: {reason}")

    def trust(self) -> ssl.SSLContext:
        """Return whom to trust as a proxy reached by TLS; raises `UsageError` if `ca_file` is unusable."""
        if self._tls is None:
            tls = ssl.create_default_context()
            if self._params.ca_file is not None:
                try:
                    tls.load_verify_locations(self._params.ca_file)
                except OSError as error:  # ssl's errors are among them
                    raise UsageError(
                        f"Cannot read certificates from {self._params.ca_file}: {error.strerror or error}."
                    ) from None
            self._tls = tls
        return self._tls

    async def _open(
        self,
        addresses: Sequence[IPAddress],
        port: int,
        traffic: Traffic,
        tls: ssl.SSLContext | None = None,
        tls_name: str | None = None,
    ) -> Wire:
        loop = asyncio.get_running_loop()
        name = tls_name if tls else None

        async def open_one(ip: IPAddress) -> Wire:
            _, wire = await loop.create_connection(
                lambda: Wire(loop, self._params.buffer_bytes, traffic),
                str(ip),
                port,
                ssl=tls,
                server_hostname=name,
            )
            return wire

        return await first_of(addresses, open_one, self._params.stagger_s)


@dataclass(slots=True)
class _Way:
    """An attempt by a proxy, and whether the proxy itself had been reached when it ended."""

    upstream: Upstream
    reached: bool = False

    def late(self) -> Unreachable:
        """Say who is blamed when time runs out: one that was reached may be waiting for the site itself."""
        fault = GateFault.TUNNEL if self.reached else GateFault.UPSTREAM
        return Unreachable(fault, f"{self.upstream} did not connect in time")


def _sentence(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _known(authority: Authority) -> tuple[IPAddress, ...]:
    """Return the addresses that need no resolver: a literal's own, and those of this machine by name."""
    address = authority.address
    if address is not None:
        return (address,)
    return _LOCALHOST if authority.is_localhost else ()
