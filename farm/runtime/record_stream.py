"""Records on their way to whoever reads them while the crawl goes on: its pace is the crawl's.

What always holds: a record is durable in the sinks before it is read; when `most` records wait, no slot begins
another visit, so that at most one record a slot comes on top.
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
    """Takes what is committed in one run and hands it on; lives on the event loop of both sides.

    Besides the records these are the skips of seeds, and the URLs that were given up, where these are told.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Mapping[str, Any] | Skip | DeadPage] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self._control: Control | None = None

    def tap(self, sink: NodeSink, control: Control) -> "TappedSink":
        """Return the sink of the run, whose records are handed on when they are committed."""
        self._control = control
        return TappedSink(sink, self)

    def put(self, batch: Batch) -> None:
        """Take a batch that is durable."""
        if self._is_closed:
            return
        self._waiting += [record.fields for record in batch.records]
        # Of the links of a page nobody has asked for.
        self._waiting += [skip for skip in batch.skips if skip.depth == 0]
        self._changed.set()
        self._steer()

    def put_dead(self, page: DeadPage) -> None:
        """Take a URL that was given up."""
        if self._is_closed:
            return
        self._waiting.append(page)
        self._changed.set()
        self._steer()

    def close(self) -> None:
        """Take no more; what waits can still be read."""
        self._is_closed = True
        self._changed.set()
        self._steer()

    async def next(self) -> Mapping[str, Any] | Skip | DeadPage | None:
        """Return the next one in the order in which they were committed; None at the end."""
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
    """A sink whose batches are handed on once they are durable. Satisfies the port `NodeSink`."""

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
