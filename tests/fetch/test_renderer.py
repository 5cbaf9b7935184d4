"""A page by plain HTTP: the same record as a browser's for what needs no browser, an honest end for all else."""

import asyncio
import gzip
import ssl
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import brotli
import pytest
from aiohttp import web
from backports import zstd

from farm.egress.document_client import TlsTrust
from farm.fetch.sheets import SheetCache
from farm.model.errors import RenderError, RendererUnfit
from farm.model.outcome import FailureKind
from farm.model.page import Renderer
from fixtures.authority import Authority, Flaw
from fixtures.pages import served_by
from tests.egress.servers import closing, closing_after, listening, ok, read_head, silent
from tests.fetch.conftest import Fetch

pytestmark = pytest.mark.asyncio(loop_scope="package")
HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = "<!doctype html><html lang=de><title>Brot</title><h1>Bäckerei</h1><a href=/more rel=next>mehr</a>"


def site(
    *pages: tuple[str, web.Response],
    seen: list[web.Request] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AbstractAsyncContextManager[str]:
    """Serve the pages by their names."""
    named = dict(pages)

    async def answer(request: web.Request) -> web.StreamResponse:
        if seen is not None:
            seen.append(request)
        made = named[request.match_info["name"]]
        return web.Response(status=made.status, headers=made.headers, body=made.body)

    return served_by(answer, tls=tls)


async def test_a_page_has_what_a_browser_would_bring(fetch: Fetch) -> None:
    """Its text, links and title, what its head says, and when it was answered."""
    fetching, requests = await fetch(), list[web.Request]()
    async with site(("p", web.Response(text=PAGE, headers=HTML)), seen=requests) as origin:
        page = await fetching.visit(f"{origin}/p?x=1#part")
    assert (page.title, page.text, page.lang, page.charset) == ("Brot", "Bäckerei\nmehr", "de", "UTF-8")
    assert [(one.url, one.text, one.rel) for one in page.links] == [(f"{origin}/more", "mehr", "next")]
    assert (page.final_url, page.status, page.rendered_by) == (f"{origin}/p?x=1#part", 200, Renderer.FETCH)
    assert page.html.startswith('<!DOCTYPE html>\n<html lang="de"><head>')
    assert page.settled
    assert page.settle_reason == "fetched"
    assert page.timings_ms.keys() == {"navigate", "settle"}
    assert fetching.heads == [(200, HTML["Content-Type"])]
    assert fetching.asked == [origin.removeprefix("http://")]
    assert fetching.slot_proxy.bytes_received > len(PAGE)
    [request] = requests
    assert request.path_qs == "/p?x=1"
    assert request.headers["User-Agent"] == "Mozilla/5.0 (test)"
    assert request.headers["Accept-Encoding"] == "gzip, deflate, br, zstd"
    assert "Accept-Language" not in request.headers


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_a_packed_page_is_unpacked(fetch: Fetch, coding: str) -> None:
    """By the codings that are requested."""
    pack = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}[coding]
    answer = web.Response(body=pack(PAGE.encode()), headers={**HTML, "Content-Encoding": coding})
    async with site(("p", answer)) as origin:
        assert (await (await fetch()).visit(f"{origin}/p")).title == "Brot"


async def test_redirects_are_followed_with_their_cookies(fetch: Fetch) -> None:
    """Each waits for the pace of its site; the fragment goes along, and of heads only the last is told."""
    requests = list[web.Request]()
    moved = web.Response(status=302, headers={"Location": "/b?x=ü", "Set-Cookie": "a=1; Path=/"})
    further = web.Response(status=308, headers={"Location": "c#own", "Set-Cookie": "b=2; Path=/c"})
    fetching = await fetch(exchange_bytes=1_000)
    last = web.Response(text=PAGE, headers=HTML)
    async with site(("a", moved), ("b", further), ("c", last), seen=requests) as origin:
        page = await fetching.visit(f"{origin}/a#mine")
    assert (page.final_url, page.redirects) == (f"{origin}/c#own", (f"{origin}/a", f"{origin}/b?x=%C3%BC"))
    assert (page.redirect_statuses, len(fetching.heads), len(fetching.asked)) == ((302, 308), 1, 3)
    assert fetching.answering == [f"{origin}/c"]
    assert [one.headers.get("Cookie") for one in requests] == [None, "a=1", "b=2; a=1"]
    assert [(one.status, one.body) for one in page.exchanges] == [
        (302, b""),
        (308, b""),
        (200, PAGE.encode()),
    ]
    assert "set-cookie" not in page.headers


async def test_a_redirect_that_leads_nowhere_fails_as_in_a_browser(fetch: Fetch) -> None:
    """Without end, or to what is no web address."""
    around = web.Response(status=301, headers={"Location": "/around"})
    app = web.Response(status=302, headers={"Location": "app:open"})
    fetching = await fetch()
    async with site(("around", around), ("app", app)) as origin:
        with pytest.raises(RenderError, match="more than 20 redirects"):
            await fetching.visit(f"{origin}/around")
        with pytest.raises(RenderError, match="'app:open', which is no web address"):
            await fetching.visit(f"{origin}/app")


async def test_cookies_and_connections_do_not_outlive_their_site(fetch: Fetch) -> None:
    """Within a site both are kept; another port is another site, and after so many pages all begins anew."""
    requests = list[web.Request]()
    page = ("p", web.Response(text=PAGE, headers={**HTML, "Set-Cookie": "a=1; Path=/"}))
    fetching = await fetch(pages=2)
    async with site(page, seen=requests) as one, site(page, seen=requests) as other:
        for origin in (one, one, one, other, one):
            await fetching.visit(f"{origin}/p")
    assert [request.headers.get("Cookie") for request in requests] == [None, "a=1", None, None, None]
    peers = [request.transport and request.transport.get_extra_info("peername") for request in requests]
    assert len(requests) == len(peers) == 5


async def test_headers_and_cookies_of_the_user_go_where_they_may(fetch: Fetch) -> None:
    """Each request is judged by itself, that of a redirect too."""
    requests = list[web.Request]()
    async with site(("p", web.Response(text=PAGE, headers=HTML)), seen=requests) as other:
        moved = web.Response(status=302, headers={"Location": f"{other}/p"})
        async with site(("m", moved), seen=requests) as own:
            cookie = {
                "name": "s",
                "value": "1",
                "domain": "127.0.0.1",
                "path": "/",
                "expires": -1,
                "secure": True,
            }
            fetching = await fetch(
                headers_for=lambda _, url: {"accept": "x", "X-Token": "t"} if url.startswith(own) else {},
                cookies_for=lambda _: [cookie, {**cookie, "name": "c", "secure": False}],
                locale="de-DE",
            )
            await fetching.visit(f"{own}/m")
    assert [one.headers.get("X-Token") for one in requests] == ["t", None]
    assert [one.headers["Accept"][:4] for one in requests] == ["x", "text"]
    assert [one.headers["Accept-Language"] for one in requests] == ["de-DE", "de-DE"]
    assert [one.headers["Cookie"] for one in requests] == ["c=1", "c=1"]


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Content-Type": "text/plain"}, "a\nb <c>\n"),
        ({"Content-Type": "application/problem+json"}, "a\nb <c>\n"),
        ({"Content-Type": "image/png"}, ""),
        ({"Content-Type": "text/html", "Content-Disposition": "attachment"}, ""),
    ],
)
async def test_what_is_no_page_has_no_html(fetch: Fetch, headers: dict[str, str], text: str) -> None:
    """Of a text there is the text."""
    async with site(("f", web.Response(body=b"a\r\nb <c>\n", headers=headers))) as origin:
        page = await (await fetch()).visit(f"{origin}/f")
    assert (page.text, page.html, page.links) == (text, "", ())
    assert page.settle_reason == ("fetched" if text else "no_page")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("<x-a><template shadowrootmode=open><p>in it</p></template></x-a>", "it declares shadow roots"),
        ("<meta http-equiv=Refresh content='0; url=/b'>", "it sends its visitors on"),
        ("<iframe srcdoc='<p>in it'></iframe>", "a frame of its own"),
        ("<iframe src='/own'></iframe>", "a frame of its own"),
        ("<object data='/own' type='text/html'></object>", "a frame of its own"),
    ],
)
async def test_a_page_that_a_browser_shows_otherwise_is_unfit(fetch: Fetch, body: str, why: str) -> None:
    """It is there all the same, for those who have no browser."""
    async with site(("p", web.Response(text=f"<p>text</p>{body}", headers=HTML))) as origin:
        with pytest.raises(RendererUnfit, match=why) as caught:
            await (await fetch()).visit(f"{origin}/p")
    assert caught.value.page is not None
    assert caught.value.page.text.startswith("text")


async def test_frames_of_others_and_meta_without_a_way_on_are_fit(fetch: Fetch) -> None:
    """A page that only reloads itself, or shows an advertisement, is as it stands there."""
    body = "<meta http-equiv=refresh content=30><iframe src='https://ads.example/'></iframe><p>text</p>"
    async with site(("p", web.Response(text=body, headers=HTML))) as origin:
        page = await (await fetch()).visit(f"{origin}/p")
    assert (page.text, [one.url for one in page.links]) == ("text", ["https://ads.example/"])


async def test_a_page_beyond_its_bound_is_cut(fetch: Fetch) -> None:
    """A packed one too, and what was cut is named."""
    packed = gzip.compress(b"<p>text</p>" + b" " * 2**20)
    answer = web.Response(body=packed, headers={**HTML, "Content-Encoding": "gzip"})
    async with site(
        ("p", answer), ("q", web.Response(text="<p>text" + "x" * 20_000, headers=HTML))
    ) as origin:
        fetching = await fetch(cap_bytes=10_000)
        pages = [await fetching.visit(f"{origin}/{name}") for name in ("p", "q")]
    assert [page.truncated for page in pages] == [("html",), ("html",)]
    assert [len(page.html) < 11_000 for page in pages] == [True, True]


async def test_a_document_that_breaks_off_is_told(fetch: Fetch) -> None:
    """What came of it is there."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999\r\n\r\n<p>half"
    async with listening(closing_after(head)) as origin:
        page = await (await fetch()).visit(f"{origin.url}/p")
    assert (page.text, page.truncated) == ("half", ("document",))
    assert page.broke_off


async def test_an_answer_that_only_a_browser_may_understand_is_unfit(fetch: Fetch) -> None:
    """What is no HTTP, and what cannot be unpacked."""
    fetching = await fetch()
    async with listening(closing_after(ok(b"x", b"Content-Encoding: br"))) as origin:
        with pytest.raises(RendererUnfit, match="content coding"):
            await fetching.visit(f"{origin.url}/")
    with pytest.raises(RendererUnfit, match="not an address"):
        await fetching.visit("http://[::1/")


async def test_a_site_that_does_not_answer_fails_the_visit(fetch: Fetch) -> None:
    """By the gateway's reason, as a browser's visit does."""
    fetching = await fetch()
    async with listening(closing) as origin:
        with pytest.raises(RenderError) as caught:
            await fetching.visit(f"{origin.url}/")
        failure = fetching.slot_proxy.failure(f"{origin.url}/")
    assert (caught.value.kind, caught.value.url) == (FailureKind.NETWORK, f"{origin.url}/")
    assert failure is not None
    with pytest.raises(RenderError, match="no tunnel"):
        await fetching.visit(origin.url.replace("http:", "https:"))
    assert fetching.slot_proxy.failure(origin.url.replace("http:", "https:")) is not None


async def test_a_visit_has_a_deadline(fetch: Fetch) -> None:
    """A browser may be luckier."""
    async with listening(silent) as origin:
        with pytest.raises(RendererUnfit, match=r"within 0.1 s") as caught:
            await (await fetch(deadline_s=0.1)).visit(f"{origin.url}/")
    assert caught.value.kind is FailureKind.TIMEOUT


async def test_a_connection_is_kept_and_one_that_went_meanwhile_is_made_anew(fetch: Fetch) -> None:
    """The second visit of three finds it open, the third finds it closed."""
    answer, served, went = (
        ok(PAGE.encode(), b"Content-Type: text/html; charset=utf-8"),
        list[int](),
        asyncio.Event(),
    )

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(0)
        for _ in range(2):
            await read_head(reader)
            served[-1] += 1
            writer.write(answer)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        went.set()

    fetching = await fetch()
    async with listening(twice) as origin:
        for number in range(3):
            assert (await fetching.visit(f"{origin.url}/")).title == "Brot"
            if number == 1:
                await went.wait()
    assert served == [2, 1]


async def test_certificates_are_checked(fetch: Fetch, tmp_path: Path) -> None:
    """By the authorities of the user too; what is wrong may be right for a browser, which knows more."""
    authority, trusted = Authority(), tmp_path / "ca.pem"
    trusted.write_bytes(authority.pem)
    page = ("p", web.Response(text=PAGE, headers=HTML))
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    async with site(page, tls=authority.issue().server_context(tmp_path / "good")) as origin:
        with pytest.raises(RendererUnfit) as caught:
            await (await fetch()).visit(f"{origin}/p")
        assert caught.value.kind is FailureKind.TLS
        fetching = await fetch(TlsTrust(trusted))
        assert [(await fetching.visit(f"{origin}/p")).title for _ in range(2)] == ["Brot", "Brot"]
        assert len(fetching.asked) == 2
    async with site(page, tls=authority.issue(Flaw.EXPIRED).server_context(tmp_path / "bad")) as origin:
        with pytest.raises(RendererUnfit, match=r"(?i)certificate"):
            await (await fetch(TlsTrust(trusted))).visit(f"{origin}/p")
        assert (await (await fetch(TlsTrust(insecure=True))).visit(f"{origin}/p")).title == "Brot"


STYLED = "<link rel=stylesheet href=/s.css><link rel=stylesheet href=/gone.css><p class=off>off</p><p>on</p>"


async def test_a_sheet_is_fetched_once_for_its_site(fetch: Fetch) -> None:
    """For all slots of a node, with the page as referrer; another site has its own, and a missing one is none."""
    requests, sheets = list[web.Request](), SheetCache()
    moved = web.Response(status=302, headers={"Location": "/real.css"})
    pages = (
        ("p", web.Response(text=STYLED, headers=HTML)),
        ("q", web.Response(text=STYLED, headers=HTML)),
        ("s.css", moved),
        ("real.css", web.Response(text=".off { display: none }", content_type="text/css")),
        ("gone.css", web.Response(status=404, text=".on { display: none }")),
    )
    first, second = await fetch(sheets=sheets), await fetch(sheets=sheets)
    async with site(*pages, seen=requests) as origin, site(*pages, seen=requests) as other:
        texts = [
            (await fetching.visit(f"{at}/{name}")).text
            for fetching, at, name in ((first, origin, "p"), (second, origin, "q"), (first, other, "p"))
        ]
        asked = [request.path for request in requests]
        assert texts == ["on"] * 3
        all_of_it = ["/p", "/s.css", "/real.css", "/gone.css"]
        assert asked == [*all_of_it, "/q", *all_of_it]
        assert requests[1].headers["Referer"] == f"{origin}/p"
        assert "Upgrade-Insecure-Requests" not in requests[1].headers
    assert len(first.asked) == 2


async def test_sheets_that_are_blocked_are_not_fetched(fetch: Fetch) -> None:
    """The page is read without them, as the browser shows it then."""
    requests = list[web.Request]()
    async with site(("p", web.Response(text=STYLED, headers=HTML)), seen=requests) as origin:
        page = await (await fetch(loads_styles=lambda _: False)).visit(f"{origin}/p")
    assert (page.text, len(requests)) == ("off\n\non", 1)
