"""Traces of visits: a span with its phases, in bounded batches, and never at the cost of the crawl."""

import json
from typing import Any

import pytest

from farm.model.errors import NotDelivered
from farm.model.event import Fate, PageDone, Phase, SlotPhase, VisitFailed
from farm.monitor import traces
from farm.monitor.traces import Tracer
from tests.clock import ManualClock

URL = "http://a.example/1"


class Collector:
    """Takes batches; refuses them when the test says so."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.refuses = False
        self.tracer = Tracer({"service.name": "farm"}, self._take, ManualClock(100.0))

    async def _take(self, body: bytes) -> None:
        if self.refuses:
            raise NotDelivered("it answered 500")
        self.batches.append(json.loads(body))

    @property
    def spans(self) -> list[dict[str, Any]]:
        """All spans that were taken."""
        found = [one["scopeSpans"][0]["spans"] for batch in self.batches for one in batch["resourceSpans"]]
        return [span for spans in found for span in spans]


def _facts(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def _visit(collector: Collector, slot: str = "01", url: str = URL, at: float = 100.0) -> None:
    for phase, begun in ((Phase.NAVIGATING, at), (Phase.SETTLING, at + 0.25), (Phase.COMMITTING, at + 0.75)):
        collector.tracer.fold(SlotPhase(begun, slot, phase, url))
    collector.tracer.fold(PageDone(at + 1.0, slot, url, 200, 1000, 5, True))


async def test_a_visit_is_a_span_with_its_phases() -> None:
    """Of one trace, each from where the one before has ended."""
    collector = Collector()
    _visit(collector)
    await collector.tracer.flush(5.0)
    root, *phases = collector.spans
    assert root["name"] == "visit"
    assert _facts(root) == {
        "url.full": URL,
        "farm.slot": "01",
        "http.response.status_code": "200",
        "farm.bytes_received": "5",
        "farm.settled": True,
    }
    assert [span["name"] for span in phases] == ["navigating", "settling", "committing"]
    assert {span["traceId"] for span in phases} == {root["traceId"]}
    assert {span["parentSpanId"] for span in phases} == {root["spanId"]}
    begun = int(root["startTimeUnixNano"])
    took = [(int(span["startTimeUnixNano"]) - begun, int(span["endTimeUnixNano"]) - begun) for span in phases]
    assert took == [(0, 250_000_000), (250_000_000, 750_000_000), (750_000_000, 1_000_000_000)]
    assert begun == round(ManualClock().wall().timestamp()) * 10**9
    assert len({span["spanId"] for span in collector.spans}) == 4
    assert collector.batches[0]["resourceSpans"][0]["resource"]["attributes"][0]["value"] == {
        "stringValue": "farm"
    }


async def test_a_visit_that_failed_says_why() -> None:
    """What a slot did before for another URL is none of it."""
    collector = Collector()
    collector.tracer.fold(SlotPhase(90.0, "01", Phase.NAVIGATING, "http://a.example/other"))
    collector.tracer.fold(SlotPhase(99.0, "01", Phase.NAVIGATING, URL))
    collector.tracer.fold(VisitFailed(100.0, "01", URL, "timeout", "no answer", Fate.RETRY, 1000))
    await collector.tracer.flush(5.0)
    root, phase = collector.spans
    assert root["status"] == {"code": 2}
    assert (_facts(root)["error.type"], _facts(root)["farm.fate"]) == ("timeout", "retry")
    assert phase["name"] == "navigating"


async def test_what_is_not_taken_is_lost_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it; when it is taken again the next loss is said."""
    collector = Collector()
    collector.refuses = True
    for _ in range(3):
        _visit(collector)
        await collector.tracer.flush(5.0)
    assert collector.tracer.lost == 3
    assert [record.message for record in caplog.records if "traces are lost" in record.message] != []
    assert len(caplog.records) == 1
    collector.refuses = False
    _visit(collector)
    await collector.tracer.flush(5.0)
    assert len(collector.spans) == 4


async def test_what_waits_is_bounded_and_sent_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest stay."""
    monkeypatch.setattr(traces, "MOST_VISITS", 5)
    monkeypatch.setattr(traces, "AT_ONCE", 2)
    collector = Collector()
    for number in range(7):
        _visit(collector, url=f"http://a.example/{number}")
    await collector.tracer.flush(5.0)
    assert collector.tracer.lost == 2
    assert [len(batch["resourceSpans"][0]["scopeSpans"][0]["spans"]) for batch in collector.batches] == [
        8,
        8,
        4,
    ]
    roots = [_facts(span)["url.full"][-1] for span in collector.spans if span["name"] == "visit"]
    assert roots == ["0", "1", "2", "3", "4"]
