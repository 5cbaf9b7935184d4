"""How far a crawl is, and when it would end."""

import pytest

from farm.model.crawl import Ledger, Stats
from farm.model.event import StatsRead
from farm.monitor.progress import SPAN_S, Progress, ProgressMeter, eta
from farm.monitor.tally import Tally


def stats(queued: int, done: int = 0, dead: int = 0, rendered: int = 0) -> Stats:
    """Return the numbers of a crawl."""
    return Stats(Ledger(queued + done + dead, queued, 0, 0, done, dead), rendered=rendered)


def test_rates_are_those_of_the_last_minute() -> None:
    """Of the whole crawl: what other nodes settle counts."""
    meter = ProgressMeter()
    for second in range(300):
        done = second if second < 200 else 200 + 4 * (second - 200)
        meter.note(float(second), Ledger(1000 + 2 * second, 0, 0, 0, done, 0))
    read = meter.read()
    assert read.settled_per_s == pytest.approx(4.0)
    assert read.accepted_per_s == pytest.approx(2.0)
    assert read.over_s == SPAN_S


def test_the_first_seconds_say_nothing() -> None:
    """A rate of two readings would be a guess."""
    meter = ProgressMeter()
    assert meter.read() == Progress()
    meter.note(0.0, Ledger(done=0))
    meter.note(2.0, Ledger(done=8))
    assert eta(meter.read(), stats(100)) == ("end not known yet", "100 left")


def test_it_is_said_how_the_end_was_reckoned() -> None:
    """What is left, and how fast it becomes less."""
    assert eta(Progress(8.0, 0.0, 60.0), stats(4800)) == (
        "10m00s to go",
        "4,800 left at 8.0/s (last 1m00s)",
    )


def test_new_links_make_it_a_lower_bound() -> None:
    """Nobody knows how many pages there are."""
    words, how = eta(Progress(8.0, 3.0, 60.0), stats(4800))
    assert words == "at least 10m00s to go"
    assert how.endswith(", 3.0/s more found")


def test_a_limit_of_pages_is_the_end() -> None:
    """Whatever is found meanwhile."""
    words, how = eta(Progress(8.0, 3.0, 60.0, limit=1000), stats(4800, rendered=920))
    assert (words, how) == ("10s to go", "80 left at 8.0/s (last 1m00s), up to --limit")


def test_without_anything_left_there_is_nothing_to_say() -> None:
    """And where nothing moves there is no end."""
    assert eta(Progress(8.0, 0.0, 60.0), stats(0, 10)) == ("", "")
    assert eta(Progress(0.0, 0.0, 30.0), stats(5))[0] == "no end in sight"


def test_a_crawl_that_is_paused_has_no_time_to_go() -> None:
    """Its rate is of before."""
    paused = Stats(Ledger(accepted=9, queued=5, done=4), state="paused")
    assert eta(Progress(8.0, 0.0, 60.0), paused) == ("", "5 left")


def test_the_snapshot_has_it() -> None:
    """By the readings of the crawl's numbers, with the run's limit."""
    tally = Tally(0.0, limit=7)
    for second in range(20):
        tally.fold(StatsRead(float(second), stats(100, done=3 * second)))
    assert tally.snapshot(20.0).progress == Progress(3.0, 3.0, 19.0, 7)


def test_a_run_without_a_limit_has_all_that_is_open_to_do() -> None:
    """The option's default is 0."""
    assert Progress(8.0, 0.0, 60.0, limit=0).left(stats(4800)) == 4800
