"""Where images are not loaded nothing is requested, and a page that waits for one is told that it failed."""

from collections.abc import AsyncIterator

import psutil
import pytest_asyncio
from aiohttp import web

from farm.browser.chromium import NO_IMAGES
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, visit

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkqP9fDwAEAgH/VscvDQAAAABJRU5ErkJggg=="
)
SAY = "const say = (text) => document.body.append(text + '; ');"
PAGES = {
    "plain": '<img src="/i/1.png"><picture><source srcset="/i/2.webp"><img src="/i/3.png"></picture>'
    '<div style="background: url(/i/4.png)">background</div>',
    "attribute": "<script>let told = ''</script><img src=\"/i/1.png\" onerror=\"told = 'it failed'\">"
    "<script>setTimeout(() => document.body.append(told), 200)</script>",
    "listener": f"<img id=a src='/i/1.png'><script>{SAY}"
    "document.getElementById('a').addEventListener('error', () => say('it failed'))</script>",
    "assigned": f"<body><script>{SAY} const img = new Image(); img.onload = () => say('it came');"
    "img.onerror = () => say('it failed ' + img.complete); img.src = '/i/1.png'</script>",
    "set later": f"<body><script>{SAY} const img = document.createElement('img');"
    "img.addEventListener('error', () => say('it failed')); setTimeout(() => {"
    "img.setAttribute('src', '/i/1.png'); document.body.append(img) }, 50)</script>",
    "decoded": f"<body><script>{SAY} const img = new Image(); img.src = '/i/1.png';"
    "img.decode().catch((error) => say('it failed: ' + error.name))</script>",
    "local": f"<body><script>{SAY} const img = new Image(); img.onerror = () => say('it failed');"
    f"img.onload = () => say('it came ' + img.naturalWidth); img.src = '{PIXEL}'</script>",
    "react": f"<body><script>{SAY} const make = (props) => {{ const img = document.createElement('img');"
    "img.__reactProps$1 = props; for (const type of ['load', 'error']) img.addEventListener(type, () =>"
    "say(type + ' of ' + props.name)); img.setAttribute('src', '/i/1.png'); document.body.append(img) };"
    "make({ name: 'one' }); make({ name: 'two', onError() {} })</script>",
}


@pytest_asyncio.fixture
async def pages() -> AsyncIterator[tuple[str, list[str]]]:
    """Serve the pages; what was requested besides is noted."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in PAGES:
            return web.Response(text=f"<!doctype html>{PAGES[name]}", content_type="text/html")
        asked.append(request.path)
        return web.Response(status=404)

    async with served_by(answer) as origin:
        yield origin, asked


async def test_an_image_is_not_asked_for_and_who_waits_for_it_is_told(
    rendering: Browsing, pages: tuple[str, list[str]]
) -> None:
    """By what the page shows then."""
    url, asked = pages
    slot = await rendering.slot()
    shown = {}
    for name in PAGES:
        page = await visit(slot, f"{url}/{name}")
        assert page.settled
        shown[name] = page.text.strip()
    assert shown == {
        "plain": "background",
        "attribute": "it failed",
        "listener": "it failed;",
        "assigned": "it failed true;",
        "set later": "it failed;",
        "decoded": "it failed: EncodingError;",
        "local": "it came 1;",
        "react": "error of two;",
    }
    assert [path for path in asked if path.startswith("/i/")] == []


async def test_what_playwright_sets_by_the_same_flag_stays(
    rendering: Browsing, pages: tuple[str, list[str]]
) -> None:
    """Of a flag that is given twice the last one counts, and that is the farm's."""
    slot = await rendering.slot()
    await visit(slot, f"{pages[0]}/plain")
    assert slot.tab is not None
    line = psutil.Process(slot.tab.engine.pids[1]).cmdline()
    theirs, ours = (part for part in line if part.startswith("--blink-settings="))
    assert (ours,) == NO_IMAGES
    assert ours.startswith(f"{theirs},")
