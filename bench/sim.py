"""A farm of many nodes on a manual clock: discrete events, with the costs that were measured of the real one.

A visit is four events: a slot's call arrives at Redis (settle the last URL, lease the next one), the first work
of its page arrives at the cores of its node, the rest of it once the page has settled, and its record at the event
loop of the slot's process. Redis masters and event loops serve one after the other, a node's cores as many at once
as there are; `bench/sim_loop.py` says when a loop reads a reply. What is not modelled: memory, bandwidth, proxies,
retries, pages that differ. Which URL is leased is decided as `farm/frontier/lua/lib/dispatch.lua` does it: the
slot's last site for `RUN` leases, else the site that was served longest ago; a site has a number of places and a
spacing. Idle slots ask again as `farm/policy/admission.py` says.
"""

import heapq
import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

from bench.sim_loop import Loops
from bench.sim_terms import Costs, Deaths, Load, Outcome, Shape, latency_s, spread
from farm.frontier.terms import Terms
from farm.policy.admission import idle_backoff_s

RUN = Terms().affinity_run
SILENCE_S = Terms().silence_s
SOON_S = 0.25
RAMP_S = 10.0
"""Within which the slots begin."""
SHARDS = 8
"""Of a crawl on a Cluster, as `open_crawl` has it."""
_REDIS, _ASK, _FIRST, _REST, _RECORD, _DEATH, _BACK, _RETURN, _STEADY = range(9)
_DRAWS = 8191
_BINS = 200


class Simulation:
    """One crawl from its first lease to its last; `run` returns what came of it."""

    def __init__(
        self, costs: Costs, shape: Shape, load: Load, deaths: Deaths | None = None, seed: int = 1
    ) -> None:
        self._costs, self._shape, self._load, self._faults = costs, shape, load, deaths or Deaths()
        self._random = Random(seed)  # noqa: S311 - a simulation
        self._events: list[tuple[float, int, int, int, int]] = []
        self._number = 0
        self._now = 0.0
        self._shards = SHARDS if shape.masters > 1 else 1
        self._left = spread(load.urls, load.sites, load.skew)
        self._flying = [0] * load.sites
        self._next_at = [0.0] * load.sites
        self._is_ready = [True] * load.sites
        self._ready: list[list[tuple[float, int, int]]] = [[] for _ in range(self._shards)]
        for site in range(load.sites):
            self._ready[site % self._shards].append((0.0, site, site))
        slots = shape.nodes * shape.contexts
        self._slot_site = [-1] * slots
        self._slot_run = [0] * slots
        self._has_lease = [False] * slots
        self._slot_asked = [0.0] * slots
        self._slot_home = [0] * slots
        self._slot_step = [0] * slots
        self._soonest = [math.inf] * slots
        self._slot_epoch = [0] * slots
        self._idle = [0] * (shape.nodes * shape.processes)
        self._is_idle = [False] * slots
        self._master_free = [0.0] * shape.masters
        self._master_busy = [0.0] * shape.masters
        # What the processes ask each second is taken from the time of all calls alike.
        self._ticks = shape.nodes * shape.processes * costs.tick_ms / 1000 * self._shards / shape.masters
        self._slowed_s = 1 / 1000 / max(0.05, 1 - self._ticks)
        self._process = [
            slot // shape.contexts * shape.processes + slot % shape.processes for slot in range(slots)
        ]
        self._pair_ms = costs.pair_ms + load.links * costs.link_ms
        self._core_free = [[0.0] * max(1, round(shape.cores)) for _ in range(shape.nodes)]
        self._core_busy = [0.0] * shape.nodes
        self._loops = Loops(costs, shape, self._random)
        self._stretch = len(self._core_free[0]) / shape.cores
        self._page_s, self._way_s = costs.page_ms / 1000 * self._stretch, costs.trip_ms / 2000
        self._latencies = [latency_s(load, self._random) for _ in range(_DRAWS)]
        self._shares = [self._random.expovariate(1.0) if load.varies else 1.0 for _ in range(_DRAWS)]
        self._draw, self._visits_s = 0, 0.0
        self._before = (0.0, 0, 0.0)
        self._leases_ms: list[float] = []
        self._at_bins: list[int] = []
        self.outcome = Outcome()

    def run(self, most: int | None = None) -> Outcome:
        """Return the outcome once every URL is done, or `most` visits are: the rest is reckoned then."""
        for slot in range(len(self._slot_site)):
            at = RAMP_S * self._random.random()
            self._slot_asked[slot] = at
            self._push(at, _REDIS, slot, 0)
        if self._faults.every_s:
            self._push(self._random.expovariate(1 / self._faults.every_s), _DEATH, 0, 0)
        handlers: tuple[Callable[[int, int], None], ...] = (
            self._redis,
            self._ask,
            self._first,
            self._rest,
            self._record,
            self._death,
            self._back,
            self._return,
            self._steady,
        )
        events, urls = self._events, min(self._load.urls, most or self._load.urls)
        nine_tenths, marks = int(0.9 * urls), max(1, urls // _BINS)
        outcome, stamped = self.outcome, 0
        self._push(RAMP_S, _STEADY, 0, 0)
        while outcome.done < urls:
            self._now, _, kind, one, two = heapq.heappop(events)
            handlers[kind](one, two)
            if outcome.done >= stamped + marks:
                outcome.history.append((self._now, 0.0))
                stamped += marks
            if not outcome.steady_s and outcome.done >= nine_tenths:
                self._measure()
        left = self._load.urls - urls
        outcome.lasts_s = self._now + left / outcome.pages_per_s
        outcome.slowest_site_s = self._now + max(map(self._lasts, range(self._load.sites))) if left else 0.0
        times = [0.0, *(at for at, _ in outcome.history)]
        outcome.history = [(at, marks / max(1e-9, at - before)) for before, at in pairwise(times)]
        return outcome

    def _lasts(self, site: int) -> float:
        """Return how long what is left of a site takes where nothing but its own limits holds it up."""
        pace_s = self.outcome.visit_s / self._load.places
        return self._left[site] * (max(pace_s, self._load.spacing_s) if self._is_spaced(site) else pace_s)

    def _is_spaced(self, site: int) -> bool:
        return self._load.spaced > 0 and site % self._load.spaced == self._load.spaced - 1

    def _steady(self, _one: int, _two: int) -> None:
        """Count from here: every slot has begun."""
        self._before = (self._now, self.outcome.done, self._visits_s)
        self._leases_ms.clear()
        self._loops.reset(self._now)
        for busy in (self._master_busy, self._core_busy):
            busy[:] = [0.0] * len(busy)

    def _measure(self) -> None:
        """Note the shares of what was used since all slots have begun."""
        outcome, (began, done, visits_s) = self.outcome, self._before
        span_s = self._now - began
        outcome.steady_s = span_s
        outcome.pages_per_s = (outcome.done - done) / span_s
        outcome.redis = max(self._master_busy) / span_s + self._ticks
        outcome.cores = max(self._core_busy) / span_s / self._shape.cores
        outcome.loop = self._loops.busiest(self._now)
        outcome.busy = (self._visits_s - visits_s) / span_s / len(self._slot_site)
        outcome.visit_s = (self._visits_s - visits_s) / max(1, outcome.done - done)
        leases = sorted(self._leases_ms)
        outcome.lease_ms = sum(leases) / max(1, len(leases))
        outcome.lease_p99_ms = leases[int(0.99 * (len(leases) - 1))] if leases else 0.0

    def _push(self, at: float, kind: int, one: int, two: int) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, kind, one, two))

    def _serve(self, shard: int, ms: float, slot: int) -> float:
        """Have a shard's master serve a slot's call that arrives now; return when it is done."""
        master = shard % self._shape.masters
        at = max(self._now, self._master_free[master])
        if self._shape.is_beside and at == self._now:
            at = self._loops.woken(at, is_full=self._is_full(slot, at))
        free = at + ms * self._slowed_s
        self._master_free[master] = free
        self._master_busy[master] += ms / 1000
        return free

    def _redis(self, slot: int, epoch: int) -> None:
        """Settle what the slot had, and lease the next URL in the same call."""
        if epoch != self._slot_epoch[slot]:
            return
        costs, site, ms = self._costs, self._slot_site[slot], 0.0
        home = site % self._shards if site >= 0 else self._random.randrange(self._shards)
        if self._has_lease[slot]:
            self._has_lease[slot] = False
            ms = self._pair_ms - costs.idle_ms
            self._settle(site)
            self.outcome.done += 1
        self._set_idle(slot, is_idle=False)
        self._slot_step[slot], self._soonest[slot] = 0, math.inf
        if self._shards > 1 and self._slot_run[slot] >= RUN:
            # Another shard's turn: the lease takes a call of its own.
            self._slot_home[slot], self._slot_run[slot] = (home + 1) % self._shards, 0
            self._push(self._serve(home, ms, slot) + 2 * self._way_s, _ASK, slot, epoch)
        else:
            self._slot_home[slot] = home
            self._lease(slot, epoch, ms)

    def _ask(self, slot: int, epoch: int) -> None:
        """Ask a shard for a lease by a call of its own."""
        if epoch == self._slot_epoch[slot]:
            self._lease(slot, epoch, 0.0)

    def _lease(self, slot: int, epoch: int, ms: float) -> None:
        """Lease in the shard whose turn it is, by a call that also settles for `ms`; else go to the next."""
        costs, step = self._costs, self._slot_step[slot]
        shard = (self._slot_home[slot] + step) % self._shards
        chosen, eligible_at = self._choose(slot, shard)
        if chosen >= 0:
            self._granted(slot, chosen, self._serve(shard, ms + costs.idle_ms + costs.start_ms, slot))
            return
        at = self._serve(shard, ms + costs.idle_ms, slot) + self._way_s
        soonest = self._soonest[slot] = min(self._soonest[slot], eligible_at)
        self._slot_step[slot] = step + 1
        if step + 1 < self._shards:
            self._push(at + self._way_s, _ASK, slot, epoch)
            return
        self._set_idle(slot, is_idle=True)
        wait_s = max(0.01, min(SOON_S, soonest - self._now))
        again = at + idle_backoff_s(wait_s, self._idle[self._process[slot]], self._random.random())
        self._slot_asked[slot] = again
        self._push(again + self._way_s, _REDIS, slot, epoch)

    def _set_idle(self, slot: int, *, is_idle: bool) -> None:
        if is_idle != self._is_idle[slot]:
            self._is_idle[slot] = is_idle
            self._idle[self._process[slot]] += 1 if is_idle else -1

    def _choose(self, slot: int, shard: int) -> tuple[int, float]:
        """Return the site that a slot is leased in a shard, or -1 and when one may be."""
        now, last, places = self._now, self._slot_site[slot], self._load.places
        stays = last >= 0 and last % self._shards == shard and self._slot_run[slot] < RUN
        if stays and self._left[last] and self._flying[last] < places and self._next_at[last] <= now:
            self._slot_run[slot] += 1
            self._take(last, stays=True)
            return last, now
        ready = self._ready[shard]
        while ready:
            score, _, site = ready[0]
            if not self._left[site] or self._flying[site] >= places:
                heapq.heappop(ready)
                self._is_ready[site] = False
            elif self._next_at[site] > score:
                heapq.heappop(ready)
                self._enter(site, self._next_at[site])
            elif score > now:
                return -1, score
            else:
                heapq.heappop(ready)
                self._is_ready[site] = False
                self._slot_run[slot] = 1
                self._take(site, stays=False)
                return site, now
        return -1, math.inf

    def _take(self, site: int, *, stays: bool) -> None:
        self._left[site] -= 1
        flying = self._flying[site] = self._flying[site] + 1
        self.outcome.most_at_a_site = max(self.outcome.most_at_a_site, flying)
        if self._is_spaced(site):
            self._next_at[site] = max(self._next_at[site], self._now) + self._load.spacing_s
        if not stays and self._left[site] and flying < self._load.places:
            self._enter(site, max(self._now, self._next_at[site]))

    def _enter(self, site: int, at: float) -> None:
        self._is_ready[site] = True
        self._number += 1
        heapq.heappush(self._ready[site % self._shards], (at, self._number, site))

    def _settle(self, site: int) -> None:
        self._flying[site] -= 1
        if self._left[site] and not self._is_ready[site]:
            self._enter(site, max(self._now, self._next_at[site]))

    def _granted(self, slot: int, site: int, at: float) -> None:
        """Begin a visit once the lease has come back."""
        at += self._way_s
        at = self._loops.read(self._process[slot], at, is_full=self._is_full(slot, at))
        self._slot_site[slot], self._has_lease[slot] = site, True
        if len(self._leases_ms) < 400_000:  # noqa: PLR2004 - enough for a percentile
            self._leases_ms.append((at - self._slot_asked[slot]) * 1000)
        self._slot_asked[slot] = at
        answers_at = at + self._latencies[self._number % _DRAWS]
        self._push(answers_at, _FIRST, slot, self._slot_epoch[slot])

    def _is_full(self, slot: int, at: float) -> bool:
        """Return whether all cores of the slot's node compute at that time."""
        return self._core_free[slot // self._shape.contexts][0] > at

    def _compute(self, slot: int) -> float:
        """Have a core of the slot's node do half of a page; return when it is done."""
        node = slot // self._shape.contexts
        cores, share = self._core_free[node], self._share()
        ends = max(cores[0], self._now) + self._page_s / 2 * share
        heapq.heapreplace(cores, ends)
        self._core_busy[node] += self._costs.page_ms / 2000 * share
        return ends

    def _share(self) -> float:
        """Return by how much some work takes longer than in the mean.

        Served in turn, exponential times wait as long as any times that share the cores (M/G/1 with processor
        sharing). With equal times slots fall into step, and their beginnings decide all waits.
        """
        self._draw = (self._draw + 1) % _DRAWS
        return self._shares[self._draw]

    def _first(self, slot: int, epoch: int) -> None:
        if epoch == self._slot_epoch[slot]:
            self._push(self._compute(slot) + self._costs.waits_ms / 1000, _REST, slot, epoch)

    def _rest(self, slot: int, epoch: int) -> None:
        if epoch == self._slot_epoch[slot]:
            self._push(self._compute(slot), _RECORD, slot, epoch)

    def _record(self, slot: int, epoch: int) -> None:
        """Have the process's event loop do its part, and send the record's ack."""
        if epoch != self._slot_epoch[slot]:
            return
        process, node = self._process[slot], slot // self._shape.contexts
        took_s, cores = self._costs.python_ms / 1000 * self._share(), self._core_free[node]
        # While it waits for the loop it takes no core.
        core = max(cores[0], self._now) + took_s * self._stretch
        heapq.heapreplace(cores, core)
        ends = self._loops.work(process, core, took_s, self._stretch)
        self._core_busy[node] += took_s
        self._visits_s += ends - self._slot_asked[slot]
        self._slot_asked[slot] = ends
        self._push(ends + self._way_s, _REDIS, slot, epoch)

    def _death(self, _one: int, _two: int) -> None:
        """End a node at once: its leases come back when it has been silent for too long."""
        shape, faults, outcome = self._shape, self._faults, self.outcome
        node = self._random.randrange(shape.nodes)
        outcome.deaths += 1
        for slot in range(node * shape.contexts, (node + 1) * shape.contexts):
            self._slot_epoch[slot] += 1
            site = self._slot_site[slot]
            if self._has_lease[slot]:
                self._has_lease[slot] = False
                outcome.repeated += 1
                self._push(self._now + SILENCE_S, _RETURN, site, 0)
            self._set_idle(slot, is_idle=False)
            self._slot_site[slot], self._slot_run[slot] = -1, 0
            self._push(self._now + faults.away_s, _BACK, slot, self._slot_epoch[slot])
        self._push(self._now + self._random.expovariate(1 / faults.every_s), _DEATH, 0, 0)

    def _back(self, slot: int, epoch: int) -> None:
        if epoch == self._slot_epoch[slot]:
            self._slot_asked[slot] = self._now
            self._redis(slot, epoch)

    def _return(self, site: int, _two: int) -> None:
        """Queue again what a dead node had leased."""
        self._left[site] += 1
        self._settle(site)
