"""Reads responses: with h11, and heads that are not valid HTTP as Chromium does.

Only heads that h11 refuses are read by Chromium's rules (`net/http/http_util.cc` and its neighbours). The browser
never sees the parts that are left out, so both sides agree on where the body ends: a head whose lengths contradict
each other stays refused.
"""

import re

import h11

Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]

INFORMATIONAL = 16
"""The most 1xx responses before the final one; a site can send them without end."""
HEADERS = 1_000
"""The most header lines of a response: the browser parses each again, in several processes."""
LINES = 2 * HEADERS
"""The most lines of a head, which is parsed at once: a header may be folded, and 64,000 lines take long."""
EVENTS_A_TURN = 256
"""How many events are handled before yielding to the loop: one read may hold ten thousand chunks of one byte."""
JUNK = 4
"""How many bytes before the status line are skipped."""

_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"http(?:/([0-9])\.([0-9]))?[ \t]*([0-9]*)([^\r\0]*)", re.IGNORECASE)
_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_BLANKS = bytes.maketrans(b"\r\v\f", b"   ")
_CODE_DIGITS = 3
_LENGTH_DIGITS = 18


class ResponseReader:
    """Reads the responses of one connection; `h` is the h11 connection that does, another one after a bad head."""

    __slots__ = ("_events", "_head_bytes", "_lines", "_method", "_received", "_tail", "answered", "h")

    def __init__(self, h: h11.Connection, head_bytes: int) -> None:
        self.h = h
        self.answered = False
        """Whether any part of the response has been read."""
        self._head_bytes = head_bytes
        self._method = b"GET"
        self._received: list[bytes] = []
        """What has come of the response, until h11 has read its head."""
        self._events = 0
        self._lines, self._tail = 0, b""
        """How many lines of a head have come, and its last bytes: its end may be in two parts."""

    def expect(self, method: bytes) -> None:
        """Begin with the response to a request of this method."""
        self._method, self.answered = method, False
        self._received.clear()
        self._lines, self._tail = 0, b""

    def receive(self, data: bytes) -> None:
        """Take what came, nothing at the end of the input. Raises h11's `RemoteProtocolError`."""
        if not self.answered:
            is_first = not self._received
            self._received.append(data)
            # An empty line before the head: h11 would take it for a head.
            rest = data.lstrip(b"\r\n") if is_first else data
            if data and not rest:
                return
            data = rest
        if self.h.their_state is h11.SEND_RESPONSE:
            self._count_lines(data)
        self.h.receive_data(data)

    def read(self) -> Event:
        """Return the next event; raises h11's `RemoteProtocolError` for what no browser reads or is too long."""
        if self._lines > LINES:
            raise h11.RemoteProtocolError(f"a head of more than {LINES} lines")
        try:
            event = self.h.next_event()
        except h11.RemoteProtocolError:
            anew = None if self.answered else self._anew()
            if anew is None:
                raise
            self.h = anew
            event = anew.next_event()
        if event is not h11.NEED_DATA and not self.answered:
            self.answered = True
            self._received.clear()
        if isinstance(event, h11.InformationalResponse):
            self._lines, self._tail = 0, b""
            self._count_lines(self.h.trailing_data[0])
        return event

    def _count_lines(self, data: bytes) -> None:
        """Count the lines of the head that this belongs to."""
        data = self._tail + data
        end = _END.search(data)
        self._lines += data.count(b"\n", len(self._tail), end.start() if end else len(data))
        self._tail = b"" if end else data[-2:]

    def should_yield(self) -> bool:
        """Count an event; return True if it is time to yield to other tasks."""
        self._events += 1
        if self._events < EVENTS_A_TURN:
            return False
        self._events = 0
        return True

    def _anew(self) -> h11.Connection | None:
        """Return a connection that reads what h11 refused as a browser would; None if no browser would read it."""
        received = b"".join(self._received)
        self._received.clear()
        # After an error h11 says MUST_CLOSE where the request has been sent whole.
        head = rewritten(received) if self.h.our_state is h11.MUST_CLOSE else None
        if head is None:
            return None
        anew = h11.Connection(h11.CLIENT, max_incomplete_event_size=self._head_bytes)
        anew.send(h11.Request(method=self._method, target=b"/", headers=[(b"Host", b"sent")]))
        anew.send(h11.EndOfMessage())
        anew.receive_data(head)
        return anew


def rewritten(received: bytes) -> bytes | None:
    """Return these bytes with a valid head; None if theirs is not whole, or no browser would read it."""
    start = received[: JUNK + len(b"http")].lower().find(b"http")
    end = _END.search(received)
    if start < 0 or end is None or b"\0" in received[: end.start()]:
        return None
    first, *lines = received[start : end.start()].split(b"\n")
    status = _STATUS.match(first)
    code = (status[3] or b"200") if status else b""
    if status is None or len(code) != _CODE_DIGITS:
        return None
    fields = _fields(lines)
    framing = _framing(fields, is_1_1=(status[1] or b"1", status[2] or b"0") >= (b"1", b"1"))
    if framing is None:
        return None
    kept = [
        (name, value)
        for name, value in fields
        if name.lower() not in (b"content-length", b"transfer-encoding")
    ]
    head = [b"HTTP/1.1 %b %b" % (code, status[4].translate(_BLANKS).strip())]
    # Where a server writes this, the next response on the connection is not to be relied on.
    head += [b"%b: %b" % field for field in (*kept, *framing, (b"Connection", b"close"))]
    return b"\r\n".join(head) + b"\r\n\r\n" + received[end.end() :]


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return names and values; lines without a colon, and those whose name is no token, are left out."""
    folded: list[list[bytes]] = []
    for line in lines:
        if not line.startswith((b" ", b"\t")):
            folded.append([line])
        elif folded:
            folded[-1].append(line)
    fields = []
    for parts in folded:
        name, colon, value = b" ".join(parts).partition(b":")
        name = name.strip(b" \t")
        if colon and _TOKEN.fullmatch(name):
            fields.append((name, b" ".join(value.translate(_BLANKS).split())))
    return fields


def _framing(fields: list[tuple[bytes, bytes]], *, is_1_1: bool) -> list[tuple[bytes, bytes]] | None:
    """Return what tells the end of the body, nothing if its connection's end does; None for a contradiction."""
    codings, lengths = (
        {one.strip().lower() for name, value in fields if name.lower() == wanted for one in value.split(b",")}
        for wanted in (b"transfer-encoding", b"content-length")
    )
    if is_1_1 and b"chunked" in codings:
        return [(b"Transfer-Encoding", b"chunked")]
    if len(lengths) > 1:
        return None
    return [(b"Content-Length", one) for one in lengths if one.isdigit() and len(one) <= _LENGTH_DIGITS]
