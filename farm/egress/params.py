"""The gateway's deadlines and caps."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GatewayParams:
    """The limits of all slot proxies.

    `connect_s` covers everything until a connection is open: the name (`dns_s`), every address, the proxy's
    handshake. `screen_s` bounds the farm's own look-up of a name that a proxy will resolve.
    `response_s` is the wait for a response's head, `idle_s` the longest silence within a body or a tunnel
    and between two requests. `buffer_bytes` is what one direction of one connection may hold before its
    source is paused. `connections` is the cap per slot proxy; a browser opens 32 and a few WebSockets.
    A host that was not reached is remembered for `dead_first_s`, and up to `dead_longest_s` while it stays so.
    `visit_bytes` bounds what one visit may receive over all its connections (0: no cap). `ca_file` verifies
    proxies that are reached over TLS.
    """

    dns_s: float = 5.0
    screen_s: float = 2.0
    connect_s: float = 15.0
    stagger_s: float = 0.3
    response_s: float = 60.0
    idle_s: float = 120.0
    close_s: float = 5.0
    dns_ttl_s: float = 30.0
    dead_first_s: float = 30.0
    dead_longest_s: float = 300.0
    buffer_bytes: int = 256 * 1024
    head_bytes: int = 64 * 1024
    response_head_bytes: int = 256 * 1024
    connections: int = 256
    visit_bytes: int = 0
    ca_file: Path | None = None
