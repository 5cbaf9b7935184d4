"""Pacing: a visit waits for its site, and the site's answers teach."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from farm.model.crawl import SitePace
from farm.model.errors import FrontierUnavailable
from farm.model.event import Event, Notice, PacesRead
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask
from farm.policy.aimd import Pace, PaceParams, PaceSnapshot, start
from farm.policy.retry import RetryParams
from farm.runtime import pacing as module
from farm.runtime.pacing import MOST_TOLD, PaceLearner, VisitPacing
from farm.runtime.ports import Frontier
from tests.clock import ManualClock

OWN = "http://a.example/1"
LEASE = Lease(UrlTask(OWN, "a.example", "f"), "s", 1)


@dataclass
class Answers:
    """Answers in turn; time passes by what was waited for."""

    waits: list[float] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    blocks: list[tuple[str, float, str]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    is_away: bool = False
    hangs: bool = False

    async def may_begin(self, site: str, egress: str = "", *, begun: bool = False) -> float:
        """Say the next wait, then 0."""
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise FrontierUnavailable("away")
        if begun:
            self.counted.append(site)
            return 0
        self.asked.append((site, egress))
        return self.waits.pop(0) if self.waits else 0

    async def block(self, site: str, for_s: float, *, egress: str = "") -> None:
        """Note it down."""
        if self.hangs:
            await asyncio.Event().wait()
        self.blocks.append((site, for_s, egress))


def paced(answers: Answers, domain_of: Callable[[str], str] = str) -> VisitPacing:
    """Return the pacing of a visit by proxy p."""
    frontier = cast("Frontier", answers)
    return VisitPacing(LEASE, "p", frontier, 0.5, RetryParams(), ManualClock(), domain_of)


async def test_a_turn_is_asked_for_until_it_has_come() -> None:
    """For the lease's site, whatever port a tunnel names."""
    answers = Answers([0.01, 0.01])
    assert await paced(answers).ask("a.example:443")
    assert answers.asked == [("a.example", "p")] * 3


@pytest.mark.parametrize("waits", [[-0.5], [99.0], [0.0001, -3]])
async def test_a_visit_that_would_wait_too_long_is_given_back(waits: list[float]) -> None:
    """Under a block at once; the slot is free for another site."""
    assert not await paced(Answers(waits)).ask("a.example")


async def test_a_redirect_to_another_site_is_spaced_but_never_refused() -> None:
    """Given back, it would only be redirected there again."""
    answers = Answers([0.0001, -9])
    assert await paced(answers).ask("b.example")
    assert answers.asked == [("b.example", "p")] * 2
    assert await paced(Answers([30.0])).ask("b.example")
    answers = Answers([-9])
    assert await paced(answers).ask("a.example:8080")
    assert answers.asked == [("a.example:8080", "p")]


async def test_without_redis_the_visit_is_given_back() -> None:
    """The settlement says what is wrong."""
    assert not await paced(Answers(is_away=True)).ask("a.example")


async def test_an_outage_of_redis_does_not_cost_the_page_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is released without blame; the settlement repeats what was to be reported early."""
    for name in ("LONGEST_S", "ELSEWHERE_S", "EARLY_S"):
        monkeypatch.setattr(module, name, 0.01)
    visit = paced(Answers(hangs=True))
    async with asyncio.timeout(5):
        assert not await visit.ask("a.example")
        assert await visit.ask("b.example")
        await visit.answered(OWN, 429, {"retry-after": "9"})
        hops = ("https://a.example/1", "https://a.example/2")
        page = RenderedPage("https://a.example/3", 200, {}, "text/html", redirects=hops)
        await visit.count_redirects(page)


async def test_a_refusal_is_obeyed_before_it_is_settled() -> None:
    """For as long as the site says, by the address that met it; other answers change nothing."""
    answers = Answers()
    visit = paced(answers)
    await visit.answered(OWN, 200, {"retry-after": "9"})
    await visit.answered(OWN, 429, {"retry-after": "9"})
    await visit.answered(OWN, 503, {"retry-after": "0"})
    assert answers.blocks == [("a.example", 9.0, "p")]
    await visit.answered(OWN, 429, {"retry-after": "soon"})
    assert answers.blocks[1][1] == 0.75


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://a.example/login?again", "a.example"),
        ("http://A.example:80/", "a.example"),
        ("http://a.example:8080/", "a.example"),
        ("https://www.a.example/", "a.example"),
        ("https://b.example/", "b.example"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("about:blank", "a.example"),
        ("http://a.example:99999/", "a.example"),
    ],
)
async def test_a_refusal_is_that_of_the_site_that_answered(url: str, site: str) -> None:
    """A redirect may lead to another one, which must not stop the visits to the site that it left.

    Another host of the site's domain must: the whole site may be redirected there.
    """
    answers = Answers()
    await paced(answers, lambda host: host.removeprefix("www.")).answered(url, 429, {"retry-after": "9"})
    assert answers.blocks == [(site, 9.0, "p")]


@pytest.mark.parametrize("headers", [{}, {"retry-after": "9"}])
async def test_the_settlement_has_the_delay_that_the_site_was_blocked_for(headers: dict[str, str]) -> None:
    """Computed apart, by two draws, the URL could come back while its site was still blocked."""
    answers = Answers()
    visit = paced(answers)
    await visit.answered(OWN, 429, headers)
    page = RenderedPage("http://a.example/1", 429, {"retry-after": "99"}, "text/html")
    assert visit.delay_s(page) == answers.blocks[0][1]


async def test_an_answer_that_nobody_told_of_is_read_from_the_page() -> None:
    """A document may be shown whose head was never reported, or another one than was reported last."""
    visit = paced(Answers())
    await visit.answered(OWN, 200, {})
    page = RenderedPage("http://a.example/1", 503, {"retry-after": "7"}, "text/html")
    assert visit.delay_s(page) == 7.0
    assert visit.delay_s(RenderedPage("http://a.example/1", 200, {}, "text/html")) is None


async def test_the_stations_of_a_redirect_within_tls_are_counted() -> None:
    """The slot's proxy sees those of plain HTTP, and the first of a tunnel, where they wait."""
    answers = Answers()
    hops = ("https://a.example/1", "https://a.example/2", "http://b.example/3")
    page = RenderedPage("https://c.example/4", 200, {}, "text/html", redirects=hops)
    await paced(answers).count_redirects(page)
    await paced(answers).count_redirects(RenderedPage("https://a.example/1", 200, {}, "text/html"))
    assert answers.counted == ["a.example", "c.example"]


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

    @property
    def notices(self) -> list[Notice]:
        """What was said to a person."""
        return [event for event in self.events if isinstance(event, Notice)]

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
    [notice] = bench.notices
    assert "site a throttled: 429 or 503 received; rate" in notice.text
    await bench.learn(429)
    assert len(bench.notices) == 1


async def test_a_long_block_is_told_once_with_its_end() -> None:
    """And again when the site has asked for as much more."""
    bench = Bench()
    for after_s in (30, 86_400, 86_405, 90_000):
        bench.store.blocked_until_s = bench.store.now_s + after_s
        await bench.learn(503)
    assert [one.text for one in bench.notices if "until" in one.text] == [
        "site a is not visited until 2026-03-02 00:00 UTC: it asked for that by Retry-After",
        "site a is not visited until 2026-03-02 01:00 UTC: it asked for that by Retry-After",
    ]


async def test_what_was_learnt_of_a_site_is_told() -> None:
    """Its limits, its latency beside that without load, and for how long it is blocked."""
    bench = Bench()
    bench.store.pace = Pace(4.0, baseline_ms=80.0, opened=999.0)
    bench.store.blocked_until_s = 1014.0
    await bench.learn(200, 3, latency_ms=120.0)
    [told] = [event for event in bench.events if isinstance(event, PacesRead)]
    assert told.paces == (SitePace("a", 4, 0.0, 120.0, 80.0, 14.0, ""),)
    await bench.learner.learn()
    assert len([event for event in bench.events if isinstance(event, PacesRead)]) == 1


async def test_of_very_many_sites_only_some_are_told() -> None:
    """A reading is bounded, however many were visited since the last."""
    bench = Bench()
    for number in range(MOST_TOLD + 5):
        bench.learner.note(f"s{number}", bench.clock.now - 0.1, 200, 100.0)
    await bench.learner.learn()
    [told] = [event for event in bench.events if isinstance(event, PacesRead)]
    assert len(told.paces) == MOST_TOLD


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
    assert set(bench.learner._refused) == {("a", "p1")}, "of each pair that goes well nothing is kept"
    [notice] = bench.notices
    assert "site a by proxy p1 throttled: 429 or 503 received; rate" in notice.text
    assert "concurrency" not in notice.text


async def test_of_very_many_throttled_sites_only_some_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Which is said once; those that are counted go on being counted."""
    monkeypatch.setattr(module, "MOST_REFUSED", 2)
    bench = Bench()
    for _ in range(2):
        for site in ("a", "b", "c", "d"):
            bench.learner.note(site, bench.clock.now - 0.1, 429, 100.0)
            await bench.learner.learn()
    assert bench.learner.throttled.keys() == {"a", "b"}
    assert bench.learner.throttled["a"] > 1
    assert len([one for one in caplog.messages if "not counted in summary.json" in one]) == 1


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
