"""A farm that is only events: for the tests, and to look at the view.

python -m tests.monitor.simulated SLOTS [SECONDS]
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from farm.model.clock import SystemClock
from farm.model.crawl import Ledger, SitePace, Stats
from farm.model.egress import ProxyUse
from farm.model.event import (
    AdmissionSet,
    Committed,
    Fate,
    MemoryRead,
    Notice,
    PacesRead,
    PageDone,
    Phase,
    ProxiesRead,
    Reclaimed,
    Recycled,
    Skipped,
    SlotPhase,
    StatsRead,
    VisitFailed,
)
from farm.model.record import Batch, Record
from farm.monitor.tally import Tally
from farm.monitor.views import LiveView

GIB = 1 << 30
PROXIES = (
    ProxyUse("dc-7.proxies.example:8080", "banned", 0.31, 0, 2, 118.0, 3, 2400.0),
    ProxyUse("dc-2.proxies.example:8080", "on trial", 0.52, 1, 1, 0.0, 1, 900.0),
    *(
        ProxyUse(f"res-{number}.proxies.example:3128", "available", 0.97 - number / 50, 3, 0, 0.0, 0, 310.0)
        for number in range(4)
    ),
)
STEPS = (
    (Phase.LEASING, 0.02),
    (Phase.NAVIGATING, 0.5),
    (Phase.SETTLING, 0.9),
    (Phase.COMMITTING, 0.05),
)
FAULTS = (
    ("timeout", Fate.RETRY, "no answer within 60 s"),
    ("http_5xx", Fate.RETRY, "503 Service Unavailable"),
    ("network", Fate.DEAD, "net::ERR_CONNECTION_RESET"),
)


@dataclass
class Visit:
    """Where a slot is: the step that comes next, when, and with what."""

    due: float
    step: int = len(STEPS)
    url: str = ""


class SimulatedFarm:
    """Lets slots visit a shop, in steps of time that the caller gives."""

    def __init__(self, tally: Tally, slots: int, *, sites: int = 1, started: float = 0.0) -> None:
        self._emit = tally.fold
        self._random = random.Random(7)
        self._skipped: Counter[str] = Counter()
        self._sites = sites
        self._started = started
        self._slots = {f"c{number + 1}": Visit(started + number * 0.2) for number in range(slots)}
        self._queued, self._done, self._dead, self._retried = 1, 0, 0, 0
        self._next_second = started
        for name in self._slots:
            self._emit(SlotPhase(started, name, Phase.WAITING))

    def advance(self, now: float) -> None:
        """Let everything happen that happens until `now`."""
        if now >= self._next_second:
            self._next_second = now + 1
            self._each_second(now)
        for index, (name, visit) in enumerate(self._slots.items()):
            if index < self._limit(now) and now >= visit.due:
                self._step(now, name, visit)

    def _limit(self, now: float) -> int:
        return min(len(self._slots), 1 + int((now - self._started) * 2), max(1, len(self._slots) - 2))

    def _step(self, now: float, name: str, visit: Visit) -> None:
        if visit.step >= len(STEPS):
            if visit.url:
                self._finish(now, name, visit.url)
            shelf, item = self._random.randint(1, 40), self._random.randint(1, 9999)
            site = (
                f"shop{self._random.randint(1, self._sites)}.example" if self._sites > 1 else "shop.example"
            )
            long = "?sort=price&colour=midnight-blue&size=xl&page=12" if item % 5 == 0 else ""
            visit.step, visit.url = 0, f"https://{site}/catalogue/shelf-{shelf}/blue-linen-shirt-{item}{long}"
        phase, lasts = STEPS[visit.step]
        visit.step += 1
        slow = 40 if phase is Phase.SETTLING and self._random.random() < 0.02 else 1
        visit.due = now + lasts * slow * self._random.uniform(0.4, 1.8)
        self._emit(SlotPhase(now, name, phase, "" if phase is Phase.LEASING else visit.url))

    def _finish(self, now: float, name: str, url: str) -> None:
        chance = self._random.random()
        if chance < 0.03:
            reason, fate, detail = self._random.choice(FAULTS)
            self._retried += fate is Fate.RETRY
            self._dead += fate is Fate.DEAD
            self._emit(VisitFailed(now, name, url, reason, detail, fate))
            return
        self._done += 1
        timings = {
            "lease": self._random.randint(1, 9),
            "navigate": self._random.randint(200, 700),
            "settle": self._random.randint(300, 1500),
            "extract": self._random.randint(5, 60),
        }
        record = Record("i", url, {"timings_ms": {**timings, "total": sum(timings.values())}})
        self._emit(Committed(now, Batch((record,))))
        self._queued += self._random.choice((0, 0, 1, 3, 6)) if self._done < 3000 else -1
        self._emit(PageDone(now, name, url, 200, int(self._random.lognormvariate(6.6, 0.5)), 91_000, True))
        self._skipped["out_of_scope"] += self._random.randint(0, 9)
        self._emit(Skipped(now, dict(self._skipped)))
        if chance > 0.98:
            self._skipped[self._random.choice(("robots", "depth", "nofollow", "scheme"))] += 1
            self._emit(Recycled(now, "context", name, "pages", 40))

    def _each_second(self, now: float) -> None:
        leased = min(self._limit(now), self._queued)
        ledger = Ledger(
            self._queued + leased + self._done + self._dead + self._retried,
            self._queued,
            self._retried,
            leased,
            self._done,
            self._dead,
        )
        dead = {"network": self._dead} if self._dead else {}
        self._emit(
            StatsRead(now, Stats(ledger, dead, self._done, self._done * 9, 0, self._retried, self._sites))
        )
        used = (0.4 + 0.11 * len(self._slots) * (1 - 2 ** (-(now - self._started) / 10))) * GIB
        self._emit(MemoryRead(now, int(used), 6 * GIB, 9 + 2 * len(self._slots)))
        self._emit(PacesRead(now, tuple(self._paces(now))))
        self._emit(ProxiesRead(now, Counter(one.state for one in PROXIES), PROXIES))
        self._emit(Reclaimed(now, "recycle", "c3", "band", 40 << 20))
        limit = self._limit(now)
        self._emit(
            AdmissionSet(now, limit, "memory" if now - self._started > len(self._slots) / 2 else "ramp")
        )
        if int(now - self._started) == 6:
            self._emit(Notice(now, "warning", "running as root: the browser's sandbox is off"))

    def _paces(self, now: float) -> Iterator[SitePace]:
        names = [f"shop{number + 1}.example" for number in range(self._sites)]
        for number, name in enumerate(names if self._sites > 1 else ["shop.example"]):
            is_blocked = number == 1 and int(now) % 60 < 20
            yield SitePace(
                name,
                4 + number,
                2.5 if number == 1 else 0.0,
                420.0 + 90 * number,
                400.0,
                20.0 - int(now) % 60 if is_blocked else 0.0,
                "refused" if number == 1 else "",
            )


def simulated(slots: int, seconds: float, *, sites: int = 1) -> Tally:
    """Return the tally of a farm after so many seconds, without waiting for them."""
    tally = Tally(100.0)
    farm = SimulatedFarm(tally, slots, sites=sites, started=100.0)
    for tick in range(int(seconds * 20)):
        farm.advance(100.0 + tick / 20)
    return tally


def main() -> None:
    """Show a simulated farm in this terminal."""
    slots = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    clock = SystemClock()
    tally = Tally(clock.monotonic())
    farm = SimulatedFarm(tally, slots, sites=1 + slots // 20, started=clock.monotonic())
    end = clock.monotonic() + seconds
    with LiveView(tally.snapshot, "shop.example", clock):
        while clock.monotonic() < end:
            farm.advance(clock.monotonic())
            time.sleep(0.02)


if __name__ == "__main__":
    main()
