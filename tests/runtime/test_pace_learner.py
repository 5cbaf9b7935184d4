"""The learner on a manual clock, with a store that other nodes write to as well."""

from dataclasses import dataclass, field

from farm.model.event import Event, Notice
from farm.policy.aimd import Pace, PaceParams, PaceSnapshot, start
from farm.runtime.pace_learner import PaceLearner
from tests.clock import ManualClock


@dataclass
class Store:
    """One site's pace; `rivals` are written by others just before the next write."""

    pace: Pace | None = None
    now_s: float = 1000.0
    blocked_until_s: float = 0.0
    rivals: list[Pace] = field(default_factory=list)
    by_egress: dict[str, Pace] = field(default_factory=dict)

    async def read(self, site: str, egress: str = "") -> PaceSnapshot:
        """Look."""
        known = self.by_egress.get(egress) if egress else self.pace
        return PaceSnapshot(b"", known, self.now_s, 3, self.blocked_until_s, 8)

    async def write(
        self, site: str, before: PaceSnapshot, pace: Pace, egress: str = ""
    ) -> PaceSnapshot | None:
        """Write, unless another node wrote first."""
        if egress:
            self.by_egress[egress] = pace
            return None
        if self.rivals:
            self.pace = self.rivals.pop()
            return PaceSnapshot(b"", self.pace, self.now_s, 3, 0.0, 8)
        self.pace = pace
        return None


@dataclass
class Bench:
    """A learner and what it says."""

    store: Store = field(default_factory=Store)
    overloaded: bool = False
    clock: ManualClock = field(default_factory=lambda: ManualClock(50.0))
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        params = PaceParams()
        self.learner = PaceLearner(
            self.store, params, lambda: self.overloaded, self.events.append, self.clock
        )

    async def learn(self, status: int, count: int = 1, latency_ms: float = 100.0, egress: str = "") -> Pace:
        """Note visits that began a tenth of a second ago, and fold them."""
        for _ in range(count):
            self.learner.note("a", self.clock.now - 0.1, status, latency_ms, egress)
        await self.learner.learn()
        assert self.store.pace is not None
        return self.store.pace


async def test_visits_are_told_in_the_crawls_time() -> None:
    """Whatever the clock of the process says."""
    bench = Bench()
    pace = await bench.learn(200, 3)
    assert pace.delivered == ((1000, 3),)
    assert pace.busiest == 3
    await bench.learner.learn()
    assert bench.store.pace == pace


async def test_what_another_node_wrote_meanwhile_is_added_to() -> None:
    """And not overwritten."""
    bench = Bench()
    bench.store.rivals = [Pace(5.0, opened=999.0, seen=7)]
    pace = await bench.learn(200)
    assert (pace.limit, pace.seen) == (5.0, 8)


async def test_a_refusal_is_counted_said_and_cuts() -> None:
    """And the rate grows only after what the site asked to wait."""
    bench = Bench()
    bench.store.blocked_until_s = 1030.0
    pace = await bench.learn(429)
    assert pace.rate > 0
    assert pace.since == 1030.0
    assert bench.learner.throttled == {"a": 1}
    notice = bench.events[0]
    assert isinstance(notice, Notice)
    assert "site a throttled: 429 or 503 received; rate" in notice.text
    await bench.learn(429)
    assert len(bench.events) == 1


async def test_a_busy_machine_teaches_nothing_about_latency() -> None:
    """Only that the site answers."""
    bench = Bench(overloaded=True)
    pace = await bench.learn(200, 5, latency_ms=9000)
    assert pace.latencies == ()
    assert pace.seen == 5


async def test_a_refusal_slows_the_address_that_met_it() -> None:
    """The others, and the site's places in flight, are as they were; the site is counted once."""
    bench = Bench()
    await bench.learn(200, 3, egress="p1")
    await bench.learn(429, egress="p1")
    pace = await bench.learn(200, 2, egress="p2")
    assert (pace.rate, pace.refused, pace.seen) == (0, 0, 5)
    assert bench.store.by_egress["p1"].rate > 0
    assert bench.store.by_egress["p2"].rate == 0
    assert bench.learner.throttled == {"a": 1}
    (notice,) = bench.events
    assert isinstance(notice, Notice)
    assert "site a by proxy p1 throttled: 429 or 503 received; rate" in notice.text
    assert "concurrency" not in notice.text


async def test_a_site_with_limits_of_its_own_is_learnt_within_them() -> None:
    """The other sites have the crawl's."""
    own = PaceParams(first=2, most=2)
    limits = {}
    for site in ("a", "b"):
        store, clock = Store(), ManualClock(50.0)
        learner = PaceLearner(store, PaceParams(), lambda: False, lambda _: None, clock, {"a": own}.get)
        learner.note(site, clock.now - 0.1, 200, 100.0)
        await learner.learn()
        assert store.pace is not None
        limits[site] = store.pace.limit
    assert limits == {"a": start(own).limit, "b": start(PaceParams()).limit} == {"a": 2, "b": 8}
