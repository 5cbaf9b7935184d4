"""Messages between a node's supervisor and its processes, over a pair of sockets.

A message is a pickled value, preceded by its length. Both ends are this program, one started by the other, and no
other process can access the sockets: every message was written by the farm.
"""

import asyncio
import pickle
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

from farm.model import errors
from farm.model.errors import FarmError, RenderError
from farm.model.event import Event
from farm.model.outcome import FailureKind
from farm.model.record import Batch
from farm.runtime.control import ExitReason

_LENGTH = struct.Struct("<Q")
MOST_BYTES = 1 << 30
"""Bytes of a message; a longer one was not written by the farm."""
_BUFFER_BYTES = 4 << 20
WAITING_BYTES = 64 << 20
"""Bytes that may wait to be sent; beyond that `post` drops its message, and `send` waits."""
SEND_S = 60.0
"""How long the other end may take to read what waits before it, unless the caller is more patient."""
GLANCE_S = 4.0
MOST_GLANCES = 4
"""So many pictures are asked for at once; what is more has none."""
Glance = Callable[[str], Coroutine[Any, Any, bytes | None]]
"""Returns a picture of what a slot shows, as JPEG, by its name; None if there is none."""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error that crosses from one process to another; `kind` is that of a RenderError."""

    name: str
    text: str
    kind: FailureKind | None = None

    @classmethod
    def of(cls, error: FarmError) -> Self:
        """Return an error in the form in which it is sent, with the nearest class that both ends know."""
        if isinstance(error, RenderError):
            return cls("RenderError", error.detail, error.kind)
        known = (one.__name__ for one in type(error).__mro__ if getattr(errors, one.__name__, None) is one)
        return cls(next(known, "FarmError"), str(error))

    def error(self) -> FarmError:
        """Return the error again."""
        if self.kind is not None:
            return RenderError(self.kind, self.text)
        kind: type[FarmError] = getattr(errors, self.name, FarmError)
        return kind(self.text)


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """A process requests that a batch is made durable."""

    number: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class CommitReply:
    """The batch with this number is durable, or failed."""

    number: int
    failure: ErrorText | None = None


@dataclass(frozen=True, slots=True)
class LogText:
    """A line of a process's log."""

    level: int
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class ProcessNews:
    """The events of a process since its last message; an empty one shows that it is alive."""

    events: Sequence[Event] = ()
    log: Sequence[LogText] = ()


@dataclass(frozen=True, slots=True)
class EndRequest:
    """The process must finish the pages under way and end, or release them (`at_once`)."""

    reason: ExitReason
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """The process's share of the memory budget, from now on."""

    budget_bytes: int


@dataclass(frozen=True, slots=True)
class ContextShare:
    """The number of contexts that the user wants of the process from now on; None for all."""

    contexts: int | None


@dataclass(frozen=True, slots=True)
class GlanceRequest:
    """The process is to say what one of its slots shows."""

    number: int
    slot: str


@dataclass(frozen=True, slots=True)
class GlanceReply:
    """What the slot of the request of this number shows; None if there is no picture of it."""

    number: int
    picture: bytes | None


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """A process has closed its node; `reason` is None if a `failure` ended it."""

    reason: ExitReason | None
    failure: ErrorText | None = None
    totals: Any = field(default=None)
    """The counts of its parts."""


class LinkClosed(FarmError):
    """The other end is closed."""


class ProcessLink:
    """One end; used in one event loop. A frame is read by one task alone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = count()
        self._glances: dict[int, asyncio.Future[bytes | None]] = {}

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Return the link over one socket of a connected pair."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_BUFFER_BYTES))

    def post(self, message: object) -> bool:
        """Send without waiting; return False, and send nothing, if too much waits or the other end is closed."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > WAITING_BYTES:
            return False
        self._write(message)
        return True

    async def send(self, message: object, within_s: float = SEND_S) -> None:
        """Send, and wait for up to `within_s` seconds until the other end has read enough. Raises LinkClosed."""
        if self._writer.transport.is_closing():
            raise LinkClosed("the other process has ended")
        self._write(message)
        try:
            async with asyncio.timeout(within_s):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise LinkClosed("the other process has ended, or does not read") from error

    async def finish(self, message: object, within_s: float) -> None:
        """Send the last message, and close this end once all is in the socket, or after `within_s` seconds.

        Raises LinkClosed where that takes longer, or the other end is closed: what is not in the socket when this
        process ends is lost.
        """
        self._write(message)
        self._writer.close()
        try:
            async with asyncio.timeout(within_s):
                await self._writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise LinkClosed("the other process has ended, or does not read") from error

    async def glance(self, slot: str) -> bytes | None:
        """Return a picture of what a slot of the other process shows; None if none comes in time.

        Somebody has to `receive` meanwhile.
        """
        if len(self._glances) >= MOST_GLANCES:
            return None
        number, picture = next(self._numbers), asyncio.get_running_loop().create_future()
        self._glances[number] = picture
        try:
            async with asyncio.timeout(GLANCE_S):
                return await picture if self.post(GlanceRequest(number, slot)) else None
        except TimeoutError:
            return None
        finally:
            del self._glances[number]

    async def receive(self) -> Any:
        """Return the next message that is no answer to `glance`. Raises LinkClosed at the end."""
        while True:
            message = await self._received()
            if not isinstance(message, GlanceReply):
                return message
            waiting = self._glances.get(message.number)
            if waiting is not None and not waiting.done():
                waiting.set_result(message.picture)

    async def _received(self) -> Any:
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MOST_BYTES:
                raise LinkClosed("the other process sent something that is not a message")
            return pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - the farm itself has written it
        except (OSError, EOFError) as error:
            raise LinkClosed("the other process has ended") from error

    def close(self) -> None:
        """Close this end; waiting messages are still sent."""
        self._writer.close()

    def _write(self, message: object) -> None:
        frame = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(frame)))
        self._writer.write(frame)
