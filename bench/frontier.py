"""The speed of the frontier, as ratios within one run, and the memory of a queued URL.

    python -m bench.frontier [--small | --sizes [URLS...]]

The scripts are driven by redis-benchmark over fifty connections. An ack needs the token of the lease before
it, which redis-benchmark cannot know, so a line in the recorded script takes it from the slot's record, which the
script has read; its cost is included. The choice of the slot is in the empty script as well.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from statistics import median
from typing import Any

from farm.frontier import keys
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import Dedup, open_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.entries import fingerprint_of
from farm.frontier.frontier import RedisFrontier
from farm.frontier.scripts import PARTS, SCRIPTS, compose
from farm.model.outcome import Ack
from farm.model.task import Lease, LeaseRequest

CONNECTIONS = 50
PAIRS = 8_000
ROUNDS, SIZE_ROUNDS, DRIVES = 9, 5, 3
PYTHON_S = 3.0
LINKS, NEW_LINKS = 50, 5
RESULTS = Path("bench-results") / "frontier.json"
HEADER = """#!lua flags=allow-oom
-- Purpose:   measure
-- Guarantee: none
-- KEYS:      1 the shard's counters
-- ARGV:      1 own time
-- Returns:   1
"""
# The end of a random number in ARGV[2] chooses one of a hundred slots; what the driver cannot know stands in the
# slot's record: r[3], r[4] and r[8] are its token, site and entry.
SLOT = "ARGV[2] = 's' .. ARGV[2]:sub(-2)\n"
RECORD = "local r = record_of(ARGV[2])\n"
KNOWN = "ARGV[3], ARGV[4], ARGV[7] = r[8]:sub(1, 16), r[3], r[4]\n"
ARGUMENTS = ["__rand_int__", "", "", "1", "__rand_int__", "", "0", "", "123", "0.5", "1", "", "0"]
"""A slot, then id, token, rendered, request, hint, limit, egress address, nonce, jitter, alone, tiers, seen."""
FILL = """
-- 2 from · 3 to · 4 sites · 5 how many of ten URLs are of the first site. Of 60 characters, and made by the server
-- because that is quicker.
begin()
tallies()
local folds = round_of()
for n = ARGV[2], ARGV[3] do
  local number = ARGV[5] == '0' and n or n % 10 < tonumber(ARGV[5]) and 0 or math.floor(n / 10)
  local name = ('site%06d.example'):format(number % ARGV[4])
  local id = redis.sha1hex(n .. ''):sub(1, 16)
  if remember(fingerprint_of(id), folds) then
    local url = ('http://%s/%09d/a-page-of-that-category'):format(name, n):sub(1, 60)
    enqueue(name, id .. '5["' .. url .. ('x'):rep(60 - #url) .. '",1]', 'RPUSH')
    T[ACCEPTED] = T[ACCEPTED] + 1
  end
end
grow_seen()
reindex_sites()
save()
return 1
"""
TELL = """
-- 2 from · 3 to · 4 add or ask: fingerprints alone. Returns how many were known.
begin()
tallies()
local folds, known = round_of(), 0
for n = ARGV[2], ARGV[3] do
  local fingerprint = fingerprint_of(redis.sha1hex(n .. ''):sub(1, 16))
  if ARGV[4] == 'add' then
    if remember(fingerprint, folds) then
      T[SEEN] = T[SEEN] + 1
    else
      known = known + 1
    end
  elseif is_known(fingerprint, folds) then
    known = known + 1
  end
end
grow_seen()
save()
return known
"""


@dataclass
class Ground:
    """A private server, and the measurements on it."""

    client: RedisClient
    socket: str
    ctl: str = ""

    async def crawl(self, **more: Any) -> RedisFrontier:
        """Flush the server."""
        await self.client.command("FLUSHALL", "SYNC")
        opened = await open_crawl(self.client, "bench", {}, **more)
        self.ctl = keys.ctl(opened)
        return RedisFrontier(self.client, opened)

    async def each_thousand(self, script: str, count: int, *args: Any, start: int = 0) -> int:
        """Run a script over a range of numbers, a thousand at a time."""
        total = 0
        for first in range(start, start + count, 1000):
            last = min(first + 999, start + count - 1)
            numbers = (first, last, *args)
            total += await self.client.command("FCALL", LIBRARY.function(script), 1, self.ctl, "", *numbers)
        return total

    async def settle(self) -> None:
        """Wait until no child of the server rewrites the log: it would take one of two cores."""
        async with asyncio.timeout(60):
            while (await self.client.command("INFO", "persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def drive(self, script: str, count: int, *args: str) -> float:
        """Return how many calls a second redis-benchmark gets from a script."""
        command = ["redis-benchmark", "-s", self.socket, "-c", str(CONNECTIONS), "-r", "2147483647"]
        call = ["FCALL", LIBRARY.function(script), "1", self.ctl, "", *args]
        line = [*command, "-n", str(count), "--csv", *call]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        # The title has the arguments in it, line breaks and all; seven columns follow.
        return float(said.rsplit('","', 7)[1])

    async def memory(self) -> int:
        """Return the server's used memory."""
        return int((await self.client.command("INFO", "memory"))["used_memory"])


def fused_call() -> str:
    """Return the recorded ack and lease, which finds its token by itself."""
    before, after = SCRIPTS["ack"].split("begin()\n")[1].split(RECORD)
    return f"begin()\n{SLOT}{before}{RECORD}{KNOWN}{after}"


# What chooses the slot is the driver's work, so the empty script does it as well.
LIBRARY = compose(
    {
        name: HEADER + body
        for name, body in (
            ("empty", f"{SLOT}return 1\n"),
            ("pair", fused_call()),
            ("fill", FILL),
            ("tell", TELL),
        )
    },
    PARTS,
)


async def rates(ground: Ground) -> list[tuple[float, float, float]]:
    """Return calls a second of the empty script, of ack and lease, and of both with links, for each round."""
    ids = (sha1(str(n).encode(), usedforsecurity=False).hexdigest()[:16] for n in range(LINKS - NEW_LINKS))
    links = [f'{fingerprint_of(known).decode()}5site000001.example\n["x"]' for known in ids]
    # The last digits of the first number choose the bucket.
    new = "5000000__rand_int__0__rand_int__"
    links += [f'{new}5site{n:06}.example\n["http://x/{"y" * 51}",1]' for n in range(NEW_LINKS)]
    rounds: list[tuple[float, float, float]] = []
    for _ in range(ROUNDS):
        await ground.crawl()
        await ground.each_thousand("fill", 4 * PAIRS, 1000, 0)
        await ground.settle()
        empty = ground.drive("empty", 4 * PAIRS, *ARGUMENTS)
        fused = ground.drive("pair", PAIRS, *ARGUMENTS)
        rounds.append((empty, fused, ground.drive("pair", PAIRS // 2, *ARGUMENTS, *links)))
    return rounds


async def python_rates(ground: Ground) -> dict[str, float]:
    """Count the same from one Python process with eight slots."""
    frontier = await ground.crawl()
    await ground.each_thousand("fill", 40_000, 1000, 0)
    deadline = 0.0
    calls = 0

    async def empty(_: str) -> None:
        nonlocal calls
        while time.monotonic() < deadline:
            await ground.client.command("FCALL", LIBRARY.function("empty"), 1, ground.ctl, "", "0")
            calls += 1

    async def slot(name: str) -> None:
        nonlocal calls
        got = await frontier.lease(LeaseRequest(name, "r"))
        while isinstance(got, Lease) and time.monotonic() < deadline:
            following = LeaseRequest(name, f"r{calls}", site_hint=got.task.site)
            _, after = await frontier.ack(got, Ack(), following)
            calls += 1
            if after is not None:
                got = after

    measured: dict[str, float] = {}
    for name, work in (("empty script", empty), ("ack + lease", slot)):
        calls, deadline = 0, time.monotonic() + PYTHON_S
        await asyncio.gather(*(work(f"s{n}") for n in range(8)))
        measured[name] = calls / PYTHON_S
    return measured


async def size(ground: Ground, urls: int, sites: int) -> tuple[float, float]:
    """Return pairs a second, and bytes for each queued URL, all structures counted."""
    await ground.crawl()
    before = await ground.memory()
    await ground.each_thousand("fill", urls, sites, 0)
    per_url = (await ground.memory() - before) / urls
    rates: list[float] = []
    for drive in range(DRIVES):
        await ground.settle()
        rates.append(ground.drive("pair", PAIRS, *ARGUMENTS))
        await ground.each_thousand("fill", PAIRS, sites, 0, start=urls + drive * PAIRS)
    return median(rates), per_url


async def dedup(ground: Ground, kind: Dedup, urls: int) -> tuple[float, float | None]:
    """Return bytes for each known URL, and the false-positive rate."""
    await ground.crawl(dedup=kind, bloom_capacity=urls)
    before = await ground.memory()
    await ground.each_thousand("tell", urls, "add")
    per_url = (await ground.memory() - before) / urls
    if kind is Dedup.EXACT:
        return per_url, None
    return per_url, await ground.each_thousand("tell", urls, "ask", start=10 * urls) / urls


@asynccontextmanager
async def started() -> AsyncIterator[Ground]:
    """Start a private server with the scripts of the measurements."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder))
        client = await connect(await server.start())
        try:
            await client.command("FUNCTION LOAD", "REPLACE", LIBRARY.text)
            yield Ground(client, client.url.removeprefix("unix://"))
        finally:
            await client.close()
            await server.stop()


async def main(*, small: bool) -> None:
    """Measure, print a table, write the numbers."""
    many = 100_000 if small else 1_000_000
    async with started() as ground:
        rounds, python = await rates(ground), await python_rates(ground)
        sizes = [
            (await size(ground, 10_000, 1_000), await size(ground, many, many // 10))
            for _ in range(SIZE_ROUNDS)
        ]
        exact, _ = await dedup(ground, Dedup.EXACT, many)
        bloom, wrong = await dedup(ground, Dedup.BLOOM, many)
    few_rate, many_rate = (median(one[i][0] for one in sizes) for i in (0, 1))
    flat, per_url = median(after[0] / before[0] for before, after in sizes), sizes[0][1][1]
    empty, fused, linked = (median(one[i] for one in rounds) for i in range(3))
    rows: list[tuple[str, float, str]] = [
        ("empty script, redis-benchmark /s", empty, ""),
        ("ack + lease, redis-benchmark /s", fused, ""),
        ("  of the empty script", median(pair / none for none, pair, _ in rounds), ">= 0.25"),
        ("empty script, one Python process /s", python["empty script"], ""),
        ("ack + lease, one Python process /s", python["ack + lease"], ""),
        ("  of the empty script", python["ack + lease"] / python["empty script"], ">= 0.3"),
        (f"ack with {LINKS} links, {NEW_LINKS} new /s", linked, ""),
        ("  of the rate without links", median(more / pair for _, pair, more in rounds), ">= 0.25"),
        ("ack + lease at 10,000 URLs on 1,000 sites /s", few_rate, ""),
        (f"ack + lease at {many:,} URLs on {many // 10:,} sites /s", many_rate, ""),
        ("  of that at 10,000 URLs on 1,000 sites", flat, ">= 0.85"),
        ("bytes a queued URL of 60 characters", per_url, "<= 200"),
        (f"bytes a known URL at {many:,}, exact", exact, "<= 12"),
        (f"bytes a known URL at {many:,}, Bloom", bloom, "<= 3"),
        ("Bloom: strangers taken for known, %", 100 * (wrong or 0.0), "<= 0.01"),
    ]
    load = os.getloadavg()[0]
    for name, value, aim in rows:
        print(f"{name:<58}{value:>14,.3f}  {aim}")
    print(f"load average {load:.1f} on {os.cpu_count()} cores; only the ratios of one run mean something")
    keep({"load": load, "rows": [{"name": n.strip(), "value": v, "aim": a} for n, v, a in rows]})


def keep(told: dict[str, Any]) -> None:
    """Write the numbers down."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the frontier.")
    parser.add_argument("--small", action="store_true", help="a tenth of the URLs")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="*",
        metavar="URLS",
        help="leases and audits by the size of the crawl instead",
    )
    given = parser.parse_args()
    if given.sizes is None:
        asyncio.run(main(small=given.small))
    else:
        from bench import frontier_sizes

        asyncio.run(frontier_sizes.main(given.sizes))
