"""What style sheets say of the text of a page, within bounds."""

from time import process_time

import pytest
from selectolax.lexbor import LexborHTMLParser

from farm.extract.cascade import MOST_SELECTORS, apply_styles
from farm.extract.stylesheets import MOST_RULES, _kept, media_holds, rules_of


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("", True),
        ("all", True),
        ("screen", True),
        ("print", False),
        ("not print", True),
        ("only screen and (min-width: 600px)", True),
        ("(max-width: 599.98px)", False),
        ("(min-width:80em)", True),
        ("(min-width: 81em)", False),
        ("print, (min-width: 1px)", True),
        ("not screen and (min-width: 1px)", False),
        ("(min-width: 1px) and (max-height: 800px)", True),
        ("(width >= 1280px)", True),
        ("(400px < width <= 1000px)", False),
        ("(orientation: landscape)", True),
        ("(prefers-color-scheme: dark)", False),
        ("(prefers-reduced-motion: no-preference)", True),
        ("(hover: hover) and (pointer: fine)", True),
        ("(scripting: none)", False),
        ("(color)", True),
        ("(min-width: calc(1px))", False),
        ("(unheard-of: yes)", False),
    ],
)
def test_a_media_query_holds_for_the_window(query: str, *, holds: bool) -> None:
    """One of 1280 by 800 pixels, of a person with a mouse."""
    assert media_holds(query, 1280, 800) is holds


@pytest.mark.parametrize(
    "css",
    [
        "a { color: red }",
        "a { display: none",
        "} a { display: none } {",
        "a { display: var(--x) }",
        "a::before, a:hover { display: none }",
        "@keyframes x { from { display: none } }",
        "@media print { a { display: none } }",
        "@supports not (display: grid) { a { display: none } }",
        "/* a { display: none } */",
        "a { content: 'x; display: none; y' }",
        "a { padding: 1px 0; margin: 0; padding-right: 0 }",
    ],
)
def test_what_says_nothing_of_the_text_is_no_rule(css: str) -> None:
    """Or only that an element is not apart."""
    said = [one for rule in rules_of(css, 1280, 800) for one in rule.declarations]
    assert set(said) <= {("apart", "no", False), ("off", "no", False)}


@pytest.mark.parametrize(
    ("css", "sides"),
    [
        ("a { margin: 1px }", {"apart", "off"}),
        ("a { margin: 0 1px }", {"apart", "off"}),
        ("a { margin: 0 1px 0 }", {"apart", "off"}),
        ("a { margin: 0 1px 0 0 }", {"off"}),
        ("a { padding: 0 0 0 1px }", {"apart"}),
        ("a { margin-left: .5em }", {"apart"}),
        ("a { margin-right: calc(1px * 2) }", {"off"}),
        ("a { padding-inline: 0 1px }", {"off"}),
        ("a { padding-inline: 2px }", {"apart", "off"}),
        ("a { margin-inline-end: 1rem }", {"off"}),
        ("a { margin-top: 1px }", set()),
    ],
)
def test_a_distance_is_on_a_side(css: str, sides: set[str]) -> None:
    """Before an element it holds it apart, behind it what follows."""
    said = [one for rule in rules_of(css, 1280, 800) for one in rule.declarations]
    assert {name for name, value, _ in said if value == "yes"} == sides


def test_the_more_special_rule_counts_and_then_the_later_one() -> None:
    """And before both what is important."""
    css = (
        "#a { display: block } .b { display: none } p { display: inline }"
        ".c { display: none } p.c { display: flex } .d { display: grid !important } #d { display: none }"
        ".e { display: none } .e { display: table }"
    )
    parser = LexborHTMLParser(
        "<p id=a class=b></p><p class=c></p><p class=d id=d></p><p class=e style=color:red></p>"
    )
    assert apply_styles(parser, [rules_of(css, 1, 1)])
    styles = [node.attributes["style"] for node in parser.css("p")]
    assert styles == ["display:block;", "display:flex;", ";display:grid", "display:table;color:red"]


def test_what_is_too_much_is_left_out_and_said() -> None:
    """Rules of a sheet, and selectors that are tried on a page."""
    css = "p { display: none }" * (MOST_RULES + 10)
    rules = rules_of(css, 1, 1)
    assert len(rules) == MOST_RULES
    assert not apply_styles(LexborHTMLParser("<p>x"), [rules[: MOST_SELECTORS + 1]])
    assert apply_styles(LexborHTMLParser("<p>x"), [rules[:MOST_SELECTORS]])


def test_many_elements_with_many_styles_are_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each selector is tried on each element: their product is bounded, and what is left out is said."""
    monkeypatch.setattr("farm.extract.cascade.MOST_TRIED", 5_000)
    rules = rules_of("".join(f"x-{n} {{ display: none }}" for n in range(100)), 1, 1)
    assert len(rules) == 100
    assert apply_styles(LexborHTMLParser("<p>x" * 40), [rules])
    assert not apply_styles(LexborHTMLParser("<p>x" * 60), [rules])


def test_the_rules_of_the_last_sheets_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a site have the same; a page with sheets of megabytes must not fill the process for the next."""
    monkeypatch.setattr("farm.extract.stylesheets.MOST_KEPT_CHARS", 1_000)
    _kept.clear()
    first = rules_of("a { display: none }", 1, 1)
    for number in range(20):
        rules_of(f".b{number} {{ display: none }} {' ' * 300}", 1, 1)
        assert rules_of("a { display: none }", 1, 1) is first
        assert sum(len(css) for css, _, _ in _kept) <= 1_000
    for number in range(4):
        rules_of(f".c{number} {{ display: none }} {' ' * 300}", 1, 1)
    assert rules_of("a { display: none }", 1, 1) is not first
    assert rules_of("a { display: none }" + " " * 2_000, 1, 1) == first


@pytest.mark.parametrize("part", ['"', "\\", "a{", "}", "/*", "@media (", "a{&{", ":is(", "p,", "a{&&&{"])
def test_a_hostile_sheet_takes_time_by_its_length(part: str) -> None:
    """Twice as much takes some twice as long, and nothing is raised."""
    took = []
    for size in (30_000, 120_000):
        began = process_time()
        rules_of(part * (size // len(part)), 1, 1)
        took.append(process_time() - began)
    assert took[1] < 8 * took[0] + 0.5
