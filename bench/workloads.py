"""The three workloads, by name."""

import socket
import sys

from bench.content import Workload

SITES = 40
PAGES = {"one": 240, "forty": 400, "heavy": 80}
WHAT = {
    "one": "one site: a React page, 142 KB of script, a JSON call, 40 cards",
    "forty": "forty sites, ten such pages each",
    "heavy": "heavy pages: 1 MB of script, 3,000 nodes",
}


def workload(name: str, pages: int | None = None) -> Workload:
    """Return a workload on a port that is free now; `pages` in place of its own number."""
    sites = SITES if name == "forty" else 1
    # Sites of their own by address, where loopback has more than one: Chromium does not tell sites by port.
    hosts = [f"127.0.1.{number + 1}" if sys.platform == "linux" else "127.0.0.1" for number in range(sites)]
    ports = _free_ports(1 if sys.platform == "linux" else sites)
    origins = tuple(f"http://{host}:{ports[at % len(ports)]}" for at, host in enumerate(hosts))
    return Workload(name, origins, pages or PAGES[name], heavy=name == "heavy")


def _free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports
