"""Numbers and addresses as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.monitor.figures import (
    ASCII,
    UNICODE,
    amount,
    bar,
    clock,
    counted,
    lapse,
    one_line,
    rate,
    shortened,
    size,
    span,
    sparkline,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (65, "1m05s"), (3599, "59m59s"), (7620, "2h07m"), (86_400 * 12.5, "12d")],
)
def test_a_duration_takes_at_most_six_characters(seconds: float, text: str) -> None:
    """It has its place in a row."""
    assert span(seconds) == text
    assert len(text) <= 6


def test_figures_are_short_and_exact_enough() -> None:
    """Each has its form."""
    assert [clock(83), clock(3723), clock(-1)] == ["1:23", "1:02:03", "0:00"]
    assert [amount(0), amount(1234567), amount(12_345_678)] == ["0", "1,234,567", "12.3M"]
    assert [counted(1, "page"), counted(12_345, "page")] == ["1 page", "12,345 pages"]
    assert [rate(0), rate(12.34), rate(1234.5)] == ["0.0/s", "12.3/s", "1,234/s"]
    assert [lapse(320), lapse(1234)] == ["320 ms", "1.2 s"]
    assert [size(0), size(1000), size(1023), size(1536 * 1024), size(2.1 * (1 << 30))] == [
        "0 B",
        "1000 B",
        "1 KiB",
        "1.5 MiB",
        "2.1 GiB",
    ]
    assert size(5e16).endswith(" TiB")


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (80, "shop.example/catalogue/shelf-3/blue-shirt-42"),
        (30, "shop.example/…3/blue-shirt-42"),
        (20, "shop.e…lue-shirt-42"),
        (1, "s"),
        (0, ""),
    ],
)
def test_a_long_address_keeps_the_end_of_its_path(width: int, text: str) -> None:
    """It tells pages apart; the host stays where there is room for it."""
    found = shortened("https://shop.example/catalogue/shelf-3/blue-shirt-42", width)
    assert len(found) <= width
    if width in {80, 0, 1}:
        assert found == text
    else:
        assert found.endswith("blue-shirt-42"[-8:])
        assert "…" in found
    assert found.startswith("shop.example/") == (width >= 26)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60), st.integers(0, 60))
def test_an_address_is_never_wider_than_it_may_be(url: str, width: int) -> None:
    """Whatever it is."""
    assert len(shortened(url, width)) <= width


def test_a_sparkline_shows_the_latest_values() -> None:
    """Scaled to the highest of them; nothing is the lowest bar."""
    assert sparkline([9, 0, 4, 8], 3) == "▁▅█"
    assert sparkline([0, 0], 4) == "▁▁  "
    assert sparkline([], 2) == "  "
    assert sparkline([1], 0) == ""
    assert sparkline([0, 7], 2, ASCII) == "_#"


def test_a_bar_shows_something_as_something() -> None:
    """And more than everything as everything."""
    assert bar(0, 4) == ("", "╌╌╌╌")
    assert bar(0.01, 4) == ("━", "╌╌╌")
    assert bar(0.5, 4) == ("━━", "╌╌")
    assert bar(3, 4) == ("━━━━", "")
    assert bar(0.5, 0) == ("", "")


def test_what_moves_a_cursor_is_blanked() -> None:
    """An error's text may come from a site."""
    assert one_line("a\nb\x1b[2Jc\td\u202e") == "a b [2Jc d "


def test_both_sets_of_signs_are_of_one_cell_each() -> None:
    """The plain one is for terminals without Unicode."""
    for glyphs in (ASCII, UNICODE):
        assert len(glyphs.bars) == 8
        assert all(
            len(one) == 1 for one in (glyphs.full, glyphs.empty, glyphs.rule, glyphs.dot, glyphs.ellipsis)
        )
    assert f"{ASCII.full}{ASCII.empty}{ASCII.bars}{ASCII.rule}{ASCII.dot}{ASCII.between}".isascii()
