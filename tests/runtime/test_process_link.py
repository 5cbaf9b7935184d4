"""Messages between a supervisor and a process: whole, in order, with a bound, and an end that is told."""

import asyncio

import pytest

from farm.model.errors import FarmError, FrontierUnavailable, OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.runtime import process_link
from farm.runtime.process_link import (
    _LENGTH,
    MOST_BYTES,
    MOST_GLANCES,
    WAITING_BYTES,
    CommitRequest,
    ErrorText,
    GlanceReply,
    LinkClosed,
)
from farm.sinks.store import StoreAway
from tests.runtime.conftest import LinkPair


async def test_messages_come_whole_and_in_order(ends: LinkPair) -> None:
    """A record of some megabytes too."""
    here, there = ends
    large = Batch((Record("1" * 32, "http://a.example/", {"html": "x" * 6_000_000, "at": None}),))
    assert here.post("first")
    assert here.post(CommitRequest(7, large))
    assert await there.receive() == "first"
    assert await there.receive() == CommitRequest(7, large)


async def test_the_end_of_the_other_side_is_told(ends: LinkPair) -> None:
    """What was sent before is still read; then nothing can be sent any more."""
    here, there = ends
    here.post("last")
    here.close()
    assert await there.receive() == "last"
    with pytest.raises(LinkClosed):
        await there.receive()
    with pytest.raises(LinkClosed):
        await here.send("late")
    assert not here.post("late")


async def test_nothing_is_posted_to_who_does_not_read(ends: LinkPair) -> None:
    """Beyond a bound; when it reads again, there is room."""
    here, there = ends
    piece = b"x" * (WAITING_BYTES // 2)
    posted = 0
    while here.post(piece):
        posted += 1
        assert posted < 9
    for _ in range(posted):
        assert await there.receive() == piece
    assert here.post("more")


async def test_a_picture_comes_between_other_messages(
    ends: LinkPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To whoever asked for it, or none in time; beyond a bound nobody asks."""
    here, there = ends
    receiving = asyncio.create_task(here.receive())
    asking = [asyncio.create_task(here.glance(f"0{number}")) for number in range(MOST_GLANCES)]
    requests = [await there.receive() for _ in asking]
    assert [one.slot for one in requests] == [f"0{number}" for number in range(MOST_GLANCES)]
    assert await here.glance("one too many") is None
    for request in reversed(requests):
        there.post(GlanceReply(request.number, request.slot.encode()))
    there.post(GlanceReply(99, b"nobody's"))
    assert await asyncio.gather(*asking) == [f"0{number}".encode() for number in range(MOST_GLANCES)]
    there.post("another")
    assert await receiving == "another"
    monkeypatch.setattr(process_link, "GLANCE_S", 0.05)
    assert await here.glance("of one that hangs") is None
    here.close()
    assert await here.glance("gone") is None


async def test_what_is_no_message_ends_the_link(ends: LinkPair) -> None:
    """A length beyond the bound is not waited for."""
    here, there = ends
    here._writer.write(_LENGTH.pack(MOST_BYTES + 1))
    with pytest.raises(LinkClosed, match="not a message"):
        await there.receive()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutputUnwritable("full"), OutputUnwritable),
        (FrontierUnavailable("away"), FrontierUnavailable),
        (StoreAway("locked"), OutputUnwritable),
        (FarmError("so"), FarmError),
    ],
)
def test_an_error_crosses_with_its_class_and_its_sentence(error: FarmError, kind: type[FarmError]) -> None:
    """A class that only one package knows becomes the nearest one that all know."""
    crossed = ErrorText.of(error).error()
    assert (type(crossed), str(crossed)) == (kind, str(error))


def test_the_fault_of_a_page_crosses_with_its_kind() -> None:
    """Its URL is given up for it on the other side."""
    crossed = ErrorText.of(RenderError(FailureKind.CORRUPT, "no JSON")).error()
    assert isinstance(crossed, RenderError)
    assert (crossed.kind, crossed.detail) == (FailureKind.CORRUPT, "no JSON")


async def test_the_last_message_is_in_the_socket_when_its_end_is_closed(ends: LinkPair) -> None:
    """A process that returns any earlier takes with it what its supervisor has not read."""
    here, there = ends
    last = b"x" * 20_000_000
    finishing = asyncio.create_task(here.finish(last, 60.0))
    assert not (await asyncio.wait([finishing], timeout=0.05))[0]
    assert await there.receive() == last
    await finishing
    with pytest.raises(LinkClosed):
        await there.receive()


async def test_who_never_reads_the_last_message_is_not_waited_for(ends: LinkPair) -> None:
    """Beyond the patience that is given."""
    here, _ = ends
    with pytest.raises(LinkClosed, match="does not read"):
        await here.finish(b"x" * 20_000_000, 0.05)
