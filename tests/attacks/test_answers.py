"""Answers without end, and answers in a million pieces: one of them costs its own exchange and nobody's turn."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from farm.egress import AllowedNetwork, Gateway, Guard
from farm.egress.fetch import Fetcher, FetchParams
from farm.egress.response import HEADERS, INFORMATIONAL
from farm.model.egress import EgressFault, Fetched, FetchFailed
from tests.egress.callers import calling, fetch
from tests.egress.conftest import OpenSlotProxy
from tests.egress.servers import Talk, answering_once, listening, ok, read_head

HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def endless(head: bytes, piece: bytes) -> Talk:
    """Answer by a beginning that goes on for as long as anybody reads."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head)
        while True:
            writer.write(piece * 2_000)
            await writer.drain()

    return talk


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    """Fetch from loopback."""
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    yield Fetcher(gateway, FetchParams("CrawlFarm/test", deadline_s=20))
    await gateway.close()


ENDLESS = {
    "103": endless(b"", HINT),
    "100": endless(b"", b"HTTP/1.1 100 \r\n\r\n"),
    "199": endless(b"", b"HTTP/1.1 199 x\r\n\r\n"),
    "a head": endless(b"HTTP/1.1 200 OK\r\n", b"a:\r\n"),
    "one header": endless(b"HTTP/1.1 200 OK\r\na: b\r\n", b" c\r\n"),
    "a status line": endless(b"HTTP/1.1 200 ", b"x"),
    "garbage": endless(b"", b"\x00\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_a_head_that_never_ends_is_given_up(open_slot_proxy: OpenSlotProxy, kind: str) -> None:
    """The browser gets no answer, and the slot proxy says why; another exchange of the same slot proxy goes on."""
    slot_proxy = await open_slot_proxy()
    async with listening(ENDLESS[kind]) as attacker, listening(answering_once(ok(b"hello"))) as site:
        async with calling(slot_proxy) as caller:
            caller.ask(f"{attacker.url}/")
            assert await fetch(slot_proxy, f"{site.url}/")
            said = await caller.rest()
        failure = slot_proxy.failure(attacker.url)
    assert b" 200 " not in said
    assert said.count(b"HTTP/1.1 1") <= INFORMATIONAL
    assert failure is not None
    assert failure.fault is EgressFault.CONNECT
    assert len(failure.detail) < 400


@pytest.mark.parametrize("kind", ENDLESS)
async def test_the_farms_own_fetch_gives_such_a_head_up(fetcher: Fetcher, kind: str) -> None:
    """robots.txt and sitemaps come from the same sites."""
    async with listening(ENDLESS[kind]) as attacker:
        answer = await fetcher.fetch(f"{attacker.url}/robots.txt", 1000)
    assert isinstance(answer, FetchFailed)
    assert len(answer.detail) < 500


async def test_informational_answers_in_number_are_passed_on(open_slot_proxy: OpenSlotProxy) -> None:
    """A site may say once or twice that it is going to answer."""
    slot_proxy = await open_slot_proxy()
    answer = HINT * INFORMATIONAL + b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
    async with listening(answering_once(answer)) as site, calling(slot_proxy) as caller:
        caller.ask(f"{site.url}/", "Connection: close")
        said = await caller.rest()
    assert said.count(b" 103 ") == INFORMATIONAL
    assert said.endswith(b"x")


@pytest.mark.parametrize(("count", "is_taken"), [(HEADERS - 1, True), (HEADERS + 1, False)])
async def test_headers_are_counted(
    open_slot_proxy: OpenSlotProxy, fetcher: Fetcher, count: int, *, is_taken: bool
) -> None:
    """Sixty thousand fit into the bytes of a head."""
    slot_proxy = await open_slot_proxy()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"set-cookie: a\r\n" * (count - 1) + b"\r\n"
    async with listening(answering_once(answer)) as site:
        said = await fetch(slot_proxy, f"{site.url}/")
        fetched = await fetcher.fetch(f"{site.url}/", 10)
    assert said.startswith(b"HTTP/1.1 200") is is_taken
    assert isinstance(fetched, Fetched) is is_taken


PIECES = {
    "chunks of a byte": CHUNKED + b"1\r\nx\r\n" * 100_000 + END,
    "extensions": CHUNKED + b"1;" + b"a=b;" * 10_000 + b"\r\nx\r\n" + END,
    "trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + b"a:\r\n" * 15_000 + b"\r\n",
}


@pytest.mark.parametrize("kind", PIECES)
async def test_a_body_in_pieces_lets_others_run(
    open_slot_proxy: OpenSlotProxy, fetcher: Fetcher, kind: str
) -> None:
    """It is carried whole, and the loop has its turns meanwhile."""
    slot_proxy = await open_slot_proxy()
    async with listening(answering_once(PIECES[kind])) as site:
        async with calling(slot_proxy) as caller:
            caller.ask(f"{site.url}/", "Connection: close")
            said = await caller.rest()
        fetched = await fetcher.fetch(f"{site.url}/", 1_000_000)
    assert said.count(b"1\r\nx\r\n") == PIECES[kind].count(b"\r\nx\r\n")
    assert isinstance(fetched, Fetched)
    assert len(fetched.body) == PIECES[kind].count(b"\r\nx\r\n")


UNPACKED_BYTES = 60_000_000
PACKED = gzip.compress(b"\0" * UNPACKED_BYTES)
"""Made here: in the test it would be a turn of the loop that is measured."""


async def test_a_body_that_is_packed_a_thousandfold_lets_others_run(fetcher: Fetcher) -> None:
    """What 64 KB unpack to is taken a piece at a time."""
    size = UNPACKED_BYTES
    async with listening(answering_once(ok(PACKED, b"Content-Encoding: gzip"))) as site:
        turns, sizes = [0], []
        others = asyncio.ensure_future(_count_turns(turns))

        async def take(piece: bytes) -> bool:
            sizes.append((len(piece), turns[0]))
            return True

        answer = await fetcher.fetch(f"{site.url}/", size, take)
        others.cancel()
    assert isinstance(answer, Fetched)
    assert sum(piece for piece, _ in sizes) == size
    assert len({turn for _, turn in sizes}) > len(sizes) // 2


async def _count_turns(turns: list[int]) -> None:
    while True:
        turns[0] += 1
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "url",
    [
        "http://h:99999/x",
        "http://h:abc/x",
        "http://[::1/x",
        "http://127.0.0.1:1/\u00e4",
        "http://h\ud800/",
        "http:///",
        "ftp://h/",
        "",
    ],
)
async def test_what_is_no_address_is_an_answer(fetcher: Fetcher, url: str) -> None:
    """Never an error: a line of a robots.txt is not to end a run."""
    assert isinstance(await fetcher.fetch(url, 10), FetchFailed)


@pytest.mark.parametrize(
    "where", ["http://h:99999/", "http://[::1/", "//", "http://h/\xe4", "x" * 50_000, "data:,x"]
)
async def test_where_a_redirect_leads_is_an_answer(fetcher: Fetcher, where: str) -> None:
    """Whatever stands there."""
    location = b"Location: " + where.encode("latin-1")
    answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + location + b"\r\n\r\n"
    async with listening(answering_once(answer)) as site:
        assert isinstance(await fetcher.fetch(f"{site.url}/", 10), Fetched | FetchFailed)
