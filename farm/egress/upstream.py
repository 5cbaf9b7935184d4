"""The handshakes with upstream proxies: CONNECT over HTTP by h11, SOCKS by python-socks.

Invariants: after the handshake the connection carries only bytes between the slot and the site; credentials are
sent to the proxy only, and errors name the proxy without them. Faults: `CONNECT` or `TIMEOUT` if the proxy reports
that it cannot reach the site; `UPSTREAM` if the proxy rejects us; `TUNNEL` if it falls silent or closes the
connection, which may be because of the site.
"""

import base64
import socket
from collections.abc import Sequence
from http import HTTPStatus

import h11
from python_socks import ProxyConnectionError, ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from farm.egress.authority import Authority, TunnelForbidden, Unreachable
from farm.egress.connection import Connection, ConnectionBroken, GatewayParams, IdleTimeout
from farm.egress.guard import IPAddress
from farm.egress.proxy_file import Upstream
from farm.egress.response import INFORMATIONAL
from farm.model.egress import EgressFault

# The statuses of proxies that cannot reach the site (tinyproxy sends 500).
_SITE_FAULTS: dict[int, EgressFault] = {
    HTTPStatus.INTERNAL_SERVER_ERROR: EgressFault.CONNECT,
    HTTPStatus.BAD_GATEWAY: EgressFault.CONNECT,
    HTTPStatus.SERVICE_UNAVAILABLE: EgressFault.CONNECT,
    HTTPStatus.GATEWAY_TIMEOUT: EgressFault.TIMEOUT,
}
# The statuses of proxies that allow tunnels to port 443 only, or none.
_FORBIDDEN = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_IMPLEMENTED,
}
# SOCKS5: general failure, network and host unreachable, refused, expired; SOCKS4: rejected or failed.
_SOCKS_SITE_FAULTS = {0x01, 0x03, 0x04, 0x05, 0x06, 0x5B}


def authorization(upstream: Upstream) -> list[tuple[bytes, bytes]]:
    """Return the header with the proxy's credentials; an empty list if it has none."""
    if not upstream.user:
        return []
    pair = f"{upstream.user.reveal()}:{upstream.password.reveal()}".encode()
    return [(b"Proxy-Authorization", b"Basic " + base64.b64encode(pair))]


async def open_tunnel(
    connection: Connection, upstream: Upstream, authority: Authority, params: GatewayParams
) -> None:
    """Send CONNECT to an HTTP proxy and wait for the tunnel to the authority; raises `Unreachable`."""
    h = h11.Connection(h11.CLIENT, max_incomplete_event_size=params.response_head_bytes)
    target = str(authority).encode()
    request = h11.Request(
        method=b"CONNECT", target=target, headers=[(b"Host", target), *authorization(upstream)]
    )
    connection.write((h.send(request) or b"") + (h.send(h11.EndOfMessage()) or b""))
    informational = 0
    try:
        while not isinstance(answer := h.next_event(), h11.Response):
            if answer is h11.NEED_DATA:
                h.receive_data(await connection.receive(params.connect_s))
            elif not isinstance(answer, h11.InformationalResponse):
                raise Unreachable(EgressFault.TUNNEL, f"{upstream} closed without a response")
            elif (informational := informational + 1) > INFORMATIONAL:
                raise Unreachable(EgressFault.UPSTREAM, f"{upstream} sends only informational responses")
    except (h11.RemoteProtocolError, ConnectionBroken, IdleTimeout) as error:
        raise Unreachable(EgressFault.TUNNEL, f"{upstream}: {error}") from None
    status = answer.status_code
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        failure = TunnelForbidden if status in _FORBIDDEN else Unreachable
        unsaid = EgressFault.TUNNEL if status in _FORBIDDEN else EgressFault.UPSTREAM
        fault = _SITE_FAULTS.get(status, unsaid)
        raise failure(fault, f"{upstream} answers {status} to CONNECT {authority}")
    connection.unread(h.trailing_data[0])


async def open_socks(
    upstream: Upstream, at: Sequence[IPAddress], authority: Authority, known: Sequence[IPAddress]
) -> socket.socket:
    """Return a socket that a SOCKS proxy at the addresses `at` has connected to the authority.

    Raises `Unreachable`, or `OSError` if no address of the proxy accepts a connection.

    A SOCKS5 proxy gets the name, as from a browser, so that it resolves the site for its own location. A SOCKS4
    proxy gets the IPv4 address that was checked, and the name (4a) only if there is none.
    """
    host = authority.host
    kind = ProxyType.SOCKS5
    if upstream.scheme == "socks4":
        kind = ProxyType.SOCKS4
        host = next((str(ip) for ip in known if ip.version == 4), host)  # noqa: PLR2004
        if ":" in host:
            raise Unreachable(EgressFault.CONNECT, f"{upstream} cannot carry IPv6, which {authority} is")
    try:
        for last, ip in enumerate(at, start=1 - len(at)):
            try:
                return await _proxy(kind, ip, upstream).connect(host, authority.port)
            except ProxyConnectionError:
                if last == 0:
                    raise
    except ProxyError as error:
        fault = EgressFault.CONNECT if error.error_code in _SOCKS_SITE_FAULTS else EgressFault.UPSTREAM
        raise Unreachable(fault, f"{upstream} for {authority}: {error}") from None
    except UnicodeError:
        raise Unreachable(EgressFault.DNS, f"{authority} is not a valid name") from None
    raise OSError("no address")


def _proxy(kind: ProxyType, at: IPAddress, upstream: Upstream) -> Proxy:
    user, password = upstream.user.reveal() or None, upstream.password.reveal() or None
    return Proxy(kind, str(at), upstream.port, username=user, password=password, rdns=True)
