"""What is read of a page: the words and links that a visitor sees, in order, whatever the page names things."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from farm.browser.acting import ActParams
from farm.browser.render import RenderParams
from fixtures.pages import Answer, html, serving
from tests.browser.conftest import Browsing, browsing, pool_of_a_module, seen

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHADOW = (
    "<script>for (const host of document.querySelectorAll('x-a'))"
    " host.attachShadow({ mode: 'open' }).innerHTML = `"
)
END = "`</script>"
# Name: the body, and the text that a visitor reads, after the "Start" of every page.
TEXTS = {
    "style": (f"<x-a></x-a>{SHADOW}<style>b {{ color: red; }}</style><b>Lamp</b>{END}", "Lamp"),
    "bare": (f"<x-a></x-a>{SHADOW}Directly <b>and bold</b> and after{END}", "Directly and bold and after"),
    "order": (
        f"<h1>Head</h1><x-a><i>light</i></x-a><p>Tail</p>{SHADOW}<div>before <slot></slot> after</div>{END}",
        "Head\nbefore light after\n\nTail",
    ),
    "declared": (
        (
            "<x-b><template shadowrootmode=open><style>:host { display: block; }</style><p>Declared</p>"
            "<div><slot></slot></div></template><p>Slotted</p></x-b>"
        ),
        "Declared\n\nSlotted",
    ),
    "slot-without-content": (f"<x-a></x-a>{SHADOW}<slot>Instead</slot>{END}", "Instead"),
    "not-slotted": (f"<x-a><p>Unseen</p></x-a>{SHADOW}<p>Seen</p>{END}", "Seen"),
    "not-shown": (
        (
            f"<x-a></x-a>{SHADOW}<template>no</template><script>var no;<\\/script><p hidden>no</p>"
            f"<div style='display:none'>no</div><p>Seen</p>{END}"
        ),
        "Seen",
    ),
    "hidden-hosts": (
        (
            "<x-a style='display:none'></x-a><div hidden><x-a></x-a></div>"
            f"<div style='visibility:hidden'>no<x-a></x-a></div><p>Seen</p>{SHADOW}<p>no</p>no{END}"
        ),
        "Seen",
    ),
    "capitals": (f"<p style='text-transform:uppercase'>abc <x-a></x-a></p>{SHADOW}sh{END}", "ABC SH"),
    "kept-space": (f"<pre>one\n  two <x-a></x-a></pre>{SHADOW}three{END}", "one\n  two three"),
    "table": (f"<table><tr><td>a<td>b <x-a></x-a><tr><td>c<td>d</table>{SHADOW}sh{END}", "a\tb sh\nc\td"),
    "breaks": (f"one<br>two <x-a></x-a>{SHADOW}three{END}", "one\ntwo three"),
    "buttons": (
        "<button>Edit</button><button>Publish</button><button>Delete</button>",
        "Edit Publish Delete",
    ),
    "margins": ("<a style='margin-left:9px'>One</a><a style='margin-left:9px'>Two</a>", "One Two"),
    "boxes": (
        "<style>li { display: inline-block; }</style><ul><li>TabSource</li><li>About</li></ul>",
        "TabSource About",
    ),
    "pages": (
        "<p>12 EUR</p>" + "".join(f"<button>{n}</button>" for n in range(1, 12)),
        "12 EUR\n\n" + " ".join(map(str, range(1, 12))),
    ),
    "nested": (
        (
            "<button>Go</button><span>on</span><div><button><a>Add</a>"
            "<label style='padding:3px'>now</label></button><button>Remove</button></div>"
        ),
        "Go on\nAdd now Remove",
    ),
    "three-boxes": (
        "<style>li { display: inline-block; }</style><ul><li>One</li><li>Two</li><li>Three</li></ul>",
        "One Two Three",
    ),
    "boxes-around-boxes": (
        (
            "<style>li { display: inline-block; }</style>"
            "<ul><li><button>A</button><button>B</button></li><li>C</li><li>D</li></ul>"
        ),
        "A B C D",
    ),
    "capital-boxes": (
        (
            "<style>b { display: inline-block; text-transform: uppercase; }</style>"
            "<p><b>Home</b><b>News</b><b style='text-transform:capitalize'>all of it</b></p>"
        ),
        "HOME NEWS All Of It",
    ),
    "written-in-lines": (
        "<p><button>Add\n  to cart</button><button>Buy\n  now</button></p>",
        "Add to cart Buy now",
    ),
    "blank-edges": ("<p><button> Edit </button><button>\nDelete\n</button></p>", "Edit Delete"),
    "comments": (
        "<p><button>Edit<!--v-if--></button><!----><button><!---->Delete</button></p>",
        "Edit Delete",
    ),
    "icons": ("<p><button>Edit<i></i></button><button><i></i>Delete</button></p>", "Edit Delete"),
    "margin-behind": ("<a style='margin-right:9px'>One</a><a>Two</a>", "One Two"),
    "right-to-left": (
        "<p dir=rtl><a style='margin-right:9px'>אחת</a><a style='margin-right:9px'>שתיים</a></p>",
        "אחת שתיים",
    ),
    "beside-a-host": (
        f"<p><a style='margin-right:9px'>One</a><a>Two</a></p><x-a></x-a>{SHADOW}Three{END}",
        "One Two\n\nThree",
    ),
    "out-of-view": (
        (
            "<div style='height:9000px'></div><ul style='content-visibility:auto'><li>Far <b>off</b></li>"
            "<li hidden>no</li><li><button>Edit</button><button>Delete</button></li></ul>"
        ),
        "Far off\nEdit Delete",
    ),
    "out-of-view-in-a-shadow": (
        (
            "<div style='height:9000px'></div><x-a></x-a><p style='content-visibility:auto'>last</p>"
            f"{SHADOW}<div style='content-visibility:auto'><p>Far off</p></div>{END}"
        ),
        "Far off\n\nlast",
    ),
    "never-in-view": ("<p hidden=until-found>no</p><details><summary>Seen</summary>no</details>", "Seen"),
    "without-a-box": ("<style>body { display: contents; }</style><p>Seen</p>", "Seen"),
    "hidden-neighbours": (
        "<div hidden><button>over</button><button>view</button></div><p>An overview</p>",
        "An overview",
    ),
    "one-word": ("<p>un<b>believ</b>able <span>1</span><span>2</span></p>", "unbelievable 12"),
    "frame": ("<p>Head</p><iframe srcdoc='<p>Framed</p>'></iframe><p>Tail</p>", "Head\n\nFramed\n\nTail"),
    "object": (
        "<p>Head</p><object data='/framed' type='text/html'>no</object><p>Tail</p>",
        "Head\n\nStart\n\nIn an object on\n\nTail",
    ),
    "fallback": ("<p>Head</p><object data='/missing'>Instead</object><p>Tail</p>", "Head\n\nInstead\n\nTail"),
    "hidden-frame": ("<p>Head</p><iframe hidden srcdoc='<p>no</p>'></iframe><p>Tail</p>", "Head\n\nTail"),
}
NAMES = [
    *(
        "addEventListener",
        "body",
        "children",
        "contentDocument",
        "dispatchEvent",
        "doctype",
        "documentElement",
    ),
    *(
        "getAnimations",
        "host",
        "innerText",
        "localName",
        "navigation",
        "nodeType",
        "parentNode",
        "querySelector",
    ),
    *("querySelectorAll", "readyState", "shadowRoot", "title", "childNodes", "ownerDocument", "performance"),
]
FRAMESET = (
    "<title>Set</title><frameset cols='50%,50%'>"
    "<frame src='/left' name='body'><frame src='/right'></frameset>"
)
ROBOTS = {
    "one": ("<meta name=robots content=nofollow>", {"nofollow"}),
    "several": (
        (
            "<meta name=ROBOTS content='max-snippet:-1'><meta name=' robots ' content='noindex'>"
            "<meta name=robots content='nofollow'><meta name=googlebot content=none>"
        ),
        {"max-snippet:-1", "noindex", "nofollow"},
    ),
}
SANDBOXES = {
    "sandbox-html": ("sandbox; default-src 'none'", "text/html"),
    "sandbox-text": ("default-src 'none'; sandbox", "text/plain"),
    "sandbox-same-origin": ("sandbox allow-same-origin", "text/html"),
    "sandbox-scripts": ("sandbox allow-scripts", "text/html"),
}
ODD_TYPES = {
    "odd-parameter": "text/html charset=utf-8",
    "odd-comment": "text/html(a page)",
    "odd-unknown": "unknown/unknown",
    "odd-any": "*/*",
}
VIRTUAL = """
<style>#list { height: 40000px; position: relative; } .row { position: absolute; height: 40px; }</style>
<div id=list></div><script>
function draw() {
  const first = Math.floor(scrollY / 40);
  list.innerHTML = '';
  for (let n = first; n < Math.min(1000, first + Math.ceil(innerHeight / 40)); n += 1)
    list.insertAdjacentHTML('beforeend',
      `<div class=row style="top: ${n * 40}px">Row ${n}. <a href="/row/${n}">go</a></div>`);
}
addEventListener('scroll', draw); draw();</script>"""
ROWS = 12_000
HOSTS = f"""
<script>
for (let n = 0; n < {ROWS}; n += 1) document.body.insertAdjacentHTML('beforeend', `<p>Row ${{n}} <x-a></x-a> on`);
for (const host of document.querySelectorAll('x-a'))
  host.attachShadow({{ mode: 'open' }}).innerHTML = '<b>goes</b>';
</script>"""
NAMED = "".join(f"<form name={name}></form><img id={name}>" for name in NAMES)
INPUTS = "".join(f"<input name={name}>" for name in NAMES)
PAGES: dict[str, str | Answer] = {
    **{f"text-{name}": body for name, (body, _) in TEXTS.items()},
    **{f"robots-{name}": body for name, (body, _) in ROBOTS.items()},
    **{
        name: Answer("<p>Words</p>", headers={"content-security-policy": policy}, content_type=kind)
        for name, (policy, kind) in SANDBOXES.items()
    },
    **{
        name: Answer(raw=html(name, "<p>Words</p>").encode(), content_type=kind)
        for name, kind in ODD_TYPES.items()
    },
    "named": f"<p>Words <a href='/on'>on</a></p>{NAMED}<form>{INPUTS}<button>A</button><button>B</button></form>",
    "frameset": Answer(raw=FRAMESET.encode()),
    "left": "<p>Left <a href='/from-left'>l</a></p>",
    "framed": "<p>In an object <a href='/on'>on</a></p>",
    "right": "<p>Right <a href='/from-right'>r</a></p>",
    "virtual": VIRTUAL,
    "hosts": HOSTS,
    "drawing": Answer(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'><style>a {}</style>"
        "<a xlink:href='/east'><text>East</text></a></svg>",
        content_type="image/svg+xml",
    ),
}


browser = pool_of_a_module(RenderParams(page_timeout_s=20.0, settle_timeout_s=8.0))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the pages; the origin."""
    async with serving(PAGES) as origin:
        yield origin


@pytest.mark.parametrize("name", TEXTS)
async def test_the_text_is_what_a_visitor_reads(browser: Browsing, site: str, name: str) -> None:
    """In his order, without what he does not see, and no two words made one."""
    page = await seen(browser, f"{site}/text-{name}")
    assert page.text.removeprefix("Start").strip() == TEXTS[name][1]


async def test_a_drawing_has_words_and_links(browser: Browsing, site: str) -> None:
    """A document without a body."""
    page = await seen(browser, f"{site}/drawing")
    assert (page.text, [link.url for link in page.links]) == ("East", [f"{site}/east"])


async def test_a_frameset_has_the_words_and_links_of_its_frames(browser: Browsing, site: str) -> None:
    """One of them is called `body`."""
    page = await seen(browser, f"{site}/frameset")
    assert page.title == "Set"
    assert "Left" in page.text
    assert "Right" in page.text
    links = {link.url.removeprefix(site) for link in page.links}
    assert links == {"/left", "/right", "/from-left", "/from-right"}


async def test_what_a_page_calls_its_elements_hides_nothing(browser: Browsing, site: str) -> None:
    """Forms and inputs that have the names of what is read."""
    page = await seen(browser, f"{site}/named")
    assert page.title == "named"
    assert page.text.split() == ["Start", "Words", "on", "A", "B"]
    assert [link.url for link in page.links] == [f"{site}/on"]
    assert "Words" in page.html
    assert page.settled


@pytest.mark.parametrize("name", ROBOTS)
async def test_the_rules_of_several_elements_add_up(browser: Browsing, site: str, name: str) -> None:
    """Each may forbid something."""
    page = await seen(browser, f"{site}/robots-{name}")
    assert {word.strip() for word in page.robots.split(",")} == ROBOTS[name][1]


@pytest.mark.parametrize("name", ODD_TYPES)
async def test_a_page_is_a_page_by_what_the_browser_makes_of_its_type(
    browser: Browsing, site: str, name: str
) -> None:
    """However its server writes that: what is shown as a page has HTML."""
    page = await seen(browser, f"{site}/{name}")
    assert page.title == name
    assert "<p>Words</p>" in page.html


@pytest.mark.parametrize("name", SANDBOXES)
async def test_a_document_without_timers_is_read(browser: Browsing, site: str, name: str) -> None:
    """Its policy switches them off, and what the collector waited on with them."""
    page = await seen(browser, f"{site}/{name}")
    assert "Words" in page.text
    assert (page.settled, page.settle_reason) == (True, "quiet")


@pytest.mark.slow
async def test_a_page_of_many_hosts_is_read_in_its_time(browser: Browsing, site: str) -> None:
    """By the square of their number it would take longer than a page may."""
    page = await seen(browser, f"{site}/hosts")
    assert page.text.split("\n\n")[1:] == [f"Row {number} goes on" for number in range(ROWS)]


@pytest.mark.slow
async def test_the_rows_of_a_virtual_list_are_kept_on_the_way_down(site: str, tmp_path: Path) -> None:
    """It shows no more than its window holds."""
    render = RenderParams(page_timeout_s=60.0, act=ActParams(scrolls=20))
    async with browsing(tmp_path / "engines", render) as opened:
        page = await seen(opened, f"{site}/virtual")
    rows = {f"Row {number}. go" for number in range(1000)}
    assert rows <= set(page.text.split("\n"))
    assert {link.url for link in page.links} == {f"{site}/row/{number}" for number in range(1000)}
    assert len(page.text) < 2 * len("\n".join(rows))
