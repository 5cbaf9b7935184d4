"""A worker among fakes of its ports: what it settles, and what it leaves behind when it is stopped anywhere."""

import asyncio

import pytest

from farm.model.egress import EgressFailure, EgressFault
from farm.model.errors import (
    BrowserUnavailable,
    FarmError,
    FrontierRefused,
    FrontierUnavailable,
    OutputUnwritable,
    RenderError,
)
from farm.model.event import Committed, Fate, PageDone, Phase, SlotPhase, VisitFailed
from farm.model.outcome import Ack, Bury, FailureKind, RedirectOutcome, Release, Settled
from farm.model.page import PageError
from farm.runtime import worker as module
from farm.runtime.control import ExitReason
from tests.runtime.visit_fakes import DEADLINE_S, GIVEN_BACK, LINK, SITE, Bench, lease, page, worked
from tests.turns import turns


async def stopped_at(bench: Bench) -> asyncio.Task[None]:
    """Return the running worker once it has come to where it is stopped."""
    task = asyncio.create_task(bench.worker.run())
    async with asyncio.timeout(DEADLINE_S):
        await bench.steps.reached.wait()
    return task


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel it, and wait for its end."""
    task.cancel()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait([task])


async def test_pages_are_committed_before_they_are_acknowledged() -> None:
    """The next lease comes with the ack; at the end the worker ends the farm and lets go of all."""
    bench = await worked(Bench(lease("1"), lease("2")))
    assert bench.records == ["1", "2"]
    assert bench.frontier.settled == [("1", Ack((LINK,))), ("2", Ack((LINK,)))]
    assert bench.steps.made == ["lease", *2 * ["robots", "may_begin", "render", "commit", "ack"]]
    assert bench.control.reason is ExitReason.FINISHED
    assert (bench.held, bench.route.released) == (0, 1)
    assert [event.bytes_received for event in bench.events if isinstance(event, PageDone)] == [123, 123]
    assert [event.batch for event in bench.events if isinstance(event, Committed)] == bench.sink.batches
    assert isinstance(bench.events[-1], SlotPhase)
    assert bench.events[-1].phase is Phase.STOPPED


async def test_what_a_page_misses_is_told_by_the_cause_that_the_gateway_knows() -> None:
    """The browser knows no more than that its proxy did not connect; what a site answered stands as it is."""
    bench = Bench(lease("1"))
    bench.egress.found = EgressFailure(EgressFault.DNS, "cdn.example: no such name")
    errors = (
        PageError("request", "https://cdn.example/a.js", "net::ERR_TUNNEL_CONNECTION_FAILED", "script"),
        PageError("request", "https://cdn.example/b.js", "answered 404", "script"),
        PageError("console", "https://cdn.example/c.js", "net::ERR_FAILED, it says"),
    )
    bench.slot.pages = [page(errors=errors)]
    await worked(bench)
    [batch] = bench.sink.batches
    assert batch.records[0].fields["errors"] == [
        "dns: cdn.example: no such name",
        "answered 404",
        "net::ERR_FAILED, it says",
    ]


async def test_the_gateway_is_told_of_a_retry() -> None:
    """There it tries every host, whatever it remembers."""
    bench = await worked(Bench(lease("1"), lease("2", attempt=2)))
    assert bench.egress.retries == [False, True]


async def test_a_page_with_links_wakes_one_slot_that_has_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly every page has links: were all of them woken, each page would cost a request of every idle slot."""
    bench, called = Bench(lease("1"), lease("2")), list[str]()
    monkeypatch.setattr(bench.control, "notify_all", lambda: called.append("all"))
    monkeypatch.setattr(bench.control, "notify_one", lambda: called.append("one"))
    await worked(bench)
    # The first lease, two pages, and the end.
    assert called == ["one", "one", "one", "all"]


AWAITS = ["robots", "may_begin", "render", "commit", "ack", "extend_scope", "nack"]


@pytest.mark.parametrize("place", AWAITS)
async def test_a_cancelled_worker_gives_its_lease_back_once(place: str) -> None:
    """Wherever it waits: nothing is committed after that, and nothing twice."""
    bench = Bench(lease("1"), lease("2"), stop_at=place)
    bench.site.landing = RedirectOutcome(extension="b.example" if place == "extend_scope" else None)
    bench.slot.pages = [page(503)] if place == "nack" else []
    task = await stopped_at(bench)
    before = list(bench.records)
    await cancel(task)
    assert task.cancelled()
    assert [entry for entry in bench.frontier.settled if isinstance(entry[1], Release)] == GIVEN_BACK
    assert bench.records == before
    assert bench.steps.made.count("commit") <= 1
    assert bench.frontier.leases == [lease("2")], "no other lease was taken"
    assert bench.held == 0


@pytest.mark.parametrize("failure", [FrontierUnavailable("away"), FrontierRefused("gone"), None])
async def test_a_lease_that_cannot_be_given_back_is_left_to_its_deadline(
    failure: FarmError | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis fails or hangs while the farm is stopped: the cancellation is not turned into another error."""
    monkeypatch.setattr(module, "RELEASE_S", 0.01)
    bench = Bench(lease("1"), stop_at="render")
    task = await stopped_at(bench)
    if failure is None:
        bench.steps.stop_at = "release"
    else:
        bench.steps.failures["release"] = failure
    await cancel(task)
    assert task.cancelled()
    assert bench.frontier.settled == GIVEN_BACK
    assert "was not released in time" in caplog.text


async def test_a_worker_without_a_lease_gives_none_back() -> None:
    """It waits for one: whatever Redis hands out then runs out by itself."""
    bench = Bench(lease("1"), stop_at="lease")
    await cancel(await stopped_at(bench))
    assert bench.frontier.settled == []


# -- a lost lease


async def lose(bench: Bench) -> None:
    """Refuse the next renewal, from a thread as the heartbeat does."""
    bench.renewer.refused = {"1"}
    await asyncio.to_thread(bench.heartbeat.beat, bench.renewer)


@pytest.mark.parametrize("place", ["robots", "may_begin", "render"])
async def test_a_visit_that_has_lost_its_lease_ends(place: str) -> None:
    """At once, without a record and without a settlement: another worker has the URL. The next one is visited."""
    bench = Bench(lease("1"), lease("2"), stop_at=place)
    task = await stopped_at(bench)
    bench.steps.stop_at = ""
    await lose(bench)
    async with asyncio.timeout(DEADLINE_S):
        await task
    assert bench.records == ["2"]
    assert bench.frontier.settled == [("2", Ack((LINK,)))]
    failed = [event for event in bench.events if isinstance(event, VisitFailed)]
    assert [(event.url, event.fate) for event in failed] == [(f"http://{SITE}/1", Fate.LOST)]
    assert bench.held == 0


async def test_a_visit_that_loses_its_lease_at_its_very_end_is_not_committed() -> None:
    """The news reaches the worker through the loop: right before the commit it looks by itself."""
    bench = Bench(lease("1"))
    bench.renewer.refused = {"1"}
    bench.steps.hooks["land"] = lambda: bench.heartbeat.beat(bench.renewer)
    await worked(bench)
    assert bench.slot.rendered == ["1"]
    assert (bench.records, bench.frontier.settled) == ([], [])


async def test_a_lease_is_renewed_for_as_long_as_a_sink_may_be_away() -> None:
    """And then for as long as Redis may be."""
    bench = Bench(lease("1"), stop_at="commit")
    task = await stopped_at(bench)
    bench.clock.now += 359.0
    assert bench.held == 1
    bench.clock.now += 2.0
    assert bench.held == 0
    await cancel(task)


@pytest.mark.parametrize("place", ["commit", "ack"])
async def test_a_lease_that_is_lost_while_it_is_settled_is_committed_once(place: str) -> None:
    """The frontier's fence says so; nothing is repeated, and a cancelled worker gives nothing back."""
    bench = Bench(lease("1"), stop_at=place)
    task = await stopped_at(bench)
    await lose(bench)
    await turns(3)
    assert not task.done()
    await cancel(task)
    assert bench.steps.made.count("commit") == 1
    assert bench.frontier.settled == []


async def test_a_lease_that_somebody_else_settled_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The record's id makes the repetition harmless."""
    bench = Bench(lease("1"))
    bench.frontier.verdict = Settled.STALE
    await worked(bench)
    assert "settled by another worker" in caplog.text


# -- failures of the farm's own


@pytest.mark.parametrize(
    ("place", "error"),
    [("commit", OutputUnwritable("full")), ("render", BrowserUnavailable("none"))],
)
async def test_a_failure_of_the_machine_is_not_held_against_the_url(place: str, error: FarmError) -> None:
    """It ends the farm, and the URL goes back unblemished: left to its deadline it would count a failure."""
    bench = Bench(lease("1"), lease("2"))
    bench.steps.failures[place] = error
    with pytest.raises(type(error)):
        await worked(bench)
    assert bench.frontier.settled == GIVEN_BACK
    assert bench.records == []
    assert not any(isinstance(event, Committed) for event in bench.events)
    assert bench.held == 0


@pytest.mark.parametrize("place", ["lease", "robots", "ack", "extend_scope", "nack"])
@pytest.mark.parametrize(
    "error",
    [
        FrontierUnavailable("Redis is not available"),
        FrontierUnavailable("OOM command not allowed when used memory > 'maxmemory'"),
        FrontierRefused("The crawl is no longer in Redis"),
    ],
)
async def test_a_failure_of_the_frontier_ends_the_worker_and_asks_it_nothing_more(
    place: str, error: FarmError
) -> None:
    """An outage, a full Redis, a deleted crawl: the lease runs out by itself, and no record is written twice."""
    bench = Bench(lease("1"), lease("2"))
    bench.site.landing = RedirectOutcome(extension="b.example" if place == "extend_scope" else None)
    bench.slot.pages = [page(503)] if place == "nack" else []
    bench.steps.failures[place] = error
    with pytest.raises(type(error)):
        await worked(bench)
    assert not any(isinstance(one, Release) for _, one in bench.frontier.settled)
    assert bench.steps.made[-1] == place
    assert bench.steps.made.count("commit") <= 1
    assert bench.held == 0


async def test_a_timeout_that_no_port_may_raise_is_not_taken_for_a_lost_lease() -> None:
    """It is a bug of the adapter, and must be seen."""
    bench = Bench(lease("1"))
    bench.steps.failures["robots"] = TimeoutError("of a library")
    with pytest.raises(TimeoutError, match="of a library"):
        await worked(bench)
    assert bench.records == []


async def test_a_record_that_cannot_be_written_ends_its_url_and_no_other() -> None:
    """It would be the same the next time."""
    bench = Bench(lease("1"))
    bench.steps.failures["commit"] = RenderError(FailureKind.CORRUPT, "no text")
    await worked(bench)
    assert bench.frontier.settled == [("1", Bury(FailureKind.CORRUPT, "no text"))]
