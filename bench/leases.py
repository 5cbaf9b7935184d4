"""How long a lease takes where thousands of contexts work: nodes without browsers on a real Redis.

    python -m bench.scale --leases [--contexts N] [--nodes N] [--visit-s S] [--seconds S] [--jobs N]

A node here is the farm's own, with all that it asks of Redis beside its visits, and what it learns of their sites'
paces; only the pages are missing: a visit waits. Nodes share a few processes, and those the machine with Redis.
So what a lease takes at its caller is told beside how late the caller's event loop is, and what the server says of
its calls.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import Crawl, find_crawl, open_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.frontier import RedisFrontier
from farm.frontier.terms import Politeness
from farm.model.clock import SystemClock
from farm.model.event import Event
from farm.model.outcome import Ack
from farm.model.task import Lease, LeaseRequest, UrlTask
from farm.model.url import fingerprint
from farm.policy.aimd import FIRST_IN_FLIGHT, PaceParams
from farm.runtime.control import Control
from farm.runtime.flow import EligibleReporter, FlowMeter, FlowReporter
from farm.runtime.heartbeat import ALIVE_EVERY_S
from farm.runtime.node import Node, NodeParams
from farm.runtime.node_watch import NodeWatch
from farm.runtime.pacing import PaceLearner
from farm.runtime.watchdog import LAG_EVERY_S, LoopLag

RESULTS = Path("bench-results") / "leases.json"
CRAWL = "leases"
LINKS, NEW_LINKS = 50, 5
START_S = 10.0
"""Until all nodes are there: what is measured begins when the first visits are over."""
RENEW_EVERY = 4
"""Heartbeats from one renewal of the leases to the next."""
DRAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class LeaseLoad:
    """So many contexts of so many nodes, and how long a visit takes in the mean; `seconds` are measured."""

    contexts: int = 4000
    nodes: int = 100
    sites: int = 20_000
    visit_s: float = 4.0
    seconds: float = 30.0
    processes: int = 2


@dataclass(slots=True)
class Measured:
    """What one process has measured: milliseconds of each lease, and how late its event loop was."""

    leases_ms: list[float] = field(default_factory=list)
    lag_ms: float = 0.0


def lease_times(load: LeaseLoad) -> dict[str, float]:
    """Measure, print a table, write it to `RESULTS`; return the figures by name."""
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(_measured(load, Path(folder)))
    for name, value in figures.items():
        print(f"{name:<50}{value:>12,.2f}")
    load_average = os.getloadavg()[0]
    print(f"load average {load_average:.1f} on {os.cpu_count()} cores")
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"load": asdict(load), "load_average": load_average, "figures": figures}
    RESULTS.write_text(json.dumps(told, indent=1))
    return figures


async def _measured(load: LeaseLoad, folder: Path) -> dict[str, float]:
    server = EmbeddedRedis(folder)
    url = await server.start()
    client = await connect(url)
    try:
        await fill(client, load)
        begins = time.monotonic() + START_S
        names = [f"node{number}" for number in range(load.nodes)]
        shares = [(load, url, names[part :: load.processes], begins) for part in range(load.processes)]
        with get_context("spawn").Pool(load.processes) as pool:
            running = asyncio.create_task(asyncio.to_thread(pool.starmap, share_of_nodes, shares))
            await asyncio.sleep(begins + load.visit_s - time.monotonic())
            before = await _used_s(client)
            await client.command("CONFIG RESETSTAT")
            await asyncio.sleep(load.seconds)
            told = await client.command("INFO", "everything")
            busy = (await _used_s(client) - before) / load.seconds
            return figures_of(load, await running, told, busy)
    finally:
        await client.close()
        await server.stop()


async def fill(client: RedisClient, load: LeaseLoad) -> None:
    """Create the crawl: two URLs for each context, and every site in its scope."""
    politeness = Politeness(in_flight=FIRST_IN_FLIGHT)
    crawl = await open_crawl(client, CRAWL, {}, politeness=politeness)
    frontier = RedisFrontier(client, crawl)
    tasks = tasks_of(load, crawl.key)
    await frontier.scope.add([task.site for task in islice(tasks, load.sites)])
    await frontier.add(tasks)


def tasks_of(load: LeaseLoad, key: bytes) -> list[UrlTask]:
    """Return the URLs that the crawl begins with, the same in every process."""
    return [_task(number % load.sites, number, key) for number in range(max(load.sites, 2 * load.contexts))]


def _task(site: int, page: int, key: bytes) -> UrlTask:
    url = f"http://site{site}.example/{page:012d}/a-page-of-that-category"
    return UrlTask(url, f"site{site}.example", fingerprint(url, key))


async def _used_s(client: RedisClient) -> float:
    """Return the processor time of the server's one thread that runs scripts, in seconds."""
    told = await client.command("INFO", "cpu")
    return float(told["used_cpu_user_main_thread"]) + float(told["used_cpu_sys_main_thread"])


def figures_of(
    load: LeaseLoad, measured: Sequence[Measured], told: dict[str, Any], busy: float
) -> dict[str, float]:
    """Return the figures by name: of all processes together, and of the server."""
    leases = sorted(ms for one in measured for ms in one.leases_ms)
    served, calls = told["latency_percentiles_usec_fcall"], told["cmdstat_fcall"]
    return {
        "contexts": load.contexts,
        "leases a second": len(leases) / load.seconds,
        "a lease at its caller, median, ms": percentile(leases, 0.5),
        "a lease at its caller, 99th percentile, ms": percentile(leases, 0.99),
        "a lease at its caller, longest, ms": percentile(leases, 1.0),
        "event loop of the caller late, 99th, ms": max(one.lag_ms for one in measured),
        "calls of Redis's functions a second": calls["calls"] / load.seconds,
        "a call in Redis, median, ms": float(served["p50"]) / 1000,
        "a call in Redis, 99th percentile, ms": float(served["p99"]) / 1000,
        "Redis's thread, % of a core": 100 * busy,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that so great a share of ordered ones does not exceed; 0 of none."""
    return ordered[round(share * (len(ordered) - 1))] if ordered else 0.0


def share_of_nodes(load: LeaseLoad, url: str, names: Sequence[str], begins: float) -> Measured:
    """Run some nodes in a process of its own, from the moment `begins` of the monotonic clock."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run_nodes(load, url, names, begins))


async def run_nodes(load: LeaseLoad, url: str, names: Sequence[str], begins: float) -> Measured:
    """Run nodes in this event loop until all is measured."""
    measured, lag = Measured(), LoopLag()
    client = await connect(url)
    try:
        crawl = await find_crawl(client, CRAWL)
    finally:
        await client.close()
    tasks = tasks_of(load, crawl.key)
    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(_sample(lag, begins + load.visit_s))
        nodes = [
            group.create_task(_run_node(load, url, crawl, name, tasks, begins, measured)) for name in names
        ]
        await asyncio.wait(nodes)
        sampling.cancel()
    measured.lag_ms = 1000 * lag.read(time.monotonic()).p99_s
    return measured


async def _sample(lag: LoopLag, since: float) -> None:
    await asyncio.sleep(max(0.0, since - time.monotonic()))
    while True:
        due = time.monotonic() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lag.note(max(0.0, time.monotonic() - due))


async def _run_node(
    load: LeaseLoad,
    url: str,
    crawl: Crawl,
    name: str,
    tasks: Sequence[UrlTask],
    begins: float,
    measured: Measured,
) -> None:
    client, clock = await connect(url), SystemClock()
    try:
        frontier, control = RedisFrontier(client, crawl), Control()
        learner = PaceLearner(frontier.paces, PaceParams(), lambda: False, _ignore, clock)
        held: dict[str, Lease] = {}
        visits = [
            _Visits(
                f"{name}/{slot}", frontier, control, learner, load, crawl.key, tasks, held, measured, begins
            )
            for slot in range(load.contexts // load.nodes)
        ]
        meter = FlowMeter()

        async def alive() -> None:
            """Do what the heartbeat's thread does."""
            for turn in range(10**9):
                await asyncio.sleep(ALIVE_EVERY_S)
                await frontier.nodes.heartbeat(name, "i1")
                if turn % RENEW_EVERY == 0:
                    fences = [part for one in held.values() for part in (one.slot, one.id, one.token)]
                    await frontier.shards.run(0, "renew", *fences)

        await asyncio.sleep(max(0.0, begins - clock.monotonic()))
        await frontier.nodes.register(name, "i1", facts={"contexts": load.contexts // load.nodes})
        node = Node(
            visits,
            _UntilTheEnd(control),
            frontier,
            lambda _: None,
            dict,
            control,
            _ignore,
            clock,
            NodeParams(drain_s=DRAIN_S, time_limit_s=load.visit_s + load.seconds),
            [
                NodeWatch(frontier.seen_nodes, name, _ignore, clock).run,
                EligibleReporter(frontier.eligible, _ignore, clock).run,
                FlowReporter(name, meter, frontier.flow, _ignore, clock).run,
                learner.run,
                alive,
            ],
        )
        await node.run()
        await frontier.nodes.unregister(name, "i1")
    finally:
        await client.close()


def _ignore(_: Event) -> None:
    """Tell nobody."""


class _UntilTheEnd:
    """Takes the governor's place."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def run(self) -> None:
        """Wait for the end."""
        await self._control.ended()


class _Visits:
    """A worker whose visits only take time; each page has the links that a page has, most of them known."""

    def __init__(
        self,
        slot: str,
        frontier: RedisFrontier,
        control: Control,
        learner: PaceLearner,
        load: LeaseLoad,
        key: bytes,
        tasks: Sequence[UrlTask],
        held: dict[str, Lease],
        measured: Measured,
        begins: float,
    ) -> None:
        self._slot = slot
        self._frontier = frontier
        self._control = control
        self._learner = learner
        self._load = load
        self._key = key
        self._tasks = tasks
        self._held = held
        self._measured = measured
        self._from = begins + load.visit_s
        self._until = self._from + load.seconds
        self._random = Random(slot)  # noqa: S311 - a benchmark
        self._requests = 0

    async def run(self) -> None:
        """Visit until the control ends."""
        await self._control.ended(self._load.visit_s * self._random.random())
        lease: Lease | None = None
        while not self._control.ending:
            lease = await self._next(lease)
            if lease is not None:
                await self._visit(lease)

    async def _next(self, lease: Lease | None) -> Lease | None:
        """Settle, and lease the next URL; wait where there is none."""
        self._requests += 1
        hint = lease.task.site if lease is not None else None
        request = LeaseRequest(self._slot, str(self._requests), hint)
        began = time.monotonic()
        if lease is None:
            got: Any = await self._frontier.lease(request)
        else:
            _, got = await self._frontier.ack(lease, Ack(self._links()), request)
        ended = time.monotonic()
        if isinstance(got, Lease):
            if self._from <= began and ended <= self._until:
                self._measured.leases_ms.append(1000 * (ended - began))
            self._held[self._slot] = got
            return got
        self._held.pop(self._slot, None)
        await self._control.ended(got.retry_in_s)
        return None

    async def _visit(self, lease: Lease) -> None:
        while (wait_s := await self._frontier.may_begin(lease.task.site)) > 0:
            await self._control.ended(wait_s)
        began = time.monotonic()
        await self._control.ended(self._load.visit_s * (0.5 + self._random.random()))
        self._learner.note(lease.task.site, began, 200, 1000 * (time.monotonic() - began))

    def _links(self) -> list[UrlTask]:
        first = self._random.randrange(len(self._tasks) - LINKS)
        new: list[UrlTask] = []
        for _ in range(NEW_LINKS):
            page, site = self._random.getrandbits(39), self._random.randrange(self._load.sites)
            new.append(_task(site, page, self._key))
        return [*self._tasks[first : first + LINKS - NEW_LINKS], *new]
