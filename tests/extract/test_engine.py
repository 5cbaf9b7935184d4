"""A declaration on pages: typed items, what failed and why, and pages that want to do harm."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from farm.extract.declaration import Declaration
from farm.extract.documents import MOST_CHARS
from farm.extract.engine import MOST_ERRORS, MOST_ITEMS, Extraction, Extractor, PageContent
from farm.model.page import FetchedResponse

URL = "https://shop.example/p/1"
PAGE = """<html lang="en"><head><base href="/base/"></head><body>
<h1> Oak <b>Lamp</b></h1><p class="price">€1,299.00</p><ul><li>a</li><li>b<script>no</script></li></ul>
<a href="more.html" data-n="7">more</a><time datetime="2026-03-01">yesterday</time>
<my-card><template shadowrootmode="open"><p class="inside">In <i-n><template shadowrootmode="closed"><b>deep</b>
</template></i-n></p></template></my-card><template><p class="inside">inert</p></template>
<div class="card"><h2>A</h2><p class="n">1</p></div><div class="card"><h2>B</h2></div>
</body></html>"""
LD = [
    {"@type": "Product", "name": "Lamp", "offers": [{"price": "5.50", "priceCurrency": "EUR"}, {"price": 7}]}
]


def run(
    fields: str,
    html: str = PAGE,
    item: str = "",
    json_ld: Any = LD,
    responses: Sequence[FetchedResponse] = (),
) -> Extraction:
    """Return what a declaration of one kind of item finds."""
    content = tomllib.loads(f"[item.a]\n{item}\n[item.a.fields]\n{fields}")
    return Extractor(Declaration.model_validate(content)).read(
        PageContent(URL, URL, html, "en", json_ld, responses)
    )


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ('"h1"', "Oak Lamp"),
        ('"ul"', "a b"),
        ('"#none"', None),
        ('{ css = "li", list = true }', ["a", "b"]),
        ('{ css = "#none", list = true }', []),
        ('{ css = "h1 b", type = "html" }', "<b>Lamp</b>"),
        ('{ css = ".price", type = "price" }', {"amount": "1299.00", "currency": "EUR"}),
        ('{ css = "a", type = "url" }', "https://shop.example/base/more.html"),
        ('{ css = "a", attr = "data-n", type = "integer" }', 7),
        ('{ css = "time", attr = "datetime", type = "date" }', "2026-03-01"),
        ('{ css = "my-card .inside" }', "In deep"),
        ('{ css = "my-card i-n > b" }', "deep"),
        ('{ xpath = "//my-card//b" }', "deep"),
        ("{ xpath = \"//*[@class='inside']\", list = true }", ["In deep"]),
        ('{ xpath = "//ul" }', "a b"),
        ('{ xpath = "count(//li)", type = "integer" }', 2),
        ("{ xpath = \"substring-after(//h1, 'Oak ')\" }", "Lamp"),
        ('{ xpath = "//a/@href" }', "more.html"),
        ('{ xpath = "//a", type = "url" }', "https://shop.example/base/more.html"),
        ('{ xpath = "//h1/b", type = "html" }', "<b>Lamp</b>"),
        ('{ json_ld = "Product.name" }', "Lamp"),
        ('{ json_ld = "Product.offers", type = "price" }', {"amount": "5.50", "currency": "EUR"}),
        ('{ json_ld = "Product.offers[1].price", type = "number" }', 7.0),
        ('{ json_ld = "Product.offers.price", list = true }', ["5.50", 7]),
        ('{ json_ld = "name" }', "Lamp"),
        ('{ json_ld = "Product.offers[9].price" }', None),
        ('{ css = ".card", list = true, fields = { n = "h2" } }', [{"n": "A"}, {"n": "B"}]),
        ('{ css = ".card", fields = { n = { xpath = ".//h2" } } }', {"n": "A"}),
        (
            '{ xpath = "//div", fields = { n = "h2", k = { css = "div", attr = "class" } } }',
            {"n": "A", "k": "card"},
        ),
        (
            '{ json_ld = "Product.offers", list = true, fields = { p = { path = "price" } } }',
            [{"p": "5.50"}, {"p": 7}],
        ),
    ],
)
def test_fields(rule: str, value: Any) -> None:
    """Each with its type."""
    found = run(f"x = {rule}")
    assert found.errors == ()
    assert found.items == (("a", {"x": value}),)
    assert type(found.items[0][1]["x"]) is type(value)


def test_several_items() -> None:
    """One for each match, by CSS, XPath or JSON; an item without a required field is left out and said."""
    cards = run('n = "h2"\nk = { css = ".n", type = "integer" }', item='each = ".card"')
    assert [dict(item) for _, item in cards.items] == [{"n": "A", "k": 1}, {"n": "B", "k": None}]
    assert not cards.errors
    strict = run('n = "h2"\nk = { css = ".n", required = true }', item='each = { xpath = "//div" }')
    assert [dict(item) for _, item in strict.items] == [{"n": "A", "k": "1"}]
    assert [error["message"] for error in strict.errors] == ["`.n` matches nothing; the item is left out"]
    offers = run('p = { path = "price", type = "number" }', item='each = { json_ld = "Product.offers[*]" }')
    assert [dict(item) for _, item in offers.items] == [{"p": 5.5}, {"p": 7.0}]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('{ css = "h1", type = "price" }', "`h1` is 'Oak Lamp': there is no number in it"),
        ('{ css = "h1", attr = "id" }', "`h1` is 'Oak Lamp': it has no attribute id"),
        ('{ css = ".price", type = "number", max = 5 }', "less than or equal to 5"),
        ('{ css = "h1", pattern = "^Pine" }', "should match pattern"),
        ('{ json_ld = "Product.offers", type = "text" }', "neither a text nor a number"),
        ('{ css = "a", attr = "data-n", type = "boolean" }', "neither true, yes"),
    ],
)
def test_what_cannot_be_read_is_null_and_said(rule: str, message: str) -> None:
    """With the selector, and what was found; a required field takes its item along."""
    found = run(f"x = {rule}\nok = 'h1'")
    assert found.items == (("a", {"x": None, "ok": "Oak Lamp"}),)
    assert message in found.errors[0]["message"]
    assert found.errors[0]["field"] == "x"
    assert run(f"x = {rule.replace('{', '{ required = true,')}").items == ()


API = "https://shop.example/api/products"
ANSWERS = [
    FetchedResponse(
        f"{API}?page=1", "GET", 200, "application/json", '{"items": [{"n": 1, "p": "€5"}, {"n": 2}]}'
    ),
    FetchedResponse(f"{API}?page=2", "GET", 200, "text/plain", '[{"n": 3, "to": "x"}]'),
    FetchedResponse("https://other.example/v1/stock", "POST", 200, "application/json", "7"),
    FetchedResponse(f"{API}/gone", "GET", 404, "application/json", '{"items": [{"n": 9}]}'),
    FetchedResponse(f"{API}/head", "HEAD", 200, "application/json", ""),
]


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ('{ capture = "/api/products*", path = "items.n" }', 1),
        ('{ capture = "/api/products*", path = "items.n", list = true }', [1, 2]),
        ('{ capture = "/api/products*", path = "[0].n", type = "integer" }', 3),
        ('{ capture = "json:/api/products*", path = "n", list = true }', []),
        (
            '{ capture = "/api/products*", path = "items[0].p", type = "price" }',
            {"amount": "5", "currency": "EUR"},
        ),
        ('{ capture = "/api/products*", path = "to", type = "url" }', "https://shop.example/base/x"),
        ('{ capture = "https://other.example/*", type = "number" }', 7.0),
        ('{ capture = "json", path = "items", type = "json" }', [{"n": 1, "p": "€5"}, {"n": 2}]),
        ('{ capture = "/api/none", path = "n" }', None),
        ('{ css = ".card", fields = { n = { capture = "/api/products*", path = "items[1].n" } } }', {"n": 2}),
    ],
)
def test_what_scripts_fetched(rule: str, value: Any) -> None:
    """By address and path, answers in their order; refusals and answers without a body have nothing."""
    found = run(f"x = {rule}", responses=ANSWERS)
    assert found.errors == ()
    assert found.items == (("a", {"x": value}),)
    assert type(found.items[0][1]["x"]) is type(value)


def test_items_of_what_scripts_fetched() -> None:
    """One for each match, also over several answers."""
    each = 'each = { capture = "/api/products*", path = "items[*]" }'
    found = run(
        'n = { path = "n", required = true }\np = { path = "p", type = "price" }',
        item=each,
        responses=ANSWERS,
    )
    price = {"amount": "5", "currency": "EUR"}
    assert [dict(item) for _, item in found.items] == [{"n": 1, "p": price}, {"n": 2, "p": None}]
    whole = run(
        'n = { path = "n", type = "integer" }', item='each = { capture = "all" }', responses=ANSWERS[1:2]
    )
    assert [dict(item) for _, item in whole.items] == [{"n": 3}]


@pytest.mark.parametrize(
    ("body", "is_cut", "said"),
    [
        (None, True, "was not kept as a whole; give --capture json --capture-max"),
        ('{"items": [', True, "was not kept as a whole"),
        ("<html>", False, "is not JSON"),
        ('{"items": ' + "[" * 100_000, False, "is not JSON"),
        ('{"items": "\\ud800"}', False, "is not JSON"),
    ],
)
def test_an_answer_that_cannot_be_read_is_said_once(body: str | None, is_cut: bool, said: str) -> None:
    """With its address; the page counts, and so do the other answers."""
    broken = FetchedResponse(f"{API}/{'x' * 9_000}", "GET", 200, "application/json", body, is_cut)
    rule = '{ capture = "/api/products*", path = "items.n" }'
    found = run(f"x = {rule}\ny = {rule}", responses=[broken, *ANSWERS])
    (error,) = found.errors
    assert f"the answer of {API}/xxx" in error["message"]
    assert said in error["message"]
    assert len(error["message"]) < 400
    assert found.items == (("a", {"x": 1, "y": 1}),)


def test_json_ld_that_is_anything() -> None:
    """What a page calls JSON-LD may be of any shape."""
    for odd in ([], [None, 3, "x"], [[LD]], [{"@type": ["A", "Product"], "name": None}], [{"@graph": LD}]):
        found = run('x = { json_ld = "Product.name" }', json_ld=odd)
        assert len(found.items) == 1
    assert run('x = { json_ld = "Product.name" }', json_ld=[{"@graph": LD}]).items[0][1]["x"] == "Lamp"
    deep: Mapping[str, Any] = {"@type": "Product", "name": "deep"}
    for _ in range(100_000):
        deep = {"a": deep}
    assert run('x = { json_ld = "Product.name" }', json_ld=[deep]).items[0][1]["x"] is None


@pytest.mark.parametrize(
    ("html", "selector", "said"),
    [
        ("<div>" * 100_000, "div", "nested more than"),
        ("<p>" + "x" * MOST_CHARS, "p", "at most"),
        ("<li class=a>x</li>" * 50_000, "li:nth-child(2n)", "not evaluated"),
        ("<li class=a>x</li>" * 20_000, "ul:has(.b) li", "not evaluated"),
        ("<x-y><template shadowrootmode=open></template></x-y>" * 6_000, "p", "more than 5,000 shadow roots"),
        ("<x-y><template shadowrootmode=open>" * 60, "p", "shadow roots are nested more than 50 deep"),
    ],
)
def test_pages_that_would_take_too_long_are_not_read(html: str, selector: str, said: str) -> None:
    """The page counts all the same."""
    found = run(f'x = "{selector}"', html)
    assert said in found.errors[0]["message"]
    assert found.items == (("a", {"x": None}),)


def test_bounds_on_items_and_errors() -> None:
    """What is more is said."""
    found = run('x = { css = "b", required = true }', "<i>x</i>" * 100, item='each = "i"')
    assert len(found.errors) == MOST_ERRORS + 1
    assert found.errors[-1]["message"] == "80 more"
    assert len(run('x = "i"', "<i>x</i>" * (MOST_ITEMS + 5), item='each = "i"').items) == MOST_ITEMS


@pytest.mark.parametrize(
    ("rule", "html"),
    [
        ('x = { css = "i", list = true }', "<i>x</i>" * (MOST_ITEMS + 5)),
        ('x = { xpath = "//i", list = true }', "<i>x</i>" * (MOST_ITEMS + 5)),
        ('x = { json_ld = "Product.names", list = true }', ""),
    ],
)
def test_matches_that_are_left_out_are_said(rule: str, html: str) -> None:
    """A page may have more than an item can."""
    many = [{"@type": "Product", "names": ["x"] * (MOST_ITEMS + 5)}]
    found = run(rule, html, json_ld=many)
    assert found.items == (("a", {"x": ["x"] * MOST_ITEMS}),)
    assert [error["field"] for error in found.errors] == ["x"]
    assert "matches more than 10,000 times" in found.errors[0]["message"]


def test_places_that_are_left_out_are_said() -> None:
    """Also where most of those that are looked at are no items."""
    html = "<i>x</i>" * MOST_ITEMS + "<i><b>1</b></i>"
    found = run('x = { css = "b", required = true }', html, item='each = "i"')
    assert "matches more than 10,000 times" in found.errors[0]["message"]


@pytest.mark.parametrize(
    "html", ["", "\0", "\ud800<p>\udfff", "<!-- ", "<?xml version='1.0'?>", "\ufffe", "<p a='\0'>"]
)
def test_broken_html(html: str) -> None:
    """Is read as far as it goes."""
    found = run('x = "p"\ny = { xpath = "//p" }', html)
    assert len(found.items) == 1
