"""What each key of the view does."""

import pytest

from farm.monitor.browse import Act, Browsing, ViewPage, position, pressed
from farm.monitor.tables import SITE_ORDERS

ROWS = [f"s{number}.example" for number in range(30)]


def after(*keys: str, place: Browsing | None = None, rows: list[str] | None = None) -> Browsing:
    """Return the place after some keys."""
    at = place or Browsing()
    for key in keys:
        at, _ = pressed(at, key, ROWS if rows is None else rows)
    return at


@pytest.mark.parametrize(("key", "page"), list(zip("123456", list(ViewPage)[:-1], strict=True)))
def test_each_page_has_a_digit(key: str, page: ViewPage) -> None:
    """From wherever somebody is."""
    assert after("4", "down", "enter", key).page is page


def test_tab_goes_round() -> None:
    """The keys' own page is none of them."""
    assert after("tab").page is ViewPage.SITES
    assert after(*["tab"] * 6).page is ViewPage.OVERVIEW
    assert after("?", "tab").page is ViewPage.OVERVIEW


def test_a_row_is_chosen_opened_and_left() -> None:
    """Esc goes one step back each time."""
    place = after("2", "down", "j", "down", "k")
    assert (place.chosen, place.is_open) == ("s2.example", False)
    opened = after("enter", place=place)
    assert opened.is_open
    assert after("esc", place=opened) == place
    assert after("esc", "esc", place=opened) == Browsing()


def test_the_ends_are_the_ends() -> None:
    """Also without a row."""
    assert after("2", "up").at == 0
    assert after("2", "end").chosen == ROWS[-1]
    assert after("2", "pgdn", "pgdn", "pgdn", "pgdn").chosen == ROWS[-1]
    assert after("2", "end", "home").chosen == ROWS[0]
    assert after("2", "down", "enter", rows=[]) == Browsing(ViewPage.SITES)


def test_the_chosen_row_is_followed_when_others_come() -> None:
    """By its key; of one that is gone its place stays."""
    place = after("2", "down", "down")
    assert position(place, ["new.example", *ROWS]) == 3
    assert position(place, ["a", "b", "c", "d"]) == 2
    assert position(place, ["a"]) == 0
    assert position(place, []) == 0


def test_a_filter_is_typed_and_taken_back() -> None:
    """Keys that mean something else are letters meanwhile; its length is bounded."""
    place = after("2", "/", "p", "q", "1", "backspace", "s")
    assert (place.pattern, place.is_typing, place.page) == ("pqs", True, ViewPage.SITES)
    kept = after("enter", place=place)
    assert (kept.pattern, kept.is_typing) == ("pqs", False)
    assert after("esc", place=kept) == Browsing(ViewPage.SITES)
    assert after("esc", place=place).pattern == ""
    assert len(after("2", "/", *["x"] * 500).pattern) == 60
    assert after("/") == Browsing()


def test_the_sites_have_orders() -> None:
    """One after the other, and again the first."""
    assert after("2", "s").order == 1
    assert after("2", *["s"] * len(SITE_ORDERS)).order == 0
    assert after("3", "s") == Browsing(ViewPage.PROXIES)


@pytest.mark.parametrize(
    ("keys", "act"),
    [
        ("p", Act.PAUSE),
        ("+", Act.MORE),
        ("=", Act.MORE),
        ("-", Act.FEWER),
        ("5", Act.READ_DEAD),
        ("q", Act.QUIT),
        ("2q", None),
        ("5/p", None),
        ("\x1b", None),
        ("0", None),
        ("9", None),
        ("²", None),
    ],
)
def test_some_keys_ask_for_more_than_the_view(keys: str, act: Act | None) -> None:
    """And only where they are not typed as text."""
    place, asked = Browsing(), None
    for key in keys:
        place, asked = pressed(place, key, ROWS)
    assert asked is act
