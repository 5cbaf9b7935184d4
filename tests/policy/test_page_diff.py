"""How a page of a cheaper renderer differs from the browser's, and what is chance."""

from dataclasses import replace

import pytest

from farm.model.page import Detection, Finding, Link, RenderedPage
from farm.policy.page_diff import PageFacts, difference

PAGE = RenderedPage(
    "http://a/1",
    200,
    {},
    "text/html",
    "Lamps",
    "Lamps\nBlue  lamp\n\n12 €",
    links=(Link("http://a/2", "next"), Link("http://a/3")),
    metadata={"json_ld": [{"@type": "Product"}]},
)


def facts(page: RenderedPage = PAGE, lines: str = "", *links: str) -> PageFacts:
    """Return the facts of a page with these lines besides, a letter each, and these links."""
    text = "\n".join((page.text, *lines))
    return PageFacts.of(replace(page, text=text, links=(*page.links, *map(Link, links))), None)


def test_white_space_and_the_texts_of_links_are_no_difference() -> None:
    """Nor is the order of lines, which a layout may change."""
    other = replace(
        PAGE,
        text="12 €\n Lamps \nBlue lamp",
        links=(Link("http://a/3", "x"), Link("http://a/2"), Link("http://a/2")),
    )
    assert difference([facts()], [PageFacts.of(other, None)]) is None


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(PAGE, status=404), "status: '404' in place of '200'"),
        (replace(PAGE, title="Shop"), "title: 'Shop' in place of 'Lamps'"),
        (replace(PAGE, final_url="http://a/9"), "final address: 'http://a/9' in place of 'http://a/1'"),
        (replace(PAGE, metadata=None), "metadata: 'None' in place of"),
        (replace(PAGE, text="Lamps\n12 €"), "lines: lacks 1, such as 'Blue lamp'"),
        (
            replace(PAGE, text=PAGE.text + "\nSign in"),
            "lines: has 1 that the browser has not, such as 'Sign in'",
        ),
        (replace(PAGE, links=PAGE.links[:1]), "links: lacks 1, such as 'http://a/3'"),
        (replace(PAGE, lang="de"), "language: 'de' in place of ''"),
        (
            replace(PAGE, links=(PAGE.links[0], Link("http://a/3", rel="external NoFollow"))),
            "links: lacks 1, such as 'http://a/3'",
        ),
    ],
)
def test_what_a_record_keeps_is_compared(other: RenderedPage, said: str) -> None:
    """And the difference is said, with an example."""
    assert (difference([facts()], [PageFacts.of(other, None)]) or "").startswith(said)


def test_a_block_and_other_fields_are_differences() -> None:
    """Where the page itself is the same."""
    block = Detection(Finding.BLOCK, "vendor", ())
    assert difference([facts()], [PageFacts.of(PAGE, block)]) == "finding: 'block' in place of 'None'"
    priced = PageFacts.of(PAGE, None, [{"price": 12}])
    assert (difference([priced], [PageFacts.of(PAGE, None, [{}])]) or "").startswith("fields")


@pytest.mark.parametrize(
    ("browser", "cheap", "said"),
    [
        (("ab", "cd"), "ef", None),
        (("ab", "cd"), "e", "lines: has fewer of those that are others on each visit"),
        (("ab", "cd"), "efg", "lines: has 3 that the browser has not, such as 'e'"),
        (("ab", "cde"), "f", None),
        (("ab", "cde"), "fghi", None),
        (("ab", "cde"), "fghij", "lines: has 5 that the browser has not, such as 'f'"),
        (("abc", "cde"), "fgh", "lines: lacks 1, such as 'c'"),
        (("abc", "cde", "fgh"), "xyz", None),
        (("ab", "cd"), "", "lines: has fewer of those that are others on each visit"),
        (("", "a"), "", None),
    ],
)
def test_what_differs_between_visits_of_the_browser_is_chance(
    browser: tuple[str, ...], cheap: str, said: str | None
) -> None:
    """As much of it as they show, and no more; what they have in common stays requested."""
    assert difference([facts(lines=one) for one in browser], [facts(lines=cheap)]) == said


def test_a_single_value_that_moves_is_not_compared() -> None:
    """A title with a number that is another on each visit."""
    first, second, cheap = (facts(replace(PAGE, title=f"Lamps {number}")) for number in range(3))
    assert difference([first], [cheap]) is not None
    assert difference([first, second], [cheap]) is None


def test_an_example_is_short() -> None:
    """However long what differs is."""
    found = difference([facts()], [facts(replace(PAGE, title="x" * 10_000))])
    assert found is not None
    assert len(found) < 300


@pytest.mark.parametrize(
    ("lines", "is_same"),
    [
        ("Lamps Blue lamp 12 €", True),
        ("LampsBluelamp\n12 €", True),
        ("Lamps\nBlue\nlamp\n12\n€", True),
        ("Blue lamp Lamps\n12 €", False),
        ("Lamps Blue lamp 13 €", False),
        ("Lamps Blue lamp 12 € 12 €", False),
    ],
)
def test_where_lines_are_broken_is_no_difference(lines: str, is_same: bool) -> None:
    """A style sheet decides that; what stands in them is another matter."""
    found = difference([facts()], [PageFacts.of(replace(PAGE, text=lines), None)])
    assert (found is None) is is_same


def test_chance_is_told_from_layout_by_further_visits_of_both() -> None:
    """Other offers on each visit, in one line where the browser has three: what stays must be the same."""

    def offers(layout: str, *numbers: int) -> PageFacts:
        return PageFacts.of(
            replace(PAGE, text="Lamps\n" + layout.join(f"Offer {one}" for one in numbers)), None
        )

    browser = [offers("\n", 11, 12, 13), offers("\n", 21, 22, 23)]
    assert difference(browser, [offers(" ", 31, 32, 33)]) is not None
    assert difference(browser, [offers(" ", 31, 32, 33), offers(" ", 41, 42, 43)]) is None
    assert difference(browser, [offers(" ", 31), offers(" ", 41)]) == (
        "lines: has fewer of those that are others on each visit"
    )
    many = [offers(" ", *range(base, base + 9)) for base in (30, 40)]
    assert "that the browser has not" in (difference(browser, many) or "")
    same = [offers(" "), offers(" ")]
    assert difference(browser, same) == "lines: has fewer of those that are others on each visit"


def test_lines_that_occur_again_elsewhere_keep_their_order() -> None:
    """A menu in one line, whose words stand alone further down."""
    menu, rest = ("Lamps", "Chairs", "Tables"), "Chairs\nWelcome\nLamps"
    browser = PageFacts.of(replace(PAGE, text="\n".join((*menu, rest))), None)
    cheap = PageFacts.of(replace(PAGE, text="\n".join(("".join(menu), rest))), None)
    assert difference([browser], [cheap]) is None
    other = PageFacts.of(replace(PAGE, text="\n".join(("".join(menu), "Chairs\nLamps"))), None)
    assert difference([browser], [other]) == "lines: lacks 1, such as 'Welcome'"
