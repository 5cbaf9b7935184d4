"""How long a lease takes in Redis by the number of URLs that wait, and how long an audit holds Redis.

    make bench-frontier ARGS="--sizes"                     100,000 and 1,000,000 URLs
    make bench-frontier ARGS="--sizes 1000000 10000000"

Every site is limited in its rate. In one crawl of each size the URLs are spread over up to 200,000 sites; in the
other nine tenths of them are of one site. All crawls are in one server at once, and are measured in turn, so that
what else the machine does meets all alike. What is timed is the call in Redis's thread, by Redis itself: an ack
with the next lease, each of the sites that waited longest.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.frontier import ARGUMENTS, Ground, started
from farm.frontier import keys
from farm.frontier.crawl import open_crawl
from farm.frontier.frontier import RedisFrontier
from farm.frontier.terms import Politeness

SIZES: tuple[int, ...] = (100_000, 1_000_000)
RESULTS = Path("bench-results") / "frontier-sizes.json"
ROUNDS, PAIRS = 9, 3_000
SITES, URLS_OF_SITE = 200_000, 5
INTERVAL_S = 0.1
FLAT = 1.15
"""How much longer a lease may take in the largest crawl than in the smallest."""
HELD_MS = 50.0
"""How long an audit may hold Redis."""
TENTHS = {"over all sites": 0, "90 % on one site": 9}


@dataclass(frozen=True, slots=True)
class Sized:
    """A crawl with so many URLs, spread in one of the ways of `TENTHS`."""

    way: str
    urls: int
    ctl: str
    frontier: RedisFrontier

    @property
    def sites(self) -> int:
        """How many sites there may be."""
        return min(SITES, self.urls // URLS_OF_SITE)


async def main(sizes: Sequence[int]) -> None:
    """Measure, print a table, write it to `RESULTS`; of `SIZES` if none is given."""
    async with started() as ground:
        rows = await measured(ground, sizes)
    for text, value, aim in rows:
        print(f"{text:<68}{value:>12,.2f}  {aim}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([{"name": n.strip(), "value": v, "aim": a} for n, v, a in rows], indent=1))


async def measured(ground: Ground, sizes: Sequence[int]) -> list[tuple[str, float, str]]:
    """Return the rows of the table: each a name, a figure, and what it should be."""
    crawls = [await _filled(ground, way, urls) for way in TENTHS for urls in sorted(sizes or SIZES)]
    times: dict[tuple[str, int], list[tuple[float, float]]] = {(one.way, one.urls): [] for one in crawls}
    for round_ in range(ROUNDS):
        for one in crawls:
            times[one.way, one.urls].append(await _lease_us(ground, one, round_))
    rows = rows_of(times)
    for one in crawls:
        took_s, held_ms, longest_ms = await _audit(ground, one)
        rows.append((f"audit of {one.urls:,} URLs {one.way}, s", took_s, ""))
        rows.append(("  a call holds Redis, median, ms", held_ms, ""))
        rows.append(("  a call holds Redis at most, ms", longest_ms, f"<= {HELD_MS:g}"))
    return rows


def rows_of(times: Mapping[tuple[str, int], Sequence[tuple[float, float]]]) -> list[tuple[str, float, str]]:
    """Return the rows of the table; `times` has the median and the 99th percentile of each round, in µs.

    The ratios are those of single rounds, of which the median is told.
    """
    rows: list[tuple[str, float, str]] = []
    for way in dict.fromkeys(way for way, _ in times):
        sizes = [urls for one, urls in times if one == way]
        for urls in sizes:
            p50, p99 = (median(one[place] for one in times[way, urls]) for place in (0, 1))
            rows.append((f"ack + lease, {urls:,} URLs {way}, median, µs", p50, ""))
            rows.append(("  99th percentile, µs", p99, ""))
        least, most = times[way, sizes[0]], times[way, sizes[-1]]
        for place, name in enumerate(("median", "99th percentile")):
            ratio = median(after[place] / before[place] for before, after in zip(least, most, strict=True))
            rows.append((f"  {name} of the largest by that of the smallest", ratio, f"<= {FLAT:g}"))
    return rows


async def _filled(ground: Ground, way: str, urls: int) -> Sized:
    name = f"{'one' if TENTHS[way] else 'all'}{urls}"
    opened = await open_crawl(ground.client, name, {}, politeness=Politeness(interval_s=INTERVAL_S))
    crawl = Sized(way, urls, keys.ctl(opened), RedisFrontier(ground.client, opened))
    ground.ctl = crawl.ctl
    await ground.each_thousand("fill", urls, crawl.sites, TENTHS[way])
    return crawl


async def _lease_us(ground: Ground, crawl: Sized, round_: int) -> tuple[float, float]:
    """Return the median and the 99th percentile of a call in a round, in microseconds."""
    ground.ctl = crawl.ctl
    await ground.settle()
    [before] = await crawl.frontier.shards.counters()
    await ground.client.command("CONFIG RESETSTAT")
    ground.drive("pair", PAIRS, *ARGUMENTS)
    served = (await ground.client.command("INFO", "latencystats"))["latency_percentiles_usec_fcall"]
    [after] = await crawl.frontier.shards.counters()
    granted = after["done"] - before["done"] + after["leased"] - before["leased"]
    if granted < PAIRS * 99 // 100:
        raise RuntimeError(
            f"only {granted} of {PAIRS} calls were granted a lease: too few sites were eligible"
        )
    await ground.each_thousand("fill", PAIRS, crawl.sites, 0, start=crawl.urls + round_ * PAIRS)
    return float(served["p50"]), float(served["p99"])


async def _audit(ground: Ground, crawl: Sized) -> tuple[float, float, float]:
    """Return how many seconds an audit took, and for how many ms a call held Redis in the median and at most.

    While others take its core, Redis counts the wait for it too.
    """
    await ground.client.command("CONFIG RESETSTAT")
    await ground.client.command("CONFIG SET", "latency-monitor-threshold", 1)
    await ground.client.command("LATENCY RESET")
    began = time.monotonic()
    examined = await crawl.frontier.examine()
    took_s = time.monotonic() - began
    latest = await ground.client.command("LATENCY LATEST")
    served = (await ground.client.command("INFO", "latencystats"))["latency_percentiles_usec_fcall"]
    await ground.client.command("CONFIG SET", "latency-monitor-threshold", 0)
    if examined.violations or not examined.whole:
        raise RuntimeError(f"the audit of {crawl.urls} URLs: {examined}")
    longest_ms = max((float(longest) for event, _, _, longest in latest if event == b"command"), default=1.0)
    return took_s, float(served["p50"]) / 1000, longest_ms
