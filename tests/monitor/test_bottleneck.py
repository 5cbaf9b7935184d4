"""What the view says holds a crawl back."""

from dataclasses import replace

import pytest

from farm.model.crawl import Ledger, Stats
from farm.model.event import AdmissionSet, FlowRead, LoopLagRead, MemoryRead, Phase, ProcessorRead
from farm.monitor.bottleneck import bottleneck
from farm.monitor.snapshot import SiteView, SlotView, Snapshot

GIB = 1 << 30
QUEUED = Stats(Ledger(accepted=100, queued=60, leased=4, done=36))


def snapshot(stats: Stats = QUEUED, *readings: object, busy: int = 4, idle: int = 0) -> Snapshot:
    """Return a farm with so many contexts at work and without a page."""
    slots = [SlotView(f"b{number}", Phase.SETTLING, 0.0, "https://a.example/x") for number in range(busy)]
    slots += [SlotView(f"i{number}", Phase.IDLE, 0.0) for number in range(idle)]
    return Snapshot(100.0, 0.0, tuple(slots), stats, readings={type(one): one for one in readings})  # type: ignore[misc]


def site(**changes: object) -> tuple[SiteView, ...]:
    """Return the one site that is known."""
    return (replace(SiteView("shop.example", 2.0, 4, limit=8), **changes),)  # type: ignore[arg-type]


CASES = {
    "Redis: no answer for 12s, no page is leased": replace(snapshot(), away_since=88.0),
    "the sink s3://b: takes no records since 5s": replace(snapshot(), sinks_away={"s3://b": 95.0}),
    "the crawl is paused: no new page is taken": snapshot(replace(QUEUED, state="paused")),
    "nothing: every URL is settled": snapshot(Stats(Ledger(accepted=3, done=3))),
    "the memory budget: 5.0 GiB of 6.0 GiB, 3 of 4 contexts may work": snapshot(
        QUEUED, AdmissionSet(0.0, 3, "memory"), MemoryRead(0.0, 5 * GIB, 6 * GIB, 9)
    ),
    "the processor: 97 % busy, 3 of 4 contexts may work": snapshot(
        QUEUED, AdmissionSet(0.0, 3, "cpu"), ProcessorRead(0.0, 0.97)
    ),
    "the ramp-up: 1 of 4 contexts may work": snapshot(QUEUED, AdmissionSet(0.0, 1, "ramp")),
    "an empty queue: 1 under way, 2 wait for another try": snapshot(
        Stats(Ledger(accepted=9, leased=1, delayed=2, done=6)), busy=1, idle=3
    ),
    "the wait before another try: 2 URLs, none is queued": snapshot(
        Stats(Ledger(accepted=9, delayed=2, done=7)), busy=0, idle=4
    ),
    "the wait before another try: 1 URL, none is queued; shop.example is blocked for 23h58m": replace(
        snapshot(Stats(Ledger(accepted=9, delayed=1, done=8)), busy=0, idle=4),
        sites=site(blocked_until=86400.0),
    ),
    "site limit of shop.example: it answered 429 or 503, 14s left; 3 contexts wait": replace(
        snapshot(busy=1, idle=3), sites=site(blocked_until=114.2, rate=2.0)
    ),
    "site limit of shop.example: 4 of 4 at once since its latency rose; 3 contexts wait": replace(
        snapshot(busy=4, idle=3), sites=site(limit=4, verdict="slow")
    ),
    "site limit of shop.example: 2.5/s since it answered 429 or 503; 3 contexts wait": replace(
        snapshot(busy=1, idle=3), sites=site(rate=2.5, verdict="refused")
    ),
    "site limit of shop.example: it answered 429 or 503 9s ago; 3 contexts wait": replace(
        snapshot(busy=1, idle=3), sites=site(throttled=4, throttled_at=91.0)
    ),
    "site limit of shop.example: 8 of 8 at once; 1 context waits": replace(
        snapshot(busy=3, idle=1), sites=site(in_flight=8)
    ),
    "the sites' limits: of 60 queued URLs none may be leased; 3 contexts wait": replace(
        snapshot(busy=1, idle=3), sites=site()
    ),
    "the farm's own event loop: 240 ms late": snapshot(QUEUED, LoopLagRead(0.0, 0.24, 0.1, 0.3)),
    "the pages: 4 of 4 contexts at work, 1.2 s a page, most of it settle (75 %)": replace(
        snapshot(QUEUED, FlowRead(0.0, 3.3, 1.2, 4.0)),
        phase_ms={"navigate": 300.0, "settle": 900.0, "total": 1200.0},
    ),
    "not known yet": Snapshot(100.0, 0.0),
}


@pytest.mark.parametrize("words", CASES)
def test_what_binds_is_said_with_its_numbers(words: str) -> None:
    """Of several the one that a remedy would begin with."""
    assert bottleneck(CASES[words]) == words
