"""Response heads that browsers read and h11 refuses: they pass; what could be read in two ways does not."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.egress.response import ResponseReader, rewritten
from farm.model.egress import EgressFault

from .callers import calling, fetch
from .conftest import OpenSlotProxy
from .servers import answering, answering_once, listening

BODY = b"The page is there."
LINES = {
    "a space in the name": b"Frame Options: deny",
    "no colon": b"X-Powered-By PHP",
    "a warning": b"PHP Warning: Unable to load dynamic library '/usr/lib/x.so' in Unknown on line 0",
    "a quoted line": b'"X-XSS-Protection: 0"',
    "a slash in the name": b"cache/forum.php: userdata not supported",
    "no name": b": nothing",
    "markup": b"<!DOCTYPE html>",
    "a name beyond ASCII": "X-Größe: 1".encode("latin-1"),
    "an unknown coding": b"Transfer-Encoding: identity",
    "a length with a sign": b"Content-Length: +18",
    "an empty length": b"Content-Length:",
    "a length that is a word": b"Content-Length: abc",
    "a length beyond all": b"Content-Length: " + b"9" * 40,
    "a fold at the start": b"   continued",
    "a form feed in a value": b"X-Note: a\x0cb",
}
STATUS = {
    "lower case": b"http/1.1 200 OK",
    "a blank line before": b"\r\nHTTP/1.1 200 OK",
    "some junk before": b"\r\n\r\nHTTP/1.1 200 OK",
    "no code": b"HTTP/1.1",
    "no version": b"HTTP 200 OK",
    "spaces": b"HTTP/1.1  200   OK",
}


def head_of(status: bytes, *lines: bytes) -> bytes:
    """Return a head and a body that ends with the connection."""
    return (
        b"\r\n".join([status, *lines, b"Content-Type: text/plain", b"Connection: close"]) + b"\r\n\r\n" + BODY
    )


def read(data: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """Return what h11 makes of a response."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "shop.example")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return head, body


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
async def test_a_line_that_browsers_skip_passes(open_slot_proxy: OpenSlotProxy, line: bytes) -> None:
    """The page comes whole, with the rest of its headers, and without the line."""
    slot_proxy = await open_slot_proxy()
    async with (
        listening(answering_once(head_of(b"HTTP/1.1 200 OK", line))) as origin,
        calling(slot_proxy) as caller,
    ):
        caller.ask(f"{origin.url}/", "Connection: close")
        answer = await caller.rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert BODY in answer
    assert b"Content-Type: text/plain\r\n" in answer
    assert line not in answer


@pytest.mark.parametrize("status", STATUS.values(), ids=STATUS.keys())
async def test_a_status_line_that_browsers_read_passes(open_slot_proxy: OpenSlotProxy, status: bytes) -> None:
    """Its code is 200, also where it names none."""
    slot_proxy = await open_slot_proxy()
    answer = head_of(status, b"Content-Length: %d" % len(BODY))
    async with listening(answering(answer)) as origin:
        answer = await fetch(slot_proxy, f"{origin.url}/")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(BODY)


@pytest.mark.parametrize(
    "answer",
    [
        head_of(b"HTTP/1.1 200 OK", b"Content-Length: 18", b"Content-Length: 5"),
        head_of(b"HTTP/1.1 200 OK", b"Content-Length: 18, 5"),
        head_of(b"HTTP/1.1 200 OK", b"No colon", b"Content-Length: 18", b"Content-Length: x"),
        head_of(b"HTTP/1.1 200 OK", b"No colon", b"X-Note: a\0b"),
        head_of(b"HTTP/1.1 20000 OK"),
        head_of(b"a long greeting HTTP/1.1 200 OK"),
        b"220 mail.example ESMTP\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(
    open_slot_proxy: OpenSlotProxy, answer: bytes
) -> None:
    """The browser gets nothing of it, and the failure is the origin's."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering(answer)) as origin:
        assert await fetch(slot_proxy, f"{origin.url}/") == b""
        failure = slot_proxy.failure(origin.url)
    assert failure is not None
    assert failure.fault == EgressFault.CONNECT


async def test_a_connection_with_such_a_head_is_not_used_again(open_slot_proxy: OpenSlotProxy) -> None:
    """What comes after it is not to be relied on."""
    slot_proxy = await open_slot_proxy()
    answer = b"HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 1\r\n\r\nx"
    async with listening(answering(answer)) as origin, calling(slot_proxy) as caller:
        for _ in range(2):
            caller.ask(f"{origin.url}/")
            assert (await caller.head()).startswith(b"HTTP/1.1 200 ")
            assert await caller.body(1) == b"x"
        await origin.came(2)


def test_chunks_win_over_a_length() -> None:
    """As RFC 9112 (6.3) has it; the length goes no further."""
    head = b"HTTP/1.1 200 OK\r\nOdd line\r\nContent-Length: 3\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"
    data = head + b"1\r\nx\r\n0\r\n\r\n"
    made = rewritten(data)
    assert made is not None
    answer, body = read(made)
    assert body == b"x"
    assert b"content-length" not in dict(answer.headers)


def test_an_old_server_sends_no_chunks() -> None:
    """What says HTTP/1.0 is read to its end, as it is."""
    made = rewritten(b"HTTP/1.0 200 OK\r\nOdd line\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert made is not None
    assert read(made)[1] == b"1\r\nx\r\n"


def test_a_folded_value_is_joined_and_a_name_is_trimmed() -> None:
    """`Expires : x` is `Expires: x`."""
    made = rewritten(b"HTTP/1.1 200\r\nExpires : Wed,\r\n\t19 Apr\r\nOdd\r\n : more\r\n\r\n")
    assert made == b"HTTP/1.1 200 \r\nExpires: Wed, 19 Apr\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 103 Early\r\n\r\n"])
@pytest.mark.parametrize("parts", [1, 7])
def test_a_head_of_too_many_lines_is_not_parsed(before: bytes, parts: int) -> None:
    """Parsing takes time for each of them, and nothing else runs meanwhile; a body's lines are not counted."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n"
    for lines, is_read in ((b"a:b\r\n" * 900, True), (b"a:b\r\n" * (2_000 + 1), False)):
        client = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**18)
        reader = ResponseReader(client, 2**18)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "shop.example")]))
        client.send(h11.EndOfMessage())
        reader.expect(b"GET")
        data = before + head + lines + b"\r\n" + b"\n" * 30_000
        size = -(-len(data) // parts)
        found: list[object] = []
        try:
            for at in range(0, len(data), size):
                reader.receive(data[at : at + size])
                while isinstance(event := reader.read(), h11.Event):
                    found.append(type(event))
                    if isinstance(event, h11.EndOfMessage):
                        break
        except h11.RemoteProtocolError as error:
            found.append(str(error))
        assert (h11.EndOfMessage in found) is is_read
        assert is_read or found[-1] == f"a head of more than {2_000} lines"


def test_a_head_that_is_not_whole_is_none() -> None:
    """There is nothing to read yet."""
    assert rewritten(b"HTTP/1.1 200 OK\r\nOdd line\r\n") is None
    assert rewritten(b"") is None


WORDS = (
    b"HTTP/1.1 200 OK",
    b"http",
    b"/1.0",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"Upgrade: x",
)
SIGNS = (
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"\r",
    b":",
    b"a",
    b"\0",
    b"\xff",
    b"\x0b",
    b"204",
    b"304",
    b"999",
    b"\r\n\r\n",
)
pieces = st.lists(st.sampled_from((*WORDS, *SIGNS)) | st.binary(max_size=6)).map(b"".join)


@given(pieces)
@example(b"HTTP/1.1 099 \r\n\r\n")
@example(b"HTTP/1.1 101 \r\n\r\n")
def test_whatever_comes_h11_reads_what_is_made_of_it(data: bytes) -> None:
    """Or there is nothing; what is no final response is left to h11."""
    made = rewritten(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n")
    assert made is None or read(made.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", "HEAD")[0].status_code == 200
    free = rewritten(data)
    if free is not None and free[9:12] >= b"200":
        assert read(free.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", "HEAD")
