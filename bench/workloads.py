"""The three workloads, by name."""

import sys

from bench.content import Workload
from fixtures.ports import free_ports

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
    ports = free_ports(1 if sys.platform == "linux" else sites)
    origins = tuple(f"http://{host}:{ports[at % len(ports)]}" for at, host in enumerate(hosts))
    return Workload(name, origins, pages or PAGES[name], heavy=name == "heavy")
