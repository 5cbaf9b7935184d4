"""Every byte that leaves passes here.

    browser -> gate (a loopback port per slot) -> session -> dial -> guard -> the site, or the slot's proxy

- `guard` decides which addresses may be reached; pure.
- `authority`, `resolve`, `dial`, `upstream`: from `host:port` to a connection, by way of the guard.
- `wire`, `relay`, `http1`, `session`: from a connection of the browser to one outside.
- `gate`, `gateway`: what the rest of the farm sees.
- `proxies`: what a proxies file says.
"""

from farm.egress.gate import SlotGate
from farm.egress.gateway import Gateway
from farm.egress.guard import AllowedNetwork, Guard, Verdict
from farm.egress.params import GatewayParams
from farm.egress.proxies import BadLine, ProxyList, Upstream, parse_proxies

__all__ = [
    "AllowedNetwork",
    "BadLine",
    "Gateway",
    "GatewayParams",
    "Guard",
    "ProxyList",
    "SlotGate",
    "Upstream",
    "Verdict",
    "parse_proxies",
]
