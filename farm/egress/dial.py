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
from collections.abc import Container, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import zip_longest

from farm.egress import upstream as proxied
from farm.egress.authority import Authority
from farm.egress.failing import Unreachable
from farm.egress.guard import Guard, IPAddress
from farm.egress.params import GatewayParams
from farm.egress.proxies import Upstream
from farm.egress.resolve import Resolver
from farm.egress.wire import Traffic, Wire
from farm.model.egress import GateFault
from farm.model.errors import UsageError

MAX_ADDRESSES = 8
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

    async def dial(
        self, authority: Authority, upstream: Upstream | None, traffic: Traffic, *, plain_http: bool = False
    ) -> Wire:
        """Connect to the authority, or raise `Unreachable`.

        With `plain_http` and an upstream that speaks HTTP the connection is to the proxy itself, which then
        takes requests in absolute form: many allow CONNECT to port 443 only.
        """
        limit_s = self._params.connect_s
        try:
            async with asyncio.timeout(limit_s):
                if upstream is None:
                    return await self._direct(authority, traffic)
                return await self._through(authority, upstream, traffic, plain_http=plain_http)
        except TimeoutError:
            if upstream is None:
                raise Unreachable(
                    GateFault.TIMEOUT, f"{authority} did not connect within {limit_s:g} s"
                ) from None
            raise Unreachable(
                GateFault.UPSTREAM, f"{upstream} did not connect within {limit_s:g} s"
            ) from None

    async def _direct(self, authority: Authority, traffic: Traffic) -> Wire:
        found = _known(authority) or await self._resolver.resolve(authority.host)
        allowed = [ip for ip in found if not self._objection(ip, authority.port)]
        if not allowed:
            raise self._refused(authority, found[0])
        try:
            return await self._open_any(allowed, authority.port, traffic)
        except OSError as error:
            raise Unreachable(
                GateFault.CONNECT, f"{authority}: {error.strerror or type(error).__name__}"
            ) from None

    async def _through(
        self, authority: Authority, upstream: Upstream, traffic: Traffic, *, plain_http: bool
    ) -> Wire:
        known = await self._screen(authority)
        try:
            at = _known(Authority(upstream.host, upstream.port)) or await self._resolver.resolve(
                upstream.host
            )
        except Unreachable as unreachable:
            raise Unreachable(GateFault.UPSTREAM, unreachable.failure.detail) from None
        try:
            if upstream.is_socks:
                return await self._socks(authority, known, upstream, at, traffic)
            tls = self.trust() if upstream.scheme == "https" else None
            wire = await self._open_any(at, upstream.port, traffic, tls=tls, tls_name=upstream.host)
        except OSError as error:  # ssl's errors are among them
            raise Unreachable(
                GateFault.UPSTREAM, f"{upstream}: {error.strerror or type(error).__name__}"
            ) from None
        if not plain_http:
            try:
                await proxied.ask_for_tunnel(wire, upstream, authority, self._params)
            except BaseException:
                wire.abort()
                raise
        return wire

    async def _socks(
        self,
        authority: Authority,
        known: Sequence[IPAddress],
        upstream: Upstream,
        at: Sequence[IPAddress],
        traffic: Traffic,
    ) -> Wire:
        loop = asyncio.get_running_loop()
        sock = await proxied.open_socks(upstream, at, authority, known)
        try:
            _, wire = await loop.create_connection(lambda: self._wire(loop, traffic), sock=sock)
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
        if ip.is_loopback and port in self._own_ports:
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

    def _wire(self, loop: asyncio.AbstractEventLoop, traffic: Traffic) -> Wire:
        return Wire(loop, self._params.buffer_bytes, traffic)

    async def _open_any(
        self,
        addresses: Sequence[IPAddress],
        port: int,
        traffic: Traffic,
        tls: ssl.SSLContext | None = None,
        tls_name: str | None = None,
    ) -> Wire:
        """Try the addresses in turn, the next one as soon as one fails or is slow; raises the last error."""
        loop = asyncio.get_running_loop()

        async def open_one(ip: IPAddress) -> Wire:
            name = tls_name if tls else None
            _, wire = await loop.create_connection(
                lambda: self._wire(loop, traffic),
                str(ip),
                port,
                ssl=tls,
                server_hostname=name,
            )
            return wire

        if len(addresses) == 1:
            return await open_one(addresses[0])
        waiting = _interleaved(addresses)[:MAX_ADDRESSES]
        running: set[asyncio.Task[Wire]] = set()
        failed: OSError | None = None
        try:
            while waiting or running:
                if waiting:
                    running.add(asyncio.create_task(open_one(waiting.pop(0))))
                stagger_s = self._params.stagger_s if waiting else None
                done, _ = await asyncio.wait(running, timeout=stagger_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    running.discard(task)
                    try:
                        return task.result()
                    except OSError as error:
                        failed = error
        finally:
            await _give_up(running)
        raise failed or OSError("no address")


def _known(authority: Authority) -> tuple[IPAddress, ...]:
    """Return the addresses that need no resolver: a literal's own, and those of this machine by name."""
    address = authority.address
    if address is not None:
        return (address,)
    return _LOCALHOST if authority.is_localhost else ()


async def _give_up(tasks: set["asyncio.Task[Wire]"]) -> None:
    """Cancel the attempts that are no longer wanted; one that had just succeeded is closed again."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Wire):
            outcome.abort()


def _interleaved(addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """Let the families take turns, the resolver's first choice first."""
    first = [ip for ip in addresses if ip.version == addresses[0].version]
    second = [ip for ip in addresses if ip.version != addresses[0].version]
    return [ip for pair in zip_longest(first, second) for ip in pair if ip is not None]
