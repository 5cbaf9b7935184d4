"""The event loops of a simulated farm: how much they do, and how long a reply waits until it is read.

What a page costs an event loop is done in many short turns, between which the loop waits for the browser, the disk
and Redis. So a reply does not wait for all that is to be done for a page, but for the turns that are ready before
it. While all cores compute, each turn begins with a wait for a core: the system gives a process that wakes one of
its own right away only if it has had less than its share.
"""

import math
from random import Random

from bench.sim_terms import Costs, Shape


class Loops:
    """The loops of all processes, by number; `contexts` of a node are divided among its processes."""

    def __init__(self, costs: Costs, shape: Shape, random: Random) -> None:
        count = shape.nodes * shape.processes
        self._turn_s, self._wake_s, self._random = costs.turn_ms / 1000, costs.wake_ms / 1000, random
        self._ahead = max(1, shape.contexts // shape.processes)
        self._free = [0.0] * count
        self._busy = [0.0] * count
        self._replies, self._delayed = [0] * count, [0] * count
        self._since = 0.0

    def reset(self, now: float) -> None:
        """Count from here what the loops do."""
        self._since = now
        self._busy = [0.0] * len(self._busy)

    def busiest(self, now: float) -> float:
        """Return the share of the time that the busiest loop ran."""
        return max(self._busy) / (now - self._since)

    def work(self, process: int, core: float, took_s: float, stretch: float) -> float:
        """Have a loop do its part of a page that has a core until `core`; return when it is done."""
        ends = max(core, self._free[process] + took_s * stretch)
        self._free[process] = ends
        self._busy[process] += took_s
        return ends

    def read(self, process: int, at: float, *, is_full: bool) -> float:
        """Return when a reply that arrives at `at` has been read; `is_full` if all cores of the node compute.

        Turns are served as they become ready: a queue of exponential times with one server, in which each
        context has one turn at most (M/M/1/K). Those ahead are as long as turns are in the mean.
        """
        self._replies[process] += 1
        self._delayed[process] += is_full
        mean_s = self._turn_s + self._wake_s * self._delayed[process] / self._replies[process]
        ran = self._busy[process] / max(1e-9, at - self._since)
        load = ran * mean_s / self._turn_s if self._turn_s else 0.0
        if ahead := drawn_ahead(load, self._ahead, self._random.random()):
            at += self._random.gammavariate(ahead, mean_s)
        return at + self._random.expovariate(1.0) * (self._turn_s + (self._wake_s if is_full else 0.0))

    def woken(self, at: float, *, is_full: bool) -> float:
        """Return when a process that is not a loop, and wakes at `at`, has a core."""
        return at + self._random.expovariate(1.0) * self._wake_s if is_full else at


def drawn_ahead(load: float, places: int, chance: float) -> int:
    """Return how many are ahead of one that comes to a queue of `places`: the quantile of `chance`.

    Their number has a geometric distribution that ends below `places`; `load` may be above 1.
    """
    if load <= 0:
        return 0
    if abs(load - 1) < 1e-6:  # noqa: PLR2004 - the formula divides by the difference
        return int(chance * places)
    ahead = math.log1p(chance * (load**places - 1)) / math.log(load)
    return min(places - 1, int(ahead))
