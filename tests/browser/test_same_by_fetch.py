"""The HTML parser reads of a page what a real browser shows of it, where no script and no style adds to it."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser.metadata import metadata_of
from farm.browser.render import RenderParams
from farm.extract.page_reader import DocumentParams, page_of
from farm.model.page import RenderedPage
from farm.model.url import origin_of
from fixtures import shop as shop_pages
from fixtures.blocks import block_pages
from fixtures.pages import html, served_by
from fixtures.shop import Shop
from tests.browser import test_image_list, test_metadata
from tests.browser.conftest import Browsing, pool_of_a_module, visit
from tests.browser.text_snippets import SNIPPETS

pytestmark = pytest.mark.asyncio(loop_scope="module")
CAPS = asdict(DocumentParams(list_images=True))
HEAD = (
    "<!doctype html><html lang=' de-AT'><head><title> A \n title&nbsp;&amp; more </title><title>no</title>"
    "<base href='/below/?x#y'><base href='/no/'>"
    "<meta name=' Robots ' content='noindex'><meta name=robots content=x>"
    "<meta name=crawlfarm content=none><meta name=otherbot content=no>"
    "<noscript><img src='/pixel.png'><a href='/hidden'>no</a></noscript>"
    "<link rel='x Canonical' href='c?d=1&amp;e'>"
    "<style>p::before { content: 'no' }</style></head><body id=b>"
)
LINKS = (
    "<a href='one'>One</a> <a href=' /two#f '>\n Two  &nbsp;words\n</a><a>none</a><a href=''>self</a>"
    "<a href='#x'>x</a>"
    "<a href='http://[::1'>broken</a><a href='mailto:a@b.example'>mail</a><a href='javascript:void 0'>js</a>"
    "<a href='//other.example/p?q=%20 ü&a=1' rel='nofollow noopener'><img alt='no label'></a>"
    "<a href='/aria' aria-label='labelled'></a><map><area href='/area' alt='area'></map>"
    "<a href='/a'>out<object><a href='/b'>in</a></object></a><svg><a href='/svg'><text>drawn</text></a></svg>"
    "<p hidden>seen by nobody <a href='/secret'>but followed</a></p><a href='HTTPS://Other.Example:443/%7euser'>up</a>"
    "<a href='/tab\tand\nbreak'>b</a><a href='data:text/html,x'>data</a><a href='/x' rel=''>t<b>u</b><i> v</i></a>"
)
SHEETS = {
    "/sheet.css": b".one { display: none }",
    "/print.css": b".two { display: none }",
    "/other.css": b".three { display: none }",
    "/assets/shop.css": (Path(shop_pages.__file__).parent / "site/shop.css").read_bytes(),
}
SCRIPTED = ("<script", "refresh", "<iframe")
UTF_8 = "text/html; charset=utf-8"
WRITTEN = {
    "snippets": "".join(f"<article>{one}</article><p>{number}.</p>" for number, one in enumerate(SNIPPETS)),
    **{f"metadata-{name}": body for name, (body, _) in test_metadata.PAGES.items() if "<script>" not in body},
    **{f"images-{name}": str(test_image_list.PAGES[name]) for name in ("sources", "lazy", "media", "long")},
}
PAGES: dict[str, tuple[bytes, str]] = {
    **{name: (html(name, body).encode(), UTF_8) for name, body in WRITTEN.items()},
    **{
        f"block-{page.name}": (page.html.encode(), UTF_8)
        for page in block_pages()[::4]
        if not any(word in page.html for word in SCRIPTED)
    },
    "styled": ((Path(__file__).parent / "styled.html").read_bytes(), UTF_8),
    "head": (f"{HEAD}{LINKS}".encode(), UTF_8),
    "quirks": (b"<p>No doctype<table><tr><td>a<p>b</table>\xe9", "text/html; charset=x"),
    "declared": (
        "<meta http-equiv=content-type content='text/html; charset=windows-1251'>Привет".encode("cp1251"),
        "text/html",
    ),
    "marked": ("\ufeff<meta charset=latin1>Füße".encode("utf-16"), "text/html; charset=latin1"),
    "gbk": ("<meta charset='gb2312'>汉字㐀".encode("gb18030"), "text/html"),
    "sjis": ("①ソ能".encode("cp932"), "text/html; charset=Shift_JIS"),
    "unlabelled": ("<p>Straße, 10 €".encode(), "text/html"),
    "declared-utf16": ("<!-- <meta charset=latin1> --><meta charset=utf-16>Füße".encode(), "text/html"),
    "doctype": (
        b"<!-- x --><!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Strict//EN' 'http://www.w3.org/TR/xhtml1/DTD/x.dtd'>a",
        UTF_8,
    ),
    "late": (b"<!--" + b"x" * 2_000 + "--><meta charset=utf-8>Füße".encode(), "text/html"),
}
opened_by_all = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0, list_images=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages."""

    async def answer(request: web.Request) -> web.Response:
        sheet = SHEETS.get(request.path)
        if sheet is not None:
            return web.Response(body=sheet, content_type="text/css")
        if request.match_info["name"] not in PAGES:
            return web.Response(status=404)
        body, content_type = PAGES[request.match_info["name"]]
        return web.Response(body=body, headers={"Content-Type": content_type})

    async with served_by(answer) as origin:
        yield origin


def shown(page: RenderedPage) -> dict[str, Any]:
    """Return all of a page that a record has, as the browser's collector has it."""
    return {
        "text": page.text.split("\n"),
        "links": [(one.url, one.text, one.rel) for one in page.links],
        "html": page.html,
        **{
            name: getattr(page, name)
            for name in ("title", "robots", "canonical", "lang", "charset", "metadata")
        },
        "images": [(one.url, one.alt, one.width, one.height) for one in page.images or ()],
        # The browser also says which of several it plays.
        "media": {(one.url, one.kind) for one in page.media or ()},
        "truncated": page.truncated,
    }


def read(page: RenderedPage, body: bytes, content_type: str) -> dict[str, Any]:
    """Return the same as the parser has it, of the bytes at the page's address."""
    origin = origin_of(page.final_url)
    sheets = {f"{origin}{path}": sheet for path, sheet in SHEETS.items()}
    arguments = {"url": page.final_url, "content_type": content_type, "caps": CAPS, "sheets": [*sheets]}
    said = page_of(body, arguments, [*sheets.values()])
    return {
        **{name: said[name] for name in ("html", "title", "robots", "canonical", "lang", "charset")},
        "text": said["text"].split("\n"),
        "links": said["links"],
        "metadata": metadata_of(said["metadata"]),
        "images": [tuple(one) for one in said["images"]],
        "media": {tuple(one) for one in said["media"]},
        "truncated": tuple(said["truncated"]),
    }


async def test_a_page_is_read_as_the_browser_shows_it(opened_by_all: Browsing, site: str) -> None:
    """Text by its lines, links in their order, the HTML, and all that the head says."""
    slot = await opened_by_all.slot()
    differ: dict[str, Any] = {}
    for name, source in PAGES.items():
        page = await visit(slot, f"{site}/{name}")
        by_browser, by_fetch = shown(page), read(page, *source)
        differ |= {
            f"{name}: {key}": (by_fetch[key], said)
            for key, said in by_browser.items()
            if by_fetch[key] != said
        }
    slot.retire()
    assert {name: [*map(str, both)] for name, both in differ.items()} == {}


async def test_the_pages_of_a_shop_are_read_as_the_browser_shows_them(
    opened_by_all: Browsing, shop: Shop
) -> None:
    """As its scripts have made them: their HTML and the shop's style sheet say all."""
    slot = await opened_by_all.slot("shop")
    for url in list(shop.oracle.pages)[::17]:
        page = await visit(slot, url)
        assert read(page, page.html.encode(), UTF_8) == shown(page)
    slot.retire()
