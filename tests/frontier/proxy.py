"""A TCP proxy in front of Redis that misbehaves on command, once."""

import asyncio
from enum import StrEnum


class Fault(StrEnum):
    """What is done to the next script."""

    BEFORE = "before"
    """The connection is dropped and the command never arrives."""
    DURING = "during"
    """Half of the reply arrives."""
    AFTER = "after"
    """The command is carried out, its reply is lost."""
    SLOW = "slow"
    """The reply comes when the test says so."""
    REFUSED = "refused"
    """The server's answer is the error that the test names."""


class FaultyProxy:
    """Forwards bytes; `arm` it and the next script that passes meets the fault."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._fault: Fault | None = None
        self._error = b""
        self._times = self._spared = 0
        self.release = asyncio.Event()
        self._dead: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self.armed = self.met = 0
        """How many scripts were to meet a fault, and how many have."""

    async def start(self) -> str:
        """Listen, and return the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Listen no more; what is open ends with its clients."""
        if self._server is not None:
            self._server.close()

    def arm(self, fault: Fault, *, error: str = "", times: int = 1, after: int = 0) -> None:
        """Let the next scripts meet a fault; those that come `after` some that do not."""
        self._spared = after
        self._fault, self._error, self._times = fault, error.encode(), times
        self.armed += times
        self.release.clear()

    def disarm(self) -> None:
        """Let the faults that are left be: they were for calls that are not to come."""
        self._times, self.armed = 0, self.met

    def move(self, socket: str, *, dead: bool = False) -> None:
        """Lead new connections elsewhere, as a service does whose target moved; what is open stays where it is.

        `dead` connections stay open and are never answered again, as when the machine behind them is gone.
        """
        self._socket = socket
        if dead:
            self._dead |= self._open

    def _take(self, chunk: bytes) -> Fault | None:
        if self._fault is None or b"FCALL" not in chunk or self._times == 0:
            return None
        if self._spared:
            self._spared -= 1
            return None
        self._times -= 1
        self.met += 1
        return self._fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self._socket)
        self._open.add(writer)
        try:
            while chunk := await _whole_request(reader):
                if writer in self._dead:
                    continue
                fault = self._take(chunk)
                if fault is Fault.BEFORE:
                    return
                if fault is Fault.REFUSED:
                    writer.write(b"-" + self._error + b"\r\n")
                    continue
                up_writer.write(chunk)
                reply = await up_reader.read(1 << 20)
                if fault is Fault.AFTER:
                    return
                if fault is Fault.DURING:
                    writer.write(reply[: max(1, len(reply) // 2)])
                    await writer.drain()
                    return
                if fault is Fault.SLOW:
                    await self.release.wait()
                writer.write(reply)
        except ConnectionError:
            return
        finally:
            self._open.discard(writer)
            self._dead.discard(writer)
            for side in (writer, up_writer):
                side.close()


async def _whole_request(reader: asyncio.StreamReader) -> bytes:
    """Return the commands that have come, the last one whole; nothing at the end."""
    request = await reader.read(1 << 20)
    while request and not _is_whole(request):
        more = await reader.read(1 << 20)
        if not more:
            break
        request += more
    return request


def _is_whole(request: bytes) -> bool:
    """Return whether the last command is there to its end: an array of strings, each behind its length."""
    at = 0
    while at < len(request):
        if (strings := _number(request, at)) < 0:
            return False
        for _ in range(strings):
            at = request.find(b"\r\n", at) + 2
            if at == 1 or at >= len(request) or (length := _number(request, at)) < 0:
                return False
            at = request.find(b"\r\n", at) + 2 + length
        at += 2
    return at == len(request)


def _number(request: bytes, at: int) -> int:
    end = request.find(b"\r\n", at)
    return int(request[at + 1 : end]) if end > 0 else -1
