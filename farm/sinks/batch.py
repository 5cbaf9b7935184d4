"""Group commit: one writer for many contexts.

A batch that is committed while the disk is idle is written at once; batches that arrive during a flush are written
together in the next one. No batch waits for others, and a slow disk makes the groups larger instead of the queue
longer.

Encoding and writing happen in the writer's own thread, a daemon: a disk that hangs for good cannot keep the
process from ending.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from farm.model.errors import FarmError, OutputUnwritable
from farm.model.record import Batch

Encoded = TypeVar("Encoded")


class BatchingWriter(Generic[Encoded]):
    """Commits batches through one thread.

    `encode` may refuse one batch by any `FarmError`; the others of its group are not affected. `write` makes a
    whole group durable or raises `OutputUnwritable`, after which no batch is accepted.
    """

    def __init__(
        self,
        encode: Callable[[Batch], Encoded],
        write: Callable[[Sequence[Encoded]], None],
        *,
        commit_timeout_s: float = 60.0,
    ) -> None:
        self._encode = encode
        self._write = write
        self._commit_timeout_s = commit_timeout_s
        self._changed = threading.Condition()
        self._waiting: list[tuple[Batch, Future[None]]] = []
        self._closing = False
        self._failure: str | None = None
        self._thread: threading.Thread | None = None
        self._finished: Future[None] = Future()

    async def commit(self, batch: Batch) -> None:
        """Return when the batch is durable. Raises `OutputUnwritable` after `commit_timeout_s`.

        Cancelling a caller removes its batch while it waits; once the flush has begun the batch is written.
        """
        durable: Future[None] = Future()
        with self._changed:
            if self._failure is not None:
                raise OutputUnwritable(self._failure)
            if self._closing:
                raise OutputUnwritable("the sink is closed and takes no more records")
            self._waiting.append((batch, durable))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sink-writer", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            async with asyncio.timeout(self._commit_timeout_s):
                await asyncio.wrap_future(durable)
        except TimeoutError:
            # One timeout is enough: the other callers need not reach theirs one after the other.
            self._failure = _hangs("the records were", self._commit_timeout_s)
            raise OutputUnwritable(self._failure) from None

    async def close(self, deadline_s: float = 10.0) -> None:
        """Write the waiting batches and end the thread. Raises `OutputUnwritable` after `deadline_s`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            if self._thread is None:
                return
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.shield(asyncio.wrap_future(self._finished))
        except TimeoutError:
            raise OutputUnwritable(_hangs("the last records were", deadline_s)) from None

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._commit_group(group)
        finally:
            self._finished.set_result(None)

    def _next_group(self) -> list[tuple[Batch, Future[None]]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            group, self._waiting = self._waiting, []
            return group

    def _commit_group(self, group: Sequence[tuple[Batch, Future[None]]]) -> None:
        committed = [(batch, durable) for batch, durable in group if durable.set_running_or_notify_cancel()]
        failure = "the sink's writer has stopped; see the log"
        try:
            encoded: list[Encoded] = []
            taken: list[Future[None]] = []
            for batch, durable in committed:
                try:
                    encoded.append(self._encode(batch))
                except FarmError as error:
                    durable.set_exception(error)
                else:
                    taken.append(durable)
            if self._failure is None and encoded:
                self._write(encoded)
            if self._failure is None:
                for durable in taken:
                    durable.set_result(None)
        except OutputUnwritable as error:
            failure = str(error)
        finally:
            # Also when an unexpected error ends this thread: no caller may wait for ever.
            failed = [durable for _, durable in committed if not durable.done()]
            if failed:
                self._fail(failure, failed)

    def _fail(self, failure: str, failed: Sequence[Future[None]]) -> None:
        with self._changed:
            self._failure = self._failure or failure
            late, self._waiting = self._waiting, []
        for durable in failed:
            durable.set_exception(OutputUnwritable(self._failure))
        for _, durable in late:
            if durable.set_running_or_notify_cancel():
                durable.set_exception(OutputUnwritable(self._failure))


def _hangs(what: str, waited_s: float) -> str:
    return f"{what} not written within {waited_s:g} s; see whether the disk hangs or is full"
