"""Equal content under many addresses: counted, and stopped; what differs is never touched."""

from dataclasses import replace
from random import Random

import pytest

from farm.model.page import ContentHash, RenderedPage, Renderer
from farm.model.tiers import Evidence, TierNote, TierNotes
from farm.scope.duplicate_templates import DuplicateParams, DuplicateTemplates

TEXT = "Nothing was found for your search; look at what others like, or ask us by telephone or by mail. " * 2


def note(
    watch: DuplicateTemplates, url: str, title: str, text: str, html: str, *, has_router: bool = False
) -> str | None:
    """Count a page by its text."""
    return watch.note(url, title, ContentHash.of(text), html, has_router=has_router)


def test_a_family_that_shows_the_same_everywhere_is_stopped() -> None:
    """Not its neighbours, nor the same pattern of another site."""
    watch = DuplicateTemplates()
    first = "https://a.example/list?q=0"
    assert note(watch, first, "List", TEXT, "") is None
    for number in range(1, 60):
        assert watch.is_stopped(first) == (number > 50)
        assert note(watch, f"https://a.example/list?q={number}", "List", TEXT, f"<p>{number}") == first
    assert watch.repeated == 59
    assert watch.is_stopped("https://a.example/list?q=4711")
    assert not watch.is_stopped("https://a.example/list?q=1&page=2")
    assert not watch.is_stopped("https://a.example/other/1")
    assert not watch.is_stopped("https://b.example/list?q=1")


APP = "https://a.example/app"


def test_routes_that_show_what_the_document_shows_are_stopped_after_three(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Their text counts, however short it is, and whatever else differs; it is said once."""
    watch = DuplicateTemplates(hash_routes=True)
    with caplog.at_level("INFO", "farm.scope"):
        assert note(watch, APP, "App", "Start", "<p>", has_router=True) is None
        for number in range(1, 6):
            assert watch.is_stopped(f"{APP}#/x") == watch.should_skip(f"{APP}#/x") == (number > 3)
            assert note(watch, f"{APP}#/{number}", f"App {number}", " Start\n", f"<p>{number}") == APP
    assert [record.message for record in caplog.records] == [
        f"{APP} shows the same at all its #/ addresses; they are skipped from now on"
    ]
    assert watch.repeated == 5
    assert not any(map(watch.is_stopped, (APP, "https://a.example/app/#/x", "https://b.example/app#/x")))


def test_routes_are_visited_as_long_as_they_show_something_new() -> None:
    """A real application has some that repeat another: aliases, and what is not found."""
    watch = DuplicateTemplates(hash_routes=True)
    note(watch, APP, "App", "Start", "", has_router=True)
    note(watch, f"{APP}#/a", "App", "A", "")
    for number in range(9):
        assert note(watch, f"{APP}#/{number}", "App", "A", "") == f"{APP}#/a"
        assert not watch.is_stopped(f"{APP}#/x")
    note(watch, f"{APP}#/9", "App", "A", "")
    assert watch.is_stopped(f"{APP}#/x")
    # It was under way when they were stopped.
    assert note(watch, f"{APP}#/b", "App", "B", "") is None
    assert not watch.is_stopped(f"{APP}#/x")


def test_without_a_text_the_html_tells_routes_apart() -> None:
    """An application may show pictures alone."""
    watch = DuplicateTemplates(hash_routes=True)
    note(watch, APP, "App", "", "<canvas>", has_router=True)
    for number in range(20):
        assert note(watch, f"{APP}#/{number}", "App", "", f"<img src={number}>") is None
    assert not watch.is_stopped(f"{APP}#/x")


def test_routes_that_the_user_wants_all_are_not_stopped_so_soon() -> None:
    """They are addresses as any other then."""
    watch = DuplicateTemplates()
    for number in range(20):
        note(watch, f"{APP}#/{number}", "App", TEXT, "")
    assert watch.repeated == 19
    assert not watch.is_stopped(f"{APP}#/x")


def test_the_documents_whose_routes_are_counted_are_bounded() -> None:
    """The oldest are forgotten."""
    watch = DuplicateTemplates(DuplicateParams(templates=2), hash_routes=True)
    for app in ("https://a.example/1", "https://a.example/2", "https://a.example/3"):
        for number in range(4):
            note(watch, f"{app}#/{number}", "", "Same", "")
            note(watch, f"{app}#/{number}b", "", "Same", "")
    assert len(watch._routes) == 2


def test_a_page_that_is_visited_again_repeats_nothing() -> None:
    """A retry shows what it showed before."""
    watch = DuplicateTemplates()
    for _ in range(60):
        assert note(watch, "https://a.example/p/1", "P", TEXT, "") is None
    assert not watch.is_stopped("https://a.example/p/1")


def test_a_plain_catalogue_never_trips() -> None:
    """A hundred thousand products that all differ."""
    watch = DuplicateTemplates()
    for number in range(1, 100_001):
        url = f"https://a.example/product/{number}"
        assert note(watch, url, f"Product {number}", f"{TEXT} number {number}", "") is None
        assert not watch.is_stopped(url)
    assert watch.repeated == 0


def test_a_catalogue_that_is_mostly_sold_out_is_crawled_whole() -> None:
    """Seven of ten products say the same; three of ten would be lost."""
    watch, random = DuplicateTemplates(), Random(4)
    for number in range(20_000):
        url = f"https://a.example/product/{number}"
        sold_out = random.random() < 0.7
        note(watch, url, "Product", TEXT if sold_out else f"{TEXT} {number}", "")
        assert not watch.is_stopped(url)


def test_pages_of_few_words_are_compared_by_their_html() -> None:
    """A gallery has pictures and no words."""
    watch = DuplicateTemplates()
    for number in range(100):
        url = f"https://a.example/picture/{number}"
        assert note(watch, url, "Picture", "Next", f'<img src="{number}.jpg">') is None
    for number in range(100, 200):
        note(watch, f"https://a.example/picture/{number}", "Picture", "Next", "<img>")
    assert watch.is_stopped("https://a.example/picture/1")


def test_a_family_that_shows_something_new_goes_on() -> None:
    """One visit in fifty looks at it; links to it are left as long as it is stopped."""
    watch = DuplicateTemplates()
    for number in range(51):
        note(watch, f"https://a.example/p/{number}", "Out of order", TEXT, "")
    url = "https://a.example/p/99"
    assert watch.is_stopped(url)
    assert [watch.should_skip(url) for _ in range(100)].count(False) == 2
    assert note(watch, "https://a.example/p/52", "Out of order", TEXT, "") is not None
    assert watch.should_skip(url)
    note(watch, "https://a.example/p/53", "A lamp", f"{TEXT} lamp", "")
    assert not watch.is_stopped(url)
    assert not watch.should_skip(url)


def test_what_is_remembered_is_bounded_by_its_size() -> None:
    """Long addresses, and templates without end; the last pages are still known."""
    watch = DuplicateTemplates(DuplicateParams(remembered_chars=20_000, templates=10))
    urls = [f"https://a.example/{'x' * 1000}/{chr(97 + n % 26) * (n + 1)}/1" for n in range(100)]
    for url in urls:
        note(watch, url, url, TEXT, "")
    assert sum(map(len, watch._shown.values())) == watch._shown_chars <= 20_000
    assert len(watch._scores) == 10
    assert note(watch, urls[-1] + "?x", urls[-1], TEXT, "") == urls[-1]


def test_a_stopped_family_that_is_forgotten_leaves_nothing() -> None:
    """Neither its score nor how often it was skipped."""
    watch = DuplicateTemplates(DuplicateParams(templates=3, most=2))
    for site in range(20):
        for number in range(5):
            note(watch, f"https://{site}.example/p/{number}", "x", TEXT, "")
        watch.should_skip(f"https://{site}.example/p/1")
    assert len(watch._skipped) <= 3


@pytest.mark.parametrize(
    ("status", "is_requested", "original"), [(200, True, 1), (404, True, 0), (200, False, 0)]
)
def test_only_what_was_asked_for_says_something_about_a_template(
    status: int, is_requested: bool, original: int
) -> None:
    """All error pages of a site are alike, and so are its block pages."""
    watch = DuplicateTemplates()
    urls = [f"https://a.example/p/{number}" for number in range(2)]
    page = RenderedPage(urls[0], status, {}, "text/html", "title", "the same " * 20)
    content = ContentHash.of(page.text)
    found = [watch.note_page(url, page, content, is_requested=is_requested) for url in urls]
    assert found == [None, urls[0] if original else None]
    assert watch.repeated == original


def test_pages_that_nothing_has_compared_stop_no_template() -> None:
    """A site that turns to scripts shows plain HTTP the same everywhere; what is skipped is not visited again."""
    watch = DuplicateTemplates()
    taken = TierNotes("a.example/p/#", (TierNote(Renderer.FETCH, Evidence.TAKEN),))
    shell = RenderedPage("https://a.example/p/0", 200, {}, "text/html", "Shop", TEXT, tiers=taken)
    content = ContentHash.of(TEXT)

    def visited(number: int, page: RenderedPage) -> str | None:
        return watch.note_page(f"https://a.example/p/{number}", page, content, is_requested=True)

    for number in range(200):
        assert visited(number, shell) == (None if number == 0 else "https://a.example/p/0")
    for number in range(200, 203):
        assert not watch.is_stopped("https://a.example/p/999")
        visited(number, replace(shell, tiers=None))
    assert watch.is_stopped("https://a.example/p/999")
