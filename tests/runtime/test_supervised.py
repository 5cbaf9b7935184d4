"""A process of a node: it commits by its supervisor, tells what happens, and ends with it."""

import asyncio
import logging

import pytest

from farm.model.crawl import Stats
from farm.model.errors import OutputUnwritable, RenderError
from farm.model.event import Committed, Notice, Phase, SlotPhase, StatsRead
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.runtime import process_link, supervised
from farm.runtime.control import Control, ExitReason
from farm.runtime.process_link import (
    BudgetShare,
    CommitReply,
    CommitRequest,
    ContextShare,
    EndRequest,
    ErrorText,
    GlanceReply,
    GlanceRequest,
    LogText,
    ProcessNews,
)
from farm.runtime.supervised import MOST_LINES, NewsRelay, RelayedLog, SupervisedSink, follow
from tests.runtime.conftest import LinkPair

BATCH = Batch((Record("1" * 32, "http://a.example/", {}),))


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (None, None),
        (ErrorText("OutputUnwritable", "full"), OutputUnwritable),
        (ErrorText("RenderError", "no JSON", FailureKind.CORRUPT), RenderError),
    ],
)
async def test_a_commit_returns_what_the_supervisor_says(
    ends: LinkPair, failure: ErrorText | None, raised: type[Exception] | None
) -> None:
    """Whichever of several is answered first."""
    here, supervisor = ends
    sink = SupervisedSink(here, 60.0)
    commits = [asyncio.create_task(sink.commit(BATCH)) for _ in range(2)]
    requests = [await supervisor.receive() for _ in range(2)]
    assert all(isinstance(one, CommitRequest) and one.batch == BATCH for one in requests)
    sink.answer(CommitReply(requests[1].number, failure))
    done, _ = await asyncio.wait([commits[1]])
    assert not commits[0].done()
    error = done.pop().exception()
    assert error is None if raised is None else isinstance(error, raised)
    sink.answer(CommitReply(requests[0].number))
    await commits[0]
    # A repetition is dropped.
    sink.answer(CommitReply(requests[0].number))


@pytest.mark.parametrize("is_stopped_for_long", [False, True])
async def test_a_supervisor_that_is_stopped_is_waited_for_as_a_sink_is(
    ends: LinkPair, monkeypatch: pytest.MonkeyPatch, *, is_stopped_for_long: bool
) -> None:
    """With a record that is too large for the sockets' buffers, and longer than any other message."""
    here, supervisor = ends
    monkeypatch.setattr(process_link, "SEND_S", 0.01)
    monkeypatch.setattr(supervised, "COMMIT_GRACE_S", 0.1)
    sink = SupervisedSink(here, 0.1 if is_stopped_for_long else 60.0)
    large = Batch((Record("1" * 32, "http://a.example/", {"html": "x" * 20_000_000}),))
    commit = asyncio.create_task(sink.commit(large))
    if is_stopped_for_long:
        with pytest.raises(OutputUnwritable, match=r"has not stored a record within 0\.2 s"):
            await commit
        return
    assert not (await asyncio.wait([commit], timeout=0.1))[0]
    sink.answer(CommitReply((await supervisor.receive()).number))
    await commit


async def test_a_batch_without_anything_is_not_sent(ends: LinkPair) -> None:
    """A visit without a record costs no message."""
    here, supervisor = ends
    await SupervisedSink(here, 60.0).commit(Batch())
    here.post("next")
    assert await supervisor.receive() == "next"


async def test_of_the_phases_of_a_slot_the_last_is_told_and_of_what_is_known_there_nothing(
    ends: LinkPair,
) -> None:
    """Records and counts are the supervisor's already."""
    here, supervisor = ends
    relay = NewsRelay(here)
    notice = Notice(3.0, "info", "so")
    last = SlotPhase(2.0, "01", Phase.IDLE)
    for event in (
        SlotPhase(1.0, "01", Phase.LEASING),
        Committed(1.0, BATCH),
        StatsRead(1.0, Stats()),
        notice,
        last,
    ):
        relay.emit(event)
    relay.tell()
    assert await supervisor.receive() == ProcessNews([notice, last], [])
    relay.tell()
    assert await supervisor.receive() == ProcessNews([], []), "which shows that it lives"


async def test_the_log_is_told_with_tracebacks_and_a_bound(
    ends: LinkPair, capsys: pytest.CaptureFixture[str]
) -> None:
    """From any logger; the oldest lines go first."""
    here, supervisor = ends
    relay = NewsRelay(here)
    logger = logging.getLogger("farm.test_supervised")
    handler = RelayedLog(relay)
    logger.addHandler(handler)
    # What pytest puts in its way would raise.
    logger.propagate = False
    try:
        for number in range(MOST_LINES + 5):
            logger.warning("line %d", number)
        # A mistake of the user's: logging says so on standard error, and the code goes on.
        logger.warning("%d pages", "no number")
        logger.error("failed", exc_info=ValueError("broken"))
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    relay.tell()
    told = list((await supervisor.receive()).log)
    assert "TypeError: %d format" in capsys.readouterr().err
    assert (len(told), told.pop().text) == (
        MOST_LINES + 1,
        "6 lines of the log were dropped: the supervisor did not keep up",
    )
    assert told[0] == LogText(logging.WARNING, "farm.test_supervised", "line 6")
    assert told[-1].text.startswith("failed\n")
    assert "ValueError: broken" in told[-1].text


async def test_a_process_does_what_it_is_told(ends: LinkPair) -> None:
    """Its budget, its contexts, and its end: first with the pages under way finished, then at once."""
    here, supervisor = ends
    control, budgets = Control(), list[int]()
    running = asyncio.create_task(asyncio.Event().wait())

    async def glance(slot: str) -> bytes | None:
        return b"picture" if slot == "01" else None

    following = asyncio.create_task(
        follow(here, SupervisedSink(here, 1.0), control, budgets.append, glance, running)
    )
    supervisor.post(GlanceRequest(7, "01"))
    assert await supervisor._received() == GlanceReply(7, b"picture")
    supervisor.post(BudgetShare(5))
    supervisor.post(ContextShare(3))
    supervisor.post(EndRequest(ExitReason.SIGTERM))
    assert await control.ended(60.0)
    assert control.wanted == 3
    assert (control.reason, budgets, running.cancelling()) == (ExitReason.SIGTERM, [5], 0)
    supervisor.post(EndRequest(ExitReason.SIGTERM, at_once=True))
    await asyncio.wait([running], timeout=60.0)
    assert running.cancelled()
    following.cancel()


async def _nothing(_: str) -> bytes | None:
    """Show nothing."""
    return None


async def test_a_process_ends_with_its_supervisor(ends: LinkPair) -> None:
    """What it was about to commit fails, so that its URL is released."""
    here, supervisor = ends
    control, sink = Control(), SupervisedSink(here, 60.0)
    running = asyncio.create_task(asyncio.Event().wait())
    commit = asyncio.create_task(sink.commit(BATCH))
    await supervisor.receive()
    supervisor.close()
    await follow(here, sink, control, lambda _: None, _nothing, running)
    await asyncio.wait([running, commit], timeout=60.0)
    assert running.cancelled()
    assert control.ending
    assert isinstance(commit.exception(), OutputUnwritable)
