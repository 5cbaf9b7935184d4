"""One connection to the light engine: CDP in messages of a WebSocket, over a socket of the file system.

Invariants: a call ends with its answer, at its deadline, or with the connection; no message and no visit
brings more bytes than a bound, beyond which the connection is closed; an event that nobody listens to is dropped
unread. The client is of this package because it has to do little: frames go to one known program on this machine,
and not through proxies that a mask would have to protect.
"""

import asyncio
import json
import secrets
import struct
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any, cast

import orjson

from farm.model.errors import SlotLost
from farm.model.outcome import FailureKind

OPEN_S = 5.0
MOST_MESSAGE_BYTES = 96 * 2**20
"""Bytes of a message: the contents of a page have at most 20 million characters, mostly of one or two bytes."""
MOST_VISIT_BYTES = 256 * 2**20
"""Bytes of all messages of a visit, including those of its requests: a page can make a million."""
MOST_HEAD_BYTES = 8192
_ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG, _CONTINUED = 0x1, 0x8, 0x9, 0xA, 0x0
_FINAL, _MASKED = 0x80, 0x80
_SHORT, _IN_16_BITS, _IN_64_BITS = 125, 126, 127
_EVENT = b'{"method":"'

Take = Callable[[dict[str, Any]], None]


class Refused(Exception):
    """The engine answers a call with an error."""


class LightConnection(asyncio.Protocol):
    """A connection that is open. `lost` is resolved with the reason once it is not."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.listeners: dict[bytes, Take] = {}
        """The listeners of events, by their names."""
        self._key = b64encode(secrets.token_bytes(16)).decode()
        self._upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._message = bytearray()
        self._visit_bytes = 0
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @classmethod
    async def open(cls, path: Path) -> "LightConnection":
        """Connect to the engine; raises OSError if it does not listen, TimeoutError, or SlotLost."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_S):
            _, connection = await loop.create_unix_connection(cls, str(path))
            await connection.opened()
        return connection

    async def opened(self) -> None:
        """Wait until messages can be sent; raises SlotLost if the connection closes first."""
        watched: list[asyncio.Future[Any]] = [self.lost, self._upgraded]
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.close("the engine did not answer in time")
            raise
        self.check()

    async def call(self, method: str, deadline_s: float, session: str = "", **params: Any) -> dict[str, Any]:
        """Return the result of a call; raises Refused for an error, SlotLost at the deadline or the end."""
        self.check()
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        watched: list[asyncio.Future[Any]] = [answer, self.lost]
        try:
            self._send(_TEXT, orjson.dumps(message))
            await asyncio.wait(watched, timeout=max(0.0, deadline_s), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[number]
        if not answer.done():
            self.check()
            raise SlotLost(FailureKind.TIMEOUT, f"{method} did not answer in time")
        said = answer.result()
        if "error" in said:
            raise Refused(f"{method}: {str(said['error'])[:300]}")
        result = said.get("result")
        return result if isinstance(result, dict) else {}

    def check(self) -> None:
        """Raise SlotLost if the connection is closed."""
        if self.lost.done():
            raise SlotLost(FailureKind.CRASH, f"the light engine's connection: {self.lost.result()}")

    def begin_visit(self) -> None:
        """Count bytes from here on."""
        self._visit_bytes = 0

    def close(self, why: str) -> None:
        """Close at once; only the first reason counts."""
        if not self.lost.done():
            self.lost.set_result(why)
        if self._transport is not None:
            self._transport.abort()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the protocol of messages."""
        # Another loop's transports are of a class of their own.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {self._key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake all waiting callers."""
        self.close(str(exc) if exc is not None else "it was closed")

    def data_received(self, data: bytes) -> None:
        """Split the received bytes into messages."""
        self._received += data
        self._visit_bytes += len(data)
        if self._visit_bytes > MOST_VISIT_BYTES:
            self.close("the page brought more messages than a visit may")
            return
        if not self._upgraded.done() and not self._upgrade():
            return
        at = 0
        while not self.lost.done() and (end := self._frame(at)) is not None:
            at = end
        del self._received[:at]

    def _upgrade(self) -> bool:
        end = self._received.find(b"\r\n\r\n", 0, MOST_HEAD_BYTES)
        if end < 0:
            if len(self._received) >= MOST_HEAD_BYTES:
                self.close("it did not answer as a WebSocket")
            return False
        status, *lines = bytes(self._received[:end]).decode("latin-1").split("\r\n")
        del self._received[: end + 4]
        wanted = b64encode(sha1(f"{self._key}{_ACCEPT}".encode(), usedforsecurity=False).digest()).decode()
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }
        if " 101 " not in f"{status} " or headers.get("sec-websocket-accept") != wanted:
            self.close(f"it did not become a WebSocket: {status[:100]}")
            return False
        self._upgraded.set_result(None)
        return True

    def _frame(self, at: int) -> int | None:
        """Process the frame at this position; return its end, None if it is incomplete."""
        have = len(self._received)
        if have < at + 2:
            return None
        first, size = self._received[at], self._received[at + 1]
        body = at + 2
        if size in {_IN_16_BITS, _IN_64_BITS}:
            body += 2 if size == _IN_16_BITS else 8
            if have < body:
                return None
            (size,) = struct.unpack_from(">H" if size == _IN_16_BITS else ">Q", self._received, at + 2)
        if size + len(self._message) > MOST_MESSAGE_BYTES:
            self.close("a message is larger than any may be")
            return None
        if have < body + size:
            return None
        with memoryview(self._received) as whole:
            self._take(first, whole[body : body + size])
        return body + size

    def _take(self, first: int, body: memoryview) -> None:
        kind = first & 0xF
        if kind == _CLOSE:
            self.close("the engine closed it")
        elif kind == _PING:
            self._send(_PONG, bytes(body))
        elif kind in {_TEXT, _CONTINUED}:
            if first & _FINAL and not self._message:
                self._read(bytes(body))
                return
            self._message += body
            if first & _FINAL:
                whole, self._message = bytes(self._message), bytearray()
                self._read(whole)

    def _read(self, message: bytes) -> None:
        if message.startswith(_EVENT):
            name = message[len(_EVENT) : message.find(b'"', len(_EVENT))]
            take = self.listeners.get(name)
            if take is None:
                return
            event = self._decoded(message)
            if isinstance(event.get("params"), dict):
                take(event["params"])
            return
        said = self._decoded(message)
        waiting = self._waiting.get(said["id"]) if isinstance(said.get("id"), int) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(said)

    def _decoded(self, message: bytes) -> dict[str, Any]:
        try:
            try:
                said = orjson.loads(message)
            except orjson.JSONDecodeError:
                # Halves of surrogate pairs, as pages produce them.
                said = json.loads(message.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            self.close("a message cannot be read")
            return {}
        return said if isinstance(said, dict) else {}

    def _send(self, kind: int, body: bytes) -> None:
        size = len(body)
        if size <= _SHORT:
            head = struct.pack(">BB", _FINAL | kind, _MASKED | size)
        elif size < 2**16:
            head = struct.pack(">BBH", _FINAL | kind, _MASKED | _IN_16_BITS, size)
        else:
            head = struct.pack(">BBQ", _FINAL | kind, _MASKED | _IN_64_BITS, size)
        if self._transport is not None:
            # The mask is none: there is nothing between the two ends that it would protect.
            with suppress(RuntimeError):
                self._transport.writelines([head, bytes(4), body])
