"""The farm's own requests: what comes of each kind of answer, and of none."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farm.egress import AllowedNetwork, Gateway, Guard
from farm.egress.fetch import Fetcher, FetchParams
from farm.model.egress import EgressFault, Fetched, FetchFailed
from farm.model.outcome import FailureKind
from fixtures.authority import Authority, Flaw

from .servers import answering, closing_after, listening, read_head

ROBOTS = b"User-agent: *\nDisallow: /x\n"


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    """Fetch from loopback."""
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    yield Fetcher(gateway, FetchParams("CrawlFarm/test", deadline_s=5))
    assert not gateway._slot_proxies
    await gateway.close()


async def got(fetcher: Fetcher, url: str, cap_bytes: int = 1000) -> Fetched:
    """Fetch, and fail where there is no answer."""
    fetched = await fetcher.fetch(url, cap_bytes)
    assert isinstance(fetched, Fetched), fetched
    return fetched


async def test_a_body_is_fetched_and_the_farm_says_who_it_is(fetcher: Fetcher) -> None:
    """By a request that any server understands."""
    heads: list[bytes] = []
    async with listening(answering(answer(ROBOTS, "X-Robots-Tag: none"), heads)) as server:
        fetched = await got(fetcher, f"{server.url}/robots.txt?a=b")
    assert (fetched.status, fetched.body, fetched.truncated) == (200, ROBOTS, False)
    assert fetched.headers["x-robots-tag"] == "none"
    assert heads[0].startswith(b"GET /robots.txt?a=b HTTP/1.1\r\n")
    assert b"User-Agent: CrawlFarm/test\r\n" in heads[0]
    assert heads[0].count(b"Host: ") == 1


async def test_a_body_beyond_the_cap_is_cut(fetcher: Fetcher) -> None:
    """What is there up to the cap is used."""
    async with listening(answering(answer(b"x" * 5000))) as server:
        fetched = await got(fetcher, server.url + "/", 1000)
    assert (len(fetched.body), fetched.truncated) == (1000, True)


async def test_a_packed_body_is_unpacked_no_further_than_the_cap(fetcher: Fetcher) -> None:
    """A bomb is cut like any long body."""
    async with listening(answering(answer(gzip.compress(ROBOTS), "Content-Encoding: gzip"))) as server:
        assert (await got(fetcher, server.url + "/")).body == ROBOTS
    bomb = gzip.compress(bytes(50_000_000))
    async with listening(answering(answer(bomb, "Content-Encoding: gzip"))) as server:
        fetched = await got(fetcher, server.url + "/")
    assert (len(fetched.body), fetched.truncated) == (1000, True)


@pytest.mark.parametrize(
    ("begin", "more", "body", "is_cut"),
    [
        (gzip.compress(ROBOTS), b"\0" * 1000, ROBOTS, False),
        (b"\x1f\x8b\x08" + bytes(6) + b"\xff", b"\0\0\0\xff\xff" * 200, b"", True),
    ],
    ids=["behind its end", "without content"],
)
async def test_of_a_packed_body_no_more_is_received_than_it_can_have(
    fetcher: Fetcher, begin: bytes, more: bytes, body: bytes, is_cut: bool
) -> None:
    """What is unpacked to nothing has no end by the cap of what is unpacked."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + begin)
        while True:
            writer.write(more * 100)
            await writer.drain()

    async with listening(endless) as server:
        fetched = await got(fetcher, f"{server.url}/robots.txt")
    assert (fetched.body, fetched.truncated) == (body, is_cut)


async def test_a_body_can_be_taken_in_pieces(fetcher: Fetcher) -> None:
    """Until the taker has enough."""
    pieces: list[bytes] = []

    async def take(piece: bytes) -> bool:
        pieces.append(piece)
        return sum(map(len, pieces)) < 200_000

    async with listening(answering(answer(b"x" * 1_000_000))) as server:
        fetched = await fetcher.fetch(server.url + "/", 10_000_000, take)
    assert isinstance(fetched, Fetched)
    assert fetched.body == b""
    assert 200_000 <= sum(map(len, pieces)) < 400_000


async def test_five_redirects_are_followed_and_no_sixth(fetcher: Fetcher) -> None:
    """Beyond them the answer is the redirect."""

    async def count_down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        left = int(head.split(b" ")[1].rpartition(b"/")[2])
        writer.write(answer(b"", f"Location: /{left - 1}", status="301 Moved") if left else answer(ROBOTS))

    async with listening(count_down) as server:
        assert (await got(fetcher, f"{server.url}/5")).body == ROBOTS
        beyond = await got(fetcher, f"{server.url}/6")
        assert (beyond.status, beyond.body) == (301, b"")


async def test_no_redirect_leads_into_a_closed_network(fetcher: Fetcher) -> None:
    """The guard judges every hop."""
    moved = answer(b"", "Location: http://169.254.169.254/latest", status="302 Found")
    async with listening(answering(moved)) as server:
        failed = await fetcher.fetch(server.url + "/", 1000)
    assert isinstance(failed, FetchFailed)
    assert failed.egress_failure is not None
    assert failed.egress_failure.fault is EgressFault.REFUSED


async def test_tls_is_spoken_and_its_chain_is_not_judged(fetcher: Fetcher, tmp_path: Path) -> None:
    """The browser judges it, when it visits the page."""
    context = Authority().issue(Flaw.EXPIRED).server_context(tmp_path)
    async with listening(answering(answer(ROBOTS)), tls=context) as server:
        fetched = await got(fetcher, f"https://127.0.0.1:{server.port}/robots.txt")
    assert fetched.body == ROBOTS


@pytest.mark.parametrize("tls", [False, True])
async def test_a_malformed_head_is_read_as_browsers_do(
    fetcher: Fetcher, tmp_path: Path, *, tls: bool
) -> None:
    """A blank line, a warning and a length that is none cost nothing, also within a tunnel."""
    head = (
        b"\r\nhttp/1.1 200\r\nPHP Warning: no such file\r\nContent-Length: none\r\nConnection: close\r\n\r\n"
    )
    context = Authority().issue().server_context(tmp_path) if tls else None
    async with listening(closing_after(head + ROBOTS), tls=context) as server:
        fetched = await got(fetcher, f"{'https' if tls else 'http'}://127.0.0.1:{server.port}/robots.txt")
    assert (fetched.status, fetched.body) == (200, ROBOTS)


async def test_no_answer_is_told_apart(fetcher: Fetcher) -> None:
    """Nobody there, a broken answer, silence: each has its kind."""
    async with listening(answering(b"")) as server:
        gone = server.url
    failed = await fetcher.fetch(gone + "/", 1000)
    assert isinstance(failed, FetchFailed)
    assert failed.kind is FailureKind.NETWORK
    assert failed.egress_failure is not None
    async with listening(answering(b"SSH-2.0-no-http\r\n\r\n")) as server:
        failed = await fetcher.fetch(server.url + "/", 1000)
    assert isinstance(failed, FetchFailed)
    assert failed.kind is FailureKind.NETWORK
    async with listening(answering(b"")) as server:
        failed = await fetcher.fetch(server.url + "/", 1000, deadline_s=0.2)
    assert isinstance(failed, FetchFailed)
    assert failed.kind is FailureKind.TIMEOUT
