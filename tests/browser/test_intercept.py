"""What a context is given of the user, and to whom it goes; and the bytes of what is no page."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser import intercept
from farm.browser.intercept import InterceptParams, suffix_of
from farm.browser.render import RenderParams
from farm.browser.site_params import header_params, state_of_site
from farm.browser.tab import OwnParams, TabParams
from farm.model.errors import RenderError
from farm.model.page import RenderedPage
from farm.scope.rules import registrable_domain
from fixtures.pages import served_by
from fixtures.shop import Shop
from tests.browser.conftest import Browsing, pool_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET = "Bearer open-sesame"
CAP = 200_000
LATIN = "<!doctype html><p>grüße".encode("latin-1")
WHO = "<script>document.body.append(JSON.stringify([navigator.language, Intl.DateTimeFormat()"
WHO += ".resolvedOptions().timeZone, innerWidth, innerHeight, navigator.userAgent]))</script>"


@dataclass
class Sites:
    """Two sites on two addresses of loopback, and what each was asked with."""

    own: str = ""
    foreign: str = ""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def tokens(self, host: str) -> set[str | None]:
        """Return the values of the header that a host has seen."""
        return {token for seen, _, token in self.asked if seen == host}


opened = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0), TabParams())


@pytest_asyncio.fixture(loop_scope="module")
async def sites() -> AsyncIterator[Sites]:
    """Serve a page that asks both, redirects, and files of many kinds."""
    found = Sites()

    def html(body: str) -> web.Response:
        return web.Response(
            text=f'<!doctype html><link rel="icon" href="data:,"><body>{body}', content_type="text/html"
        )

    async def streamed(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})
        await response.prepare(request)
        for _ in range(4):
            await response.write(bytes(CAP // 2))
        return response

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        await response.write(b"<p>Begun.")
        await asyncio.Event().wait()
        return response

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name == "streamed":
            return await streamed(request)
        if name == "endless":
            return await endless(request)
        host = request.host.partition(":")[0]
        found.asked.append((host, name, request.headers.get("X-Token")))
        cors = {"Access-Control-Allow-Origin": "*"}
        asks = [f"fetch('{origin}/data').then((a) => a.text())" for origin in (found.own, found.foreign)]
        answers: dict[str, Callable[[], web.Response]] = {
            "data": lambda: web.Response(text="some", headers=cors),
            "both": lambda: html(
                f"<img src='{found.foreign}/data'><script>Promise.all([{', '.join(asks)}])"
                ".then(() => document.body.append('All came.'));</script>"
            ),
            "leaves": lambda: web.Response(status=302, headers={"Location": f"{found.foreign}/landed"}),
            "landed": lambda: html("Landed."),
            "who": lambda: html(WHO),
            "mine": lambda: html(
                "<script>document.body.append('kept ' + localStorage.getItem('basket') + ' ' + document.cookie);"
                "localStorage.setItem('basket', 'changed');</script>"
            ),
            "latin": lambda: web.Response(
                body=LATIN, headers={"Content-Type": "text/html; charset=iso-8859-1"}
            ),
            "pdf": lambda: web.Response(body=b"%PDF-1.4 not much\n", content_type="application/pdf"),
            "table": lambda: web.Response(
                body=b"a,b\n1,2\n",
                content_type="text/csv",
                headers={"Content-Disposition": "attachment; filename=t.csv"},
            ),
            "packed": lambda: web.Response(
                body=gzip.compress(b'{"list": [1, 2, 3]}'),
                content_type="application/json",
                headers={"Content-Encoding": "gzip"},
            ),
            "large": lambda: web.Response(body=bytes(CAP + 1), content_type="application/zip"),
            "large-text": lambda: web.Response(text="x" * (CAP + 1)),
        }
        return answers[name]()

    async with served_by(answer) as found.own, served_by(answer, host="127.0.0.2") as found.foreign:
        yield found


async def pages_of(opened: Browsing, params: TabParams, *urls: str) -> list[RenderedPage]:
    """Visit the URLs one after the other, in one slot of its own."""
    slot = await opened.slot_with(params)
    try:
        return [await visit(slot, url) for url in urls]
    finally:
        slot.retire()


async def test_a_header_goes_to_the_seeds_sites_alone(opened: Browsing, sites: Sites) -> None:
    """Not to others that the page asks, and not along a redirect."""
    given = header_params({"X-Token": SECRET}, [sites.own + "/"])
    pages = await pages_of(opened, TabParams(intercept=given), f"{sites.own}/both", f"{sites.own}/leaves")
    assert "All came." in pages[0].text
    assert pages[1].final_url == f"{sites.foreign}/landed"
    assert sites.tokens("127.0.0.1") == {SECRET}
    assert sites.tokens("127.0.0.2") == {None}
    assert {"data", "landed"} <= {name for host, name, _ in sites.asked if host == "127.0.0.2"}


async def test_a_context_gets_what_is_its_sites_own(opened: Browsing, sites: Sites) -> None:
    """Headers in place of those of all, from its first request on; the context of another site gets none."""
    everywhere = InterceptParams(
        {"X-Token": "all"}, (f"{sites.own}/*",), lambda url: url.startswith(sites.own)
    )
    own = replace(everywhere, headers={"X-TOKEN": SECRET})
    params = TabParams(
        intercept=everywhere,
        own_for=lambda url: OwnParams(None, (own,)) if url.startswith(sites.own) else None,
    )
    pages = await pages_of(
        opened, params, *(f"{site}/both" for site in (sites.own, sites.own, sites.foreign))
    )
    assert ["All came." in page.text for page in pages] == [True, True, True]
    asked = [token for host, name, token in sites.asked if host == "127.0.0.1" and name == "both"]
    assert asked == [SECRET, SECRET]
    assert sites.tokens("127.0.0.2") == {None}
    assert sites.tokens("127.0.0.1") == {SECRET, "all"}, "the other site's page asked with what all have"


@pytest.mark.parametrize("own", [None, OwnParams(("*/data*",))])
async def test_a_context_blocks_what_its_site_blocks(
    opened: Browsing, sites: Sites, own: OwnParams | None
) -> None:
    """In place of what all sites block."""
    params = TabParams(blocked_urls=("*.nothing",), own_for=lambda _: own)
    [page] = await pages_of(opened, params, f"{sites.own}/both")
    came = {name for _, name, _ in sites.asked}
    assert ("data" in came) is (own is None), page.text


async def test_the_browser_is_what_the_user_says(opened: Browsing, sites: Sites) -> None:
    """Language, time zone, window and name."""
    params = TabParams(
        viewport=(640, 480), user_agent="Tester/1.0", locale="de-CH", timezone="Pacific/Auckland"
    )
    [page] = await pages_of(opened, params, f"{sites.own}/who")
    assert json.loads(page.text) == ["de-CH", "Pacific/Auckland", 640, 480, "Tester/1.0"]


async def test_the_storage_state_is_there_on_the_first_page_and_is_the_pages_then(
    opened: Browsing, sites: Sites
) -> None:
    """It is put there once for a context: what the page makes of it stays."""
    state = {
        "cookies": [cookie("127.0.0.1", "session", "mine"), cookie("127.0.0.2", "other", "theirs")],
        "origins": [{"origin": sites.own, "localStorage": [{"name": "basket", "value": "two lamps"}]}],
    }
    params = TabParams(state_for=state_of_site(state, registrable_domain))
    first, second = await pages_of(opened, params, f"{sites.own}/mine", f"{sites.own}/mine")
    assert "kept two lamps session=mine" in first.text
    assert "kept changed session=mine" in second.text


async def test_a_context_of_another_site_has_nothing_of_it(opened: Browsing, sites: Sites) -> None:
    """Not even what it could send there from a page of somebody else's."""
    origins = [{"origin": sites.own, "localStorage": [{"name": "basket", "value": "two lamps"}]}]
    state = {"cookies": [cookie("127.0.0.1", "session", "mine")], "origins": origins}
    slot = await opened.slot_with(TabParams(state_for=state_of_site(state, registrable_domain)))
    page = await visit(slot, f"{sites.foreign}/mine")
    assert "kept null" in page.text
    assert slot.tab is not None
    assert await slot.tab.page.context.cookies() == []
    slot.retire()


@pytest.mark.parametrize(
    ("name", "suffix", "body"),
    [
        ("pdf", "pdf", b"%PDF-1.4 not much\n"),
        ("table", "csv", b"a,b\n1,2\n"),
        ("packed", "json", b'{"list": [1, 2, 3]}'),
        ("data", "txt", b"some"),
    ],
)
async def test_the_bytes_of_what_is_no_page_are_kept(
    opened: Browsing, sites: Sites, name: str, suffix: str, body: bytes
) -> None:
    """Whether the browser would show it or not; unpacked, and requested once."""
    [page] = await pages_of(
        opened, TabParams(intercept=InterceptParams(file_bytes=CAP)), f"{sites.own}/{name}"
    )
    [capture] = page.captures
    assert (capture.kind, capture.suffix, capture.content) == ("download", suffix, body)
    assert page.status == 200
    assert page.truncated == ()
    assert [asked for _, asked, _ in sites.asked].count(name) == 1
    if name in {"packed", "data"}:
        assert body.decode() in page.text


@pytest.mark.parametrize("name", ["large", "large-text", "streamed"])
async def test_what_is_too_large_is_not_kept_and_that_is_said(
    opened: Browsing, sites: Sites, name: str
) -> None:
    """No half of a file, whether its size is told beforehand or not."""
    params = TabParams(intercept=InterceptParams(file_bytes=CAP))
    [page, good] = await pages_of(opened, params, f"{sites.own}/{name}", f"{sites.own}/landed")
    assert page.captures == ()
    assert page.truncated == ("download",)
    assert page.status == 200
    assert "Landed." in good.text
    assert good.truncated == ()


async def test_the_documents_are_kept_as_they_came(opened: Browsing, sites: Sites) -> None:
    """Byte by byte, unpacked, with the heads of redirects; the pages are what they are without it."""
    urls = [f"{sites.own}/{name}" for name in ("leaves", "packed", "latin", "pdf", "table", "landed")]
    plain = await pages_of(opened, TabParams(), *urls)
    kept = await pages_of(opened, TabParams(intercept=InterceptParams(body_bytes=CAP)), *urls)
    assert [page.exchanges for page in plain] == [()] * len(urls)
    assert [(page.status, page.text, page.truncated) for page in kept] == [
        (page.status, page.text, page.truncated) for page in plain
    ]
    hop, landed = kept[0].exchanges
    assert (hop.url, hop.status, hop.body) == (urls[0], 302, b"")
    assert dict(hop.headers)["Location"] == landed.url == f"{sites.foreign}/landed"
    bodies = [page.exchanges[-1].body for page in kept]
    assert b"Landed." in bodies[0]
    assert bodies[1:5] == [b'{"list": [1, 2, 3]}', LATIN, b"%PDF-1.4 not much\n", b"a,b\n1,2\n"]
    assert dict(landed.request_headers)["User-Agent"]
    assert [page.exchanges[-1].truncated for page in kept] == [""] * len(urls)


async def test_a_document_that_is_too_long_is_cut_and_one_without_end_times_out(
    opened: Browsing, sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both is said, and the next page is whole."""
    monkeypatch.setattr(intercept, "BEGINNING_S", 1.0)
    params = TabParams(intercept=InterceptParams(body_bytes=CAP))
    slot = await opened.slot_with(params)
    long = await visit(slot, f"{sites.own}/large-text")
    with pytest.raises(RenderError, match="timeout"):
        await visit(slot, f"{sites.own}/endless")
    good = await visit(slot, f"{sites.own}/landed")
    slot.retire()
    assert (long.exchanges[-1].truncated, len(long.exchanges[-1].body)) == ("length", CAP)
    assert "document" in long.truncated
    assert "Landed." in good.text
    assert good.truncated == ()


async def test_a_file_is_kept_and_copied(opened: Browsing, sites: Sites) -> None:
    """With --download and a WARC sink the same bytes go to both, and are requested once."""
    params = TabParams(intercept=InterceptParams(file_bytes=CAP, body_bytes=CAP))
    [page] = await pages_of(opened, params, f"{sites.own}/table")
    assert page.captures[0].content == page.exchanges[-1].body == b"a,b\n1,2\n"
    assert [asked for _, asked, _ in sites.asked].count("table") == 1


async def test_pages_are_no_downloads(opened: Browsing, shop: Shop) -> None:
    """Empty answers and errors neither."""
    params = TabParams(intercept=InterceptParams(file_bytes=CAP))
    pages = await pages_of(
        opened, params, *(shop.at(f"/faults/{name}") for name in ("204", "status/404", "empty"))
    )
    assert [page.status for page in pages] == [204, 404, 200]
    assert [page.captures for page in pages] == [(), (), ()]


async def test_a_file_is_named_after_its_type_or_else_its_address() -> None:
    """And never after anything that is more than a name."""
    assert suffix_of({"content-type": "application/pdf; x=y"}, "https://a.example/b.php") == "pdf"
    assert suffix_of({"content-type": "application/octet-stream"}, "https://a.example/b.TAR?x=.zip") == "tar"
    assert suffix_of({"content-type": "nobody/knows"}, "https://a.example/b../c") == "bin"
    assert suffix_of({}, "https://a.example/x.%2e%2e%2f") == "bin"


def cookie(domain: str, name: str, value: str) -> dict[str, object]:
    """Return a cookie as Playwright writes it."""
    kept = {"path": "/", "expires": -1, "httpOnly": False, "secure": False, "sameSite": "Lax"}
    return {"name": name, "value": value, "domain": domain, **kept}


async def test_what_is_secret_is_not_shown() -> None:
    """A traceback or a log that has the parameters in it has no secrets."""
    params = TabParams(intercept=InterceptParams({"Authorization": SECRET}))
    assert SECRET not in repr(params)
    assert SECRET not in repr(replace(params, locale="de"))
