"""Documents whose connection breaks after their head: told from those that are whole, and not waited for."""

import asyncio
import gzip
import os
from dataclasses import replace

import pytest

from farm.browser.intercept import InterceptParams
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from tests.browser.conftest import Browsing, pool_of_a_module, visit
from tests.egress.servers import Talk, answering_once, listening, ok, read_head

pytestmark = pytest.mark.asyncio(loop_scope="module")
CAP_S = 60.0
PLAIN = TabParams(images=False)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
BODY = (
    b"<!doctype html><title>T</title><p>Begun.</p><script>fetch('/parsed')</script>"
    + b"<p>More.</p>" * 200
    + b"<a href=/next>Next</a>"
)
PACKED = gzip.compress(BODY + os.urandom(4096))
HALF = len(BODY) // 2
BROKEN = {
    "length": HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:HALF],
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (HALF, BODY[:HALF]),
    "packed": HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED[:2000],
}
WHOLE = {
    "plain": ok(BODY, b"Content-Type: text/html"),
    "stopped": ok(
        b"<!doctype html><title>T</title><p>Begun.</p><script>stop()</script>", b"Content-Type: text/html"
    ),
    "rewritten": ok(
        b"<!doctype html><p>Begun.</p><script>document.open(); document.write('Begun.');document.close()</script>",
        b"Content-Type: text/html",
    ),
    "to the end": HEAD + b"Connection: close\r\n\r\n" + BODY,
}


# It would wait long for a page to settle.
pages = pool_of_a_module(RenderParams(page_timeout_s=CAP_S + 10, settle_timeout_s=CAP_S))


def answering_once_parsed(answer: bytes) -> Talk:
    """Answer so, and hang up once the browser has parsed what came.

    Of what comes together with the end of a broken connection Chromium parses as much as it has begun to.
    """
    parsed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/parsed" in await read_head(reader):
            parsed.set()
            return
        writer.write(answer)
        await writer.drain()
        async with asyncio.timeout(CAP_S):
            await parsed.wait()
        writer.write_eof()
        await reader.read()

    return talk


async def answered(
    pages: Browsing, talk: Talk, tab: TabParams = PLAIN
) -> tuple[bool, tuple[str, ...], str, int]:
    """Visit a site that answers so and hangs up: whether the document broke off, what is cut, text and time."""
    async with listening(talk) as site:
        slot = await pages.slot_with(tab)
        page = await visit(slot, f"{site.url}/")
        slot.retire()
    return bool(page.broke_off), page.truncated, page.text, page.timings_ms["settle"]


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_document_that_breaks_off_is_told_and_not_waited_for(pages: Browsing, kind: str) -> None:
    """It would be mistaken for a page without links, after all the time that a page may take to settle."""
    broke_off, truncated, text, settle_ms = await answered(pages, answering_once_parsed(BROKEN[kind]))
    assert broke_off
    assert truncated == ("document",)
    assert text.startswith("Begun.")
    assert settle_ms < CAP_S * 1000 / 2


@pytest.mark.parametrize("kind", WHOLE)
async def test_a_document_that_is_whole_is_no_broken_one(pages: Browsing, kind: str) -> None:
    """Also where the page stops its loading itself, and where only the connection's end says that it is whole."""
    broke_off, truncated, text, _ = await answered(pages, answering_once(WHOLE[kind]))
    assert not broke_off
    assert truncated == ()
    assert text.startswith("Begun.")


@pytest.mark.parametrize("mime", [b"application/octet-stream", b"text/csv", b"application/json"])
@pytest.mark.parametrize("is_whole", [True, False])
async def test_no_half_of_a_file_is_kept(pages: Browsing, mime: bytes, *, is_whole: bool) -> None:
    """The browser tells the end of a stream and a broken connection alike; what was announced tells them apart."""
    content = b"1,2,3\n" * 10_000
    answer = ok(content, b"Content-Type: " + mime)
    params = replace(PLAIN, intercept=InterceptParams(file_bytes=2**20))
    broke_off, truncated, _, _ = await answered(
        pages, answering_once(answer if is_whole else answer[:-30_000]), params
    )
    assert broke_off is not is_whole
    assert ("download" in truncated) is not is_whole
