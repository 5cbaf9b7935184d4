"""What a handler's page selects, emits and follows, without a browser."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from farm import Farm, Page
from farm.api.handlers import Handlers
from farm.api.page import PageVerdict
from farm.model.errors import UsageError
from farm.model.handling import FollowedLink, PageFailed, PageRetried, PageSkipped, VisitedPage
from farm.model.page import Detection, Finding, Link, RenderedPage
from farm.model.task import Lease, UrlTask
from farm.scope.canonical import MAX_CHARS

HTML = """<html><head><base href="/list/"></head><body><h1> A  <b>title</b></h1>
<a href="one">One</a><a href="/two">Two</a><a name="none">None</a><img src="three.png"></body></html>"""


def visited(path: str = "/list/", *, status: int = 200, label: str | None = None, **page: Any) -> VisitedPage:
    """Return a visit of a page with this HTML."""
    task = UrlTask(f"http://a.example{path}", "a.example", "1", meta={"n": 1}, label=label)
    rendered = RenderedPage(task.url, status, {}, "text/html", html=HTML, **page)

    async def live() -> None:
        raise AssertionError("nobody asks for it")

    return VisitedPage(Lease(task, "node/01", 1), rendered, None, live)


def page(**values: Any) -> Page:
    """Return the page of a visit; `product` is the label of a handler."""
    return Page(visited(**values), frozenset({"product"}))


def test_elements_and_texts_are_selected() -> None:
    """By CSS and XPath, in the page and in what was found; a selector that is none is told."""
    found = page()
    assert found.css("h1")[0].text == "A title"
    assert [one.text for one in found.css("body")[0].css("a[href]")] == ["One", "Two"]
    assert [one.text for one in found.xpath("//a/@href")] == ["one", "/two"]
    assert found.xpath("//h1")[0].css("b")[0].html == "<b>title</b>"
    assert [one.attr("href") for one in found.css("a")] == ["one", "/two", None]
    assert found.css("img")[0].address == "three.png"
    assert found.xpath("//a/text()")[0].css("b") == []
    with pytest.raises(ValueError, match="is not a CSS selector"):
        found.css("a[")
    with pytest.raises(ValueError, match="is not an XPath"):
        found.xpath("//a[")


class Model(BaseModel):
    """An item of pydantic's."""

    price: Decimal
    when: datetime


@dataclass
class Item:
    """An item with another one in it."""

    name: str
    model: Model


def test_items_are_values_of_json() -> None:
    """As they were when they were emitted, half of a surrogate pair replaced."""
    emitting, model = page(), Model(price=Decimal("1.20"), when=datetime(2026, 3, 1, tzinfo=UTC))
    item = {"name": "a", "tags": ["x"]}
    emitting.emit(item)
    item["tags"] = ["changed"]
    emitting.emit(Item("b", model))
    emitting.emit(model, kind="offer")
    emitting.emit({"text": "\ud800"})
    plain = {"price": "1.20", "when": "2026-03-01T00:00:00Z"}
    assert list(emitting.handled().items) == [
        ("item", {"name": "a", "tags": ["x"]}),
        ("item", {"name": "b", "model": plain}),
        ("offer", plain),
        ("item", {"text": "\ufffd"}),
    ]


@dataclass
class Review:
    """An item with what orjson alone knows, and a model in a list."""

    text: str
    price: Decimal
    at: datetime
    by: tuple[Model, ...] = ()


def test_half_of_a_surrogate_pair_is_replaced_in_every_kind_of_item() -> None:
    """A page can hold one, and its item is written as any other."""
    emitting, when = page(), datetime(2026, 3, 1, tzinfo=UTC)
    model = Model(price=Decimal("1.20"), when=when)
    emitting.emit(Review("a\ud800", Decimal(7), when, (model,)))
    emitting.emit({"text": "\ud800", "price": Decimal(7)})
    assert [dict(item) for _, item in emitting.handled().items] == [
        {
            "text": "a\ufffd",
            "price": "7",
            "at": "2026-03-01T00:00:00+00:00",
            "by": [{"price": "1.20", "when": "2026-03-01T00:00:00Z"}],
        },
        {"text": "\ufffd", "price": "7"},
    ]
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        emitting.emit({"text": "\ud800", "a": {1}})


@pytest.mark.parametrize(
    ("item", "kind", "message"),
    [
        ("text", None, "an item is a dict, a dataclass or a pydantic model, and not str"),
        (Item, None, "and not type"),
        ({"a": {1, 2}}, None, "cannot be written as JSON .it has a value of the type set"),
        ({"a": page().css("h1")[0]}, None, "of the type Selected, of which .text or .attr"),
        ({1: "a"}, None, "cannot be written as JSON"),
        ({"_id": 1}, None, "'_id' is not a field name"),
        ({"x" * 64: 1}, None, "is not a field name"),
        ({"Price": 1, "price": 2}, None, "differ only in case"),
        ({"a": 1}, "no kind", "is not a kind of item"),
        ({"a": "x" * 20_000_001}, None, "more than 20,000,000 bytes"),
    ],
)
def test_what_is_no_item_is_told_where_it_is_emitted(item: Any, kind: str | None, message: str) -> None:
    """So that the traceback has the line."""
    with pytest.raises((TypeError, ValueError), match=message):
        page().emit(item, kind)


def test_ten_thousand_items_are_the_most() -> None:
    """Of a page."""
    emitting = page()
    for _ in range(10_000):
        emitting.emit({})
    with pytest.raises(ValueError, match="more than 10,000 items"):
        emitting.emit({})


def test_links_are_followed_by_address_element_and_selector() -> None:
    """Relative ones from the page's base, and each with what goes along."""
    following = page(links=(Link("http://b.example/", "B"),))
    assert following.follow("a", label="product", priority=4, meta={"x": 1}) == 2
    assert following.follow(following.links[0]) == 1
    assert following.follow(following.css("img")[0]) == 1
    assert [following.follow(one) for one in ("./five", "/six", "?seven", "//eight.example/")] == [1, 1, 1, 1]
    assert following.follow(".nothing") == 0
    assert following.follow("/nine", render="browser") == 1
    assert following.follow([*following.links, *following.css("img"), "./ten"]) == 3
    assert list(following.handled().links) == [
        FollowedLink("http://a.example/list/one", "product", 4, {"x": 1}),
        FollowedLink("http://a.example/two", "product", 4, {"x": 1}),
        *(
            FollowedLink(url)
            for url in (
                "http://b.example/",
                "http://a.example/list/three.png",
                "http://a.example/list/five",
                "http://a.example/six",
                "http://a.example/list/?seven",
                "http://eight.example/",
            )
        ),
        FollowedLink("http://a.example/nine", render="browser"),
        FollowedLink("http://b.example/"),
        FollowedLink("http://a.example/list/three.png"),
        FollowedLink("http://a.example/list/ten"),
    ]
    with pytest.raises(
        ValueError, match=r"`b\.example/x` is not a CSS selector, .* a URL begins with one of http://"
    ):
        following.follow("b.example/x")
    with pytest.raises(ValueError, match="render is one of auto, browser, light, fetch"):
        following.follow("/", render="chrome")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="from -5 to 4"):
        following.follow("/", priority=5)
    with pytest.raises(ValueError, match="no handler has the label 'other'"):
        following.follow("/", label="other")
    with pytest.raises(ValueError, match="meta has more than"):
        following.follow("/", meta={"x": "x" * 70_000})
    with pytest.raises(TypeError):
        following.follow("/", meta={"x": object()})
    following.follow("/odd", meta={"from": "odd \ud800"})
    assert following.handled().links[-1].meta == {"from": "odd \ufffd"}


def test_a_base_of_megabytes_makes_no_addresses_of_megabytes() -> None:
    """Of ten thousand links each would have them: such addresses are skipped as too long all the same."""
    long = "x" * 1_000_000
    html = f"<base href='/{long}/'>" + "<a href='a'>a</a>" * 50 + "<a href='/b'>b</a>"
    given = visited()
    assert given.page is not None
    seen = Page(replace(given, page=replace(given.page, html=html)), frozenset())
    assert seen.follow("a") == 51
    urls = [link.url for link in seen.handled().links]
    assert urls[-1] == "http://a.example/b"
    assert all(MAX_CHARS < len(url) < 10_000 for url in urls[:-1])


def test_a_verdict_ends_the_handler() -> None:
    """Also where it catches every Exception."""
    ways: list[tuple[Callable[[Page], object], object]] = [
        (lambda one: one.skip("a"), PageSkipped("a")),
        (lambda one: one.retry("b", delay_s=3), PageRetried("b", 3)),
        (lambda one: one.fail("c" * 600), PageFailed("c" * 500)),
    ]
    for end, verdict in ways:
        ending = page()
        with pytest.raises(PageVerdict):
            end(ending)
        assert ending.handled().verdict == verdict
    assert not issubclass(PageVerdict, Exception)
    with pytest.raises(ValueError, match="a delay is from 0"):
        page().retry("b", delay_s=-1)


@pytest.mark.parametrize(
    ("path", "label", "status", "called"),
    [
        ("/product/1", None, 200, "product"),
        ("/product/list/2", None, 200, "product"),
        ("/other", None, 200, "default"),
        ("/other?page=2", None, 200, "paged"),
        ("/product/1", "named", 200, "named"),
        ("/product/1", "", 200, "product"),
        ("/product/1", None, 404, ""),
        ("/c/[x]", None, 200, "brackets"),
    ],
)
async def test_the_handler_for_a_page(path: str, label: str | None, status: int, called: str) -> None:
    """A label comes first, then the first pattern that matches, then the default; an error page has none."""
    handlers, calls = Handlers(follows_scope=False), []

    def declared(name: str) -> Any:
        async def function(page: Page) -> None:
            calls.append(name)

        return function

    handlers.add(declared("product"), "/product/*", None)
    handlers.add(declared("late"), "/product/1", None)
    handlers.add(declared("brackets"), "/c/[x]", None)
    handlers.add(declared("paged"), re.compile(r"\?page="), None)
    handlers.add(declared("named"), None, "named")
    handlers.set_default(declared("default"))
    await handlers.handle(visited(path, label=label, status=status))
    assert calls == [called] * bool(called)


@pytest.mark.parametrize(("returned", "is_lost"), [(None, False), (3, False), ({"a": 1}, True), ([], True)])
async def test_what_a_handler_returns_is_not_lost_without_a_word(returned: Any, *, is_lost: bool) -> None:
    """Other crawlers keep it; the number of links that were followed is nothing to keep."""
    handlers = Handlers(follows_scope=False)

    async def function(page: Page) -> Any:
        return returned

    handlers.set_default(function)
    if is_lost:
        with pytest.raises(TypeError, match=r"give it to page\.emit"):
            await handlers.handle(visited())
    else:
        assert (await handlers.handle(visited())).items == []


async def test_a_page_in_place_of_which_a_block_is_shown_has_no_handler() -> None:
    """What is merely taken for a soft 404 has one: that is a guess."""
    handlers, calls = Handlers(follows_scope=False), []

    async def function(page: Page) -> None:
        calls.append(page.blocked_by)

    handlers.set_default(function)
    seen = visited()
    for finding in (Finding.CAPTCHA, Finding.SOFT_404):
        detection = Detection(finding, "guard", ())
        await handlers.handle(VisitedPage(seen.lease, seen.page, detection, seen.live))
    assert calls == [None]


def test_what_cannot_be_meant_is_refused_where_it_is_declared() -> None:
    """One sentence each."""
    farm = Farm()

    async def function(page: Page) -> None:
        """Do nothing."""

    with pytest.raises(UsageError, match="write `async def plain"):

        @farm.default  # type: ignore[type-var]
        def plain(page: Page) -> None:
            """Forget the async."""

    with pytest.raises(UsageError, match="takes a pattern or a label"):
        farm.page()(function)
    with pytest.raises(UsageError, match="takes a pattern or a label"):
        farm.page(function)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"yielding yields, .* page\.emit"):

        @farm.default  # type: ignore[type-var]
        async def yielding(page: Page) -> AsyncIterator[dict[str, str]]:
            """Be written for another crawler."""
            yield {}

    with pytest.raises(UsageError, match="write the path of a URL"):
        farm.page("product/*")(function)
    farm.page(label="a")(function)
    with pytest.raises(UsageError, match="each once"):
        farm.page(label="a")(function)
    farm.default(function)
    with pytest.raises(UsageError, match="a Farm has one"):
        farm.default(function)
    with pytest.raises(UsageError, match="follow='all'"):
        Farm(follow="all")  # type: ignore[arg-type]


def test_a_function_with_arguments_given_is_a_handler() -> None:
    """Whose code tells nodes apart as that of any other."""

    async def function(page: Page, client: str) -> None:
        """Do nothing."""

    farm = Farm()
    farm.page("/product/*")(partial(function, client="x"))
    assert re.fullmatch("[0-9a-f]{12}", farm.handlers.digest)
