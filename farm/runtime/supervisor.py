"""The supervisor of a node with several processes: it starts them, stores what they bring, and replaces the dead.

What always holds: a process that died has its leases given back before its successor begins; none outlives the
supervisor, since the reaper knows each; a process that says nothing for long is killed, and replaced.
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
from farm.policy.restart import RestartState, after_death
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
"""A process that has told nothing between so many looks hangs: it tells twice a second."""
LEAVES_S = 2.0
"""How long a process that is to end at once may take to give its leases back."""
KILLED_S = 5.0
LAST_WORDS_BYTES = 4096
MOST_ERRORS_BYTES = 16 << 20
"""Of the file of a process's standard error, which nobody else bounds."""
_SIGNALLED = frozenset({ExitReason.SIGINT, ExitReason.SIGTERM, ExitReason.SIGHUP})


@dataclass(frozen=True, slots=True)
class ProcessParams:
    """How a process is started: `command` and the number of its socket; `name` is how it is registered.

    `errors` is the file that has its standard error, `facts` what it registers with.
    """

    number: int
    name: str
    command: Sequence[str]
    errors: Path
    facts: Mapping[str, Any]


class ProcessFold(Protocol):
    """Who takes what the processes tell."""

    def fold(self, process: int, events: Sequence[Event]) -> None:
        """Take the events of a process."""
        ...

    def ended(self, process: int, totals: Any | None) -> None:
        """Take what a process has counted, None where it died without a word."""
        ...


class NodeProcess:
    """One process of a node, and whoever replaces it; `work` returns what it is sent first.

    The supervisor's `sink` stores what it brings.
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
        self._budget_bytes = 0
        self._wanted: int | None = None
        self._has_told = False
        self._commits: set[asyncio.Task[None]] = set()

    def set_budget(self, budget_bytes: int) -> None:
        """Set the process's share of the memory budget, its successors' too."""
        self._budget_bytes = budget_bytes
        if self._link is not None:
            self._link.post(BudgetShare(budget_bytes))

    def set_wanted(self, contexts: int | None) -> None:
        """Set how many contexts are wanted of the process by hand, its successors too."""
        self._wanted = contexts
        if self._link is not None:
            self._link.post(ContextShare(contexts))

    async def glance(self, slot: str) -> bytes | None:
        """Return a picture of what a slot of the process shows; None where there is none."""
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
            # Who ended by itself has left already; what one that was killed had leased goes back.
            with suppress(FarmError, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._names.unregister(identity.name, identity.incarnation)

    async def _registered(self, predecessor: str) -> Identity:
        """Register the next process; the leases of its predecessor go back to their queues."""
        identity = Identity(self._params.name, os.urandom(8).hex())
        await self._names.register(identity.name, identity.incarnation, predecessor, self._params.facts)
        return identity

    async def _life(self, identity: Identity) -> str | None:
        """Run a process to its end; return how it died, None where it ended as it should."""
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
        except BaseException:
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
        """Serve a process until it says that it has ended. Raises LinkClosed where it dies."""
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
                        raise LinkClosed(f"the process has sent {type(other).__name__}, which is no message")
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
        """Kill a process that has told nothing for long.

        Looks are counted and no seconds: a supervisor that was stopped has looked at nobody.
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
        """Empty the file of standard error where a process writes there without end."""
        path = self._params.errors
        with suppress(OSError):
            size_bytes = path.stat().st_size
            if size_bytes > MOST_ERRORS_BYTES:
                os.truncate(path, 0)
                text = "process %d has written %d MiB to its standard error; they are removed from %s"
                log.warning(text, self._params.number, size_bytes >> 20, path)

    async def _buried(self, process: Process) -> None:
        """Wait for the end of a process that should be gone; kill it where it is not."""
        if not await _ended(process, LEAVES_S):
            _kill(process)
            await _ended(process, KILLED_S)
        if process.returncode is not None:
            self._reaper.free(process.pid)

    def _how(self, process: Process) -> str:
        """Say how a process died, with its last words."""
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
    """Wait for the end of a process; return whether it came."""
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
    """Share the contexts that are wanted by hand among the processes, by how many each has."""
    contexts = [number for _, number in processes]
    parts = [None] * len(contexts) if wanted is None else proportional(wanted, contexts)
    for (process, _), part in zip(processes, parts, strict=True):
        process.set_wanted(part)
