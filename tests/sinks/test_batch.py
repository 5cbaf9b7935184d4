"""Group commit."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from itertools import count
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.sinks import batch as batch_module
from farm.sinks.batch import BatchingWriter
from farm.sinks.store import StoreAway
from tests.turns import turns


def batch(name: str) -> Batch:
    """Return a batch of one record."""
    return Batch(records=[Record(name, name, {})])


class Disk:
    """A store that writes when it is let to, and tells when it is asked."""

    name = "disk:out"
    item_place = ""
    written = 0
    records = None

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.groups: list[Sequence[str]] = []
        self.asked = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.error: Exception | None = None
        self.errors: list[Exception] = []
        self.closing_error: Exception | None = None
        self.refused: str | None = None
        self.size_bytes = 1
        self.threads: set[int] = set()

    def clear(self) -> None:
        """Note the call."""
        self.calls.append("clear")

    def open(self) -> None:
        """Note the call, and fail where there is an error already."""
        self.calls.append("open")
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Note the call."""
        self.threads.add(threading.get_ident())
        self.calls.append("close")
        if self.closing_error is not None:
            raise self.closing_error

    def encode(self, batch: Batch) -> tuple[str, int]:
        """Refuse what is called `bad`."""
        self.threads.add(threading.get_ident())
        if batch.records[0].id == "bad":
            raise RenderError(FailureKind.CORRUPT, "no JSON")
        return batch.records[0].id, self.size_bytes

    def write(self, group: Sequence[str]) -> None:
        """Take a group once it is let to."""
        self.asked.release()
        self.let.acquire()
        if self.errors:
            raise self.errors.pop()
        if self.error is not None:
            raise self.error
        if self.refused in group:
            raise RenderError(FailureKind.CORRUPT, "no text")
        self.groups.append(group)

    async def is_asked(self) -> None:
        """Wait until a write has begun."""
        await asyncio.to_thread(self.asked.acquire)


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    """Return a disk that lets everything through in the end."""
    one = Disk()
    yield one
    one.let.release(1000)


async def opened(disk: Disk, patience_s: float = 60.0) -> BatchingWriter[str]:
    """Return the writer in front of a store, open."""
    writer = BatchingWriter(disk, patience_s=patience_s)
    await writer.open()
    return writer


def started(writer: BatchingWriter[str], *names: str) -> list[asyncio.Task[None]]:
    """Commit batches of these names at once."""
    return [asyncio.ensure_future(writer.commit(batch(name))) for name in names]


async def test_what_gathers_while_a_flush_runs_goes_into_the_next(disk: Disk) -> None:
    """The first is written at once and alone; the others together."""
    writer = await opened(disk)
    first = started(writer, "a")
    await disk.is_asked()
    rest = started(writer, "b", "c", "d")
    await turns()
    disk.let.release()
    await asyncio.gather(*first)
    await disk.is_asked()
    assert not any(task.done() for task in rest)
    disk.let.release()
    await asyncio.gather(*rest)
    assert disk.groups == [["a"], ["b", "c", "d"]]
    await writer.close()


async def test_encoding_and_writing_leave_the_event_loop_alone(disk: Disk) -> None:
    """One thread does both, and opens and closes too."""
    writer = await opened(disk)
    disk.let.release(2)
    await asyncio.gather(*started(writer, "a"))
    await asyncio.gather(*started(writer, "b"))
    assert len(disk.threads) == 1
    assert threading.get_ident() not in disk.threads
    await writer.close()


async def test_a_batch_that_cannot_be_encoded_hurts_nobody_else(disk: Disk) -> None:
    """It is refused alone, and the writer goes on."""
    writer = await opened(disk)
    disk.let.release(100)
    results = await asyncio.gather(*started(writer, "a", "bad", "b"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), RenderError, type(None)]
    await asyncio.gather(*started(writer, "c"))
    await writer.close()


async def test_after_a_failure_every_commit_fails(disk: Disk) -> None:
    """Those of the group, those that wait, and those that come later: one sentence."""
    writer = await opened(disk)
    disk.error = OutputUnwritable("the disk is full")
    group = started(writer, "a")
    await disk.is_asked()
    waiting = started(writer, "b")
    await turns()
    disk.let.release()
    for task in group + waiting:
        with pytest.raises(OutputUnwritable, match="the disk is full"):
            await task
    with pytest.raises(OutputUnwritable, match="the disk is full"):
        await writer.commit(batch("c"))
    assert disk.groups == []
    await writer.close()


async def test_nobody_waits_for_a_writer_that_died(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error reaches the callers and the thread's exception hook; the store is closed, or away."""
    reported = SimpleQueue[type[BaseException]]()
    monkeypatch.setattr(threading, "excepthook", lambda about: reported.put(about.exc_type))
    writer = await opened(disk)
    disk.error, disk.closing_error = ZeroDivisionError("a bug"), StoreAway("it is locked")
    disk.let.release()
    with pytest.raises(OutputUnwritable, match="the sink's writer has stopped"):
        await writer.commit(batch("a"))
    with pytest.raises(OutputUnwritable, match="the sink's writer has stopped"):
        await writer.commit(batch("b"))
    await writer.close()
    assert await asyncio.to_thread(reported.get, timeout=10) is ZeroDivisionError
    assert disk.calls == ["open", "close"]


async def test_nobody_waits_where_a_flush_breaks(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was no commit that the writer could have told when it died."""
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: died.set())
    aging: Any = SimpleNamespace(due_s=lambda: 0.0, flush=lambda: 1 / 0)
    writer = BatchingWriter(disk, patience_s=0.0, aging=aging)
    await writer.open()
    assert await asyncio.to_thread(died.wait, 10)
    with pytest.raises(OutputUnwritable, match="the sink's writer has stopped"):
        await writer.commit(batch("a"))
    await writer.close()


async def test_a_cancelled_commit_is_taken_back_while_it_waits(disk: Disk) -> None:
    """Once the flush has begun, it is written all the same."""
    writer = await opened(disk)
    (begun,) = started(writer, "a")
    await disk.is_asked()
    (waiting,) = started(writer, "b")
    await turns()
    begun.cancel()
    waiting.cancel()
    await asyncio.gather(begun, waiting, return_exceptions=True)
    disk.let.release(2)
    await writer.close()
    assert disk.groups == [["a"]]


async def test_closing_writes_what_waits_and_takes_no_more(disk: Disk) -> None:
    """Closing twice is closing once."""
    writer = await opened(disk)
    first = started(writer, "a")
    await disk.is_asked()
    rest = started(writer, "b", "c")
    closing = asyncio.ensure_future(writer.close())
    await turns()
    disk.let.release(2)
    await closing
    await asyncio.gather(*first, *rest)
    assert disk.groups == [["a"], ["b", "c"]]
    with pytest.raises(OutputUnwritable, match="closed"):
        await writer.commit(batch("d"))
    await writer.close()


async def test_a_disk_that_hangs_ends_a_commit_and_a_close(disk: Disk) -> None:
    """Both have a deadline; what was said once is not said again, neither to a later caller nor at the end."""
    writer = BatchingWriter(disk, patience_s=0.0, grace_s=0.01)
    await writer.open()
    with pytest.raises(OutputUnwritable, match=r"not written to disk:out within 0\.01 s"):
        await writer.commit(batch("a"))
    with pytest.raises(OutputUnwritable, match=r"not written to disk:out within 0\.01 s"):
        await writer.commit(batch("b"))
    await writer.close(0.01)
    fresh = await opened(disk)
    (waiting,) = started(fresh, "c")
    await disk.is_asked()
    with pytest.raises(OutputUnwritable, match=r"last records were not written to disk:out within 0\.01 s"):
        await fresh.close(0.01)
    disk.let.release(10)
    await waiting


async def test_a_writer_that_wrote_nothing_closes_at_once(disk: Disk) -> None:
    """Also one whose store was never opened, or could not be."""
    await BatchingWriter(disk).close()
    await (await opened(disk)).close()
    assert disk.calls == ["open", "close"]
    assert len(disk.threads) == 1
    disk.error = OutputUnwritable("read-only")
    writer = BatchingWriter(disk)
    with pytest.raises(OutputUnwritable, match="read-only"):
        await writer.open(fresh=True)
    assert disk.calls[2:] == ["clear", "open"]
    await writer.close()


async def test_a_cancelled_opening_waits_for_its_end(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run may open the same store at once."""
    monkeypatch.setattr(disk, "open", disk.let.acquire)
    opening = asyncio.ensure_future(BatchingWriter(disk).open())
    await turns()
    opening.cancel()
    await turns()
    assert not opening.done()
    disk.let.release()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_a_store_that_is_away_is_tried_again(disk: Disk) -> None:
    """The whole group, in the same order; callers see nothing of it."""
    writer = await opened(disk)
    disk.errors = [StoreAway("it is locked"), StoreAway("it is locked")]
    disk.let.release(3)
    await asyncio.gather(*started(writer, "a"))
    assert disk.groups == [["a"]]
    assert writer.waits() == (0.0, "")
    await writer.close()


async def test_a_store_that_is_away_at_first_is_waited_for(disk: Disk) -> None:
    """For a while; the sentence says what to do."""
    disk.error = StoreAway("the server is away")
    writer = BatchingWriter(disk, patience_s=0.5)
    with pytest.raises(OutputUnwritable, match=r"^the server is away; mend it, or leave that --sink out$"):
        await writer.open()
    assert disk.calls[:2] == ["open", "open"]
    await writer.close()


async def test_patience_with_a_store_that_is_away_has_an_end(disk: Disk) -> None:
    """One sentence for all; nothing was confirmed."""
    writer = await opened(disk, 0.05)
    disk.error = StoreAway("the server is away")
    disk.let.release(100)
    results = await asyncio.gather(*started(writer, "a", "b"), return_exceptions=True)
    assert {str(result) for result in results} == {
        "the server is away; the records that wait for it are not lost: start the crawl again when it is back"
    }
    assert {type(result) for result in results} == {OutputUnwritable}
    await writer.close()


async def test_closing_does_not_wait_for_a_store_that_is_away(disk: Disk) -> None:
    """What waits is tried once more; the callers hear that it is not written."""
    writer = await opened(disk)
    disk.error = StoreAway("the server is away")
    (task,) = started(writer, "a")
    await disk.is_asked()
    disk.let.release(1000)
    await writer.close()
    with pytest.raises(OutputUnwritable, match="the server is away; the records that wait"):
        await task
    assert disk.calls == ["open", "close"]


async def test_a_record_that_the_store_refuses_hurts_nobody_else(disk: Disk) -> None:
    """The group is written batch by batch then."""
    writer = await opened(disk)
    disk.refused = "bad-text"
    first = started(writer, "a")
    await disk.is_asked()
    rest = started(writer, "b", "bad-text", "c")
    await turns()
    disk.let.release(10)
    results = await asyncio.gather(*first, *rest, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), RenderError, type(None)]
    assert disk.groups == [["a"], ["b"], ["c"]]
    await writer.close()


@pytest.mark.parametrize("bound", ["MOST_BATCHES", "MOST_BYTES", "MOST_ENCODING_S"])
async def test_a_group_is_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """By its batches, its bytes and the time that it takes to encode; the rest is the next group."""
    monkeypatch.setattr(batch_module, bound, 2)
    if bound == "MOST_ENCODING_S":
        # Each look at the clock is half a second later.
        monkeypatch.setattr(batch_module, "monotonic", count(0, 0.5).__next__)
    writer = await opened(disk, 1e6)
    first = started(writer, "a")
    await disk.is_asked()
    rest = started(writer, *"bcdefgh")
    await turns()
    disk.let.release(10)
    await asyncio.gather(*first, *rest)
    sizes = [len(group) for group in disk.groups]
    assert sizes == ([1, 2, 2, 2, 1] if bound != "MOST_ENCODING_S" else [1, 3, 3, 1])
    assert "".join(one for group in disk.groups for one in group) == "abcdefgh"
    await writer.close()
