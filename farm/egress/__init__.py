"""Every byte that leaves passes here.

    browser -> gate (a loopback port per slot) -> session -> dial -> guard -> the site, or the slot's proxy

- `guard` decides which addresses may be reached; pure.
- `authority`, `resolve`, `dial`, `upstream`: from `host:port` to a connection, by way of the guard.
- `wire`, `relay`, `http1`, `session`: from a connection of the browser to one outside.
- `gate`, `gateway`: what the rest of the farm sees.
- `proxies`: what a proxies file says.
"""

from farm.egress.gateway import Gateway
from farm.egress.guard import AllowedNetwork, Guard, Verdict
from farm.egress.params import GatewayParams
from farm.egress.proxies import BadProxyLine, ProxyList, Upstream, parse_proxies
from farm.egress.slot_proxy import SlotProxy

__all__ = [
    "AllowedNetwork",
    "BadProxyLine",
    "Gateway",
    "GatewayParams",
    "Guard",
    "ProxyList",
    "SlotProxy",
    "Upstream",
    "Verdict",
    "parse_proxies",
]
