"""`host:port` as a browser writes it: the key of connections, and of the failures to reach it.

Invariant: a host has the form that the URL standard gives it, so that every odd notation of an address
(`2130706433`, `0x7f.1`, `127.0.0.1.`) is normalised before it is compared or passed to the guard.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

import ada_url

from farm.egress.guard import IPAddress
from farm.model.egress import EgressFailure, EgressFault

DETAIL_CHARS = 300
"""The longest detail: an error may quote a header line of 256 KB."""
DEFAULT_PORTS = {"http:": 80, "ws:": 80, "https:": 443, "wss:": 443}

# No character that would make the text more than an authority.
_PLAIN = re.compile(r"[^\s/\\?#@]+")
_WITH_PORT = re.compile(rb".*:\d+")


@dataclass(frozen=True, slots=True)
class Authority:
    """A host (a name or an address, IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def address(self) -> IPAddress | None:
        """The host as an IP address; None if it is a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_localhost(self) -> bool:
        """Whether the name means this machine by definition, regardless of the resolver."""
        name = self.host.rstrip(".")
        return name == "localhost" or name.endswith(".localhost")


class Unreachable(Exception):
    """The destination was not reached, or its response is invalid; `failure` says why.

    `certain` says that another attempt a moment later would end in the same way.
    """

    def __init__(self, fault: EgressFault, detail: str, *, certain: bool = False) -> None:
        detail = detail[:DETAIL_CHARS]
        super().__init__(f"{fault}: {detail}")
        self.failure = EgressFailure(fault, detail)
        self.certain = certain


class TunnelForbidden(Unreachable):
    """A proxy allows no tunnel to this port; plain HTTP may still pass in absolute form."""


@lru_cache(maxsize=4096)
def authority_of(url: str) -> Authority | None:
    """Return the authority of a URL; None if it has none or cannot be parsed."""
    try:
        parsed = ada_url.URL(url)
    except ValueError:
        return None
    default = DEFAULT_PORTS.get(parsed.protocol)
    if default is None or not parsed.hostname:
        return None
    return Authority(parsed.hostname.strip("[]"), int(parsed.port) if parsed.port else default)


def authority_from(text: str) -> Authority | None:
    """Parse `host[:port]` from a request; the default port is 80. Returns None if it is malformed."""
    return authority_of(f"http://{text}/") if _PLAIN.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed request target. `host` and `path` are forwarded exactly as they were written."""

    authority: Authority
    host: bytes
    path: bytes


def target_from(written: bytes) -> Target | None:
    """Parse the absolute form (`http://host/path?query`) of a request to a proxy; None if it is malformed."""
    scheme, mark, rest = written.partition(b"://")
    if not mark or scheme.lower() not in {b"http", b"ws"}:
        return None
    rest = rest.partition(b"#")[0]
    end = next((i for i, byte in enumerate(rest) if byte in b"/?"), len(rest))
    # A browser never sends user and password here; drop them, so that an origin does not get them by accident.
    host = rest[:end].rpartition(b"@")[2]
    path = rest[end:]
    authority = authority_from(host.decode("latin-1"))
    if authority is None:
        return None
    return Target(authority, host, path if path.startswith(b"/") else b"/" + path)


def tunnel_target_from(written: bytes) -> Target | None:
    """Parse the target of a CONNECT (`host:port`); None if it is malformed."""
    authority = authority_from(written.decode("latin-1")) if _WITH_PORT.fullmatch(written) else None
    return None if authority is None else Target(authority, written, b"")
