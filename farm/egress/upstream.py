"""An upstream proxy, and the handshake by which it opens a connection: CONNECT by h11, SOCKS by python-socks.

Invariants: user and password are `Secret`, so that no repr, log line or error shows them; after the handshake
the connection carries only bytes between the slot and the site; credentials are sent to the proxy only, and
errors name the proxy without them. Faults: `CONNECT` or `TIMEOUT` if the proxy reports that it cannot reach the
site; `UPSTREAM` if the proxy rejects us; `TUNNEL` if it falls silent or closes the connection, which may be
because of the site.
"""

import base64
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urlsplit

import h11
from python_socks import ProxyConnectionError, ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from farm.egress.authority import Authority, TunnelForbidden, Unreachable
from farm.egress.connection import Connection, ConnectionBroken, GatewayParams, IdleTimeout
from farm.egress.guard import IPAddress
from farm.egress.response import INFORMATIONAL
from farm.model.egress import EgressFault
from farm.model.secret import Secret

DEFAULT_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080}
_ALIASES = {"socks5h": "socks5", "socks4a": "socks4", "socks": "socks5"}
_MAX_SOCKS_FIELD = 255
_NONE = Secret("")

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
# The statuses that are about the farm: no credentials, no money, wrong credentials, too many requests. Any other
# refusal may be about the site, which the proxy's rules forbid: were the proxy to blame, its URLs would never end.
_ABOUT_THE_FARM = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.TOO_MANY_REQUESTS,
}
# SOCKS5: general failure, network and host unreachable, refused, expired; SOCKS4: rejected or failed.
_SOCKS_SITE_FAULTS = {0x01, 0x03, 0x04, 0x05, 0x06, 0x5B}
# SOCKS5: not allowed by the proxy's rules, a kind of address that it cannot reach.
_SOCKS_FORBIDDEN = {0x02, 0x08}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A proxy behind the gateway. `str` gives its address without credentials."""

    scheme: str
    host: str
    port: int
    user: Secret = _NONE
    password: Secret = _NONE

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS; otherwise it speaks HTTP, over TLS or not."""
        return self.scheme.startswith("socks")

    @classmethod
    def parse(cls, text: str) -> "Upstream":
        """Read `scheme://[user[:password]@]host[:port]`; raises `ValueError` without quoting the text."""
        try:
            parts = urlsplit(text.strip())
            port = parts.port
            host = parts.hostname
        except ValueError:
            raise ValueError("it is not a URL") from None
        scheme = _ALIASES.get(parts.scheme, parts.scheme)
        if "://" not in text or scheme not in DEFAULT_PORTS:
            raise ValueError("it must begin with http://, https://, socks4:// or socks5://")
        if not host or any(c.isspace() for c in host):
            raise ValueError("it names no host")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("something follows the port")
        if port == 0:
            raise ValueError("the port must be 1 to 65535")
        user, password = _credentials(parts, scheme)
        return cls(scheme, host, port or DEFAULT_PORTS[scheme], Secret(user), Secret(password))


def _credentials(parts: SplitResult, scheme: str) -> tuple[str, str]:
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if any(ord(c) < ord(" ") for c in user + password):
        raise ValueError("user and password must not have control characters")
    if not scheme.startswith("socks"):
        if ":" in user:
            raise ValueError("a user of an HTTP proxy must not have a colon")
        return user, password
    # Report what the protocol cannot carry here, not at the first page.
    if not (user + password).isascii() or max(len(user), len(password)) > _MAX_SOCKS_FIELD:
        raise ValueError("user and password of a SOCKS proxy must be ASCII and at most 255 characters")
    if scheme == "socks5" and bool(user) != bool(password):
        raise ValueError("a SOCKS5 proxy takes a user and a password, or neither")
    if scheme == "socks4" and password:
        raise ValueError("a SOCKS4 proxy takes a user, but no password")
    return user, password


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
        is_of_farm = status < HTTPStatus.BAD_REQUEST or status in _ABOUT_THE_FARM
        unsaid = EgressFault.UPSTREAM if is_of_farm else EgressFault.TUNNEL
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
        unsaid = EgressFault.TUNNEL if error.error_code in _SOCKS_FORBIDDEN else EgressFault.UPSTREAM
        fault = EgressFault.CONNECT if error.error_code in _SOCKS_SITE_FAULTS else unsaid
        raise Unreachable(fault, f"{upstream} for {authority}: {error}") from None
    except UnicodeError:
        raise Unreachable(EgressFault.DNS, f"{authority} is not a valid name") from None
    raise OSError("no address")


def _proxy(kind: ProxyType, at: IPAddress, upstream: Upstream) -> Proxy:
    user, password = upstream.user.reveal() or None, upstream.password.reveal() or None
    return Proxy(kind, str(at), upstream.port, username=user, password=password, rdns=True)
