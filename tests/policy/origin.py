"""An origin with a hidden capacity, and a farm that visits it, on a manual clock: no second passes.

The origin answers 429 beyond a rate (a bucket with a small burst) and slows down beyond a number in flight
(the knee). The farm keeps the limits that the controller sets, with the frontier's spacing and with noise.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from random import Random

from farm.policy.aimd import PaceParams, Sample, blocked, start, step

TICK_S = 0.5
STEP_S = 0.02


@dataclass
class Origin:
    """`rate` per second at most, 0 for any; latency rises beyond `knee` in flight.

    With `per_second` no span of one second may have more requests than that, refused ones left out.
    """

    rate: float = 0.0
    per_second: int = 0
    knee: int = 0
    latency_s: float = 0.2
    retry_after_s: float = 1.0
    burst: float = 4.0
    level: float = 0.0
    at: float = 0.0
    lately: deque[float] = field(default_factory=deque)

    def answer(self, now: float, in_flight: int, noise: float) -> tuple[int, float]:
        """Return the status and the latency in seconds of a request that arrives now."""
        latency = self.latency_s * (0.9 + 0.2 * noise)
        if self.per_second:
            while self.lately and self.lately[0] <= now - 1:
                self.lately.popleft()
            if len(self.lately) >= self.per_second:
                return 429, 0.02
            self.lately.append(now)
        if self.rate:
            self.level = max(0.0, self.level - (now - self.at) * self.rate)
            self.at = now
            if self.level + 1 > self.burst:
                return 429, 0.02
            self.level += 1
        if self.knee and in_flight > self.knee:
            latency *= in_flight / self.knee
        return 200, latency


@dataclass
class Farm:
    """Visits one origin with so many contexts; `overloaded` from a moment on makes everything slow."""

    origin: Origin
    seed: int = 1
    contexts: int = 30
    params: PaceParams = field(default_factory=PaceParams)
    overloaded: bool = False
    work_s: float = 0.3
    now: float = 0.0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.pace = start(self.params)
        self.ends: list[tuple[float, float, int, float]] = []
        self.samples: list[Sample] = []
        self.arrivals: list[tuple[float, int]] = []
        self.eligible = self.blocked = self.ticked_at = 0.0

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            self._settle()
            self._lease()
            if self.now >= self.ticked_at + TICK_S:
                self.ticked_at = self.now
                self.pace = step(self.pace, self.samples, len(self.ends), self.now, self.params)
                self.pace = blocked(self.pace, self.blocked) if self.blocked > self.now else self.pace
                self.samples = []
            self.now += STEP_S

    def _settle(self) -> None:
        while self.ends and self.ends[0][0] <= self.now:
            end, began, status, latency = heapq.heappop(self.ends)
            if status == 429:
                self.blocked = max(self.blocked, end + self.origin.retry_after_s)
            self.samples.append(Sample(began, end, status, latency * 1000, self.overloaded))

    def _lease(self) -> None:
        free = min(self.contexts, int(self.pace.limit))
        while len(self.ends) < free and self.now >= max(self.eligible, self.blocked):
            if self.pace.rate:
                spacing = 1 / (self.pace.rate * 1.1)
                self.eligible = max(self.eligible, self.now) + spacing * (1 + 0.2 * self.random.random())
            status, latency = self.origin.answer(self.now, len(self.ends) + 1, self.random.random())
            if self.overloaded:
                latency *= 5
            self.arrivals.append((self.now, status))
            work = self.work_s if status == 200 else 0.05
            heapq.heappush(self.ends, (self.now + latency + work, self.now, status, latency))

    def between(self, first: float, last: float) -> tuple[float, float]:
        """Return the answers a second and the share of refusals in a span of time."""
        span = [status for at, status in self.arrivals if first <= at < last]
        good = sum(status == 200 for status in span)
        return good / (last - first), 1 - good / max(1, len(span))
