"""Answers that sites do give: other letters in cookies, headers that come twice, files, sheets that fail."""

import asyncio

import pytest

from farm.extract.parser_pool import PageReader, ParserPool
from farm.fetch.sheets import TRY_AGAIN_PAGES, SheetCache
from farm.model.errors import RendererUnfit
from tests.egress.servers import answering, closing_after, listening, ok, read_head
from tests.fetch.conftest import Fetch

pytestmark = pytest.mark.asyncio(loop_scope="package")
HTML = b"Content-Type: text/html; charset=utf-8"
PAGE = "<!doctype html><title>Brot</title><p>Bäckerei".encode()


async def test_a_cookie_with_other_letters_goes_back_as_it_came(fetch: Fetch) -> None:
    """In the bytes of the site, which are UTF-8 or not; one of the user's goes in UTF-8, as a browser sends it."""
    heads: list[bytes] = []
    sent = b"Set-Cookie: city=M\xfcnchen; Path=/\r\nSet-Cookie: street=Stra\xc3\x9fe; Path=/"
    cookie = {"name": "own", "value": "日", "domain": "127.0.0.1", "path": "/", "expires": -1}
    fetching = await fetch(
        cookies_for=lambda _: [cookie], headers_for=lambda *_: {"X-Where": "Köln"}, locale="de"
    )
    async with listening(answering(ok(PAGE, HTML, sent), heads)) as origin:
        for _ in range(2):
            assert (await fetching.visit(f"{origin.url}/p")).title == "Brot"
    first, second = (head.lower() for head in heads)
    assert b"\r\ncookie: own=\xe6\x97\xa5\r\n" in first
    assert b"\r\nx-where: k\xc3\xb6ln\r\n" in first
    assert b"\r\ncookie: own=\xe6\x97\xa5; city=m\xfcnchen; street=stra\xc3\x9fe\r\n" in second


async def test_a_header_that_comes_twice_is_one_with_commas(fetch: Fetch) -> None:
    """But for what robots may not do: there each line is for the robot that it names, or for every one."""
    twice = b"x-robots-tag: otherbot: nofollow\r\nX-Robots-Tag: noindex\r\nVary: a\r\nVary: b\r\n" + HTML
    async with listening(answering(ok(PAGE, HTML, twice))) as origin:
        page = await (await fetch()).visit(f"{origin.url}/p")
    assert page.headers["x-robots-tag"] == "otherbot: nofollow\nnoindex"
    assert page.headers["vary"] == "a, b"
    assert (page.title, page.content_type) == ("Brot", "text/html; charset=utf-8, text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("refresh", "is_unfit"), [("0; url=/there", True), ("5,/there", True), ("30", False)]
)
async def test_a_page_whose_head_sends_its_visitors_on_is_a_browsers(
    fetch: Fetch, refresh: str, is_unfit: bool
) -> None:
    """One that only loads itself again shows what it shows."""
    async with listening(answering(ok(PAGE, HTML, f"Refresh: {refresh}".encode()))) as origin:
        visit = (await fetch()).visit(f"{origin.url}/p")
        if not is_unfit:
            assert (await visit).title == "Brot"
            return
        with pytest.raises(RendererUnfit, match="sends its visitors on"):
            await visit


@pytest.mark.parametrize(
    ("href", "is_unfit"), [("#/a", True), ("#!/a", True), ("#/", False), ("#a", False), ("/b#/a", False)]
)
async def test_a_page_that_may_route_by_the_fragment_is_a_browsers(
    fetch: Fetch, href: str, is_unfit: bool
) -> None:
    """There it can be asked; its links would be lost, since without a router they lead to itself."""
    body = f"<!doctype html><title>Brot</title><a href='{href}'>a</a>".encode()
    async with listening(answering(ok(body, HTML))) as origin:
        assert (await (await fetch()).visit(f"{origin.url}/p")).title == "Brot"
        visit = (await fetch(refuses_routes=True)).visit(f"{origin.url}/p")
        if not is_unfit:
            assert (await visit).title == "Brot"
            return
        with pytest.raises(RendererUnfit, match="route by the fragment"):
            await visit


@pytest.mark.parametrize(
    "head",
    [b"Content-Type: video/mp4", HTML + b"\r\nContent-Disposition: attachment", b"Content-Type: text/xml"],
)
async def test_of_what_is_no_page_the_body_is_not_read(fetch: Fetch, head: bytes) -> None:
    """A browser reads none of it either: the links of a page lead to archives and films."""
    never = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"/film" not in await read_head(reader):
            writer.write(ok(PAGE, HTML))
            await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n" + head + b"\r\n\r\nbegun")
        await never.wait()

    fetching = await fetch()
    async with listening(endless) as origin:
        if b"xml" in head:
            with pytest.raises(RendererUnfit) as caught:
                await fetching.visit(f"{origin.url}/film")
            page = caught.value.page
        else:
            page = await fetching.visit(f"{origin.url}/film")
        assert page is not None
        assert (page.status, page.settle_reason, page.text, page.truncated) == (200, "no_page", "", ())
        assert fetching.slot_proxy.bytes_received < 1_000
        assert (await fetching.visit(f"{origin.url}/p")).title == "Brot"


async def test_a_sheet_that_does_not_come_holds_up_one_page(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is read without it, and the next ones of its site do not ask for it."""
    monkeypatch.setattr("farm.fetch.requests.SHEET_S", 0.05)
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            asked.append(head.split()[1])
            if asked[-1].endswith(b".css"):
                await asyncio.Event().wait()
            writer.write(ok(b"<link rel=stylesheet href=/s.css><p>on", HTML))
            await writer.drain()

    fetching = await fetch()
    async with listening(talk) as origin:
        assert [(await fetching.visit(f"{origin.url}/{name}")).text for name in "pq"] == ["on", "on"]
    assert [path.rpartition(b"/")[2] for path in asked] == [b"p", b"s.css", b"q"]


async def test_a_sheet_that_failed_is_asked_for_again_later(fetch: Fetch) -> None:
    """A server that was out of order for a moment must not spoil a site for the whole crawl."""
    cache = SheetCache()
    cache.keep("a.example", "s.css", None)
    cache.keep("a.example", "t.css", b"")
    urls = ["s.css", "t.css"]
    assert [cache.missing("a.example", urls) for _ in range(TRY_AGAIN_PAGES - 1)] == [[]] * (
        TRY_AGAIN_PAGES - 1
    )
    assert cache.missing("a.example", urls) == ["s.css"]
    cache.keep("a.example", "s.css", b"p {}")
    assert [cache.missing("a.example", urls) for _ in range(TRY_AGAIN_PAGES)] == [[]] * TRY_AGAIN_PAGES
    head = b"<link rel=stylesheet href=/s.css><p class=off>off</p><p>on</p>"
    away = b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"
    answers = {b"/p": ok(head, HTML), b"/s.css": away}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await read_head(reader)).split()[1]
            writer.write(answers[path[path.rindex(b"/") :]])
            await writer.drain()

    fetching = await fetch(sheets=SheetCache())
    async with listening(talk) as origin:
        texts = [(await fetching.visit(f"{origin.url}/p")).text]
        answers[b"/s.css"] = ok(b".off { display: none }", b"Content-Type: text/css")
        texts += [(await fetching.visit(f"{origin.url}/p")).text for _ in range(TRY_AGAIN_PAGES)]
    assert (texts[0], texts[-1]) == ("off\n\non", "on")


async def test_a_page_that_no_parser_was_free_for_did_not_cause_that(parsers: ParserPool) -> None:
    """One that its parser took too long for did."""
    reader = PageReader(parsers)
    arguments = {"url": "http://a.example/", "content_type": "text/plain", "caps": {"text_cap": 9}}
    async with parsers._places:
        params, parsers.params = parsers.params, type(parsers.params)(1, 512 * 2**20, wait_s=0.05)
        with pytest.raises(RendererUnfit, match="no parser was free") as caught:
            await reader.read("text", arguments, b"text")
        parsers.params = params
    assert caught.value.innocent
    assert (await reader.read("text", arguments, b"text"))["text"] == "text"


async def test_a_redirect_with_a_packed_body_of_nothing_is_followed(fetch: Fetch) -> None:
    """Servers pack what is empty."""
    async with listening(answering(ok(PAGE, HTML))) as there:
        head = f"HTTP/1.1 302 Found\r\nLocation: {there.url}/p\r\nContent-Encoding: gzip\r\n"
        moved = f"{head}Content-Length: 0\r\n\r\n"
        async with listening(closing_after(moved.encode())) as origin:
            assert (await (await fetch()).visit(f"{origin.url}/")).title == "Brot"
