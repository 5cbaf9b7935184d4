"""The live view as lines of text."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from farm.model.crawl import Ledger, Stats
from farm.model.egress import ProxyUse
from farm.model.event import (
    AdmissionSet,
    Fate,
    MemoryRead,
    Notice,
    Phase,
    ProxiesRead,
    Reclaimed,
    RedisAway,
    RedisBack,
    SinkAway,
    SinkBack,
    Skipped,
    SlotPhase,
    VisitFailed,
)
from farm.monitor.browse import Browsing, ViewPage
from farm.monitor.screen import frame
from farm.monitor.snapshot import NodeView, SiteView, Snapshot
from farm.monitor.tables import DeadRow
from farm.monitor.tally import Tally
from farm.monitor.views import Screen, progress_line

from .simulated import simulated

SIZES = [
    (80, 24),
    (100, 30),
    (120, 40),
    (124, 28),
    (160, 50),
    (250, 80),
    (60, 15),
    (40, 10),
    (20, 5),
    (5, 2),
    (1, 1),
]


def drawn(snapshot: Snapshot, width: int, height: int, title: str = "shop.example") -> list[str]:
    """Return the lines that a terminal of this size would show."""
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(Screen(snapshot, title), end="")
    return capture.get().split("\n")


@pytest.mark.parametrize("slots", [0, 1, 8, 40, 200])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_view_is_never_larger_than_the_terminal(width: int, height: int, slots: int) -> None:
    """Not by a line, and not by a cell."""
    snapshot = simulated(slots, 12, sites=3).snapshot(112.0) if slots else Tally(0.0).snapshot(1.0)
    lines = drawn(snapshot, width, height)
    assert len(lines) <= height
    assert max(len(line) for line in lines) <= width


def test_a_view_of_eighty_by_twentyfour_has_everything() -> None:
    """The numbers, each context, the last errors, and how to stop."""
    lines = drawn(simulated(8, 60).snapshot(160.0), 80, 24)
    text = "\n".join(lines)
    assert lines[0].startswith(" farm  shop.example")
    assert "crawling" in lines[0]
    assert lines[0].endswith("1:00")
    for word in (
        "done",
        "dead",
        "queued",
        "leased",
        "delayed",
        "median",
        "of 6.0 GiB",
        "6 may work",
        "Held by    the memory budget: ",
        "skipped",
        "to go",
        "left at",
    ):
        assert word in text
    assert sum(line.startswith(" c") for line in lines) == 3
    assert "contexts on shop.example" in text
    assert "recent events" in text
    assert "Ctrl-C" in lines[-1]


def test_contexts_that_do_not_fit_have_a_sign_each_and_the_longest_visits_are_shown() -> None:
    """Oldest first, so that a row keeps its place while its visit lasts."""
    tally = Tally(0.0)
    for number in range(1, 41):
        phase = Phase.SETTLING if number <= 30 else Phase.IDLE
        url = f"https://shop.example/{number}" if number <= 30 else ""
        tally.fold(SlotPhase(100.0 - number, f"c{number}", phase, url))
    lines = drawn(tally.snapshot(100.0), 80, 24)
    at = next(index for index, line in enumerate(lines) if "contexts on" in line) + 1
    assert lines[at].strip() == "N navigating 0   S settling 30  C committing 0   . idle 10  w waiting 0"
    assert lines[at + 1].strip() == "SSSSSSSSSS SSSSSSSSSS SSSSSSSSSS .........."
    shown = [line.split()[0] for line in lines[at + 2 : at + 5]]
    assert shown == ["c30", "c29", "c28"]


def test_a_large_terminal_has_room_for_forty_contexts() -> None:
    """A row each, in the order of their numbers."""
    lines = drawn(simulated(40, 30).snapshot(130.0), 200, 70)
    rows = [line.split()[0] for line in lines if line.startswith(" c")]
    assert rows == [f"c{number}" for number in range(1, 41)]


PANELS = {
    "at once": (80, 24),
    "recent events": (80, 24),
    "pages a second": (120, 40),
    "banned for": (200, 60),
    "statuses and dead by reason": (120, 40),
    "where a page's time goes": (120, 40),
    "Skipped": (120, 40),
    "of base": (200, 60),
    "put off": (200, 60),
}


@pytest.mark.parametrize("word", PANELS)
def test_a_larger_terminal_shows_more(word: str) -> None:
    """From the size on that has room for it."""
    snapshot = simulated(40, 60, sites=3).snapshot(160.0)
    for size in ((80, 24), (120, 40), (200, 60)):
        assert (word in "\n".join(drawn(snapshot, *size))) == (size >= PANELS[word]), size


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50)])
def test_no_number_moves_another(width: int, height: int) -> None:
    """The words after the figures stand where they stood, whatever the figures are."""
    words = (
        "done",
        "dead",
        "queued",
        "leased",
        "delayed",
        "median",
        "p95",
        "retried",
        "Dead",
        "peak",
        "Held",
    )

    def places(snapshot: Snapshot) -> list[tuple[int, int]]:
        lines = drawn(snapshot, width, height)
        return [
            (row, line.index(word)) for word in words for row, line in enumerate(lines[:10]) if word in line
        ]

    calm = Snapshot(now=1.0, started=0.0)
    busy = replace(
        calm,
        now=90_000.0,
        stats=Stats(Ledger(9_999_999, 9_999_999, 999_999, 99_999, 9_999_999, 99_999), retried=999_999),
        pages_per_s=999.9,
        pages_per_s_overall=999.9,
        history=(5,) * 100,
        page_quantiles_ms=(59_999,) * 21,
        readings={MemoryRead: MemoryRead(1.0, (1 << 40) - 1, (1 << 40) - 1, 9)},
        memory_peak_bytes=1 << 30,
    )
    assert places(calm) == places(busy)
    assert {row for row, _ in places(calm)} >= {3, 4, 5, 6, 7, 9}


def test_with_several_sites_the_host_is_shown() -> None:
    """With one it stands in the title of the section, and the path has the room."""
    one = "\n".join(drawn(simulated(8, 20).snapshot(120.0), 80, 24))
    assert "shop.example/catalogue" not in one
    several = "\n".join(drawn(simulated(8, 20, sites=3).snapshot(120.0), 80, 24))
    assert re.search(r"shop\d.example/", several)


def test_errors_are_newest_first_and_a_site_cannot_write_on_the_screen() -> None:
    """A detail may hold anything, rich's own markup included."""
    tally = Tally(0.0)
    tally.fold(VisitFailed(61.0, "c1", "https://a.example/x", "timeout", "[bold]first[/bold]", Fate.RETRY))
    tally.fold(VisitFailed(62.0, "c1", "https://a.example/x", "network", "second\n\x1b[2J", Fate.DEAD))
    tally.fold(VisitFailed(63.0, "c1", "https://a.example/x", "released", "drain", Fate.RELEASED))
    tally.fold(Notice(64.0, "error", "third\r"))
    tally.fold(Notice(65.0, "info", "draining: 3 pages under way"))
    lines = drawn(tally.snapshot(70.0), 100, 24)
    at = next(index for index, line in enumerate(lines) if "recent events" in line) + 1
    assert [line.split()[:2] for line in lines[at : at + 4]] == [
        ["1:05", "info"],
        ["1:04", "error"],
        ["1:02", "dead"],
        ["1:01", "retry"],
    ]
    assert "[bold]first[/bold]" in lines[at + 3]
    assert "\x1b[2J" not in "".join(lines)
    assert lines[-1] == " draining: 3 pages under way"


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    """Every character is ASCII."""
    title = "shop.example · crawls/shop.example"
    lines = frame(simulated(40, 30).snapshot(130.0), 80, 24, title, unicode=False)
    assert "".join(line.plain for line in lines).isascii()


def test_a_drain_and_an_end_are_said_in_the_header() -> None:
    """By the state of the crawl."""
    calm = Snapshot(now=1.0, started=0.0)
    assert "draining" in drawn(replace(calm, stats=Stats(state="draining")), 80, 24)[0]
    assert "finished" in drawn(replace(calm, stats=Stats(state="finished")), 80, 24)[0]
    assert "none so far" in "\n".join(drawn(calm, 80, 24))


def test_a_title_that_is_too_long_is_cut() -> None:
    """State and time stay."""
    line = drawn(Snapshot(now=1.0, started=0.0), 60, 24, "x" * 200)[0]
    assert line.endswith("0:01")
    assert "…" in line


def test_the_view_says_that_redis_is_away() -> None:
    """At the place of the crawl's state, which nobody knows then; and that it is back."""
    tally = simulated(8, 60)
    tally.fold(RedisAway(158.0, 150.0, "Redis at here is away"))
    lines = drawn(tally.snapshot(160.0), 80, 24)
    assert "Redis away for 10s, leasing paused" in lines[0]
    assert any("Redis at here is away" in line for line in lines)
    tally.fold(RedisBack(161.0, "Redis is back after 11 s"))
    lines = drawn(tally.snapshot(162.0), 80, 24)
    assert "crawling" in lines[0]
    assert "Redis is back after 11 s" in lines[-1]


def test_the_view_and_the_progress_say_which_sink_is_waited_for() -> None:
    """Since when, until it takes records again."""
    tally = simulated(8, 60)
    tally.fold(SinkAway(158.0, 148.0, "postgresql://db/shop", ""))
    said = "waiting for postgresql://db/shop since 12s"
    assert said in drawn(tally.snapshot(160.0), 80, 24)[0]
    assert said in progress_line(tally.snapshot(160.0))
    tally.fold(SinkBack(161.0, "postgresql://db/shop", 13.0))
    assert "waiting for" not in drawn(tally.snapshot(162.0), 80, 24)[0]
    assert "waiting for" not in progress_line(tally.snapshot(162.0))


def test_no_text_from_outside_moves_the_cursor() -> None:
    """Sites, proxies and whoever wrote to Redis may say anything."""
    evil = "[bold red]x[/]\x1b[2J\x1b]0;t\x07\x9b\u202e\u200f\n\r\x00\ud800"
    tally = Tally(0.0)
    tally.fold(SlotPhase(1.0, "01", Phase.NAVIGATING, f"https://a.example/{evil}"))
    tally.fold(VisitFailed(1.0, "01", f"https://a.example/{evil}", "network", evil, Fate.DEAD))
    tally.fold(Notice(1.0, "warning", evil))
    tally.fold(Notice(1.0, "info", evil))
    snapshot = tally.snapshot(2.0)
    readings = {
        **snapshot.readings,
        Skipped: Skipped(1.0, {evil: 1}),
        Reclaimed: Reclaimed(1.0, evil, evil, evil, 5),
        AdmissionSet: AdmissionSet(1.0, 0, evil),
        ProxiesRead: ProxiesRead(1.0, {evil: 1}, (ProxyUse(evil, evil),)),
    }
    snapshot = replace(
        snapshot,
        stats=Stats(Ledger(accepted=2, queued=2), dead_by_reason={evil: 1}, state=evil),
        readings=readings,
        sites=(SiteView(evil, blocked_until=9.0),),
        phase_ms={evil: 5.0},
        node_views=(NodeView(evil, evil, last_reclaim=evil, binding=evil, contexts=4),),
    )
    letters = (DeadRow(evil, evil, evil, 3, evil, evil),)
    places = [
        None,
        *(Browsing(page, pattern=evil[:14]) for page in ViewPage),
        Browsing(ViewPage.DEAD, is_typing=True),
    ]
    places += [Browsing(page, is_open=True) for page in ViewPage]
    sizes = (*SIZES, (300, 100))
    for width, height in sizes:
        for place in places:
            lines = frame(snapshot, width, height, f"x{evil}", place, letters)
            assert all(line.plain.isprintable() for line in lines)
            assert all(line.cell_len <= width for line in lines)
            styles = {str(span.style) for line in lines for span in line.spans}
            assert "bold red" not in styles or "[bold red]" in "".join(line.plain for line in lines)
