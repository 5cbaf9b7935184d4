"""What a scrape of the metrics costs while a crawl is large: `python -m bench.scrape`.

A run is at work on a crawl of a million queued URLs on 20,000 sites, in a Redis of its own. It visits a shop on
loopback; the other sites, which nobody serves, are blocked for as long as it takes. Each path is asked for many
times, on one connection, as Prometheus does it.
"""

import argparse
import asyncio
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bench.frontier import LIBRARY, Ground
from farm.frontier import keys
from farm.frontier.connect import connect
from farm.frontier.crawl import find_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from fixtures.shop import serve_shop_in_thread

RESULTS = Path("bench-results") / "scrape.json"
CRAWL = "scrape"
AIM_MS = 50
BLOCKED_S = 3600
AT_ONCE = 200
PATIENCE_S = 120
SERVED = re.compile(r"metrics are served at http://127\.0\.0\.1:(\d+)/")
PATHS = ("/metrics", "/healthz", "/readyz", "/events")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return 1 where a scrape takes too long, or the crawl is not as large."""
    options = _options(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="farm-scrape-") as name,
        serve_shop_in_thread(latency_ms=300) as shop,
    ):
        folder = Path(name)
        server = EmbeddedRedis(folder / "redis")
        redis = asyncio.run(server.start())
        try:
            flags = ["--redis", redis, "--crawl", CRAWL, "--allow-network", "127.0.0.0/8", "--live", "off"]
            first = _start(shop.url, *flags, "--limit", "1", "--output", str(folder / "first"))
            first.wait(PATIENCE_S)
            asyncio.run(_fill(redis, options.urls, options.sites))
            out = folder / "out"
            running = _start(*flags, "--stay", "--contexts", "4", "--metrics-port", "0", "--output", str(out))
            try:
                return _measured(_port(out / "farm.log"), options)
            finally:
                running.send_signal(signal.SIGTERM)
                running.wait(PATIENCE_S)
        finally:
            asyncio.run(server.stop())


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return subprocess.Popen(
        [sys.executable, "-m", "farm", "run", *arguments, *sandbox],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _fill(redis: str, urls: int, sites: int) -> None:
    """Queue URLs of sites that are not to be visited."""
    client = await connect(redis)
    try:
        crawl = await find_crawl(client, CRAWL)
        frontier = RedisFrontier(client, crawl)
        await client.command("FUNCTION LOAD", "REPLACE", LIBRARY.text)
        await frontier.set_state("paused")
        await Ground(client, "", keys.ctl(crawl)).each_thousand("fill", urls, sites)
        for start in range(0, sites, AT_ONCE):
            names = (f"site{number:06}.example" for number in range(start, min(sites, start + AT_ONCE)))
            await asyncio.gather(*(frontier.block(site, BLOCKED_S) for site in names))
        await frontier.set_state("running")
    finally:
        await client.close()


def _port(log: Path) -> int:
    """Return the port of the run's metrics, once its log says it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if log.exists() and (served := SERVED.search(log.read_text())) is not None:
            return int(served[1])
        time.sleep(0.05)
    raise TimeoutError(f"no metrics were served within {PATIENCE_S} s")


def _measured(port: int, options: argparse.Namespace) -> int:
    rows, text = {}, b""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        for path in PATHS:
            times_ms = []
            for _ in range(options.scrapes):
                begun = time.perf_counter()
                connection.request("GET", path)
                answer = connection.getresponse()
                if path == "/events":
                    answer.readline()
                    connection.close()
                else:
                    body = answer.read()
                    text = body if path == "/metrics" else text
                times_ms.append((time.perf_counter() - begun) * 1000)
                time.sleep(options.every)
            ordered = sorted(times_ms)
            rows[path] = {
                "median_ms": statistics.median(ordered),
                "p95_ms": ordered[int(0.95 * len(ordered))],
                "longest_ms": ordered[-1],
            }
    counted = dict(
        re.findall(
            r"^(farm_sites|farm_queue_urls\{state=\"queued\"\}) ([0-9.e+]+)$", text.decode(), re.MULTILINE
        )
    )
    queued, sites = float(counted['farm_queue_urls{state="queued"}']), float(counted["farm_sites"])
    load = os.getloadavg()[0]
    print(f"{queued:,.0f} URLs queued, {sites:,.0f} sites, {len(text):,} bytes of metrics, load {load:.1f}")
    for path, row in rows.items():
        print(f"{path:<10}" + "".join(f"{name} {value:8.2f}   " for name, value in row.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"load": load, "queued": queued, "sites": sites, "bytes": len(text), "paths": rows}
    RESULTS.write_text(json.dumps(told, indent=1))
    is_large = queued >= options.urls and sites >= options.sites
    return 0 if is_large and rows["/metrics"]["median_ms"] <= AIM_MS else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scrape", description="What a scrape costs.")
    parser.add_argument(
        "--urls", type=int, default=1_000_000, metavar="N", help="URLs that are queued [1000000]"
    )
    parser.add_argument("--sites", type=int, default=20_000, metavar="N", help="over so many sites [20000]")
    parser.add_argument(
        "--scrapes", type=int, default=200, metavar="N", help="how often each path is asked for [200]"
    )
    parser.add_argument("--every", type=float, default=0.05, metavar="S", help="seconds between two [0.05]")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
