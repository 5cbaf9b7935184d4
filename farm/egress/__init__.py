"""The farm's forward proxy: all traffic of the browsers, and of the farm itself, passes through it.

    browser -> slot proxy (a loopback port per slot) -> session -> dial -> guard -> the site, or an upstream proxy

- `guard` decides which addresses may be reached; it is pure.
- `authority`, `hosts`, `dial`, `upstream` turn `host:port` into an open connection that the guard allows.
- `connection`, `response`, `http1`, `visit`, `session` join a connection of the browser to one outside.
- `gateway` is the interface to the rest of the farm; `fetch` makes the farm's own requests.
- `proxy_file` parses a proxies file.
"""

from farm.egress.connection import GatewayParams
from farm.egress.gateway import Gateway, SlotProxy
from farm.egress.guard import AllowedNetwork, Guard, Verdict
from farm.egress.proxy_file import BadProxyLine, ProxyList, parse_proxies
from farm.egress.upstream import Upstream

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
