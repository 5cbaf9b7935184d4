"""Open a connection to `host:port`, directly or through an upstream proxy, if the guard allows it.

Invariants: a direct connection goes to an address that the guard has just allowed, not to a name that could
resolve differently a moment later; every attempt ends within `connect_s`; every failure is an `Unreachable` whose
fault tells the site from the proxy.

What the guard can check when a slot has an upstream proxy: the proxy resolves names itself, in its own network, so
the farm cannot bind it to an address. The farm refuses internal addresses (in every notation), `localhost` names,
and names of which *any* address known to the farm's own resolver is internal. It cannot see names that only the
proxy can resolve, or that the proxy resolves differently: these reach the proxy's own network, so a proxy inside
the operator's network needs rules of its own. The operator configured the proxy's address, so the guard does not
check it.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import zip_longest

from farm.egress.authority import Authority, TunnelForbidden, Unreachable
from farm.egress.connection import Connection, GatewayParams, Traffic
from farm.egress.guard import OTHER_PROTOCOLS, Guard, IPAddress, is_this_machine
from farm.egress.hosts import DeadHosts, Resolver
from farm.egress.shortage import SHORTAGE, Shortages, is_shortage
from farm.egress.upstream import Upstream, open_socks, open_tunnel
from farm.model.egress import EgressFault
from farm.model.errors import UsageError

MAX_WITHOUT_TUNNEL = 1024
MAX_ADDRESSES = 8
_LOCALHOST = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


class Dialer:
    """Opens connections for all slot proxies. `own_ports` are the gateway's own, which it never connects to.

    Direct connections that fail are remembered (`DeadHosts`) for callers that may `recall`: those whose page is
    not lost without them. `now` is a monotonic clock. Of what a proxy reaches nothing is remembered.
    """

    def __init__(
        self,
        guard: Guard,
        resolver: Resolver,
        params: GatewayParams,
        own_ports: Container[int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._guard = guard
        self._resolver = resolver
        self._params = params
        self._own_ports = own_ports
        self._now = now
        self.shortages = Shortages(now)
        """When this machine could open no connection."""
        self._dead = DeadHosts(params.dead_first_s, params.dead_longest_s, params.connect_s)
        self._tls: ssl.SSLContext | None = None
        self._without_tunnel: set[tuple[Upstream, int]] = set()

    async def dial(
        self,
        authority: Authority,
        upstream: Upstream | None,
        traffic: Traffic,
        *,
        recall: bool = False,
        is_part: bool = False,
    ) -> Connection:
        """Open a connection to the authority, through a tunnel if there is an `upstream`; raises `Unreachable`.

        `is_part`: it is for a part of a page, which holds up no document.
        """
        if upstream is None:
            return await self._directly(authority, traffic, recall=recall, is_part=is_part)
        attempt = _ProxyAttempt(upstream, is_part)
        return await self._in_time(self._via_proxy(authority, attempt, traffic), attempt.late)

    async def dial_http(
        self,
        authority: Authority,
        upstream: Upstream | None,
        traffic: Traffic,
        *,
        recall: bool = False,
        is_part: bool = False,
    ) -> tuple[Connection, Upstream | None]:
        """Open a connection for plain HTTP; the second value is the proxy if requests need the absolute form.

        A tunnel is tried first, for plain HTTP too: its responses come from the site, while a response to a
        request in absolute form may be the proxy's own error page. Some proxies allow tunnels to port 443 only;
        this is remembered per proxy and port. Raises `Unreachable`.
        """
        if upstream is None or upstream.is_socks:
            return await self.dial(authority, upstream, traffic, recall=recall, is_part=is_part), None
        if (upstream, authority.port) not in self._without_tunnel:
            try:
                return await self.dial(authority, upstream, traffic, is_part=is_part), None
            except TunnelForbidden:
                if len(self._without_tunnel) >= MAX_WITHOUT_TUNNEL:
                    self._without_tunnel.clear()
                self._without_tunnel.add((upstream, authority.port))
        attempt = _ProxyAttempt(upstream, is_part)
        return await self._in_time(self._absolute_form(authority, attempt, traffic), attempt.late), upstream

    async def _in_time(self, dialling: Awaitable[Connection], late: Callable[[], Unreachable]) -> Connection:
        try:
            async with asyncio.timeout(self._params.connect_s):
                return await dialling
        except TimeoutError:
            raise late() from None
        except Unreachable as unreachable:
            if unreachable.failure.fault is EgressFault.SHORTAGE:
                self.shortages.note()
            raise

    async def _directly(
        self, authority: Authority, traffic: Traffic, *, recall: bool, is_part: bool
    ) -> Connection:
        host, port, began = authority.host, str(authority), self._now()
        if recall:
            known = self._dead.recall(host, began) or self._dead.recall(port, began)
            if known is not None:
                raise Unreachable(known.fault, f"{known.detail} (remembered)")
        late = Unreachable(EgressFault.TIMEOUT, f"{authority} did not connect in time")
        try:
            connection = await self._in_time(self._direct(authority, traffic, is_part=is_part), lambda: late)
        except Unreachable as unreachable:
            failure, certain = unreachable.failure, unreachable.certain
            if failure.fault is EgressFault.SHORTAGE:
                raise  # it says nothing about the host
            if failure.fault is EgressFault.DNS:
                self._dead.failed(host, failure, began, self._now(), certain=certain)
            else:
                self._dead.reached(host)
                if certain or failure.fault is EgressFault.TIMEOUT:
                    self._dead.failed(port, failure, began, self._now(), certain=certain)
            raise
        self._dead.reached(host)
        self._dead.reached(port)
        return connection

    async def _direct(self, authority: Authority, traffic: Traffic, *, is_part: bool) -> Connection:
        found = _literal_addresses(authority) or await self._resolver.resolve(authority.host, is_part=is_part)
        allowed = [ip for ip in found if not self._refusal_reason(ip, authority.port)]
        if not allowed:
            raise self._refused(authority, found[0])
        try:
            return await self._open(allowed, authority.port, traffic)
        except OSError as error:
            # Other errors may be this machine's own: no network.
            certain = isinstance(error, ConnectionRefusedError)
            raise _unreachable(EgressFault.CONNECT, str(authority), error, certain=certain) from None

    async def _via_proxy(
        self, authority: Authority, attempt: "_ProxyAttempt", traffic: Traffic
    ) -> Connection:
        known, upstream = await self._check_target(authority, is_part=attempt.is_part), attempt.upstream
        if upstream.is_socks:
            attempt.reached = True  # python-socks makes the handshake and does not tell how far it got
            return await self._socks(authority, known, upstream, traffic)
        connection = await self._to_proxy(upstream, traffic)
        attempt.reached = True
        try:
            await open_tunnel(connection, upstream, authority, self._params)
        except BaseException:
            # Also when cancelled, by a page that is left: the connection to the proxy is nobody's then.
            connection.abort()
            raise
        return connection

    async def _absolute_form(
        self, authority: Authority, attempt: "_ProxyAttempt", traffic: Traffic
    ) -> Connection:
        await self._check_target(authority, is_part=attempt.is_part)
        return await self._to_proxy(attempt.upstream, traffic)

    async def _to_proxy(self, upstream: Upstream, traffic: Traffic) -> Connection:
        at = await self._proxy_addresses(upstream)
        tls = self.trust() if upstream.scheme == "https" else None
        try:
            return await self._open(at, upstream.port, traffic, tls, upstream.host)
        except OSError as error:  # ssl's errors are among them
            raise _unreachable(EgressFault.UPSTREAM, str(upstream), error) from None

    async def _proxy_addresses(self, upstream: Upstream) -> Sequence[IPAddress]:
        literal = _literal_addresses(Authority(upstream.host, upstream.port))
        try:
            return literal or await self._resolver.resolve(upstream.host)
        except Unreachable as unreachable:
            if unreachable.failure.fault is EgressFault.SHORTAGE:
                raise
            raise Unreachable(EgressFault.UPSTREAM, unreachable.failure.detail) from None

    async def _socks(
        self, authority: Authority, known: Sequence[IPAddress], upstream: Upstream, traffic: Traffic
    ) -> Connection:
        at = await self._proxy_addresses(upstream)
        try:
            sock = await open_socks(upstream, at, authority, known)
        except OSError as error:
            raise _unreachable(EgressFault.UPSTREAM, str(upstream), error) from None
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self._params.buffer_bytes, traffic), sock=sock
            )
        except BaseException:
            # Also when cancelled: no transport has the socket yet.
            sock.close()
            raise
        return connection

    async def _check_target(self, authority: Authority, *, is_part: bool) -> tuple[IPAddress, ...]:
        """Return the target's addresses known to this machine; raises `Unreachable` if one is not allowed."""
        try:
            known = _literal_addresses(authority) or await self._resolver.resolve(
                authority.host, self._params.screen_s, is_part=is_part
            )
        except Unreachable:
            if authority.port in OTHER_PROTOCOLS:
                raise Unreachable(EgressFault.REFUSED, f"{authority}: a port of another protocol") from None
            return ()  # the farm's own resolver may know less than the proxy's
        for ip in known:
            if self._refusal_reason(ip, authority.port):
                raise self._refused(authority, ip)
        return known

    def _refusal_reason(self, ip: IPAddress, port: int) -> str:
        if port in self._own_ports and is_this_machine(ip):
            return "a port of the gateway itself"
        return self._guard.decide(ip, port).reason

    def _refused(self, authority: Authority, ip: IPAddress) -> Unreachable:
        reason = self._refusal_reason(ip, authority.port)
        return Unreachable(EgressFault.REFUSED, f"{authority} is {ip}: {reason}")

    def trust(self) -> ssl.SSLContext:
        """Return the TLS context for proxies; raises `UsageError` if `ca_file` cannot be read."""
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
    ) -> Connection:
        loop = asyncio.get_running_loop()
        name = tls_name if tls else None

        async def open_one(ip: IPAddress) -> Connection:
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self._params.buffer_bytes, traffic),
                str(ip),
                port,
                ssl=tls,
                server_hostname=name,
            )
            return connection

        return await connect_first(addresses, open_one, self._params.stagger_s)


@dataclass(slots=True)
class _ProxyAttempt:
    """An attempt through a proxy, and whether it got as far as the proxy."""

    upstream: Upstream
    is_part: bool
    reached: bool = False

    def late(self) -> Unreachable:
        """Return the failure of a timeout: a proxy that was reached may itself be waiting for the site."""
        fault = EgressFault.TUNNEL if self.reached else EgressFault.UPSTREAM
        return Unreachable(fault, f"{self.upstream} did not connect in time")


def _unreachable(fault: EgressFault, what: str, error: OSError, *, certain: bool = False) -> Unreachable:
    if is_shortage(error):
        return Unreachable(SHORTAGE.fault, SHORTAGE.detail)
    return Unreachable(fault, f"{what}: {error.strerror or type(error).__name__}", certain=certain)


def _literal_addresses(authority: Authority) -> tuple[IPAddress, ...]:
    """Return the addresses that need no resolver: of an IP literal and of `localhost`; else none."""
    address = authority.address
    if address is not None:
        return (address,)
    return _LOCALHOST if authority.is_localhost else ()


async def connect_first(
    addresses: Sequence[IPAddress], connect: Callable[[IPAddress], Awaitable[Connection]], stagger_s: float
) -> Connection:
    """Return the first connection that opens; raises the last `OSError` if none does.

    A simple form of Happy Eyeballs (RFC 8305): the next address is tried when one fails or has not answered for
    `stagger_s`. When this returns, every other attempt has ended.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])
    waiting = interleaved(addresses)[:MAX_ADDRESSES]
    running: set[asyncio.Future[Connection]] = set()
    failed: OSError | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(connect(waiting.pop(0))))
            done, _ = await asyncio.wait(
                running, timeout=stagger_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                running.discard(attempt)
                try:
                    return attempt.result()
                except OSError as error:
                    failed = error
    finally:
        await _cancel_attempts(running)
    raise failed or OSError("no address")


async def _cancel_attempts(attempts: set["asyncio.Future[Connection]"]) -> None:
    """Cancel the remaining attempts, and close a connection that has just opened."""
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, Connection):
            outcome.abort()


def interleaved(addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """Alternate between IPv4 and IPv6, beginning with the family of the resolver's first address."""
    first = [ip for ip in addresses if ip.version == addresses[0].version]
    second = [ip for ip in addresses if ip.version != addresses[0].version]
    return [ip for pair in zip_longest(first, second) for ip in pair if ip is not None]
