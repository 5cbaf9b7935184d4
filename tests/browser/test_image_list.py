"""The images and media of a page, as `--images` lists them: what the browser has chosen, loaded or not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from farm.browser.collector import ReadParams
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.model.page import Image, RenderedPage
from fixtures.pages import Answer, serving
from fixtures.shop.pictures import swatch
from tests.browser.conftest import Browsing, browsing, seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTED = RenderParams(page_timeout_s=20.0, settle_timeout_s=5.0, list_images=True)
SHADOW = "<script>document.querySelector('x-a').attachShadow({ mode: 'open' }).innerHTML = `"
PAGES: dict[str, str | Answer] = {
    "images": (
        "<img src='/1.png' alt=' A\n lamp ' width=40 height='50px'><img src='2.png' width='50%'>"
        "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' data-src='/later.png'><img><img src='http://[::1'>"
        "<x-a></x-a><iframe srcdoc='<img src=/framed.png>'></iframe><svg><image href='/no.png'></image></svg>"
        f"{SHADOW}<img src='/shadow.png' name=src>`</script>"
    ),
    "sources": (
        "<img srcset='/small.png 1x, /large.png 2x' src='/old.png'>"
        "<picture><source srcset='/wide.png' media='(min-width: 10px)'><img src='/narrow.png'></picture>"
        "<picture><source srcset='/no.avif' type='image/none'><img src='/yes.png'></picture>"
        "<img srcset=' /only.png, /two.png 2x' src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
        "<picture><source srcset='/in-picture.png 800w'><img alt=''></picture>"
    ),
    "lazy": "<div style='height: 9000px'></div><img loading=lazy src='/lazy.png' srcset='/lazy.png 1x'>",
    "sized": "<img src='/pixel'><img src='/pixel?x' width=30 height=20>",
    "pixel": Answer(raw=swatch("alder", 48), content_type="image/png"),
    "media": (
        "<video src='/film.mp4' poster='/poster.jpg'><track src='/en.vtt'></video>"
        "<video><source src='/a.webm' type='video/webm'><source src='b.mp4'></video>"
        "<audio controls><source src='/a.ogg'></audio><video src='blob:no'></video><audio></audio>"
    ),
    "many": ("<script>for (let n = 0; n < 9_000; n += 1) document.write(`<img src='/${n}.png'>`);</script>"),
    "long": f"<img src='/{'x' * 9_000}.png'><img src='/short.png'>",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages."""
    async with serving(PAGES) as origin:
        yield origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browsing]:
    """Open a pool that loads no images."""
    folder: Path = tmp_path_factory.mktemp("images") / "engines"
    async with browsing(folder, LISTED) as browsers:
        yield browsers


def listed(page: RenderedPage, origin: str) -> list[Image]:
    """Return the images, their addresses without the origin."""
    assert page.images is not None
    return [Image(one.url.removeprefix(origin), one.alt, one.width, one.height) for one in page.images]


async def test_images_are_those_that_the_browser_has_chosen(opened: Browsing, site: str) -> None:
    """In the order of the document, then those of shadow roots and frames; with what is said of their size."""
    page = await seen(opened, f"{site}/images")
    assert listed(page, site) == [
        Image("/1.png", "A lamp", 40, 50),
        Image("/2.png"),
        Image("/shadow.png"),
        Image("/framed.png"),
    ]
    assert page.media == ()
    assert listed(await seen(opened, f"{site}/lazy"), site) == [Image("/lazy.png")]


async def test_where_no_images_are_loaded_the_page_is_taken_at_its_word(opened: Browsing, site: str) -> None:
    """The browser chooses none then: `src` counts, or else what a `srcset` names first."""
    found = listed(await seen(opened, f"{site}/sources"), site)
    assert [one.url for one in found] == [
        "/old.png",
        "/narrow.png",
        "/yes.png",
        "/only.png",
        "/in-picture.png",
    ]


async def test_images_that_are_loaded_have_their_own_size(tmp_path: Path, site: str) -> None:
    """Whatever the page makes of it."""
    async with browsing(tmp_path / "engines", LISTED, tab=TabParams(images=True)) as browsers:
        page = await seen(browsers, f"{site}/sized")
        some = listed(await seen(browsers, f"{site}/sources"), site)
    assert [one.url for one in some] == [
        "/small.png",
        "/wide.png",
        "/yes.png",
        "/only.png",
        "/in-picture.png",
    ]
    assert listed(page, site) == [Image("/pixel", "", 48, 48), Image("/pixel?x", "", 48, 48)]


async def test_media_are_listed_by_their_kind(opened: Browsing, site: str) -> None:
    """Every source, whether the browser plays it or not."""
    page = await seen(opened, f"{site}/media")
    assert page.media is not None
    assert {(one.url.removeprefix(site), one.kind) for one in page.media} == {
        ("/film.mp4", "video"),
        ("/en.vtt", "track"),
        ("/poster.jpg", "poster"),
        ("/a.webm", "video"),
        ("/b.mp4", "video"),
        ("/a.ogg", "audio"),
    }


async def test_the_list_is_bounded(opened: Browsing, site: str) -> None:
    """By its number, and without addresses that nobody visits."""
    many = await seen(opened, f"{site}/many")
    assert listed(many, site) == [Image(f"/{number}.png") for number in range(ReadParams().image_cap)]
    long = await seen(opened, f"{site}/long")
    assert listed(long, site) == [Image("/short.png")]
    assert many.truncated == long.truncated == ("images",)


async def test_nothing_is_listed_unless_it_is_asked_for(tmp_path: Path, site: str) -> None:
    """Nor sent."""
    async with browsing(tmp_path / "engines") as browsers:
        page = await seen(browsers, f"{site}/images")
    assert (page.images, page.media) == (None, None)
