"""Pages that move, and what comes with a frame of the browser: found as with a window, and never for ever."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from farm.browser.chromium import find_browser
from farm.browser.render import RenderParams
from fixtures.pages import ADD, ARRIVED, serving
from tests.browser import conftest
from tests.browser.conftest import Browsing, browsing, pool_of_a_module, seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAP_S = 12.0
SPIN = (
    "<style>@keyframes spin { to { transform: rotate(1turn); } }"
    ".spin { animation: spin 1s linear infinite; width: 50px; height: 50px; background: red; }</style>"
    "<div class=spin></div>"
)
SMIL = (
    "<svg width=50 height=50><rect width=9 height=9>"
    "<animate attributeName=x from=0 to=40 dur=1s repeatCount=indefinite /></rect></svg>"
)
LOOP = "(function loop() { mark.textContent = performance.now(); requestAnimationFrame(loop); })();"
TICK = "setInterval(() => { mark.textContent = performance.now(); }, 20);"
SEEN = f"new IntersectionObserver(() => {{ if (!document.querySelector('a')) {{ {ADD}; }} }}).observe(mark);"
# What never stops moving, with content that comes beside it: found, and the page comes to rest.
MOVING = {
    "idle-beside-css": f"{SPIN}<script>requestIdleCallback(() => {{ {ADD}; }});</script>",
    "idle-beside-svg": f"{SMIL}<script>requestIdleCallback(() => {{ {ADD}; }});</script>",
    "idle-in-slices": (
        f"{SPIN}<script>let n = 0; requestIdleCallback(function work(deadline) {{"
        " while (deadline.timeRemaining() > 0 && n < 5000) n += 1;"
        f" if (n < 5000) requestIdleCallback(work); else {{ {ADD}; }} }});</script>"
    ),
    "idle-after-a-fetch": (
        f"{SPIN}<script>fetch('/slow').then(() => requestIdleCallback(() => {{ {ADD}; }}));</script>"
    ),
    "frames-and-an-observer": f"<p id=mark>m</p><script>{LOOP}{SEEN}</script>",
    "frames-and-sizes": (
        "<p id=mark>m</p><script>(function loop() { mark.style.width = Math.random() * 90 + 'px';"
        f" requestAnimationFrame(loop); }})(); new ResizeObserver(() => {{}}).observe(mark); {ADD};</script>"
    ),
    "ticks": f"<p id=mark>m</p><script>{TICK}{ADD};</script>",
    "ticks-and-an-observer": f"<p id=mark>m</p><script>{TICK}{SEEN}</script>",
    "ticks-by-timeouts": (
        "<p id=mark>m</p><script>(function tick() { mark.style.left = performance.now() + 'px';"
        f" setTimeout(tick, 20); }})(); {ADD};</script>"
    ),
    "redrawn": (
        "<p id=mark>m</p><script>setInterval(() => { mark.innerHTML = '<b>' + Math.random() + '</b>'; }, 20);"
        f"{ADD};</script>"
    ),
    "late-frames-beside-css": (
        f"{SPIN}<script>const start = performance.now(); (function loop(now) {{ if (now - start < 500)"
        f" requestAnimationFrame(loop); else {{ {ADD}; }} }})(start);</script>"
    ),
    "counted-up": (
        "<p id=mark>m</p><script>let n = 0; const timer = setInterval(() => { mark.textContent = n += 1;"
        f" if (n === 40) {{ clearInterval(timer); {ADD}; }} }}, 20);</script>"
    ),
}
SCROLL = "<div style='height: 3000px'></div>"
LAZY = "<iframe loading=lazy src=/inner width=300 height=200></iframe>"
NARROW = "<iframe id=frame srcdoc='<p>q' width=400></iframe>"
# What the browser says only when it makes a frame.
STEP_MS = 300
WITH_A_FRAME = {
    "timeline": (
        "<p id=bar>x</p><script>const begun = performance.now(); let last = 0; (function tick() {"
        " const at = performance.now() - begun;"
        f" if (at > last + {STEP_MS}) {{ last = at; document.body.append(document.createElement('hr')); }}"
        f" if (at < 2200) requestAnimationFrame(tick); else {{ {ADD}; }} }})();</script>"
    ),
    "view-transition": f"<script>document.startViewTransition(() => {{ {ADD}; }});</script>",
    "view-transition-after-a-fetch": (
        f"<script>fetch('/slow').then(() => document.startViewTransition(() => {{ {ADD}; }}));</script>"
    ),
    "view-transition-ended": (
        f"<script>document.startViewTransition(() => {{}}).finished.then(() => {{ {ADD}; }});</script>"
    ),
    "lazy-frame": LAZY,
    "lazy-frame-below": f"<div style='height: 1500px'></div>{LAZY}",
    "scrolled-to": (
        f"{SCROLL}<script>addEventListener('scroll', () => {{ {ADD}; }}, {{ once: true }});"
        " scrollTo(0, 10);</script>"
    ),
    "box-scrolled": (
        "<div id=box style='height: 50px; overflow: auto'><div style='height: 900px'></div></div><script>"
        f"box.onscroll = () => {{ box.onscroll = null; {ADD}; }}; box.scrollTop = 10;</script>"
    ),
    "scrolled-into-view": (
        f"{SCROLL}<p id=end>end</p><script>onscroll = () => {{ onscroll = null; {ADD}; }};"
        " end.scrollIntoView();</script>"
    ),
    "transition-ended": (
        "<div id=box style='transition: opacity .2s; opacity: 0'>d</div><script>"
        f"box.ontransitionend = () => {{ {ADD}; }}; box.offsetWidth; box.style.opacity = 1;</script>"
    ),
    "animation-ended": (
        "<style>@keyframes show { to { opacity: 1; } } #box { animation: show .2s; }</style><div id=box>d</div>"
        f"<script>box.onanimationend = () => {{ {ADD}; }};</script>"
    ),
    "endless-animation-started": (
        "<style>@keyframes show { to { opacity: 1; } } #box { animation: show 1s infinite; }</style>"
        f"<div id=box>d</div><script>box.onanimationstart = () => {{ {ADD}; }};</script>"
    ),
    "animation-of-a-script": (
        "<div id=box>d</div><script>box.animate([{ opacity: 0 }, { opacity: 1 }], 300).finished"
        f".then(() => {{ {ADD}; }});</script>"
    ),
    "frame-resized": (
        f"{NARROW}<script>frame.onload = () => {{ frame.contentWindow.onresize = () => {{ {ADD}; }};"
        " frame.width = 700; };</script>"
    ),
    "media-query-of-a-frame": (
        f"{NARROW}<script>frame.onload = () => {{"
        " const wide = frame.contentWindow.matchMedia('(min-width:600px)');"
        f" wide.onchange = () => {{ {ADD}; }}; frame.width = 700; }};</script>"
    ),
    "content-visibility": (
        "<div id=box style='content-visibility: auto'>seen</div><script>"
        f"box.addEventListener('contentvisibilityautostatechange', () => {{ {ADD}; }}, {{ once: true }});</script>"
    ),
    "inner": "",
}
GROWING = {
    "grows": f"<script>setInterval(() => document.body.append(document.createElement('i')), 20); {ADD};</script>",
    "grows-and-is-observed": (
        "<p id=mark>m</p><script>(function loop() { document.body.append(document.createElement('i'));"
        f" requestAnimationFrame(loop); }})(); {SEEN}</script>"
    ),
}
INNER = f"<p>{ARRIVED}</p>"


browser = pool_of_a_module(RenderParams(page_timeout_s=40.0, settle_timeout_s=CAP_S))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages; the origin."""
    async with serving({**MOVING, **WITH_A_FRAME, **GROWING, "inner": INNER}) as origin:
        yield origin


@pytest.mark.parametrize("name", MOVING)
async def test_a_page_that_never_stops_moving_comes_to_rest(browser: Browsing, site: str, name: str) -> None:
    """With what came beside the movement, long before the cap."""
    page = await seen(browser, f"{site}/{name}")
    assert ARRIVED in page.text
    assert page.settled, page.settle_reason


@pytest.mark.parametrize("name", [name for name in WITH_A_FRAME if name != "inner"])
async def test_what_comes_with_a_frame_is_found(browser: Browsing, site: str, name: str) -> None:
    """As a browser with a window shows it."""
    page = await seen(browser, f"{site}/{name}")
    assert ARRIVED in page.text
    assert page.settled, page.settle_reason


@pytest.mark.slow
async def test_a_browser_with_frames_of_its_own_finds_the_same(
    monkeypatch: pytest.MonkeyPatch, site: str, tmp_path: Path
) -> None:
    """Side by side: what frames on demand bring is what they bring when nobody has to ask."""
    binary = replace(find_browser(), headless_shell=False)
    monkeypatch.setattr(conftest, "find_browser", lambda: binary)
    names = [name for name in {**MOVING, **WITH_A_FRAME} if name != "inner"]
    async with browsing(
        tmp_path / "engines", RenderParams(page_timeout_s=40.0, settle_timeout_s=CAP_S)
    ) as opened:
        pages = {name: await seen(opened, f"{site}/{name}") for name in names}
    assert [name for name, page in pages.items() if ARRIVED not in page.text] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWING)
async def test_a_page_that_grows_for_ever_is_taken_as_it_is(site: str, tmp_path: Path, name: str) -> None:
    """The time to settle is a hard end, also where frames are requested again and again."""
    async with browsing(
        tmp_path / "engines", RenderParams(page_timeout_s=40.0, settle_timeout_s=2.0)
    ) as opened:
        page = await seen(opened, f"{site}/{name}")
    assert ARRIVED in page.text
    assert not page.settled
    assert page.settle_reason in {"changing", "pending"}
