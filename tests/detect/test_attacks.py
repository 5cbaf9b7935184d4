"""Pages that are made to keep the judge busy: the time that one takes is bounded, whatever its markup."""

import time

import pytest

from farm.detect import detect, soft
from farm.detect.page_features import LONGEST_SIGN, MARKUP_CHARS, features_of
from farm.model.page import Finding, Link, RenderedPage
from tests.longest_turn import collector_at_rest

WORST_CPU_S = 0.25
"""Of the loop's thread. What was quadratic took a minute; what is linear takes a tenth of this."""

ATTACKS = {
    "open inputs": "<input " * 40_000,
    "open inputs, with types": "<input type=type=type=" * 10_000,
    "open containers": "<script" + "<div " * 40_000,
    "open containers, with ids": "<script" + "<div id=ember id=" * 12_000,
    "open text areas": 'class="h-captcha' + "<textarea " * 20_000,
    "fields": 'class="cf-turnstile' + "<input type=" * 20_000,
    "open headings": "<h1 " * 50_000,
    "headings without an end": "<h1>" * 50_000,
    "headings of open tags": ("<h1>" + "<" * 290 + "</h1>") * 600,
    "open scripts": "<script" * 30_000,
    "half a captcha": 'class="g-recaptcha' * 10_000,
    "letters that grow when they are lowered": "İ" * 200_000,
}


def page(html: str, text: str = "", title: str = "", **more: object) -> RenderedPage:
    """Return a page that came with a good status."""
    facts: dict[str, object] = {"final_url": "http://h/", "status": 200, "headers": {}, **more}
    return RenderedPage(content_type="text/html", title=title, text=text, html=html, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("text", ["", "error " * 200, "page " * 800], ids=["no text", "errors", "pages"])
def test_no_markup_keeps_the_judge_busy(name: str, text: str) -> None:
    """As large as what is looked at, on a page short enough to be looked at."""
    html = ATTACKS[name] * (MARKUP_CHARS // len(ATTACKS[name]) + 1)
    attack = page(html, text, "404 " * 1_000, redirects=("http://h/login",))
    with collector_at_rest():
        begun = time.thread_time()
        detect(attack)
        took_s = time.thread_time() - begun
    assert took_s < WORST_CPU_S


@pytest.mark.parametrize(
    "attack",
    [
        page("<p>", title="not found " * 5_000_000),
        page("<p>", text=" " * 2_000_000),
        page("<p>", headers={f"x-{number}": "y" * 1_000 for number in range(1_000)}),
        page("<p>", headers={"cf-mitigated": "x" * 10_000_000}),
        page("<input type=password>", final_url="http://h/" + "login/" * 300_000, redirects=("http://h/a",)),
    ],
    ids=[
        "title of 50 MB",
        "two million blanks",
        "a thousand headers",
        "a header of 10 MB",
        "address of 2 MB",
    ],
)
def test_nothing_else_of_a_page_keeps_the_judge_busy(attack: RenderedPage) -> None:
    """What is not looked at costs nothing."""
    with collector_at_rest():
        begun = time.thread_time()
        detect(attack)
        took_s = time.thread_time() - begun
    assert took_s < WORST_CPU_S


@pytest.mark.parametrize("url", ["data://[", "http://[::1/x", "about:srcdoc", "\ud800", ""])
def test_a_page_may_call_its_address_what_it_likes(url: str) -> None:
    """A script sets it."""
    found = detect(page("<input type=password>", "please log in", final_url=url, redirects=("http://h/a",)))
    assert found is not None
    assert found.finding is Finding.LOGIN_WALL


def test_signs_are_short() -> None:
    """They stand in the record and in the log."""
    html = "<script>1</script><div class='" + "x" * 100_000 + "' id=root></div>"
    found = detect(page(html))
    assert found is not None
    assert found.finding is Finding.EMPTY_SHELL
    assert all(len(sign) <= LONGEST_SIGN for sign in found.signs)


@pytest.mark.parametrize(
    ("markup", "headings"),
    [
        ("<h1>Not found</h1>", ["Not found"]),
        ("<h1 class=a><b>Not</b> found</h1><h2>Other</h2>", ["Not found", "Other"]),
        ("<h1>" + "x" * 301 + "</h1><h2>b</h2>", ["b"]),
        ("<h1>" + "x" * 300 + "</h1>", ["x" * 300]),
        ("<h10>a</h10>", []),
        ("<h1>a", []),
    ],
)
def test_headings_are_read(markup: str, headings: list[str]) -> None:
    """With their tags left out; one that is too long for a verdict is passed over."""
    assert soft._headings(markup) == headings


@pytest.mark.parametrize(
    ("markup", "is_field"),
    [
        ("<input type=text>", True),
        ("<input value='<' type='email'>", True),
        ("<textarea name=message>", True),
        ("<textarea name=g-recaptcha-response>", False),
        ("<input type=hidden>", False),
        ("<input type=hidden><input id=a type=tel>", True),
    ],
)
def test_fields_are_told_from_a_captchas_own(markup: str, is_field: bool) -> None:
    """A form with a field to fill in is there for something else than to keep people out."""
    found = detect(page(f'<div class="h-captcha"></div>{markup}', links=(Link("http://h/a"),)))
    assert (found is None) is is_field


def test_a_long_pages_markup_is_not_looked_at() -> None:
    """Nor one of its links' or headers' text."""
    look = features_of(page("<p>" * 100_000, "x" * 5_000))
    assert look.markup == look.words == ""
