"""What a page showed that failed: its own, whole, without secrets, and never at the cost of the next one."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from aiohttp import web

from farm.browser import snapshots
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.model.errors import RenderError
from farm.model.url import site_of
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, pool_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s3cret<value>"
COLOUR = """async (jpeg) => {
  const image = new Image(); image.src = 'data:image/jpeg;base64,' + jpeg; await image.decode();
  const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
  pen.drawImage(image, 1000, 700, 1, 1, 0, 0, 1, 1);
  return [image.width, image.height, ...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}"""
BROKEN = """<!doctype html><body style="background: rgb(200, 40, 40)">
<link rel="icon" href="data:,"><h1>Broken</h1><p id=told></p><input id=typed>
<template></template><div id=host></div><!-- s3cret&lt;value&gt; --><a href="http://joe:pw@a.example/">back</a><script>
  const secret = 's3cret' + '<value>';
  told.textContent = 'you sent ' + secret;
  typed.value = secret;
  told.title = secret;
  told.lang = encodeURIComponent(secret);
  host.attachShadow({ mode: 'open' }).innerHTML = '<b></b>';
  host.shadowRoot.firstChild.textContent = secret;
</script>"""
NAMED = """<!doctype html><link rel="icon" href="data:,"><h1>Named</h1>
<form name="createTreeWalker"><input name="attributes"><input name="nodeType"></form><img name="documentElement">
<p id=told></p><iframe srcdoc="<p>"></iframe><script>
  onload = () => {
    told.textContent = frames[0].document.body.textContent = 'you sent s3cret' + '<value>';
  };
</script>"""
"""Its own names stand in the place of what masking calls, and a frame of its own repeats the secret."""
SHOWN = "<p></p><script>document.querySelector('p').textContent = 'you sent s3cret' + '<value>'</script>"
SANDBOXED = f'<iframe sandbox=allow-scripts srcdoc="{SHOWN.replace("<value>", "&lt;value&gt;")}"></iframe>'
SESSION = """<!doctype html><link rel="icon" href="data:,"><h1>Session</h1><script>
  document.body.append(...document.cookie.split('; ').map((one) => one.split('=')[1] + ' '));
</script>"""
PAGES = {
    "/broken": BROKEN,
    "/shown": SHOWN,
    "/outer": f"{SHOWN}{SANDBOXED}<iframe src=HERE/shown></iframe>",
    "/frames": f"<link rel='icon' href='data:,'>{SHOWN}<iframe src=THERE/outer></iframe>{SANDBOXED}",
    "/session": SESSION,
    "/named": NAMED,
    "/fine": "<!doctype html><link rel='icon' href='data:,'><h1>Fine</h1>",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve a page that repeats a secret, one that is fine, and none at all."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/reset" and request.transport is not None:
            request.transport.abort()
        page = PAGES.get(request.path, "")
        page = page.replace("THERE", origin.replace("127.0.0.1", "localhost")).replace("HERE", origin)
        headers = {"Set-Cookie": "token=rotated-by-now; Path=/"} if request.path == "/session" else {}
        return web.Response(status=500, text=page, content_type="text/html", headers=headers)

    async with served_by(answer) as origin:
        yield origin


pool = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=2.0), tab=TabParams())


async def test_a_snapshot_shows_the_page_without_secrets(pool: Browsing, site: str) -> None:
    """Neither in texts, attributes, comments, fields nor shadow trees; nor a password in an address."""
    slot = await pool.slot("broken")
    slot._params = replace(slot._params, secrets=(SECRET, ""))
    await visit(slot, f"{site}/broken")
    shown = await slot.snapshot()
    assert shown is not None
    assert shown.screenshot is not None
    assert shown.screenshot.startswith(b"\xff\xd8\xff")
    assert shown.html is not None
    assert "<h1>Broken</h1>" in shown.html
    assert "you sent ***" in shown.html
    assert "s3cret&lt;" not in shown.html
    assert "s3cret%3C" not in shown.html
    assert "joe:pw" not in shown.html
    assert slot.tab is not None
    there = "[typed.value, told.title, told.lang, host.shadowRoot.textContent].join()"
    assert await slot.tab.page.evaluate(there) == "***,***,***,***", "the picture shows the page as it is now"
    width, height, *colour = await slot.tab.page.evaluate(COLOUR, b64encode(shown.screenshot).decode())
    assert (width, height) == (1280, 800)
    assert all(abs(part - wanted) < 8 for part, wanted in zip(colour, (200, 40, 40), strict=True)), colour
    again = await slot.snapshot()
    assert again is not None
    assert again.html == shown.html
    slot.retire()


async def test_what_a_page_calls_its_parts_keeps_no_secret_unmasked(pool: Browsing, site: str) -> None:
    """A form stands where the document's own method was: masking neither fails nor misses a frame."""
    slot = await pool.slot("named")
    slot._params = replace(slot._params, secrets=(SECRET,))
    await visit(slot, f"{site}/named")
    shown = await slot.snapshot()
    assert shown is not None
    assert shown.screenshot is not None
    assert shown.html is not None
    assert "you sent ***" in shown.html
    assert slot.tab is not None
    there = "[told.textContent, frames[0].document.body.textContent].join()"
    assert await slot.tab.page.evaluate(there) == "you sent ***,you sent ***"
    slot.retire()


async def test_frames_of_every_origin_show_no_secret(
    pool: Browsing, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of another site, those in them, and sandboxed ones; of more there is no picture."""
    slot = await pool.slot("frames")
    slot._params = replace(slot._params, secrets=(SECRET,))
    await visit(slot, f"{site}/frames")
    assert slot.tab is not None
    frames = slot.tab.page.frames
    assert len(frames) == 5
    assert [await one.evaluate("document.body.innerText.trim()") for one in frames] == [
        f"you sent {SECRET}"
    ] * 5
    shown = await slot.snapshot()
    assert shown is not None
    assert shown.screenshot is not None
    assert [await one.evaluate("document.body.innerText.trim()") for one in frames] == ["you sent ***"] * 5
    monkeypatch.setattr(snapshots, "MOST_FRAMES", 3)
    shown = await slot.snapshot()
    assert shown is not None
    assert (shown.screenshot, "you sent ***" in (shown.html or "")) == (None, True)
    slot.retire()


async def test_the_session_of_a_login_is_masked_as_it_is_by_now(pool: Browsing, site: str) -> None:
    """What the login has left, and what the site has made of its cookies since; not those of another site."""
    state = {
        "cookies": [{"name": "first", "value": "left-by-login", "domain": "127.0.0.1", "path": "/"}],
        "origins": [{"origin": site, "localStorage": [{"name": "key", "value": "stored-by-login"}]}],
    }
    slot = await pool.slot("session")
    for own in (site, "http://elsewhere.example"):
        of_site = lambda url, own=own: state if site_of(url) == site_of(own) else None  # noqa: E731
        slot._params = replace(slot._params, tab=replace(slot._params.tab, state_for=of_site))
        await visit(slot, f"{site}/session")
        await visit(slot, f"{site}/session")
        shown = await slot.snapshot()
        assert shown is not None
        assert "<h1>Session</h1>" in (shown.html or "")
        assert ("rotated-by-now" in (shown.html or "")) is (own != site)
        assert "left-by-login" not in (shown.html or "")
    slot.retire()


async def test_of_a_page_that_is_not_masked_as_a_whole_there_is_no_picture(
    pool: Browsing, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may show the secret further down; without a secret there is nothing to mask. The HTML is masked again."""
    monkeypatch.setattr(snapshots, "MOST_MASKED", 3)
    slot = await pool.slot("large")
    for secrets, has_picture in (((SECRET,), False), ((), True)):
        slot._params = replace(slot._params, secrets=secrets)
        await visit(slot, f"{site}/broken")
        shown = await slot.snapshot()
        assert shown is not None
        assert (shown.screenshot is not None) is has_picture
        assert shown.html is not None
        assert ("you sent ***" in shown.html) is not has_picture
    slot.retire()


async def test_of_a_page_that_never_came_there_is_none(pool: Browsing, site: str) -> None:
    """Least of all that of the page before."""
    slot = await pool.slot("reset")
    await visit(slot, f"{site}/fine")
    with pytest.raises(RenderError):
        await visit(slot, f"{site}/reset")
    assert await slot.snapshot() is None
    await visit(slot, f"{site}/fine")
    assert await slot.snapshot() is not None
    slot.retire()
    assert await slot.snapshot() is None


async def test_a_page_that_hangs_costs_its_context_and_no_more(
    pool: Browsing, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its late answer would come during the next visit."""
    slot = await pool.slot("hung")
    await visit(slot, f"{site}/fine")
    used = slot.tab
    assert used is not None
    send = used.send

    async def never(method: str, deadline_s: float, **params: object) -> object:
        if method == "Runtime.evaluate":
            # What a page that is too busy does, as far as the farm can tell.
            return await used.guard(asyncio.Event().wait(), 0.1, method)
        return await send(method, deadline_s, **params)

    monkeypatch.setattr(used, "send", never)
    assert await slot.snapshot() is None
    assert slot.tab is None
    assert (await visit(slot, f"{site}/fine")).status == 500
    assert await slot.snapshot() is not None
    slot.retire()


async def test_a_glance_shows_the_page_as_it_is_and_changes_nothing(pool: Browsing, site: str) -> None:
    """Also in the middle of a visit, which brings what it would have brought without."""
    slot = await pool.slot("seen")
    assert await pool.pool.glance("seen") is None
    assert await pool.pool.glance("nobody") is None
    whole = await visit(slot, f"{site}/broken")
    used = slot.tab
    assert used is not None
    watch = "(window.told = 0, addEventListener('resize', () => window.told++), innerWidth)"
    width = await used.page.evaluate(watch)
    seen = await pool.pool.glance("seen")
    assert seen is not None
    assert seen.startswith(b"\xff\xd8\xff")
    shown, _, *colour = await used.page.evaluate(COLOUR, b64encode(seen).decode())
    assert shown == width
    assert all(abs(part - wanted) < 16 for part, wanted in zip(colour, (200, 40, 40), strict=True)), colour
    assert await used.page.evaluate("[window.told, innerWidth, typed.value]") == [0, width, SECRET]
    visiting = asyncio.create_task(visit(slot, f"{site}/broken"))
    while not visiting.done():
        await pool.pool.glance("seen")
        await asyncio.sleep(0)
    again = await visiting
    assert (again.status, again.text) == (whole.status, whole.text)
    slot.retire()


async def test_a_glance_at_a_page_that_does_not_answer_costs_it_nothing(
    pool: Browsing, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no picture, and the page stays."""
    slot = await pool.slot("busy")
    await visit(slot, f"{site}/fine")
    used = slot.tab
    assert used is not None
    send = used.send

    async def never(method: str, deadline_s: float, **params: object) -> object:
        if method == "Page.captureScreenshot":
            return await used.guard(asyncio.Event().wait(), 0.05, method)
        return await send(method, deadline_s, **params)

    monkeypatch.setattr(used, "send", never)
    assert await pool.pool.glance("busy") is None
    assert slot.tab is used
    assert (await visit(slot, f"{site}/fine")).status == 500
    assert slot.tab is used
    slot.retire()
