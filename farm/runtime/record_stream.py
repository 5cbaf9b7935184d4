"""A stream of records to a reader during the crawl, whose pace limits the crawl.

Invariants: a record is durable in the sinks before it is read; when `most` records wait, no slot begins
another visit, so that at most one more record for each slot follows.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from farm.model.handling import DeadPage
from farm.model.record import Batch, Skip
from farm.runtime.control import Control
from farm.runtime.node import NodeSink


class RecordStream:
    """Passes the committed records of one run on to a reader; used on the event loop of both.

    Besides records it passes on skips of seeds, and URLs that were given up, if these are reported.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Mapping[str, Any] | Skip | DeadPage] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self._control: Control | None = None

    def tap(self, sink: NodeSink, control: Control) -> "TappedSink":
        """Return the sink of the run, extended to pass records on when they are committed."""
        self._control = control
        return TappedSink(sink, self)

    def put(self, batch: Batch) -> None:
        """Add a durable batch."""
        if self._is_closed:
            return
        self._waiting += [record.fields for record in batch.records]
        # Skipped links of a page are not wanted.
        self._waiting += [skip for skip in batch.skips if skip.depth == 0]
        self._changed.set()
        self._steer()

    def put_dead(self, page: DeadPage) -> None:
        """Add a URL that was given up."""
        if self._is_closed:
            return
        self._waiting.append(page)
        self._changed.set()
        self._steer()

    def close(self) -> None:
        """Accept no more; the waiting ones can still be read."""
        self._is_closed = True
        self._changed.set()
        self._steer()

    async def next(self) -> Mapping[str, Any] | Skip | DeadPage | None:
        """Return the next one in the order of their commits; None at the end."""
        while not self._waiting:
            if self._is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        taken = self._waiting.popleft()
        self._steer()
        return taken

    def _steer(self) -> None:
        if self._control is not None:
            self._control.hold(on=len(self._waiting) >= self._most and not self._is_closed)


class TappedSink:
    """A sink whose batches are passed on once they are durable. Implements the port `NodeSink`."""

    def __init__(self, sink: NodeSink, stream: RecordStream) -> None:
        self._sink = sink
        self._stream = stream

    async def commit(self, batch: Batch) -> None:
        """Return when the batch is durable."""
        await self._sink.commit(batch)
        self._stream.put(batch)

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many different URLs were skipped, by reason."""
        return self._sink.skipped
