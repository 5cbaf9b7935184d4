"""What is not HTTP/2, and what is too much of it: floods of frames, headers that swell, random bytes."""

import asyncio
import random
import struct

import pytest

from farm.egress.document_http2 import FRAME_BYTES, Http2Connection, NotHttp2, RequestReset
from farm.model.errors import RenderError
from tests.fetch.conftest import Fetch, Trusted
from tests.fetch.http2_sites import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STATUS_200,
    Answer,
    Nowhere,
    Request,
    frame,
    opened,
    page,
    site,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")
KEPT_BYTES = 2**25
"""What the kernel and the gateway may hold of a flood that nobody reads any more."""


def raw(*frames: bytes) -> Answer:
    """Answer with these frames and wait."""

    async def answer(request: Request) -> None:
        request.send(b"".join(frames))

    return answer


def flood(*frames: bytes, begin: bytes = b"") -> Answer:
    """Answer with the beginning, and then with these frames without end."""

    async def answer(request: Request) -> None:
        request.send(begin)
        await request.flood(*frames)

    return answer


def literal(name: bytes, value: bytes) -> bytes:
    """Return a header that HPACK does not compress."""
    return b"\x00" + bytes((len(name),)) + name + b"\x7f" + _rest_of(len(value) - 127) + value


def _rest_of(number: int) -> bytes:
    rest = b""
    while number >= 128:
        rest += bytes((number % 128 + 128,))
        number //= 128
    return rest + bytes((number,))


BOMB = STATUS_200 + b"\x40\x01a\x7f" + _rest_of(3_000 - 127) + b"v" * 3_000 + b"\xbe" * 5_000
"""One header of 3,000 bytes, and 5,000 references to it."""
ENDLESS: dict[str, Answer] = {
    "pings": flood(frame(PING, b"12345678")),
    "settings": flood(frame(SETTINGS)),
    "many settings": flood(frame(SETTINGS, bytes(range(240)))),
    "CONTINUATION": flood(
        frame(CONTINUATION, literal(b"a", b"v" * 200), stream=1), begin=frame(HEADERS, STATUS_200, stream=1)
    ),
    "empty CONTINUATION": flood(frame(CONTINUATION, stream=1), begin=frame(HEADERS, STATUS_200, stream=1)),
    "informational": flood(frame(HEADERS, b"\x08\x03103", END_HEADERS, 1)),
    "unknown frames": flood(frame(99, b"x" * 1_000)),
    "window updates": flood(frame(8, struct.pack("!I", 1))),
    "headers": raw(frame(HEADERS, BOMB, END_HEADERS, 1)),
}
INVALID: dict[str, Answer] = {
    "an early body": raw(frame(DATA, b"x", stream=1)),
    "a frame too large": raw(frame(HEADERS, b"x" * (FRAME_BYTES + 1), END_HEADERS, 1)),
    "a push": raw(frame(PUSH_PROMISE, struct.pack("!I", 2) + STATUS_200, END_HEADERS, 1)),
    "no status": raw(frame(HEADERS, literal(b"a", b"b" * 200), END_HEADERS, 1)),
    "a status that is none": raw(frame(HEADERS, b"\x08\x03abc", END_HEADERS, 1)),
    "a status below all": raw(frame(HEADERS, b"\x08\x03000", END_HEADERS, 1)),
    "settings of all kinds": raw(
        frame(SETTINGS, b"".join(struct.pack("!HI", kind, 1) for kind in range(1_000, 1_300)))
    ),
    "a name in capitals": raw(frame(HEADERS, STATUS_200 + literal(b"Big", b"v" * 200), END_HEADERS, 1)),
    "a cut GOAWAY": raw(frame(GOAWAY, b"1234")),
    "GOAWAY HTTP_1_1_REQUIRED": raw(frame(GOAWAY, struct.pack("!II", 0, 13))),
    "HTTP_1_1_REQUIRED": raw(frame(RST_STREAM, struct.pack("!I", 13), stream=1)),
    "PROTOCOL_ERROR": raw(frame(RST_STREAM, struct.pack("!I", 1), stream=1)),
    "HTTP/1.1 itself": raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("answer", [*ENDLESS.values(), *INVALID.values()], ids=[*ENDLESS, *INVALID])
async def test_what_is_not_fit_by_http_2_is_requested_by_http_1(
    fetch: Fetch, trust: Trusted, answer: Answer
) -> None:
    """At once, and without HTTP/2 from then on; of what a server sends without end little is received."""
    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        assert (await fetching.visit(f"{there.url}/a")).title == "Brot"
        assert fetching.slot_proxy.bytes_received < KEPT_BYTES
        assert (await fetching.visit(f"{there.url}/b")).title == "Brot"
    assert (there.connections, len(there.requests), there.plain) == (1, 1, 2)


async def test_a_site_without_http_1_is_asked_by_http_2_again(fetch: Fetch, trust: Trusted) -> None:
    """One answer that was not fit is no reason to fail for ever."""

    async def answer(request: Request) -> None:
        await (INVALID["no status"] if request.headers[":path"] == "/a" else page)(request)

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        there.has_http_1 = False
        with pytest.raises(RenderError):
            await fetching.visit(f"{there.url}/a")
        assert (await fetching.visit(f"{there.url}/b")).title == "Brot"
    assert (there.connections, there.plain) == (2, 0)


@pytest.mark.parametrize(
    "frames",
    [
        (frame(PING, b"12345678"),),
        (frame(DATA, stream=1),),
        (frame(DATA, b"x", stream=1), frame(PING, b"12345678")),
        (frame(DATA, b"\xff" + b"\0" * 255, 8, 1),),
        (frame(DATA, b" " * 1_000, stream=1), frame(SETTINGS)),
    ],
    ids=["pings", "empty frames", "a byte and a ping", "padding", "settings"],
)
async def test_a_body_that_only_costs_time_breaks_off(
    fetch: Fetch, trust: Trusted, frames: tuple[bytes, ...]
) -> None:
    """What came before it is there, and the next page of the site is requested by HTTP/1.1."""
    begin = frame(HEADERS, STATUS_200 + b"\x5f\x09text/html", END_HEADERS, 1) + frame(
        DATA, b"<p>half", stream=1
    )
    fetching = await opened(fetch, trust)
    async with site(trust, flood(*frames, begin=begin)) as there:
        found = await fetching.visit(f"{there.url}/a")
        assert fetching.slot_proxy.bytes_received < KEPT_BYTES
        assert (await fetching.visit(f"{there.url}/b")).title == "Brot"
    assert (found.text[:4], found.truncated, there.connections) == ("half", ("document",), 1)
    is_settings = len(frames[0]) > 1_000
    assert ("frames of settings" if is_settings else "carry nothing") in found.broke_off


async def test_random_frames_end_in_no_other_error() -> None:
    """Each answer is one of frames that fit, with a few bytes changed."""
    chance = random.Random(7)
    head = frame(HEADERS, STATUS_200 + b"\x5f\x09text/html\x0f\x0d\x0250", END_HEADERS, 1)
    good = [
        head,
        frame(SETTINGS, struct.pack("!HIHI", 1, 4096, 4, 9)),
        frame(SETTINGS, flags=1),
        frame(PING, b"12345678"),
        frame(DATA, b"x" * 30, stream=1),
        frame(8, struct.pack("!I", 9)),
        frame(CONTINUATION, STATUS_200, END_HEADERS, 1),
        frame(HEADERS, b"\x08\x03103", END_HEADERS, 1),
        frame(RST_STREAM, struct.pack("!I", 8), stream=1),
        frame(2, b"\0\0\0\0\x0f", stream=1),
        frame(10, b"\0\x01ah2", stream=1),
        frame(DATA, b"x" * 20, END_STREAM, 1),
    ]
    ends: set[str] = set()
    for _ in range(400):
        data = bytearray(frame(SETTINGS) + b"".join(chance.choices(good, k=chance.randrange(2, 9))))
        if chance.random() < 0.5:
            data = bytearray(frame(SETTINGS) + head) + data[9:]
        for _ in range(chance.randrange(4)):
            data[chance.randrange(9, len(data))] = chance.randrange(256)
        reader = asyncio.StreamReader()
        reader.feed_data(bytes(data))
        reader.feed_eof()
        connection = Http2Connection(reader, Nowhere())  # type: ignore[arg-type]
        try:
            await connection.head(b"a.example", b"/", [])
            while await connection.piece():
                pass
            ends.add("whole")
        except (NotHttp2, RequestReset, OSError) as error:
            ends.add(type(error).__name__)
    assert ends >= {"whole", "NotHttp2", "RequestReset", "ConnectionError", "ConnectionResetError"}


async def test_headers_of_requests_are_kept_within_a_bound() -> None:
    """However much a server would keep of them: a cookie that is another one each time would stay for good."""
    reader = asyncio.StreamReader()
    connection = Http2Connection(reader, Nowhere())  # type: ignore[arg-type]
    reader.feed_data(frame(SETTINGS, struct.pack("!HI", 1, 2**31 - 1)))
    for stream in range(1, 11, 2):
        reader.feed_data(frame(HEADERS, STATUS_200, END_HEADERS | END_STREAM, stream))
        await connection.head(b"a.example", b"/", [(b"cookie", b"%d" % stream * 30_000)])
    kept = connection._h2.encoder.header_table.dynamic_entries
    assert sum(len(name) + len(value) for name, value in kept) <= 2**16
