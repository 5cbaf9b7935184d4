"""A process of a node: it commits through its supervisor, reports its events, and ends on request.

Invariants: a process whose supervisor is gone releases its leases and ends.
"""

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import count
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Any

from farm.model.errors import FarmError, OutputUnwritable
from farm.model.event import (
    Committed,
    Ending,
    Event,
    RedisAway,
    RedisBack,
    Skipped,
    SlotPhase,
    StatsRead,
)
from farm.model.record import Batch
from farm.runtime.control import Control, ExitReason
from farm.runtime.process_link import (
    BudgetShare,
    CommitReply,
    CommitRequest,
    ContextShare,
    EndRequest,
    Glance,
    GlanceReply,
    GlanceRequest,
    LinkClosed,
    LogText,
    ProcessLink,
    ProcessNews,
)

log = logging.getLogger("farm.process")
TELL_EVERY_S = 0.5
MOST_EVENTS = 20_000
MOST_LINES = 1_000
"""The number of waiting events; beyond it the oldest are dropped, and their number is logged."""
COMMIT_GRACE_S = 20.0
"""Seconds added to the sink's patience, in which the supervisor reports the reason."""

_KNOWN_THERE = (Committed, Ending, RedisAway, RedisBack, Skipped, StatsRead)
"""Events that the supervisor produces itself; it has the committed records."""


def patience_with_supervisor_s(sink_patience_s: float) -> float:
    """Return for how many seconds a process waits for its supervisor, which may be stopped, or wait for a sink."""
    return sink_patience_s + COMMIT_GRACE_S


class SupervisedSink:
    """Commits through the supervisor, which has the sink. Implements the port `Sink`."""

    def __init__(self, link: ProcessLink, patience_s: float) -> None:
        self._link = link
        self._within_s = patience_with_supervisor_s(patience_s)
        self._numbers = count()
        self._open: dict[int, asyncio.Future[None]] = {}
        self.skipped: Mapping[str, int] = {}
        """Nothing: the supervisor counts."""

    async def commit(self, batch: Batch) -> None:
        """Return when the batch is durable. Raises what the supervisor's sink raises, and OutputUnwritable."""
        if not batch:
            return
        number, durable = next(self._numbers), asyncio.get_running_loop().create_future()
        self._open[number] = durable
        try:
            async with asyncio.timeout(self._within_s):
                await self._link.send(CommitRequest(number, batch), self._within_s)
                await durable
        except TimeoutError:
            raise OutputUnwritable(
                f"the supervisor has not stored a record within {self._within_s:g} s"
            ) from None
        except LinkClosed as error:
            raise OutputUnwritable("the supervisor of this process has ended") from error
        finally:
            del self._open[number]

    def answer(self, reply: CommitReply) -> None:
        """Process the supervisor's answer; an answer to a cancelled commit is dropped."""
        waiting = self._open.get(reply.number)
        if waiting is None or waiting.done():
            return
        if reply.failure is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(reply.failure.error())

    def close(self) -> None:
        """End the commits under way: no answer will arrive."""
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(LinkClosed("the supervisor has ended"))


class NewsRelay:
    """Sends events and log lines to the supervisor; `emit` is an `Emit`, log lines may come from any thread.

    Only the last phase of each slot is sent each time.
    """

    def __init__(self, link: ProcessLink) -> None:
        self._link = link
        self._phases: dict[str, SlotPhase] = {}
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._lines: deque[LogText] = deque(maxlen=MOST_LINES)
        self._dropped: Counter[str] = Counter()
        self._lock = threading.RLock()

    def emit(self, event: Event) -> None:
        """Add an event."""
        if isinstance(event, SlotPhase):
            self._phases[event.slot] = event
        elif not isinstance(event, _KNOWN_THERE):
            self._dropped["events"] += len(self._events) == MOST_EVENTS
            self._events.append(event)

    def log(self, line: LogText) -> None:
        """Add a line of the log."""
        with self._lock:
            self._dropped["lines of the log"] += len(self._lines) == MOST_LINES
            self._lines.append(line)

    def tell(self) -> None:
        """Send the collected events; if the supervisor does not read, keep them for the next time."""
        with self._lock:
            events, lines = [*self._events, *self._phases.values()], list(self._lines)
            dropped = " and ".join(f"{count:,} {what}" for what, count in self._dropped.items() if count)
            if dropped:
                text = f"{dropped} were dropped: the supervisor did not keep up"
                lines.append(LogText(logging.WARNING, log.name, text))
            if self._link.post(ProcessNews(events, lines)):
                self._events.clear()
                self._phases.clear()
                self._lines.clear()
                self._dropped.clear()

    async def run(self) -> None:
        """Send twice a second, until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            self.tell()


class RelayedLog(QueueHandler):
    """Passes log lines to the relay; a traceback becomes a part of its line."""

    def __init__(self, relay: NewsRelay) -> None:
        super().__init__(SimpleQueue())
        self._relay = relay

    def enqueue(self, record: logging.LogRecord) -> None:
        """Pass a line on."""
        self._relay.log(LogText(record.levelno, record.name, record.getMessage()))


async def follow(
    link: ProcessLink,
    sink: SupervisedSink,
    control: Control,
    set_budget: Callable[[int], None],
    glance: Glance,
    running: asyncio.Task[Any],
) -> None:
    """Carry out the supervisor's requests until it is gone; ending at once cancels the task that runs the node."""
    glances: set[asyncio.Task[None]] = set()
    try:
        while True:
            match await link.receive():
                case CommitReply() as reply:
                    sink.answer(reply)
                case BudgetShare(budget_bytes=budget_bytes):
                    set_budget(budget_bytes)
                case ContextShare(contexts=contexts):
                    control.wanted = contexts
                case GlanceRequest() as request:
                    task = asyncio.create_task(_answer(link, request, glance), name="glance")
                    glances.add(task)
                    task.add_done_callback(glances.discard)
                case EndRequest(reason=reason, at_once=at_once):
                    control.end(reason)
                    if at_once:
                        running.cancel()
                case other:
                    raise FarmError(f"the supervisor has sent {type(other).__name__}, which is not a message")
    except LinkClosed:
        control.end(ExitReason.STOPPED)
        sink.close()
        running.cancel()
    finally:
        for task in glances:
            task.cancel()


async def _answer(link: ProcessLink, request: GlanceRequest, glance: Glance) -> None:
    link.post(GlanceReply(request.number, await glance(request.slot)))
