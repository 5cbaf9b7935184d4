"""How deep a page is nested, estimated in linear time before it is parsed."""

from time import process_time

import pytest

from farm.extract.element_rules import VOID
from farm.extract.nesting import LOOKED_AT_FROM, MOST_LOOKS, Unreadable, check_nesting, nesting_of
from farm.extract.page_reader import page_of
from farm.extract.parser_pool import ParserFailed, ParserParams, ParserPool

DEEP = 200_000


@pytest.mark.parametrize(
    ("html", "depth"),
    [
        ("", 0),
        ("<p>a<p>b<br><img src=x>", 0),
        ("<div><span>a</span></div><div></div>", 2),
        ("<DIV><Div></DIV></div><div>", 2),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", 2),
        ("<div>" * 50 + "</x>" * 50 + "<div>", 51),
        ("<div><!--</div>-->" * 50, 50),
        ("<div title='</div>'>" * 50, 50),
        ('<div title = "a>b</div>" it\'s>' * 50, 50),
        ("<div><script>'</div>'</script>" * 50, 50),
        ("<div><textarea></div></TEXTAREA>" * 50, 50),
        ("<div/>" * 50, 50),
        ("<svg>" + "<path d='M0'/>" * 50 + "</svg>", 1),
        ("<table>" + "<tr><td>x" * 50 + "</table>", 1),
        ("<div><!-- " + "<div>" * 50, 1),
        ("<div title='" + "<div>" * 50, 1),
        ("<div><script>" + "<div>" * 50, 1),
        ("a < b <3 <" + "<b>" * 3, 3),
    ],
)
def test_a_depth(html: str, depth: int) -> None:
    """What stands in comments, scripts and attributes neither opens nor closes anything."""
    assert nesting_of(html).depth == depth


def test_of_what_a_browser_has_written_every_element_counts() -> None:
    """It closes each."""
    assert nesting_of("<ul><li><p>a</p></li></ul>", VOID).depth == 3


@pytest.mark.parametrize(
    "part", ["<div>", "<div ", "<!--", "<script>", "<a b='", "=", "<a =", "</a", "<a b= "]
)
def test_it_takes_time_by_the_length(part: str) -> None:
    """Four times as much takes some four times as long."""
    took = []
    for size in (40_000, 160_000):
        began = process_time()
        nesting_of(part * (size // len(part)))
        took.append(process_time() - began)
    assert took[1] < 8 * took[0] + 0.5


def test_it_is_looked_no_further_than_is_needed() -> None:
    """What takes too long is known by then."""
    found = nesting_of("<div>" * DEEP)
    assert MOST_LOOKS < found.looks < 1.01 * MOST_LOOKS
    assert found.depth < DEEP


def test_a_page_that_would_keep_a_parser_busy_is_not_parsed() -> None:
    """A large page that is nested as pages are is."""
    with pytest.raises(Unreadable, match="nested so deep"):
        page_of(b"<div>" * DEEP, {"url": "http://a.example/", "content_type": "text/html", "caps": {}})
    check_nesting("<ul>" * 20 + "<li>a<b>b</b>" * LOOKED_AT_FROM)
    check_nesting("<div>" * (LOOKED_AT_FROM - 1))


async def test_a_process_says_why_it_does_not_read_a_page_and_takes_the_next() -> None:
    """At once, and without a second try: the others wait for it."""
    started: list[int] = []
    pool = ParserPool(ParserParams(1, 512 * 2**20), started.append, lambda _: None)
    arguments = {"url": "http://a.example/", "content_type": "text/html", "caps": {}}
    try:
        with pytest.raises(ParserFailed, match="nested so deep"):
            await pool.run("page", arguments, b"<div>" * DEEP)
        assert (await pool.run("page", arguments, b"<p>next"))["text"] == "next"
    finally:
        await pool.close()
    assert len(started) == 1
