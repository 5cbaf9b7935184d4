"""Pages by HTTP/2: whole ones, and what is left where a server does not keep to it, by accident or on purpose."""

import asyncio
import gzip
import random
import struct
from collections.abc import Callable

import pytest

from farm.egress.document_http2 import (
    MOST_REQUESTS,
    WINDOW_BYTES,
    Http2Connection,
)
from farm.egress.upstream import Upstream
from farm.model.errors import RenderError, RendererUnfit
from farm.model.outcome import FailureKind
from tests.egress.proxies import Log, http_proxy
from tests.egress.servers import listening
from tests.fetch.conftest import Fetch, Trusted
from tests.fetch.http2_sites import (
    DATA,
    END_STREAM,
    GOAWAY,
    HTML,
    PAGE,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Nowhere,
    Request,
    frame,
    opened,
    page,
    site,
)

pytestmark = pytest.mark.asyncio(loop_scope="package")

# -- what sites do


async def test_pages_come_by_http_2_on_one_connection(fetch: Fetch, trust: Trusted) -> None:
    """Each waits for its turn; the request is a browser's, with the cookies of the answer before."""

    async def answer(request: Request) -> None:
        request.head(200, *HTML, ("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2; Path=/"))
        await request.body(PAGE)

    fetching = await opened(fetch, trust, headers_for=lambda *_: {"X-Where": "Köln"})
    async with site(trust, answer) as there:
        pages = [await fetching.visit(f"{there.url}/{name}?q=1#f") for name in ("a", "b", "c")]
    assert [(one.title, one.text, one.status) for one in pages] == [("Brot", "Bäckerei", 200)] * 3
    assert (there.connections, there.plain, [one.stream for one in there.requests]) == (1, 0, [1, 3, 5])
    assert len(fetching.asked) == 3
    sent = there.requests[-1].headers
    pseudo = {
        ":method": "GET",
        ":scheme": "https",
        ":authority": f"127.0.0.1:{there.port}",
        ":path": "/c?q=1",
    }
    assert pseudo.items() <= sent.items()
    assert (sent["cookie"], sent["x-where"], sent["user-agent"]) == ("a=1; b=2", "Köln", "Mozilla/5.0 (test)")
    assert sent.keys().isdisjoint({"host", "connection"})
    assert fetching.slot_proxy.bytes_received > len(PAGE)


async def test_a_body_larger_than_the_window_comes_whole(fetch: Fetch, trust: Trusted) -> None:
    """Room for more is given as it is read, also to a packed one, and in the next request of the connection."""
    body = PAGE + b"<!-- " + random.Random(1).randbytes(WINDOW_BYTES).hex().encode()

    async def answer(request: Request) -> None:
        request.head(200, *HTML, ("content-encoding", "gzip"))
        await request.body(gzip.compress(body, 1))

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        pages = [await fetching.visit(f"{there.url}/{name}") for name in "ab"]
    assert [(one.text, one.truncated, len(one.html) > len(body)) for one in pages] == [
        ("Bäckerei", (), True)
    ] * 2
    assert there.connections == 1


async def test_a_body_beyond_its_bound_is_cut(fetch: Fetch, trust: Trusted) -> None:
    """Of what is no page nothing is read; what a server may send ahead is bounded by the window."""

    async def answer(request: Request) -> None:
        kind = HTML if request.headers[":path"] == "/long" else (("content-type", "video/mp4"),)
        request.head(200, *kind)
        await request.body(b"<p>text" + b" " * 4 * 2**20)

    fetching = await opened(fetch, trust, cap_bytes=10_000)
    async with site(trust, answer) as there:
        long = await fetching.visit(f"{there.url}/long")
        film = await fetching.visit(f"{there.url}/film")
        assert fetching.slot_proxy.bytes_received < 2 * WINDOW_BYTES
    assert (long.text, long.truncated) == ("text", ("html",))
    assert (film.settle_reason, film.truncated, there.connections) == ("no_page", (), 2)


async def test_a_proxy_carries_http_2(fetch: Fetch, trust: Trusted) -> None:
    """The site is spoken to through the tunnel, and the proxy is asked for it once."""
    fetching, log = await opened(fetch, trust), Log()
    async with site(trust) as there, listening(http_proxy(log)) as proxy:
        fetching.slot_proxy.switch(Upstream.parse(f"http://127.0.0.1:{proxy.port}"))
        assert [(await fetching.visit(f"{there.url}/{name}")).title for name in "ab"] == ["Brot"] * 2
        fetching.slot_proxy.switch(None)
    assert (there.connections, log.asked) == (1, [f"127.0.0.1:{there.port}"])


async def test_redirects_empty_answers_trailers_and_hints_are_read(fetch: Fetch, trust: Trusted) -> None:
    """All on one connection."""

    async def answer(request: Request) -> None:
        if request.headers[":path"] == "/old":
            request.head(302, ("location", "/new"), end=True)
            return
        if request.headers[":path"] == "/empty":
            request.head(204, end=True)
            return
        for _ in range(3):
            request.head(103, ("link", "</s.css>; rel=preload"))
        request.head(200, *HTML)
        await request.body(PAGE, end=False)
        request.http.send_headers(request.stream, [("x-sum", "1")], end_stream=True)
        request.send()

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        pages = [await fetching.visit(f"{there.url}/{name}") for name in ("empty", "old", "old")]
    assert [(one.status, one.title) for one in pages] == [(204, ""), (200, "Brot"), (200, "Brot")]
    assert [one.final_url for one in pages[1:]] == [f"{there.url}/new"] * 2
    assert there.connections == 1


async def test_a_connection_that_went_meanwhile_is_made_anew(fetch: Fetch, trust: Trusted) -> None:
    """Closed without a word, or with GOAWAY before it; pings that came meanwhile are answered."""
    gone, words = (
        asyncio.Event(),
        iter((b"", frame(PING, b"12345678"), frame(GOAWAY, struct.pack("!II", 1, 0)))),
    )

    async def answer(request: Request) -> None:
        await page(request)
        request.send(next(words, b""))
        request.writer.close()
        gone.set()

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        for _ in range(4):
            gone.clear()
            assert (await fetching.visit(f"{there.url}/")).title == "Brot"
            await gone.wait()
    assert (there.connections, len(there.requests), there.plain) == (4, 4, 0)


async def test_frames_that_say_nothing_of_the_answer_may_come_before_it(fetch: Fetch, trust: Trusted) -> None:
    """More room for a body that a request has not, and a priority: some servers send them."""

    async def answer(request: Request) -> None:
        early = (
            frame(WINDOW_UPDATE, struct.pack("!I", 9), stream=request.stream),
            frame(PRIORITY, b"\0\0\0\0\x0f", stream=request.stream),
        )
        request.send(b"".join(early))
        await page(request)

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        assert [(await fetching.visit(f"{there.url}/{name}")).title for name in "ab"] == ["Brot"] * 2
    assert (there.connections, there.plain) == (1, 0)


async def test_a_connection_serves_a_bounded_number_of_requests() -> None:
    """h2 keeps something of each."""
    connection = Http2Connection(asyncio.StreamReader(), Nowhere())  # type: ignore[arg-type]
    connection._is_ended = True
    connection._requests = MOST_REQUESTS - 1
    assert connection.is_reusable
    connection._requests += 1
    assert not connection.is_reusable


# -- how answers end early


async def after_a_page(request: Request, *frames: bytes) -> None:
    """Answer the first request of a connection with a page, and others with these frames."""
    if request.stream == 1:
        await page(request)
    else:
        request.send(b"".join(frames))


@pytest.mark.parametrize(
    "last",
    [
        lambda stream: frame(RST_STREAM, struct.pack("!I", 7), stream=stream),
        lambda stream: frame(GOAWAY, struct.pack("!II", stream - 1, 0)),
        lambda stream: frame(GOAWAY, struct.pack("!II", stream - 1, 11)),
    ],
    ids=["REFUSED_STREAM", "GOAWAY", "ENHANCE_YOUR_CALM"],
)
async def test_what_was_not_processed_is_requested_again(
    fetch: Fetch, trust: Trusted, last: Callable[[int], bytes]
) -> None:
    """Once, and on a new connection; a new one that refuses at once fails the visit, which is tried later."""

    async def answer(request: Request) -> None:
        if request.headers[":path"] == "/never":
            request.send(last(request.stream))
        else:
            await after_a_page(request, last(request.stream))

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        assert [(await fetching.visit(f"{there.url}/{name}")).title for name in "ab"] == ["Brot"] * 2
        assert (there.connections, len(there.requests)) == (2, 3)
        with pytest.raises(RenderError) as caught:
            await fetching.visit(f"{there.url}/never")
        assert (caught.value.kind, caught.value.url) == (FailureKind.NETWORK, f"{there.url}/never")
        assert (there.connections, len(there.requests), there.plain) == (3, 5, 0)


@pytest.mark.parametrize("path", ["first", "second"])
async def test_a_request_that_is_reset_is_a_browsers(fetch: Fetch, trust: Trusted, path: str) -> None:
    """It may be meant for clients that are none; it is not repeated here, on a used connection neither."""

    async def answer(request: Request) -> None:
        if request.headers[":path"] == "/reset":
            request.send(frame(RST_STREAM, struct.pack("!I", 2), stream=request.stream))
        else:
            await page(request)

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        if path == "second":
            await fetching.visit(f"{there.url}/page")
        with pytest.raises(RendererUnfit, match="reset the request by INTERNAL_ERROR") as caught:
            await fetching.visit(f"{there.url}/reset")
        assert caught.value.kind is FailureKind.NETWORK
        assert (await fetching.visit(f"{there.url}/page")).title == "Brot"
    assert [one.headers[":path"] for one in there.requests].count("/reset") == 1
    assert there.plain == 0


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ((frame(RST_STREAM, struct.pack("!I", 8), stream=1),), "reset the answer by CANCEL"),
        ((frame(GOAWAY, struct.pack("!II", 1, 0)), b"close"), "closed within an answer"),
        ((b"close",), "closed within an answer"),
        ((frame(DATA, b"x" * 100, END_STREAM, 1),), "Expected 50 bytes, received 107"),
        ((frame(DATA, b"", END_STREAM, 1),), "Expected 50 bytes, received 7"),
    ],
    ids=["reset", "GOAWAY", "close", "longer", "shorter"],
)
async def test_a_body_that_breaks_off_is_told(
    fetch: Fetch, trust: Trusted, rest: tuple[bytes, ...], why: str
) -> None:
    """What came of it is there, also where it is longer or shorter than its head says."""

    async def answer(request: Request) -> None:
        request.head(200, *HTML, ("content-length", "50"))
        await request.body(b"<p>half", end=False)
        request.send(b"".join(one for one in rest if one != b"close"))
        if b"close" in rest:
            request.writer.close()

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        found = await fetching.visit(f"{there.url}/p")
        assert (found.text, found.truncated) == ("half", ("document",))
        assert len(there.requests) == 1
    assert why in found.broke_off


async def test_an_answer_ends_after_goaway(fetch: Fetch, trust: Trusted) -> None:
    """A server that restarts sends the rest of it; the next request goes elsewhere."""

    async def answer(request: Request) -> None:
        request.head(200, *HTML)
        await request.body(PAGE[:20], end=False)
        request.send(frame(GOAWAY, struct.pack("!II", 2**31 - 1, 0)))
        request.send(frame(GOAWAY, struct.pack("!II", request.stream, 0)))
        await request.body(PAGE[20:])

    fetching = await opened(fetch, trust)
    async with site(trust, answer) as there:
        pages = [await fetching.visit(f"{there.url}/{name}") for name in "ab"]
    assert [(one.text, one.broke_off) for one in pages] == [("Bäckerei", "")] * 2
    assert (there.connections, len(there.requests)) == (2, 2)


async def test_a_stream_that_is_never_answered_ends_by_the_deadline(fetch: Fetch, trust: Trusted) -> None:
    """A browser may be luckier; the connection is given up."""

    async def answer(request: Request) -> None:
        if request.headers[":path"] == "/half":
            request.head(200, *HTML)

    fetching = await opened(fetch, trust, deadline_s=0.3)
    async with site(trust, answer) as there:
        for name in ("none", "half"):
            with pytest.raises(RendererUnfit, match=r"within 0.3 s") as caught:
                await fetching.visit(f"{there.url}/{name}")
            assert caught.value.kind is FailureKind.TIMEOUT


async def test_a_server_without_room_for_requests_gets_them_all_the_same(
    fetch: Fetch, trust: Trusted
) -> None:
    """A window of zero stops bodies, of which there are none; no stream at all is a new connection for each."""
    settings = frame(SETTINGS, struct.pack("!HIHI", 4, 0, 3, 0))
    fetching = await opened(fetch, trust)
    async with site(trust, settings=settings) as there:
        assert [(await fetching.visit(f"{there.url}/{name}")).title for name in "abc"] == ["Brot"] * 3
    assert (there.connections, there.plain) == (3, 0)


async def test_the_log_says_by_which_version_a_site_answers_and_why(
    fetch: Fetch, trust: Trusted, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each connection: a site may answer one in another way than the other."""

    async def answer(request: Request) -> None:
        request.send(frame(RST_STREAM, struct.pack("!I", 13), stream=request.stream))

    fetching = await opened(fetch, trust)
    with caplog.at_level("DEBUG", "farm.egress"):
        async with site(trust, answer) as there:
            for name in "ab":
                assert (await fetching.visit(f"{there.url}/{name}")).title == "Brot"
    authority = f"127.0.0.1:{there.port}"
    assert [one.getMessage() for one in caplog.records if one.name == "farm.egress"] == [
        f"{authority} answers by HTTP/2",
        f"{authority} gets its requests by HTTP/1.1 from now on: it refuses by HTTP_1_1_REQUIRED",
        f"{authority} answers by HTTP/1.1",
    ]
