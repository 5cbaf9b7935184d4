"""The supervisor of a node with several processes: it starts them, stores their records, and replaces dead ones.

Invariants: the leases of a dead process return to their queues before its successor starts; no process outlives
the supervisor, since the reaper knows each; a silent process is killed and replaced.
"""

import asyncio
import fcntl
import logging
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from farm.model.clock import Clock
from farm.model.crawl import ANY_INCARNATION, Identity
from farm.model.errors import FarmError, OutputUnwritable
from farm.model.event import Committed, Emit, Event
from farm.model.record import Batch
from farm.policy.capacity import proportional
from farm.policy.retry import RestartState, after_death
from farm.resources.files import create_anew
from farm.runtime.control import Control, ExitReason
from farm.runtime.ports import Sink
from farm.runtime.presence import LEAVE_S, NodeNames
from farm.runtime.process_link import (
    BudgetShare,
    CommitReply,
    CommitRequest,
    ContextShare,
    EndRequest,
    ErrorText,
    LinkClosed,
    ProcessEnd,
    ProcessLink,
    ProcessNews,
)
from farm.runtime.reaper import Reaper

log = logging.getLogger("farm.supervisor")
LOOK_EVERY_S = 5.0
MOST_SILENT_LOOKS = 12
"""A process that has sent nothing between this many checks hangs: it sends twice a second."""
LEAVES_S = 2.0
"""How long a process that must end at once may take to release its leases."""
KILLED_S = 5.0
LAST_WORDS_BYTES = 4096
MOST_ERRORS_BYTES = 16 << 20
"""Bytes of the file of a process's standard error, which is not bounded otherwise."""
_SIGNALLED = frozenset({ExitReason.SIGINT, ExitReason.SIGTERM, ExitReason.SIGHUP})


@dataclass(frozen=True, slots=True)
class ProcessParams:
    """How a process is started: with `command` and the number of its socket; it is registered under `name`.

    `errors` is the file for its standard error, `facts` are its properties in the list of nodes.
    """

    number: int
    name: str
    command: Sequence[str]
    errors: Path
    facts: Mapping[str, Any]


class ProcessFold(Protocol):
    """Receives the events and counts of processes."""

    def fold(self, process: int, events: Sequence[Event]) -> None:
        """Process the events of a process."""
        ...

    def ended(self, process: int, totals: Any | None) -> None:
        """Add the counts of a process, None if it died without sending them."""
        ...


class NodeProcess:
    """One process of a node, and its replacements; `work` returns its first message.

    The supervisor's `sink` stores its records.
    """

    def __init__(
        self,
        params: ProcessParams,
        work: Callable[[Identity], object],
        names: NodeNames,
        sink: Sink,
        news: ProcessFold,
        control: Control,
        reaper: Reaper,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._params = params
        self._work = work
        self._names = names
        self._sink = sink
        self._news = news
        self._control = control
        self._reaper = reaper
        self._emit = emit
        self._clock = clock
        self._link: ProcessLink | None = None
        self._budget_bytes, self._has_told = 0, False
        self._wanted: int | None = None
        self._commits: set[asyncio.Task[None]] = set()

    def set_budget(self, budget_bytes: int) -> None:
        """Set the share of the memory budget of the process and its successors."""
        self._budget_bytes = budget_bytes
        if self._link is not None:
            self._link.post(BudgetShare(budget_bytes))

    def set_wanted(self, contexts: int | None) -> None:
        """Set the number of contexts that the user wants of the process and its successors."""
        self._wanted = contexts
        if self._link is not None:
            self._link.post(ContextShare(contexts))

    async def glance(self, slot: str) -> bytes | None:
        """Return a picture of what a slot of the process shows; None if there is none."""
        return await self._link.glance(slot) if self._link is not None else None

    async def run(self) -> None:
        """Keep the process running until the node ends; raises the FarmError that ended it."""
        identity, state = await self._registered(ANY_INCARNATION), RestartState()
        try:
            while not self._control.ending:
                begun = self._clock.monotonic()
                how = await self._life(identity)
                if how is None:
                    return
                state, pause_s = after_death(state, self._clock.monotonic() - begun)
                # Its leases come back with this, before it is replaced.
                identity = await self._registered(identity.incarnation)
                again = (
                    f"in {pause_s:g} s, having died {state.deaths} times in a row" if pause_s else "at once"
                )
                if not self._control.ending:
                    log.warning("process %d %s; it is replaced %s", self._params.number, how, again)
                    await self._control.ended(pause_s)
        finally:
            # A process that ended by itself has unregistered; the leases of a killed one return to their queues.
            with suppress(FarmError, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._names.unregister(identity.name, identity.incarnation)

    async def _registered(self, predecessor: str) -> Identity:
        """Register the next process; the leases of its predecessor return to their queues."""
        identity = Identity(self._params.name, os.urandom(8).hex())
        await self._names.register(identity.name, identity.incarnation, predecessor, self._params.facts)
        return identity

    async def _life(self, identity: Identity) -> str | None:
        """Run a process to its end; return how it died, None if it ended as it should."""
        try:
            process, ours = await self._started()
        except OSError as error:
            return f"could not be started ({error.strerror or error})"
        self._link = link = await ProcessLink.open(ours)
        end: ProcessEnd | None = None
        try:
            await link.send(self._work(identity))
            self.set_budget(self._budget_bytes)
            self.set_wanted(self._wanted)
            end = await self._served(link, process)
        except LinkClosed:
            end = None
        except asyncio.CancelledError:
            link.post(EndRequest(self._control.reason or ExitReason.STOPPED, at_once=True))
            if not await _ended(process, LEAVES_S):
                # Here, since whoever cancels does so again.
                _kill(process)
            raise
        finally:
            self._link = None
            link.close()
            for task in self._commits:
                task.cancel()
            await self._buried(process)
            self._news.ended(self._params.number, end.totals if end is not None else None)
        if end is None:
            return self._how(process)
        if end.failure is not None:
            raise end.failure.error()
        reason = end.reason or ExitReason.FINISHED
        if reason in _SIGNALLED and not self._control.ending:
            return f"({process.pid}) was ended by {reason.upper()}"
        self._control.end(reason)
        return None

    async def _started(self) -> tuple[Process, socket.socket]:
        """Start a process; return it and our end of the socket to it. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._opened_errors() as errors:
                process = await asyncio.create_subprocess_exec(
                    *self._params.command,
                    str(theirs.fileno()),
                    stdin=DEVNULL,
                    stdout=DEVNULL,
                    stderr=errors,
                    # The whole environment: it is the farm itself, and runs the user's handlers.
                    pass_fds=(theirs.fileno(),),
                    # A terminal's Ctrl-C is for the supervisor, and the group is killed as one.
                    start_new_session=True,
                )
        except BaseException:  # also when cancelled: nobody else knows this end, which would stay open
            ours.close()
            raise
        self._reaper.kill(process.pid)
        return process, ours

    def _opened_errors(self) -> IO[bytes]:
        path = self._params.errors
        try:
            file = os.fdopen(create_anew(path), "wb")
        except OSError as error:
            raise OutputUnwritable(
                f"{path} cannot be written ({error.strerror}); check its permissions, or choose another --output."
            ) from None
        # What is written after it was emptied stands at its beginning.
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
        return file

    async def _served(self, link: ProcessLink, process: Process) -> ProcessEnd:
        """Serve a process until it reports its end. Raises LinkClosed if it dies."""
        self._has_told = True
        beside = [
            asyncio.create_task(self._tell_end(link), name=f"end of process {self._params.number}"),
            asyncio.create_task(self._watch(process), name=f"watch of process {self._params.number}"),
        ]
        try:
            while True:
                message = await link.receive()
                self._has_told = True
                match message:
                    case CommitRequest():
                        task = asyncio.create_task(self._commit(link, message), name="commit")
                        self._commits.add(task)
                        task.add_done_callback(self._commits.discard)
                    case ProcessNews():
                        self._news.fold(self._params.number, message.events)
                        for line in message.log:
                            logging.getLogger(line.logger).log(line.level, "%s", line.text)
                    case ProcessEnd():
                        return message
                    case other:
                        raise LinkClosed(
                            f"the process has sent {type(other).__name__}, which is not a message"
                        )
        finally:
            for one in beside:
                one.cancel()

    async def _commit(self, link: ProcessLink, request: CommitRequest) -> None:
        failure = await self._stored(request.batch)
        with suppress(LinkClosed):
            await link.send(CommitReply(request.number, failure))

    async def _stored(self, batch: Batch) -> ErrorText | None:
        try:
            await self._sink.commit(batch)
        except FarmError as error:
            return ErrorText.of(error)
        self._emit(Committed(self._clock.monotonic(), batch))
        return None

    async def _tell_end(self, link: ProcessLink) -> None:
        await self._control.ended()
        link.post(EndRequest(self._control.reason or ExitReason.STOPPED))

    async def _watch(self, process: Process) -> None:
        """Kill a process that has been silent for long.

        Checks are counted, not seconds: a supervisor that was stopped has checked nothing.
        """
        silent = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self._cut_errors)
            silent, self._has_told = 0 if self._has_told else silent + 1, False
            if silent >= MOST_SILENT_LOOKS:
                log.error("process %d (%d) hangs, and is killed", self._params.number, process.pid)
                _kill(process)
                return

    def _cut_errors(self) -> None:
        """Empty the file of standard error if a process writes too much to it."""
        path = self._params.errors
        with suppress(OSError):
            size_bytes = path.stat().st_size
            if size_bytes > MOST_ERRORS_BYTES:
                os.truncate(path, 0)
                text = "process %d has written %d MiB to its standard error; they are removed from %s"
                log.warning(text, self._params.number, size_bytes >> 20, path)

    async def _buried(self, process: Process) -> None:
        """Wait for the end of a process that should have ended; kill it otherwise."""
        if not await _ended(process, LEAVES_S):
            _kill(process)
            await _ended(process, KILLED_S)
        if process.returncode is not None:
            self._reaper.free(process.pid)

    def _how(self, process: Process) -> str:
        """Describe how a process died, with the end of its standard error."""
        code = process.returncode
        how = f"({process.pid}) ended with status {code}"
        if code is not None and code < 0:
            with suppress(ValueError):
                how = f"({process.pid}) was ended by {signal.Signals(-code).name}"
        with suppress(OSError), self._params.errors.open("rb") as errors:
            errors.seek(max(0, self._params.errors.stat().st_size - LAST_WORDS_BYTES))
            lines = errors.read(LAST_WORDS_BYTES).decode(errors="replace").split("\n")
            words = [line.strip() for line in lines if line.strip()]
            return f"{how} ({words[-1]})" if words else how
        return how


async def _ended(process: Process, within_s: float) -> bool:
    """Wait for the end of a process; return whether it ended."""
    # Not by `asyncio.timeout`: before Python 3.11.4 its end is not told to a task that is cancelled.
    waiting = asyncio.create_task(process.wait(), name="end of a process")
    try:
        await asyncio.wait([waiting], timeout=within_s)
        return waiting.done()
    finally:
        waiting.cancel()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def share_wanted(processes: Sequence[tuple[NodeProcess, int]], wanted: int | None) -> None:
    """Divide the contexts that the user wants among the processes, by how many each has."""
    contexts = [number for _, number in processes]
    parts = [None] * len(contexts) if wanted is None else proportional(wanted, contexts)
    for (process, _), part in zip(processes, parts, strict=True):
        process.set_wanted(part)
