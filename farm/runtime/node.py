"""A node: the workers of one process and the tasks around them, from the first lease to the end of the drain.

Invariants: `run` returns only when every worker has settled or released its lease, or was logged as one
that does not end; an error that concerns the whole farm ends all workers first and is raised then; another failure
of a companion ends nothing.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from farm.model.clock import Clock
from farm.model.errors import FarmError
from farm.model.event import Emit, Skipped, StatsRead
from farm.runtime.control import Control, ExitReason
from farm.runtime.ports import Frontier, Sink

log = logging.getLogger("farm.node")
TICK_S = 1.0
RESTART_S = 1.0
LONGEST_RESTART_S = 300.0
CANCEL_TRIES = 3
CANCEL_S = 2.5
"""Longer than a worker takes to release its lease: the next cancellation must not interrupt that."""


Companion = Callable[[], Coroutine[Any, Any, None]]
"""Runs beside the workers, until it returns or is cancelled."""


class NodeSink(Sink, Protocol):
    """The sink to which the workers of a node commit."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many different URLs were skipped, by reason."""
        ...


class Runner(Protocol):
    """Anything that a node runs until it ends: a worker, the governor."""

    async def run(self) -> None:
        """Run until the control ends, or until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class NodeParams:
    """`drain_s` is how many seconds the visits under way may continue once the node must stop.

    `limit` is how many pages the crawl may render, 0 for any number.
    """

    drain_s: float = 8.0
    time_limit_s: float | None = None
    limit: int = 0


class Node:
    """Runs workers until the control ends, then drains them; `companions` are tasks that run beside them.

    A companion that fails by anything but a FarmError is logged and started again, each time after a longer pause.
    """

    def __init__(
        self,
        workers: Sequence[Runner],
        governor: Runner,
        frontier: Frontier,
        extend_scope: Callable[[str], None],
        skipped: Callable[[], Mapping[str, int]],
        control: Control,
        emit: Emit,
        clock: Clock,
        params: NodeParams,
        companions: Sequence[Companion] = (),
    ) -> None:
        self._workers = workers
        self._governor = governor
        self._frontier = frontier
        self._extend_scope = extend_scope
        self._skipped = skipped
        self._control = control
        self._emit = emit
        self._clock = clock
        self._params = params
        self._companions = companions

    async def run(self) -> ExitReason:
        """Return why the run ended; raises the FarmError that stopped it otherwise."""
        services = [
            asyncio.create_task(self._governor.run(), name="governor"),
            asyncio.create_task(self._maintain(), name="maintenance"),
            asyncio.create_task(self._tick(), name="tick"),
            *(asyncio.create_task(_restarted(companion), name="companion") for companion in self._companions),
        ]
        if self._params.time_limit_s is not None:
            services.append(asyncio.create_task(self._watch_time(), name="time limit"))
        workers = [asyncio.create_task(w.run(), name=f"worker {i}") for i, w in enumerate(self._workers)]
        ending = asyncio.create_task(self._control.ended(), name="ending")
        try:
            await asyncio.wait([*workers, *services, ending], return_when=asyncio.FIRST_COMPLETED)
            while not self._control.ending and not _failed([*workers, *services]):
                # A worker that returns before the end would be a bug; the time limit task just ended.
                pending = [task for task in (*workers, *services, ending) if not task.done()]
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if not _failed([*workers, *services]):
                await asyncio.wait(workers, timeout=self._params.drain_s, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await _cancel([*workers, *services, ending])
        failure = _failed([*workers, *services])
        if failure is not None:
            raise failure
        return self._control.reason or ExitReason.FINISHED

    async def _maintain(self) -> None:
        """Move what is due. Every node does so: the crawl needs no single one.

        The counts are read elsewhere, since they wait for every shard: an unavailable one must not block the
        others.
        """
        while not self._control.ending:
            if await self._frontier.maintain():
                self._control.notify_all()
            await asyncio.sleep(TICK_S * (0.75 + 0.5 * random.random()))  # noqa: S311

    async def _tick(self) -> None:
        """Count, and extend the scope by what is new: a crawl of many seeds has as many sites."""
        read: Collection[str] | None = None
        known = set[str]()
        while not self._control.ending:
            sites = await self._frontier.scope_sites()
            if sites is not read:
                for extension in (new := set(sites) - known):
                    self._extend_scope(extension)
                read, known = sites, known | new
            stats = await self._frontier.stats()
            self._emit(StatsRead(self._clock.monotonic(), stats))
            if self._control.staying:
                # With nothing left, a lease request is answered by that, and not by the state or the limit.
                if stats.state in {"draining", "stopped"}:
                    self._control.end(ExitReason.STOPPED)
                elif 0 < self._params.limit <= stats.rendered and not stats.ledger.leased:
                    self._control.end(ExitReason.LIMIT)
            full = {"queue_full": stats.left_out} if stats.left_out else {}
            self._emit(Skipped(self._clock.monotonic(), {**self._skipped(), **full}))
            await asyncio.sleep(TICK_S * (0.75 + 0.5 * random.random()))  # noqa: S311

    async def _watch_time(self) -> None:
        await asyncio.sleep(self._params.time_limit_s or 0.0)
        self._control.end(ExitReason.TIME_LIMIT)


async def _restarted(companion: Companion) -> None:
    """Run a companion until it returns; its FarmErrors propagate."""
    pause_s = RESTART_S
    while True:
        task = asyncio.create_task(companion(), name=getattr(companion, "__qualname__", "companion"))
        try:
            await asyncio.wait([task])
        finally:
            # Cancelled as often as this task is: a companion that loses a cancellation gets another.
            while not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
        failure = None if task.cancelled() else task.exception()
        if failure is None:
            return
        if isinstance(failure, FarmError):
            raise failure
        log.error("%s failed and is restarted in %g s", task.get_name(), pause_s, exc_info=failure)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_RESTART_S)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, and again: a cancellation may be lost in a library that was just about to return.

    A task that still runs at the deadline is left to the end of the process, and logged: a drain must end.
    """
    for _ in range(CANCEL_TRIES):
        pending = [task for task in tasks if not task.done()]
        if not pending:
            return
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_S)
    stuck = [task.get_name() for task in tasks if not task.done()]
    if stuck:
        log.error("%s did not end when cancelled", ", ".join(stuck))


def _failed(tasks: Sequence[asyncio.Task[Any]]) -> BaseException | None:
    """Return the first failure; a FarmError comes before a bug."""
    failures = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    known = [failure for failure in failures if isinstance(failure, FarmError)]
    return next((failure for failure in (*known, *failures) if failure is not None), None)
