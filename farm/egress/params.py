"""The gateway's numbers: every deadline and every cap in one place."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GatewayParams:
    """How patient the gateway is, and how much it takes.

    `connect_s` covers everything until a connection stands: the name (`dns_s`), every address, the proxy's
    handshake. `screen_s` is how long the guard waits for a name that a proxy is going to resolve.
    `response_s` is the wait for an answer's head, `idle_s` the longest silence within a body or a tunnel
    and between two requests. `buffer_bytes` is what one direction of one connection may hold before its
    source is paused. `connections` is the cap per gate; browsers stay at 32 and a few WebSockets.
    `visit_bytes` is what one visit may bring in, over all of its connections (0: no cap). `ca_file` is for
    proxies that are reached by TLS.
    """

    dns_s: float = 5.0
    screen_s: float = 2.0
    connect_s: float = 15.0
    stagger_s: float = 0.3
    response_s: float = 60.0
    idle_s: float = 120.0
    close_s: float = 5.0
    dns_ttl_s: float = 30.0
    buffer_bytes: int = 256 * 1024
    head_bytes: int = 64 * 1024
    response_head_bytes: int = 256 * 1024
    connections: int = 256
    visit_bytes: int = 0
    ca_file: Path | None = None
