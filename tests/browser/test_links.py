"""The links of a page: of every kind, in order, with what stands in them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from farm.browser.render import RenderParams
from fixtures.pages import serving
from tests.browser.conftest import Browsing, pool_of_a_module, seen

pytestmark = pytest.mark.asyncio(loop_scope="module")
LINKS = {
    "svg": (
        (
            "<svg xmlns:xlink='http://www.w3.org/1999/xlink'><a xlink:href='/one'><text>One</text></a>"
            "<a href='/two'><text>Two</text></a></svg>"
        ),
        ["/one", "/two"],
    ),
    "unresolvable": (
        (
            "<a href='http://[::1/x'>No</a><a href='http://h:99999/'>No</a>"
            "<svg><a href='http://[::1/y'><text>No</text></a></svg><a href=' /one '>One</a>"
        ),
        ["/one"],
    ),
    "map": ("<map name=m><area href='/one' alt=One></map>", ["/one"]),
    "objects": (
        "<object data='/framed' type='text/html'></object><object data='/missing'>x</object>",
        ["/framed", "/on"],
    ),
    "frames": ("<iframe src='/other'></iframe><iframe src='about:blank'></iframe>", ["/other"]),
}
LABELS = {
    "<a href=/a>Red <b>la</b>mp</a>": "Red lamp",
    "<a href=/b><h3>Lamp</h3><p>Of brass</p><ul><li>New<li>Small</ul>9 EUR</a>": "Lamp Of brass New Small 9 EUR",
    "<a href=/c>One<br>two</a>": "One two",
    "<a href=/d><style>a { color: red; }</style><script>var x;</script>Word</a>": "Word",
    "<a href=/e aria-label=Icon>\n <svg></svg>\n</a>": "Icon",
    "<a href=/f aria-label=Block><div><img></div></a>": "Block",
    "<svg><a href=/g><text>Drawn</text></a></svg>": "Drawn",
}
PAGES = {
    **{f"links-{name}": body for name, (body, _) in LINKS.items()},
    "labels": "".join(LABELS),
    "other": "<p>Other</p>",
    "framed": "<p>In an object <a href='/on'>on</a></p>",
}

browser = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=8.0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages; the origin."""
    async with serving(PAGES) as origin:
        yield origin


@pytest.mark.parametrize("name", LINKS)
async def test_every_kind_of_link_is_found(browser: Browsing, site: str, name: str) -> None:
    """Also those of drawings and maps, and the documents of frames."""
    page = await seen(browser, f"{site}/links-{name}")
    assert [link.url.removeprefix(site) for link in page.links] == LINKS[name][1]


async def test_a_link_says_what_stands_in_it(browser: Browsing, site: str) -> None:
    """Its blocks apart, without scripts and styles; where nothing does, what it says of itself."""
    page = await seen(browser, f"{site}/labels")
    assert [link.text for link in page.links] == [*LABELS.values()]
