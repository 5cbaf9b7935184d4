"""What a connection brings unasked is no answer: before TLS, behind another answer, after a long wait."""

import asyncio

import pytest

from farm.egress.document_client import TlsTrust
from farm.egress.upstream import Upstream
from farm.model.errors import RenderError
from tests.egress.proxies import pump
from tests.egress.servers import answering, listening, ok, read_head
from tests.fetch.conftest import Fetch, Trusted

pytestmark = pytest.mark.asyncio(loop_scope="package")
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def page(title: str) -> bytes:
    """Return an answer with a page of this title."""
    body = f"<!doctype html><title>{title}</title><p>text".encode()
    return ok(body, b"Content-Type: text/html; charset=utf-8")


async def test_what_comes_before_tls_is_no_page(fetch: Fetch, trust: Trusted) -> None:
    """A proxy could write it, and the site's certificate, which is right, would seem to vouch for it."""

    async def forging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 Fine\r\n\r\n" + page("Forged"))
        await pump(reader, writer, *await asyncio.open_connection("127.0.0.1", site.port))

    fetching = await fetch(TlsTrust(trust.ca_file))
    async with (
        listening(answering(page("True")), tls=trust.tls_without_http2) as site,
        listening(forging) as proxy,
    ):
        url = f"https://127.0.0.1:{site.port}/"
        fetching.slot_proxy.switch(Upstream.parse(f"http://127.0.0.1:{proxy.port}"))
        with pytest.raises(RenderError, match="before TLS"):
            await fetching.visit(url)
        fetching.slot_proxy.switch(None)
        assert (await fetching.visit(url)).title == "True"


async def test_a_second_answer_is_not_that_of_the_next_request(fetch: Fetch, trust: Trusted) -> None:
    """A server that writes two is out of step for good: the next page comes by another connection."""

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            title = (await read_head(reader)).split()[1].decode()
            writer.write(page(title) + page("/another"))

    fetching = await fetch(TlsTrust(trust.ca_file))
    async with listening(twice, tls=trust.tls_without_http2) as site:
        pages = [await fetching.visit(f"https://127.0.0.1:{site.port}/{name}") for name in "ab"]
    assert ([one.title for one in pages], site.connections) == (["/a", "/b"], 2)


async def test_a_kept_connection_that_waited_too_long_is_made_anew(fetch: Fetch, trust: Trusted) -> None:
    """Some servers say so before they close it; on a new connection it is the answer."""
    waits, went = asyncio.Event(), asyncio.Event()

    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await read_head(reader)).split()[1].decode()
        writer.write(TOO_LATE if path == "/late" else page(path))
        await waits.wait()
        writer.write(TOO_LATE)
        writer.close()
        went.set()

    fetching = await fetch(TlsTrust(trust.ca_file))
    async with listening(impatient, tls=trust.tls_without_http2) as site:
        first = await fetching.visit(f"https://127.0.0.1:{site.port}/a")
        waits.set()
        await went.wait()
        pages = [await fetching.visit(f"https://127.0.0.1:{site.port}/{name}") for name in ("b", "late")]
    assert [(one.status, one.title) for one in (first, *pages)] == [(200, "/a"), (200, "/b"), (408, "")]
    assert site.connections == 3
