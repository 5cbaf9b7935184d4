"""What a page says of itself to programs: JSON-LD, Open Graph, Twitter cards and microdata, exactly."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from farm.browser.collector import ReadParams
from farm.browser.metadata import metadata_of
from farm.browser.render import RenderParams
from farm.model.page import RenderedPage
from farm.sinks.record import json_line
from fixtures.pages import Answer, serving
from tests.browser.conftest import Browsing, pool_of_a_module, seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTHING: dict[str, Any] = {"json_ld": [], "open_graph": {}, "twitter": {}, "microdata": [], "errors": []}
SCHEMA = "https://schema.org"
LD = '<script type="application/ld+json">'
END = "</script>"
OFFER = {
    "type": [f"{SCHEMA}/Offer"],
    "properties": {
        "price": ["89.00"],
        "currency": ["EUR"],
        "until": ["2026-01-01"],
        "since": ["2025"],
        "sku": ["17"],
        "stock": ["0.5"],
    },
}
# Name: the body, and what of `NOTHING` it changes; `ORIGIN` stands for the site.
PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "product": (
        f'{LD}{{"@context": "{SCHEMA}", "@type": "Product", "name": "Lamp", "offers": {{"price": "89.00"}}}}{END}',
        {"json_ld": [{"@context": SCHEMA, "@type": "Product", "name": "Lamp", "offers": {"price": "89.00"}}]},
    ),
    "several-scripts": (
        (
            f'{LD}[{{"@type": "A"}}, {{"@type": "B"}}]{END}{LD}{{"@graph": [{{"@type": "C"}}]}}{END}'
            '<script type="application/ld+json; charset=utf-8">{"@type": "D"}</script>'
            '<script type="APPLICATION/LD+JSON">{"@type": "E"}</script><script type="text/json">{"no": 1}</script>'
        ),
        {
            "json_ld": [
                {"@type": "A"},
                {"@type": "B"},
                {"@graph": [{"@type": "C"}]},
                {"@type": "D"},
                {"@type": "E"},
            ]
        },
    ),
    "careless": (
        (
            f'{LD}<!-- {{"a": 1}} -->{END}{LD}\n//<![CDATA[\n{{"b": "one\ntwo"}}\n//]]>\n{END}'
            f'{LD}{{"c": 3}};{END}{LD} {END}'
        ),
        {"json_ld": [{"a": 1}, {"b": "one\ntwo"}, {"c": 3}]},
    ),
    "broken": (
        f'{LD}{{"a" 1}}{END}{LD}{{"b": 2}}{END}{LD}7{END}{LD}{{"c": NaN}}{END}',
        {
            "json_ld": [{"b": 2}],
            "errors": [
                "JSON-LD 1: Expecting ':' delimiter: line 1 column 6 (char 5)",
                "JSON-LD 3: it is neither an object nor a list of objects",
                "JSON-LD 4: NaN is not JSON",
            ],
        },
    ),
    "by-script": (
        (
            "<script>setTimeout(() => { const ld = document.createElement('script');"
            " ld.type = 'application/ld+json'; ld.text = '{\"late\": true}';"
            " document.head.append(ld); }, 30)</script>"
        ),
        {"json_ld": [{"late": True}]},
    ),
    "cards": (
        (
            "<meta property='og:title' content=' Lamp '><meta property='OG:Type' content='product'>"
            "<meta property='og:image' content='/1.png'><meta property='og:image:width' content='400'>"
            "<meta property='og:image' content='/2.png'><meta property='og:image' content='/3.png'>"
            "<meta name='og:site_name' content='Shop'><meta property='product:price:amount' content='89'>"
            "<meta name='twitter:card' content='summary'><meta property='twitter:site' content='@shop'>"
            "<meta property='og:description twitter:description' content='Both'>"
            "<meta property='og:url' name='twitter:url' content='https://shop.example/'>"
            "<meta property='og:nothing'>"
            "<meta property='og:empty' content=''>"
            "<meta name='description' content='no'><meta property='title' content='no'>"
        ),
        {
            "open_graph": {
                "og:title": "Lamp",
                "og:type": "product",
                "og:image": ["/1.png", "/2.png", "/3.png"],
                "og:image:width": "400",
                "og:site_name": "Shop",
                "product:price:amount": "89",
                "og:description": "Both",
                "og:url": "https://shop.example/",
                "og:empty": "",
            },
            "twitter": {
                "twitter:card": "summary",
                "twitter:site": "@shop",
                "twitter:description": "Both",
                "twitter:url": "https://shop.example/",
            },
        },
    ),
    "item": (
        (
            f"<div itemscope itemtype='{SCHEMA}/Product'><h1 itemprop=name>Reading\n  <b>Lamp</b></h1>"
            "<img itemprop=image src='/1.png'><img itemprop=image src='2.png'><a itemprop=url href='?a=1'>more</a>"
            f"<div itemprop='offers other' itemscope itemtype='{SCHEMA}/Offer'>"
            "<span itemprop=price content='89.00'>89 €</span><meta itemprop=currency content=' EUR '>"
            "<time itemprop=until datetime=2026-01-01>soon</time><time itemprop=since>2025</time>"
            "<data itemprop=sku value=17>seventeen</data><meter itemprop=stock value=0.5>half</meter></div>"
            "<p>Not a property</p><object itemprop=model data='/lamp.glb'></object></div>"
        ),
        {
            "microdata": [
                {
                    "type": [f"{SCHEMA}/Product"],
                    "properties": {
                        "name": ["Reading Lamp"],
                        "image": ["ORIGIN/1.png", "ORIGIN/2.png"],
                        "url": ["ORIGIN/item?a=1"],
                        "offers": [OFFER],
                        "other": [OFFER],
                        "model": ["ORIGIN/lamp.glb"],
                    },
                }
            ]
        },
    ),
    "items": (
        (
            "<p itemprop=stray>Of no item</p>"
            "<div itemscope><p itemprop=a>1</p><div itemscope><p itemprop=b>2</p></div>"
            "</div><div itemscope itemtype='http://n.example/x http://n.example/y' itemid='/7'></div>"
            "<div itemscope itemid='/8'><a itemprop=u>no address</a><img itemprop=v src='http://[::1'></div>"
        ),
        {
            "microdata": [
                {"properties": {"a": ["1"]}},
                {"properties": {"b": ["2"]}},
                {"type": ["http://n.example/x", "http://n.example/y"], "id": "ORIGIN/7", "properties": {}},
                {"properties": {"u": [""], "v": [""]}},
            ]
        },
    ),
    "references": (
        (
            "<p id=before itemprop=first>1</p><div itemscope itemref='after before none inside'>"
            "<p itemprop=second id=inside>2</p></div><div id=after><p itemprop=third>3</p>"
            "<div itemscope itemprop=fourth><p itemprop=deep>5</p></div></div>"
        ),
        {
            "microdata": [
                {
                    "properties": {
                        "first": ["1"],
                        "second": ["2"],
                        "third": ["3"],
                        "fourth": [{"properties": {"deep": ["5"]}}],
                    }
                }
            ]
        },
    ),
    "circle": (
        (
            "<div itemscope itemref=b><p itemprop=n>1</p></div><div id=b itemscope itemprop=k itemref=c></div>"
            "<div id=c itemscope itemprop=k itemref=b></div>"
        ),
        {
            "microdata": [
                {"properties": {"n": ["1"], "k": [{"properties": {"k": [{"properties": {"k": ["ERROR"]}}]}}]}}
            ]
        },
    ),
    "names": (
        (
            f'{LD}{{"__proto__": {{"polluted": 1}}, "constructor": 2}}{END}'
            "<meta property='a:__proto__' content=x><meta property='og:constructor' content=y>"
            "<form itemscope><input name=getAttribute><input name=attributes><input name=children>"
            "<p itemprop='__proto__ toJSON constructor'>z</p></form>"
        ),
        {
            "json_ld": [{"__proto__": {"polluted": 1}, "constructor": 2}],
            "open_graph": {"a:__proto__": "x", "og:constructor": "y"},
            "microdata": [{"properties": {"__proto__": ["z"], "toJSON": ["z"], "constructor": ["z"]}}],
        },
    ),
    "halves": (
        (
            f'{LD}{{"a": "\\ud800"}}{END}<meta property=og:title><p itemscope><b itemprop=n></b></p>'
            "<script>document.querySelector('[property]').content = '\\ud800!';"
            "document.querySelector('b').textContent = '\\udfff';</script>"
        ),
        {
            "json_ld": [{"a": "�"}],
            "open_graph": {"og:title": "�!"},
            "microdata": [{"properties": {"n": ["�"]}}],
        },
    ),
}
CLOSE = "<` + `/script>"
"""What does not end the script in which it stands."""
REPEATED = {
    # As many as there is room for, in order; what is left out is said.
    "many": ("<div itemscope>", "<div itemscope itemprop=x>", 30_000, ""),
    "wide": ("", "<div itemscope><p itemprop=n>1</p></div>", 20_000, ""),
    "cards-without-end": ("", "<meta property=og:image content=/picture.png>", 100_000, ""),
    "scripts": ("", f"{LD}{{}}{CLOSE}", 20_000, ""),
    "large": (f"{LD}[", "{},", 10_000_000, f'{{}}]{CLOSE}{LD}{{"a": 1}}{CLOSE}'),
}
BROKEN_BY_SIZE: dict[str, str] = {
    name: f"<script>document.write(`{begin}` + (`{one}`).repeat({times}) + `{end}`)</script>"
    for name, (begin, one, times, end) in REPEATED.items()
} | {
    "deep": (
        "<div itemscope id=top></div><script>let at = document.getElementById('top');"
        "for (let n = 0; n < 2_000; n += 1) { const next = document.createElement('div');"
        " next.setAttribute('itemscope', ''); next.setAttribute('itemprop', 'a b'); at.append(next); at = next; }"
        "</script>"
    ),
    "long": f"<meta property=og:title content='{'x' * 30_000}'><meta property='og:{'y' * 400}' content=z>",
    "all-refer-to-all": (
        "<script>const some = Array.from({ length: 30 }, (_, k) => k * 11);"
        "const ids = (n) => some.map((k) => `i${(n * 7 + k) % 3_000}`).join(' ');"
        "for (let n = 0; n < 3_000; n += 1)"
        " document.write(`<div id=i${n} itemscope itemprop='a b c' itemref='${ids(n)}'></div>`);"
        "document.write('<div itemscope itemref=i0></div>')</script>"
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages."""
    bodies = {name: body for name, (body, _) in PAGES.items()} | BROKEN_BY_SIZE
    other: dict[str, str | Answer] = {
        "none": "<p>Only words</p>",
        "latin": Answer(
            raw=(
                '<?xml version="1.0" encoding="iso-8859-1"?>'
                '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>é</title></head><body>é</body></html>'
            ).encode("latin-1"),
            content_type="application/xhtml+xml",
        ),
        "json": Answer('{"a": 1}', content_type="application/json"),
    }
    async with serving({**bodies, **other}) as origin:
        yield origin


opened = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0))


def written(page: RenderedPage, origin: str) -> Any:
    """Return the metadata as a sink writes it."""
    return orjson.loads(json_line(page.metadata or {}).replace(origin.encode(), b"ORIGIN"))


@pytest.mark.parametrize("name", PAGES)
async def test_it_is_read_exactly(name: str, opened: Browsing, site: str) -> None:
    """Each kind, and what many sites write that no standard knows."""
    page = await seen(opened, f"{site}/{name}")
    assert written(page, site) == {**NOTHING, **PAGES[name][1]}
    assert page.truncated == ()


async def test_a_page_that_says_nothing_has_none(opened: Browsing, site: str) -> None:
    """Nothing is sent for it."""
    assert (await seen(opened, f"{site}/none")).metadata is None
    assert (await seen(opened, f"{site}/json")).metadata is None


@pytest.mark.parametrize("name", BROKEN_BY_SIZE)
async def test_it_is_bounded_whatever_the_page_does(name: str, opened: Browsing, site: str) -> None:
    """And it can always be written."""
    page = await seen(opened, f"{site}/{name}")
    assert "metadata" in page.truncated
    line = json_line(page.metadata or {})
    assert len(line) < 3 * ReadParams().metadata_cap
    if name == "large":
        assert written(page, site)["json_ld"] == [{"a": 1}]
    if name == "scripts":
        assert written(page, site)["json_ld"] == [{}] * 100
    if name == "long":
        assert written(page, site)["open_graph"] == {"og:title": "x" * 20_000}


async def test_the_encoding_is_the_one_by_which_the_browser_has_read(opened: Browsing, site: str) -> None:
    """As the standard names it, whatever the document calls it."""
    latin = await seen(opened, f"{site}/latin")
    assert (latin.charset, latin.text) == ("windows-1252", "é")
    assert (await seen(opened, f"{site}/none")).charset == "UTF-8"


@pytest.mark.parametrize(
    ("text", "objects", "error"),
    [
        ('{"a":' * 100 + "1" + "}" * 100, 1, ""),
        ('{"a":' * 240 + "1" + "}" * 240, 1, ""),
        ('{"a":' * 250 + "1" + "}" * 250, 0, "JSON-LD 1: it is nested too deep"),
        ('{"a":' * 50_000, 0, "JSON-LD 1: it is nested too deep"),
        ('{"a": "\n", "b":' + "[" * 40_000, 0, "JSON-LD 1: it is nested too deep"),
        (f'{{"a": [{"[]," * 25_000}[]]}}', 0, "JSON-LD 1: it has too many parts"),
        (f'{{"a": [{"[]," * 24_000}[]]}}', 1, ""),
        ('{"a": 1e999}', 0, "JSON-LD 1: a number is too large"),
        ('{"a": "\n", "b": 123456789012345678901234567890}', 1, ""),
        (f'{{"a": "\n", "b": {"9" * 5_000}}}', 0, "JSON-LD 1: a number is too large"),
        ('{"a": "\ud800", "b": "\\udfff"}', 1, ""),
    ],
)
async def test_json_ld_that_is_taken_can_be_written(text: str, objects: int, error: str) -> None:
    """As a part of a record, whatever it is; else it is named."""
    found = metadata_of({"ld": [text], "graph": {}, "twitter": {}, "items": []})
    assert found is not None
    assert (len(found["json_ld"]), found["errors"]) == (objects, [error] if error else [])
    assert orjson.loads(json_line({"metadata": found}))["metadata"]["errors"] == found["errors"]
