"""What nodes publish of themselves, and a view of all of them that is made of it."""

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.model.crawl import Ledger, NodeSeen, SitePace, Stats
from farm.model.egress import ProxyBytes, ProxyUse
from farm.model.event import (
    AdmissionSet,
    Ending,
    Fate,
    LoopLagRead,
    MemoryRead,
    Notice,
    PacesRead,
    PageDone,
    Phase,
    ProcessorRead,
    ProxiesRead,
    Reclaimed,
    Skipped,
    SlotPhase,
    VisitFailed,
)
from farm.monitor.browse import Browsing, ViewPage
from farm.monitor.published import ReportPublisher, encoded
from farm.monitor.screen import frame
from farm.monitor.snapshot import Snapshot
from farm.monitor.tally import Tally
from farm.monitor.whole import WholeCrawl, decoded
from tests.clock import ManualClock

from .simulated import simulated

URL = "https://shop.example/x"
STATS = Stats(Ledger(accepted=9, queued=3, leased=2, done=4))
NODES = [NodeSeen("a", "running", 2, 0.5), NodeSeen("b", "draining", 1, 0.5), NodeSeen("c", "lost", 4, 30.0)]
Values = Callable[[Snapshot], object]


def node(at: float, *, pages: int, used: int, site: str = "shop.example") -> Tally:
    """Return what a node has done whose clock began at this time."""
    tally = Tally(at)
    for number in range(pages):
        tally.fold(
            PageDone(at + number, "1", f"https://{site}/{number}", 200, 100 * pages, 1000, settled=True)
        )
    for event in (
        PacesRead(at + 1, (SitePace(site, 4, 0.0, 200.0, 100.0, 20.0, "refused"),)),
        SlotPhase(at + 5, "1", Phase.SETTLING, f"https://{site}/y"),
        MemoryRead(at + 5, used, 1000, 3),
        AdmissionSet(at + 5, 1, "memory"),
        Reclaimed(at + 5, "recycle", "context 1", "band", 7),
        LoopLagRead(at + 5, used / 1e4, 0.0, 0.0),
        Skipped(at + 5, {"robots": pages}),
        VisitFailed(at + 6, "1", URL, "timeout", "no answer", Fate.RETRY),
        Notice(at + 6, "warning", "disk is nearly full"),
        ProxiesRead(at + 6, {"available": 1}, (ProxyUse("p", score=1 / pages, slots=2),)),
    ):
        tally.fold(event)
    return tally


def whole(now: float, **tallies: Tally) -> Snapshot:
    """Return the view of these nodes at a time of the viewer's clock, each ten seconds after it began."""
    crawl = WholeCrawl(now - 3)
    reports = {name: encoded(tally.snapshot(tally._started + 10)) for name, tally in tallies.items()}
    crawl.note(now, STATS, ProxyBytes(5, 9), NODES, reports, state="running")
    return crawl.snapshot(now)


def test_a_report_brings_over_what_a_node_knows() -> None:
    """With its times as of the reader's clock."""
    before = node(1000.0, pages=4, used=300).snapshot(1010.0)
    after = decoded(encoded(before), 50.0)
    assert after is not None
    assert after.now == 50.0
    assert after.elapsed_s == before.elapsed_s
    assert (after.slots[0].since, after.sites[0].blocked_until) == (45.0, 61.0)
    assert (after.failures[0].at, after.notices[0].at) == (46.0, 46.0)
    assert after.last(Reclaimed) == Reclaimed(45.0, "recycle", "context 1", "band", 7)
    same: list[Values] = [
        lambda one: (one.pages_done, one.codes, one.phases, one.history, one.page_quantiles_ms),
        lambda one: (one.sites[0].pages, one.sites[0].limit, one.relieved, one.skipped),
        lambda one: [(proxy.label, proxy.slots) for proxy in one.readings[ProxiesRead].proxies],  # type: ignore[attr-defined]
    ]
    for values in same:
        assert values(after) == values(before)


def test_several_nodes_are_one() -> None:
    """Counts are summed, of extremes the worst one is there, contexts and messages have their node's name."""
    one, other = node(1000.0, pages=4, used=300), node(77.0, pages=2, used=500)
    snapshot = whole(200.0, a=one, b=other)
    assert snapshot.stats == STATS
    assert snapshot.pages_done == 6
    assert snapshot.bytes_per_s == pytest.approx(600.0)
    assert (snapshot.memory.used_bytes, snapshot.memory.budget_bytes, snapshot.memory.processes) == (
        800,
        2000,
        6,
    )
    assert (snapshot.admission.limit, snapshot.admission.binding) == (2, "memory")
    assert snapshot.loop_lag.recent_s == 0.05
    assert snapshot.skipped == {"robots": 6}
    assert [slot.name for slot in snapshot.slots] == ["a/1", "b/1"]
    [site] = snapshot.sites
    assert (site.pages, site.failed, site.in_flight, site.limit) == (6, 2, 2, 4)
    assert snapshot.single_site == "shop.example"
    assert {notice.text for notice in snapshot.notices} == {
        "a: disk is nearly full",
        "b: disk is nearly full",
    }
    [proxy] = snapshot.readings[ProxiesRead].proxies  # type: ignore[attr-defined]
    assert (proxy.slots, proxy.score) == (4, 0.25)
    assert snapshot.proxied == ProxyBytes(5, 9)
    assert sum(snapshot.history) == 6
    assert 200 <= snapshot.page_ms_p50 <= 400


def test_each_node_has_a_row_with_its_memory_and_its_last_reclaim() -> None:
    """One that has published nothing is there all the same."""
    views = whole(200.0, a=node(1000.0, pages=4, used=300)).node_views
    first = views[0]
    assert (first.name, first.memory_used_bytes, first.memory_budget_bytes, first.at_work) == (
        "a",
        300,
        1000,
        1,
    )
    assert (first.last_reclaim, first.reclaimed_s, first.binding) == ("recycle gave 7 B", 5.0, "memory")
    assert [(one.name, one.state, one.contexts) for one in views[1:]] == [
        ("b", "draining", 1),
        ("c", "lost", 4),
    ]


def test_the_crawl_ends_once_every_node_does() -> None:
    """One that leaves is a node's matter."""
    one, other = node(10.0, pages=1, used=1), node(20.0, pages=1, used=1)
    one.fold(Ending(19.0, "sigint"))
    assert not whole(200.0, a=one, b=other).is_ending
    other.fold(Ending(29.0, "sigint"))
    assert whole(200.0, a=one, b=other).is_ending


def test_a_report_that_has_not_changed_gets_older() -> None:
    """Its node's clock is not the reader's: what is not news must not look as if it were."""
    crawl, report = WholeCrawl(0.0), encoded(node(1000.0, pages=1, used=1).snapshot(1010.0))
    crawl.note(50.0, STATS, ProxyBytes(), NODES, {"a": report}, state="running")
    crawl.note(60.0, STATS, ProxyBytes(), NODES, {"a": report}, state="running")
    assert crawl.snapshot(60.0).slots[0].since == 45.0


def test_what_nodes_came_to_stays_when_all_have_ended() -> None:
    """Their sites, statuses and events; nothing that is of a node at work."""
    crawl, report = WholeCrawl(0.0), encoded(node(1000.0, pages=4, used=300).snapshot(1010.0))
    crawl.note(50.0, STATS, ProxyBytes(), NODES, {"a": report}, state="running")
    crawl.note(60.0, STATS, ProxyBytes(), (), {}, state="finished")
    snapshot = crawl.snapshot(60.0)
    assert (snapshot.slots, snapshot.pages_per_s, snapshot.memory.used_bytes) == ((), 0.0, 0)
    assert (snapshot.codes, snapshot.sites[0].pages, len(snapshot.failures)) == ({200: 4}, 4, 1)


def test_an_outage_is_said_until_it_is_over() -> None:
    """Since when nothing was heard."""
    crawl = WholeCrawl(0.0)
    crawl.away(5.0)
    crawl.away(9.0)
    assert crawl.snapshot(10.0).away_since == 5.0
    crawl.note(11.0, STATS, ProxyBytes(), (), {}, state="paused")
    assert crawl.snapshot(11.0).away_since is None
    assert crawl.snapshot(11.0).stats.state == "paused"


def test_reports_are_bounded() -> None:
    """However many contexts and sites a node has, and however long its texts are."""
    tally = simulated(300, 20, sites=400)
    for number in range(500):
        tally.fold(VisitFailed(119.0, "c1", f"{URL}{'y' * 9000}", "x" * 9000, "\x1b[2J" * 9000, Fate.DEAD))
        tally.fold(Notice(119.0, "info", "z" * 9000))
        tally.fold(Skipped(119.0, {f"{number}{one}": 1 for one in range(500)}))
    report = encoded(tally.snapshot(120.0))
    assert len(report) < 1 << 17
    assert b"\\u001b" not in report
    assert decoded(report, 5.0) is not None


GOOD = encoded(node(1000.0, pages=2, used=300).snapshot(1010.0))


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"now":NaN,"started":0}',
        b'{"now":1e999,"started":0}',
        b'{"now":"1","started":0}',
        GOOD.replace(b'"now":1010.0', b'"now":-1e308'),
        GOOD.replace(b'"settling"', b'"dancing"'),
        GOOD.replace(b'"used_bytes":300', b'"used_bytes":null'),
        GOOD.replace(b'"pages_done":2', b'"pages_done":2.5'),
        b"\xff" + GOOD,
    ],
)
def test_what_no_node_has_written_is_left_out(report: bytes) -> None:
    """Whatever stands in Redis in its place."""
    assert decoded(report, 1.0) is None


NUMBERS = st.one_of(st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=40)
@given(data=st.data())
def test_whatever_numbers_a_report_has_it_can_be_drawn(data: st.DataObject) -> None:
    """They may be anything that has the form; the view must live with it."""

    def changed(value: object) -> object:
        match value:
            case bool() | None | str():
                return value
            case int():
                return data.draw(st.integers(-(10**18), 10**18)) if data.draw(st.booleans()) else value
            case float():
                return data.draw(NUMBERS) if data.draw(st.booleans()) else value
            case list():
                return [changed(one) for one in value]
            case dict():
                return {name: changed(one) for name, one in value.items()}
        return value

    snapshot = decoded(orjson.dumps(changed(orjson.loads(GOOD))), 7.0)
    if snapshot is None:
        return
    crawl = WholeCrawl(0.0)
    crawl.note(7.0, STATS, ProxyBytes(), NODES, {}, state="running")
    shown = replace(snapshot, node_views=crawl.snapshot(7.0).node_views)
    for place in (None, Browsing(ViewPage.SITES), Browsing(ViewPage.PROXIES, is_open=True)):
        assert all(line.plain.isprintable() for line in frame(shown, 160, 50, "x", place))


async def test_a_node_publishes_its_snapshot_while_somebody_looks_and_hears_what_is_wanted() -> None:
    """A number of contexts once it is asked for, and nothing otherwise."""
    told: list[tuple[str, bytes]] = []
    wanted: list[int] = []
    answers: list[int | None] = [None, 3, 4]
    looks = [True, True, False]

    class Store:
        async def is_watched(self) -> bool:
            return looks.pop(0)

        async def publish(self, name: str, report: bytes) -> None:
            told.append((name, report))

        async def wanted(self, name: str) -> int | None:
            assert name == "a"
            return answers.pop(0)

    clock = ManualClock(1010.0)
    publisher = ReportPublisher("a", node(1000.0, pages=2, used=300).snapshot, Store(), wanted.append, clock)
    await publisher.publish()
    assert wanted == []
    await publisher.publish()
    assert wanted == [3]
    await publisher.publish()
    assert wanted == [3, 4]
    assert told == [("a", GOOD), ("a", GOOD)]


def test_a_reading_of_a_kind_that_is_new_comes_over_by_itself() -> None:
    """Of several nodes the busiest one, where nothing else was said of its kind the newest."""
    one, other = node(10.0, pages=1, used=1), node(20.0, pages=1, used=1)
    one.fold(ProcessorRead(11.0, 0.9))
    other.fold(ProcessorRead(21.0, 0.2))
    assert whole(200.0, a=one, b=other).last(ProcessorRead) == ProcessorRead(191.0, 0.9)
