"""Selectors that a page can make take for ever are found out before they are searched for."""

import pytest

from farm.extract.documents import Document
from farm.extract.nesting import Unreadable
from farm.extract.selector_cost import SelectorCost, parts_of


@pytest.mark.parametrize(
    ("selector", "parts"),
    [
        ("b", [("b", 0, 0)]),
        ("a > b", [("b", 0, 0)]),
        (" .a  div b ", [("b", 2, 0)]),
        ("a~b+i ~ u", [("u", 0, 2)]),
        ("a b, c d > e", [("b", 1, 0), ("e", 1, 0)]),
        ("a [title='x y, z'] .c\\,d", [(".c\\,d", 2, 0)]),
        (":is( .a .b , .c ) d", [("d", 2, 0)]),
        ("li:nth-child(2n + 1) a", [("a", 1, 0)]),
        ("a:not(.b ~ .c)", [("a:not(.b ~ .c)", 0, 1)]),
    ],
)
def test_the_parts_of_a_selector(selector: str, parts: list[tuple[str, int, int]]) -> None:
    """Its end, and what is looked for around and before that."""
    assert list(parts_of(selector)) == parts


@pytest.mark.parametrize(
    ("html", "selector"),
    [
        ("<div>" * 800 + "<b>x</b>" * 1_000, ".a div div b"),
        ("<div>" * 800 + "<b>x</b>" * 5_000, ".a div b"),
        ("<div>" * 800 + "<b>x</b>" * 1_000, "i, :is(.a div div) b"),
        ("<i>x</i>" * 40_000, ".a ~ i"),
        ("<div><!--</div>-->" * 800 + "<b>x</b>" * 1_000, ".a div div b"),
    ],
)
def test_what_would_be_tried_for_ever_is_not_tried(html: str, selector: str) -> None:
    """Handlers select on the event loop, where every other page would wait for it."""
    with pytest.raises(Unreadable, match="would be tried"):
        Document(html).css(selector)


@pytest.mark.parametrize("selector", [".a div div div b", "ul li a b", ".a ~ i", "i ~ i ~ b"])
def test_on_pages_as_they_are_everything_is_tried(selector: str) -> None:
    """Nested some thirty deep, with thousands of elements."""
    Document("<div>" * 30 + "<ul><li><i></i><a><b>x</b></a></li></ul>" * 2_000).css(selector)


def test_an_element_is_searched_as_a_page_is() -> None:
    """By CSS, and what was found by XPath too."""
    (found,) = Document("<p><div>" + "<div>" * 800 + "<b>x</b>" * 1_000).css("p + div")
    with pytest.raises(Unreadable, match="would be tried"):
        found.css(".a div div b")
    assert len(found.css("div b")) == 1_000


def test_what_is_known_of_a_page_is_counted_once() -> None:
    """However many selectors are searched for."""
    cost = SelectorCost()
    document = Document("<div><p><i>a</i> <b>b</b></p></div>")
    (node,) = document.css("b")
    inner = node._node  # type: ignore[attr-defined]
    above = cost._ancestors_of(inner)
    assert above >= len(("html", "body", "div", "p"))
    assert cost._ancestors_of(inner.parent) == above - 1
    assert cost._siblings_of(inner) == 1
