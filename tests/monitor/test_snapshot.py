"""Events folded to numbers."""

import threading

import pytest

from farm.model.crawl import Ledger, Stats
from farm.model.event import (
    AdmissionSet,
    Committed,
    Emit,
    Fate,
    MemoryRead,
    Notice,
    PageDone,
    Phase,
    ProcessorRead,
    Reclaimed,
    Recycled,
    RedisAway,
    RedisBack,
    Skipped,
    SlotPhase,
    StatsRead,
    VisitFailed,
)
from farm.model.record import Batch, Record
from farm.monitor.snapshot import SlotView, Snapshot
from farm.monitor.tally import MOST_CODES, Tally

URL = "https://shop.example/a"


def done(at: float, total_ms: int = 500, url: str = URL) -> PageDone:
    """Return a page that is done."""
    return PageDone(at, "c1", url, 200, total_ms, 1000, settled=True)


def test_nothing_has_happened_at_the_start() -> None:
    """And that is no error."""
    assert Tally(5.0).snapshot(5.0) == Snapshot(now=5.0, started=5.0)


def test_fold_is_what_the_rooms_emit_to() -> None:
    """It is the port's type."""
    emit: Emit = Tally(0.0).fold
    emit(Notice(0.0, "info", "hello"))


def test_a_slot_is_shown_with_what_it_does_and_since_when() -> None:
    """The visit goes on through its phases; another address begins another."""
    tally = Tally(0.0)
    tally.fold(SlotPhase(1.0, "c1", Phase.NAVIGATING, URL))
    tally.fold(SlotPhase(2.0, "c1", Phase.SETTLING, URL))
    assert tally.snapshot(3.0).slots == (SlotView("c1", Phase.SETTLING, 2.0, URL, 1.0),)
    tally.fold(SlotPhase(3.0, "c1", Phase.SETTLING, URL))
    assert tally.snapshot(3.0).slots == (SlotView("c1", Phase.SETTLING, 2.0, URL, 1.0),)
    tally.fold(SlotPhase(4.0, "c1", Phase.NAVIGATING, URL + "b"))
    tally.fold(SlotPhase(5.0, "c2", Phase.IDLE))
    snapshot = tally.snapshot(6.0)
    assert snapshot.slots[0].url_since == 4.0
    assert snapshot.at_work == 1
    assert snapshot.phases == {Phase.IDLE: 1, Phase.NAVIGATING: 1}


def test_slots_are_in_the_order_of_their_numbers() -> None:
    """Whatever the order in which they spoke first."""
    tally = Tally(0.0)
    for name in ("n1/c10", "n1/c2", "n1/c1", "x"):
        tally.fold(SlotPhase(0.0, name, Phase.WAITING))
    assert [slot.name for slot in tally.snapshot(1.0).slots] == ["n1/c1", "n1/c2", "n1/c10", "x"]


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    """In whole bins, so that it moves every two seconds and not with every page."""
    tally = Tally(100.0)
    for tenth in range(600):
        if tenth % 5 == 0:
            tally.fold(done(100.0 + tenth / 10))
    snapshot = tally.snapshot(160.0)
    assert snapshot.pages_done == 120
    assert snapshot.pages_per_s == pytest.approx(2.0)
    assert snapshot.pages_per_s_overall == pytest.approx(2.0)
    assert snapshot.history == (4,) * 30
    assert snapshot.bytes_per_s == pytest.approx(2000.0)
    assert tally.snapshot(166.0).pages_per_s == pytest.approx(0.8)
    later = tally.snapshot(170.0)
    assert (later.pages_per_s, later.bytes_per_s) == (0.0, 0.0)
    assert later.pages_per_s_overall == pytest.approx(120 / 70)
    assert later.history[-5:] == (0,) * 5


def test_the_first_page_is_timed() -> None:
    """From the start of the run, its browsers' included."""
    tally = Tally(100.0)
    assert tally.snapshot(105.0).first_page_s == 0
    for at in (107.5, 109.0):
        tally.fold(done(at))
    assert tally.snapshot(110.0).first_page_s == 7.5


def test_before_the_first_bin_is_whole_the_rate_is_the_overall_one() -> None:
    """A crawl of one second has a rate too."""
    tally = Tally(0.0)
    tally.fold(done(0.5))
    assert tally.snapshot(1.0).pages_per_s == pytest.approx(1.0)


def test_memory_is_bounded_however_long_the_crawl_is() -> None:
    """A pause of a year included."""
    tally = Tally(0.0)
    for number in range(3000):
        tally.fold(done(float(number), number))
        tally.fold(VisitFailed(float(number), "c1", URL, "timeout", "", Fate.RETRY))
        tally.fold(Notice(float(number), "info", "x"))
    snapshot = tally.snapshot(365 * 86_400.0)
    assert len(snapshot.history) == 240
    assert len(snapshot.failures) == 50
    assert len(snapshot.notices) == 20
    assert snapshot.visits_failed == 3000
    assert (snapshot.page_ms_p50, snapshot.page_ms_p95) == (2500, 2950)


def test_readings_are_kept_as_they_come() -> None:
    """The last counts, and the highest memory."""
    tally = Tally(0.0)
    stats = Stats(Ledger(accepted=2, queued=1, done=1), rendered=1)
    for event in (
        MemoryRead(1.0, 300, 1000, 4),
        MemoryRead(2.0, 200, 1000, 3),
        StatsRead(2.0, stats),
        AdmissionSet(2.0, 3, "memory"),
        Recycled(2.0, "context", "c1", "pages", 10),
        Recycled(2.0, "engine", "e1", "crash", 10),
        Recycled(2.0, "context", "c1", "site", 10),
        Skipped(2.0, {"robots": 2}),
        Skipped(2.0, {"depth": 5, "robots": 3}),
        VisitFailed(2.0, "c1", URL, "released", "drain", Fate.RELEASED),
        done(2.0),
    ):
        tally.fold(event)
    snapshot = tally.snapshot(3.0)
    assert (snapshot.memory.used_bytes, snapshot.memory.budget_bytes, snapshot.memory_peak_bytes) == (
        200,
        1000,
        300,
    )
    assert snapshot.memory.processes == 3
    assert snapshot.stats == stats
    assert (snapshot.admission.limit, snapshot.admission.binding) == (3, "memory")
    assert snapshot.recycled == {"context": 2, "engine": 1}
    assert list(snapshot.skipped.items()) == [("depth", 5), ("robots", 3)]
    assert snapshot.visits_failed == 0
    assert snapshot.bytes_received == 1000


def test_a_site_is_single_until_there_is_a_second() -> None:
    """And never again after that."""
    tally = Tally(0.0)
    assert tally.snapshot(0.0).single_site is None
    tally.fold(SlotPhase(0.0, "c1", Phase.NAVIGATING, "https://a.example/x"))
    tally.fold(SlotPhase(0.0, "c2", Phase.NAVIGATING, "https://a.example/y"))
    assert tally.snapshot(0.0).single_site == "a.example"
    tally.fold(SlotPhase(0.0, "c1", Phase.NAVIGATING, "https://b.example/x"))
    tally.fold(SlotPhase(0.0, "c1", Phase.NAVIGATING, "https://a.example/x"))
    assert tally.snapshot(0.0).single_site is None


def test_snapshots_may_be_taken_while_events_come_in() -> None:
    """The view has a thread of its own."""
    tally = Tally(0.0)
    ended = threading.Event()

    def fold() -> None:
        for number in range(5000):
            tally.fold(done(number / 100))
            tally.fold(SlotPhase(number / 100, f"c{number % 50}", Phase.SETTLING, URL))
            tally.fold(Skipped(0.0, {f"reason {number % 70}": 1}))
        ended.set()

    thread = threading.Thread(target=fold)
    thread.start()
    while not ended.is_set():
        tally.snapshot(50.0)
    thread.join()
    assert tally.snapshot(50.0).pages_done == 5000


def test_an_outage_of_redis_lasts_until_it_is_back() -> None:
    """Since when is in the snapshot, and both ends are among the notices."""
    tally = Tally(0.0)
    tally.fold(RedisAway(5.0, 4.0, "Redis is away"))
    assert tally.snapshot(9.0).away_since == 4.0
    tally.fold(RedisBack(10.0, "Redis is back"))
    snapshot = tally.snapshot(11.0)
    assert snapshot.away_since is None
    assert [(one.level, one.text) for one in snapshot.notices] == [
        ("warning", "Redis is away"),
        ("info", "Redis is back"),
    ]


def test_a_new_kind_of_reading_is_in_the_snapshot_by_itself() -> None:
    """Nobody has to be told of it: the last one of each kind is there."""
    tally = Tally(0.0)
    assert tally.snapshot(1.0).last(ProcessorRead) is None
    tally.fold(ProcessorRead(1.0, 0.5))
    tally.fold(ProcessorRead(2.0, 0.75))
    tally.fold(Reclaimed(2.0, "kill", "renderer 7", "over its cap", 9))
    snapshot = tally.snapshot(3.0)
    assert snapshot.last(ProcessorRead) == ProcessorRead(2.0, 0.75)
    assert snapshot.last(Reclaimed) == Reclaimed(2.0, "kill", "renderer 7", "over its cap", 9)


def test_the_phases_of_pages_are_those_of_their_records() -> None:
    """The mean of about the last twenty, whichever process made the record."""
    tally = Tally(0.0)
    for took_ms in (100, 100, 300):
        timings = {"navigate": took_ms, "settle": 50}
        tally.fold(Committed(1.0, Batch((Record("i", URL, {"timings_ms": timings}),), ())))
    phase_ms = tally.snapshot(1.0).phase_ms
    assert phase_ms == {"navigate": pytest.approx(110.0), "settle": pytest.approx(50.0)}


def test_statuses_without_end_are_bounded() -> None:
    """A server may send any three digits."""
    tally = Tally(0.0)
    for status in range(100, 1000):
        tally.fold(PageDone(1.0, "c1", URL, status, 500, 1000, settled=True))
    assert len(tally.snapshot(1.0).codes) == MOST_CODES
