"""Group commit."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from farm.model.errors import OutputUnwritable, RenderError
from farm.model.outcome import FailureKind
from farm.model.record import Batch, Record
from farm.sinks.batch import BatchingWriter
from tests.turns import turns


def batch(name: str) -> Batch:
    """Return a batch of one record."""
    return Batch(records=[Record(name, name, {})])


class Disk:
    """A disk that writes when it is let to, and tells when it is asked."""

    def __init__(self) -> None:
        self.groups: list[Sequence[str]] = []
        self.asked = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.error: Exception | None = None
        self.threads: set[int] = set()

    def encode(self, one: Batch) -> str:
        """Refuse what is called `bad`."""
        self.threads.add(threading.get_ident())
        if one.records[0].id == "bad":
            raise RenderError(FailureKind.CORRUPT, "no JSON")
        return one.records[0].id

    def write(self, group: Sequence[str]) -> None:
        """Take a group once it is let to."""
        self.asked.release()
        self.let.acquire()
        if self.error is not None:
            raise self.error
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


def started(writer: BatchingWriter[str], *names: str) -> list[asyncio.Task[None]]:
    """Commit batches of these names at once."""
    return [asyncio.ensure_future(writer.commit(batch(name))) for name in names]


async def test_what_gathers_while_a_flush_runs_goes_into_the_next(disk: Disk) -> None:
    """The first is written at once and alone; the others together."""
    writer = BatchingWriter(disk.encode, disk.write)
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
    """One thread does both, always the same."""
    writer = BatchingWriter(disk.encode, disk.write)
    disk.let.release(2)
    await asyncio.gather(*started(writer, "a"))
    await asyncio.gather(*started(writer, "b"))
    assert len(disk.threads) == 1
    assert threading.get_ident() not in disk.threads
    await writer.close()


async def test_a_batch_that_cannot_be_encoded_hurts_nobody_else(disk: Disk) -> None:
    """It is refused alone, and the writer goes on."""
    writer = BatchingWriter(disk.encode, disk.write)
    disk.let.release(100)
    results = await asyncio.gather(*started(writer, "a", "bad", "b"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), RenderError, type(None)]
    await asyncio.gather(*started(writer, "c"))
    await writer.close()


async def test_after_a_failure_every_commit_fails(disk: Disk) -> None:
    """Those of the group, those that wait, and those that come later: one sentence."""
    writer = BatchingWriter(disk.encode, disk.write)
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
    """Even an unexpected error reaches the callers, and the thread's exception hook."""
    reported = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: reported.set())
    writer = BatchingWriter(disk.encode, disk.write)
    disk.error = ZeroDivisionError("a bug")
    disk.let.release()
    with pytest.raises(OutputUnwritable, match="the sink's writer has stopped"):
        await writer.commit(batch("a"))
    with pytest.raises(OutputUnwritable, match="the sink's writer has stopped"):
        await writer.commit(batch("b"))
    await writer.close()
    assert await asyncio.to_thread(reported.wait, 10)


async def test_a_cancelled_commit_is_taken_back_while_it_waits(disk: Disk) -> None:
    """Once the flush has begun, it is written all the same."""
    writer = BatchingWriter(disk.encode, disk.write)
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
    writer = BatchingWriter(disk.encode, disk.write)
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
    """Both have a deadline; a later caller need not wait for it again."""
    writer = BatchingWriter(disk.encode, disk.write, commit_timeout_s=0.01)
    with pytest.raises(OutputUnwritable, match=r"not written within 0\.01 s"):
        await writer.commit(batch("a"))
    with pytest.raises(OutputUnwritable, match=r"not written within 0\.01 s"):
        await writer.commit(batch("b"))
    with pytest.raises(OutputUnwritable, match=r"last records were not written within 0\.01 s"):
        await writer.close(0.01)


async def test_a_writer_that_wrote_nothing_closes_at_once(disk: Disk) -> None:
    """There is no thread to wait for."""
    await BatchingWriter(disk.encode, disk.write).close()
