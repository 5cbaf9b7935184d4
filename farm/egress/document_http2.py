"""HTTP/2 for documents, by the protocol implementation `h2`: one request at a time on a connection.

Invariants: what a server sends besides bodies is bounded (its header blocks, and frames that carry nothing), so
that it keeps neither the memory nor the event loop busy; of a body no more is requested than is read; GOAWAY ends
no answer that the server still sends, which h2 itself would refuse.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Iterable, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error, NoAvailableStreamIDError, TooManyStreamsError
from h2.settings import SettingCodes, Settings
from hpack import NeverIndexedHeaderTuple

from farm.egress.response import EVENTS_A_TURN, INFORMATIONAL

PROTOCOL = "h2"
"""The name by which client and server agree on it (ALPN)."""
Headers = list[tuple[bytes, bytes]]
WINDOW_BYTES = 2**20
"""How much of a body may be under way: the next of it is requested when half of that is read."""
FRAME_BYTES = 2**14
HEADER_LIST_BYTES = 2**16
"""Bytes of the headers of one answer. Unpacking takes time in the square of it."""
ALLOWANCE_BYTES = 96 * 1024
"""What a server may send besides a body, per request; each byte of a body gives one of it back."""
MOST_SETTINGS = 32
"""Frames of settings per connection: h2 looks through all earlier settings at each."""
MOST_VALUES = 256
"""Values in the frames of settings of a connection: h2 keeps the last one of each, known or not."""
TABLE_BYTES = 2**16
"""What is kept of the headers of requests, to repeat them by a number; a server may offer room for gigabytes."""
MOST_REQUESTS = 1_000
"""Requests per connection, as servers have it: h2 keeps something of each."""
_FRAME_COST, _DATA_COST = 256, 9
"""What a frame takes of the allowance besides its bytes: each takes time to read."""
_FRAME_HEAD, _VALUE_BYTES = 9, 6
_DATA, _SETTINGS, _GOAWAY = 0, 4, 7
_GOAWAY_HEAD = struct.Struct("!II")
_STREAM_BITS = 2**31 - 1
_DEFAULT_WINDOW_BYTES = 2**16 - 1
_STATUS_DIGITS, _FIRST_FINAL = 3, b"200"
_CONFIG = H2Configuration(client_side=True, header_encoding=None)
_WANT_HTTP_1 = frozenset(
    {
        ErrorCodes.HTTP_1_1_REQUIRED,
        ErrorCodes.PROTOCOL_ERROR,
        ErrorCodes.FRAME_SIZE_ERROR,
        ErrorCodes.FLOW_CONTROL_ERROR,
        ErrorCodes.COMPRESSION_ERROR,
    }
)
"""Errors by which a server says that it wants HTTP/1.1, or does not understand the farm's HTTP/2."""


class NotHttp2(Exception):
    """The server's HTTP/2 is not valid or beyond the bounds, or it refuses the farm's: HTTP/1.1 may do."""


class NotProcessed(ConnectionError):
    """The server did not process the request, and will not on this connection."""


class RequestReset(Exception):
    """The server ended the request without an answer."""


class Http2Connection:
    """A connection to one authority on which both sides have agreed on HTTP/2."""

    own_headers: Headers = []  # noqa: RUF012

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h2 = H2Connection(_CONFIG)
        # Given before the connection begins, so that they are those of its first frame.
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
                SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_LIST_BYTES,
            },
        )
        # A server's setting: some servers refuse it from a client.
        del self._h2.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        self._events: deque[Event] = deque()
        self._stream = 0
        self._requests = 0
        self._settings = self._values = 0
        self._frames = 0
        self._allowance = ALLOWANCE_BYTES
        self._is_answered = False
        self._is_ended = False
        self._is_leaving = False

    @property
    def is_reusable(self) -> bool:
        """Whether the last answer has ended and another request may follow."""
        return self._is_ended and not self._is_leaving and self._requests < MOST_REQUESTS

    async def head(self, authority: bytes, path: bytes, headers: Headers) -> tuple[int, Headers]:
        """Send a GET request; return the status and the headers of its answer.

        Raises NotHttp2, NotProcessed, RequestReset, and OSError if the connection ends.
        """
        self._is_answered = self._is_ended = False
        self._allowance = ALLOWANCE_BYTES
        self._requests += 1
        self._send(authority, path, headers)
        informational = 0
        while informational <= INFORMATIONAL:
            # Others, of windows and priorities say, mean nothing for the answer; the allowance bounds them.
            event = await self._next()
            if isinstance(event, ResponseReceived):
                self._is_answered, self._is_ended = True, event.stream_ended is not None
                return _status_and_headers(event.headers or ())
            informational += isinstance(event, InformationalResponseReceived)
        raise NotHttp2(f"more than {INFORMATIONAL} informational answers")

    async def piece(self) -> bytes:
        """Return the next piece of the body, empty at its end.

        Raises NotHttp2, and OSError if the body breaks off.
        """
        while not self._is_ended:
            event = await self._next()
            if isinstance(event, StreamEnded):
                self._is_ended = True
            elif isinstance(event, DataReceived):
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, self._stream)
                self._flush()
                if event.data:
                    return event.data
        return b""

    def _send(self, authority: bytes, path: bytes, headers: Headers) -> None:
        # A path comes once: in the table of what is repeated it would only displace other headers.
        target = NeverIndexedHeaderTuple(b":path", path)
        own = [(b":method", b"GET"), (b":authority", authority), (b":scheme", b"https"), target]
        headers = [*own, *((name.lower(), value) for name, value in headers)]
        try:
            encoder = self._h2.encoder
            # Where it is set to what it is, hpack does not tell the server that it has changed.
            if encoder.header_table_size > TABLE_BYTES:  # noqa: PLR1730
                encoder.header_table_size = TABLE_BYTES
            self._stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(self._stream, headers, end_stream=True)
        except (TooManyStreamsError, NoAvailableStreamIDError) as error:
            raise NotProcessed(str(error)) from None
        except H2Error as error:
            raise NotHttp2(_said(error)) from None
        self._flush()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._writer.write(data)

    async def _next(self) -> Event:
        """Return the next event of the request."""
        while True:
            while self._events:
                event = self._events.popleft()
                if getattr(event, "stream_id", None) == self._stream:
                    if isinstance(event, StreamReset):
                        raise self._reset(event)
                    return event
            self._events.extend(await self._frame())

    async def _frame(self) -> Sequence[Event]:
        """Read one frame; return what it means."""
        self._frames += 1
        if self._frames % EVENTS_A_TURN == 0:
            await asyncio.sleep(0)
        try:
            head = await self._reader.readexactly(_FRAME_HEAD)
            length, kind = int.from_bytes(head[:3], "big"), head[3]
            if length > FRAME_BYTES:
                raise NotHttp2(f"a frame of {length} bytes")
            payload = await self._reader.readexactly(length)
        except asyncio.IncompleteReadError:
            raise ConnectionError(
                f"closed {'within' if self._is_answered else 'without'} an answer"
            ) from None
        self._spend(kind, length)
        if kind == _GOAWAY:
            self._leave(payload)
            return ()
        try:
            events = self._h2.receive_data(head + payload)
        except H2Error as error:
            raise NotHttp2(_said(error)) from None
        if kind == _DATA:
            gained = 2 * sum(len(one.data or b"") for one in events if isinstance(one, DataReceived))
            self._allowance = min(ALLOWANCE_BYTES, self._allowance + gained)
        self._flush()
        return events

    def _spend(self, kind: int, length: int) -> None:
        """Take a frame from what the server may send; raises NotHttp2 before it is unpacked."""
        if kind == _SETTINGS:
            self._settings += 1
            if self._settings > MOST_SETTINGS:
                raise NotHttp2(f"more than {MOST_SETTINGS} frames of settings")
            self._values += length // _VALUE_BYTES
            if self._values > MOST_VALUES:
                raise NotHttp2(f"more than {MOST_VALUES} settings")
        if kind != _DATA:
            self._allowance -= _FRAME_COST + length
        if self._allowance < 0:
            raise NotHttp2(f"more than {ALLOWANCE_BYTES} bytes of frames that carry nothing")
        if kind == _DATA:
            self._allowance -= _DATA_COST + length

    def _leave(self, payload: bytes) -> None:
        """Note that the server takes no more requests; raises NotHttp2 or NotProcessed if not even this one."""
        if len(payload) < _GOAWAY_HEAD.size:
            raise NotHttp2("a GOAWAY frame that is cut")
        last, code = _GOAWAY_HEAD.unpack_from(payload)
        self._is_leaving = True
        if code in _WANT_HTTP_1 and not self._is_answered:
            raise NotHttp2(f"it refuses by {_named(code)}")
        if self._stream > last & _STREAM_BITS:
            raise NotProcessed(f"it closes the connection by {_named(code)}")

    def _reset(self, event: StreamReset) -> Exception:
        """Return what the end of the request by the server means."""
        code = int(event.error_code or 0)
        if not event.remote_reset or (code in _WANT_HTTP_1 and not self._is_answered):
            return NotHttp2(f"it refuses by {_named(code)}")
        if self._is_answered:
            return ConnectionResetError(f"the site reset the answer by {_named(code)}")
        if code == ErrorCodes.REFUSED_STREAM:
            return NotProcessed(f"it resets the request by {_named(code)}")
        return RequestReset(f"the site reset the request by {_named(code)}")


def _status_and_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, Headers]:
    status, kept = b"", []
    for name, value in headers:
        if name == b":status":
            status = value
        else:
            kept.append((bytes(name), bytes(value)))
    if len(status) != _STATUS_DIGITS or not status.isdigit() or status < _FIRST_FINAL:
        raise NotHttp2(f"the status {status[:10]!r}")
    return int(status), kept


def _named(code: int) -> str:
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error {code}"


def _said(error: H2Error) -> str:
    return str(error) or type(error).__name__
