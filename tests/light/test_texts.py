"""The text of a page is laid out as a browser lays it out; `browser/test_same_by_light` has both side by side."""

from collections.abc import AsyncIterator
from dataclasses import asdict

import pytest
import pytest_asyncio
from aiohttp import web

from farm.extract.page_reader import DocumentParams, page_of
from farm.light.pool import LightSlot
from farm.model.errors import RendererUnfit
from fixtures.pages import html, served_by
from tests.browser.test_reading import TEXTS
from tests.browser.text_snippets import SNIPPETS
from tests.light.conftest import lights_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")
light = lights_of_a_module()
CAPS = asdict(DocumentParams())
UTF_8 = "text/html; charset=utf-8"
OTHERWISE = ("<button> b", "<math>", "inline-block'>a</span><span", "capitalize'>cd", "<object")
"""What is known to be laid out otherwise: spaces around boxes, formulas, capitals across elements, objects."""
WRITTEN = [one for one in SNIPPETS if not any(known in one for known in OTHERWISE)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve each text and each snippet as a page of its own."""

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        body = WRITTEN[int(name)] if name.isdigit() else TEXTS[name][0]
        return web.Response(text=html(name, body), content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


@pytest.mark.parametrize("name", ["object", "fallback"])
async def test_a_page_with_an_object_is_a_browsers(light: LightSlot, site: str, name: str) -> None:
    """This engine loads no document of an object, and shows nothing in place of one that fails."""
    with pytest.raises(RendererUnfit, match="it uses an object"):
        await visit(light, f"{site}/{name}")


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in {"object", "fallback"}])
async def test_a_page_says_what_a_visitor_reads(light: LightSlot, site: str, name: str) -> None:
    """As the browser's collector has it."""
    page = await visit(light, f"{site}/{name}")
    assert page.text == f"Start\n\n{TEXTS[name][1]}"


async def test_a_text_is_laid_out_as_the_parser_lays_it_out(light: LightSlot, site: str) -> None:
    """Which is tested against a real browser, on the same documents."""
    differ = {}
    for number, body in enumerate(WRITTEN):
        page = await visit(light, f"{site}/{number}")
        arguments = {"url": page.final_url, "content_type": UTF_8, "caps": CAPS}
        said = page_of(html(str(number), body).encode(), arguments)
        if page.text != said["text"]:
            differ[body] = (page.text, said["text"])
    assert differ == {}
