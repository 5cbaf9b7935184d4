"""The handshakes with upstream proxies: CONNECT over HTTP by h11, SOCKS by python-socks.

What always holds: after the handshake the connection carries bytes between the slot and the site and nothing
else; credentials go to the proxy only, and an error names the proxy without them. A proxy that says that the
site cannot be reached is believed (`CONNECT`, `TIMEOUT`); one that does not let us in is at fault itself
(`UPSTREAM`); one that only falls silent or hangs up may do so because of the site (`TUNNEL`).
"""

import base64
import socket
from collections.abc import Sequence
from http import HTTPStatus

import h11
from python_socks import ProxyConnectionError, ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from farm.egress.authority import Authority
from farm.egress.errors import TunnelForbidden, Unreachable, WireLost, WireSilent
from farm.egress.guard import IPAddress
from farm.egress.http1 import INFORMATIONAL
from farm.egress.params import GatewayParams
from farm.egress.proxies import Upstream
from farm.egress.wire import Wire
from farm.model.egress import GateFault

# What proxies answer when it is the site that cannot be reached (500 is tinyproxy's way).
_SITE_FAULTS: dict[int, GateFault] = {
    HTTPStatus.INTERNAL_SERVER_ERROR: GateFault.CONNECT,
    HTTPStatus.BAD_GATEWAY: GateFault.CONNECT,
    HTTPStatus.SERVICE_UNAVAILABLE: GateFault.CONNECT,
    HTTPStatus.GATEWAY_TIMEOUT: GateFault.TIMEOUT,
}
# What they answer where they make tunnels to port 443 only, or none at all.
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
    """Return the header that shows the upstream's credentials; none where it has none."""
    if not upstream.user:
        return []
    pair = f"{upstream.user.reveal()}:{upstream.password.reveal()}".encode()
    return [(b"Proxy-Authorization", b"Basic " + base64.b64encode(pair))]


async def ask_for_tunnel(wire: Wire, upstream: Upstream, authority: Authority, params: GatewayParams) -> None:
    """Make a connection to an HTTP proxy a connection to the authority; raises `Unreachable`."""
    h = h11.Connection(h11.CLIENT, max_incomplete_event_size=params.response_head_bytes)
    target = str(authority).encode()
    request = h11.Request(
        method=b"CONNECT", target=target, headers=[(b"Host", target), *authorization(upstream)]
    )
    wire.write((h.send(request) or b"") + (h.send(h11.EndOfMessage()) or b""))
    informational = 0
    try:
        while not isinstance(answer := h.next_event(), h11.Response):
            if answer is h11.NEED_DATA:
                h.receive_data(await wire.receive(params.connect_s))
            elif not isinstance(answer, h11.InformationalResponse):
                raise Unreachable(GateFault.TUNNEL, f"{upstream} closed without an answer")
            elif (informational := informational + 1) > INFORMATIONAL:
                raise Unreachable(GateFault.UPSTREAM, f"{upstream} gives no answer but informational ones")
    except (h11.RemoteProtocolError, WireLost, WireSilent) as error:
        raise Unreachable(GateFault.TUNNEL, f"{upstream}: {error}") from None
    status = answer.status_code
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        failure = TunnelForbidden if status in _FORBIDDEN else Unreachable
        unsaid = GateFault.TUNNEL if status in _FORBIDDEN else GateFault.UPSTREAM
        fault = _SITE_FAULTS.get(status, unsaid)
        raise failure(fault, f"{upstream} answers {status} to CONNECT {authority}")
    wire.unread(h.trailing_data[0])


async def open_socks(
    upstream: Upstream, at: Sequence[IPAddress], authority: Authority, known: Sequence[IPAddress]
) -> socket.socket:
    """Return a socket that a SOCKS proxy, which is `at` some addresses, has connected to the authority.

    Raises `Unreachable`, or `OSError` where no address of the proxy takes a connection.

    A SOCKS5 proxy is given the name, as a browser would, so that the site is met where the proxy stands. A
    SOCKS4 proxy is given the IPv4 address that was checked, and the name (4a) only where there is none.
    """
    host = authority.host
    kind = ProxyType.SOCKS5
    if upstream.scheme == "socks4":
        kind = ProxyType.SOCKS4
        host = next((str(ip) for ip in known if ip.version == 4), host)  # noqa: PLR2004
        if ":" in host:
            raise Unreachable(GateFault.CONNECT, f"{upstream} cannot carry IPv6, which {authority} is")
    try:
        for last, ip in enumerate(at, start=1 - len(at)):
            try:
                return await _proxy(kind, ip, upstream).connect(host, authority.port)
            except ProxyConnectionError:
                if last == 0:
                    raise
    except ProxyError as error:
        fault = GateFault.CONNECT if error.error_code in _SOCKS_SITE_FAULTS else GateFault.UPSTREAM
        raise Unreachable(fault, f"{upstream} for {authority}: {error}") from None
    except UnicodeError:
        raise Unreachable(GateFault.DNS, f"{authority} is not a name that can be asked for") from None
    raise OSError("no address")


def _proxy(kind: ProxyType, at: IPAddress, upstream: Upstream) -> Proxy:
    user, password = upstream.user.reveal() or None, upstream.password.reveal() or None
    return Proxy(kind, str(at), upstream.port, username=user, password=password, rdns=True)
