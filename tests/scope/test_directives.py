"""What a page says to robots about itself."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.scope.directives import LONGEST_DIRECTIVES, Directives, directives_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "meta", "found"),
    [
        ("", "", Directives()),
        ("", "NOINDEX, nofollow", Directives(noindex=True, nofollow=True)),
        ("none", "", Directives(noindex=True, nofollow=True)),
        ("noindex", "nofollow", Directives(noindex=True, nofollow=True)),
        ("otherbot: noindex, nofollow", "", Directives()),
        ("otherbot: noindex, crawlfarm: nofollow", "", Directives(nofollow=True)),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, nofollow", "", Directives(nofollow=True)),
        ("otherbot: noindex\nnofollow", "", Directives(nofollow=True)),
        ("nofollow\notherbot: noindex", "", Directives(nofollow=True)),
        (
            "otherbot: noindex\nCrawlFarm: none\nbadbot: none",
            "",
            Directives(noindex=True, nofollow=True),
        ),
        ("BadBot: noindex, nofollow, *: nofollow", "", Directives(nofollow=True)),
        ("CrawlFarm/1.0: noindex", "", Directives(noindex=True)),
        ("360spider: noindex, nofollow", "", Directives()),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST\nnoindex", "", Directives(noindex=True)),
        ("unavailable_after: Wed, 25 Jun 2030 15:00:00 PST, nofollow", "", Directives(nofollow=True)),
        (
            "unavailable_after: Wednesday, 25-Jun-30 15:00:00 PST, none",
            "",
            Directives(noindex=True, nofollow=True),
        ),
        ("unavailable_after: Jun 25, 2030, 15:00:00, nofollow", "", Directives(nofollow=True)),
        ("unavailable_after: 2030-06-25T15:00:00+01:00, nofollow", "", Directives(nofollow=True)),
        ("otherbot: unavailable_after: Wed, 25 Jun 2030 15:00:00 PST, none", "", Directives()),
        (
            "otherbot: unavailable_after: Wed, 25 Jun 2030 15:00:00 PST\nnone",
            "",
            Directives(noindex=True, nofollow=True),
        ),
        ("max-image-preview: none, max-snippet:-1, noarchive", "max-image-preview:none", Directives()),
        ("noindex: 1, all", "", Directives(noindex=True)),
        ("noindex nofollow", "", Directives(noindex=True, nofollow=True)),
        ("", "noindex nofollow", Directives(noindex=True, nofollow=True)),
        ("", "unavailable_after: Wed, 25 Jun 2030 15:00:00 PST, nofollow", Directives(nofollow=True)),
    ],
)
def test_what_a_page_says_about_itself(header: str, meta: str, found: Directives) -> None:
    """The header and the meta element say the same words; what is said to others does not count."""
    assert directives_of({"x-robots-tag": header}, meta) == found


@pytest.mark.parametrize(
    ("date", "is_past"),
    [
        ("25 Jun 2010 15:00:00 PST", True),
        ("Wed, 25 Nov 2026 15:00:00 GMT", True),
        ("Wednesday, 25-Nov-26 15:00:00 UTC", True),
        ("25-Nov-2026 15:00:00 EST", True),
        ("Nov 25, 2026, 15:00:00", True),
        ("2026-11", True),
        ("2026-11-25", True),
        ("2026-11-30T12:00:00Z", True),
        ("2026-11-30T13:30:00+02:00", True),
        ("2026-11-30T12:00:01Z", False),
        ("2026-11-30T12:30:00+00:00", False),
        ("Monday, 30-Nov-26 12:00:01 UTC", False),
        ("Mon, 30 Nov 2026 07:00:01 EST", False),
        ("Wed, 25 Jun 2030 15:00:00 PST", False),
        ("32 Nov 2010 00:00:00 GMT", False),
        ("2010-13-01", False),
        ("soon", False),
        ("", False),
        ("9" * 1_000, False),
    ],
)
def test_a_page_asks_not_to_be_indexed_after_a_date(date: str, *, is_past: bool) -> None:
    """In each of the usual forms, in the header and in the element; what is no date says nothing."""
    said = f"unavailable_after: {date}, nofollow"
    found = Directives(noindex=is_past, nofollow=True)
    assert directives_of({"x-robots-tag": said}, "", NOW) == found
    assert directives_of({}, said, NOW) == found
    assert directives_of({}, said) == Directives(nofollow=True)


@pytest.mark.parametrize(
    ("header", "noindex"),
    [
        ("otherbot: unavailable_after: 2010-01-01", False),
        ("otherbot: unavailable_after: Fri, 01 Jan 2010 00:00:00 GMT", False),
        ("otherbot: unavailable_after: Fri, 01 Jan 2010 00:00:00 GMT\nunavailable_after: 2030-01-01", False),
        ("crawlfarm: unavailable_after: Fri, 01 Jan 2010 00:00:00 GMT", True),
        ("unavailable_after: 2030-01-01, unavailable_after: 2010-01-01", True),
        ("unavailable_after: Fri, " + "1, " * 5_000, False),
    ],
)
def test_a_date_counts_that_is_said_to_us(header: str, *, noindex: bool) -> None:
    """Of several the first one to pass."""
    assert directives_of({"x-robots-tag": header}, "", NOW).noindex is noindex


@given(st.text(max_size=50), st.text("abnoidexfw:,\n *", max_size=50))
@example("," * 1_000_000 + "nofollow", "nofollow")
@example("", "a:" * 1_000_000 + "noindex")
@example("unavailable_after:2030," * 100_000, "unavailable_after:1," * 100_000)
def test_any_directives_are_read(meta: str, header: str) -> None:
    """No more of them than the cap."""
    found = directives_of({"x-robots-tag": header}, meta, NOW)
    cut = {"x-robots-tag": header[:LONGEST_DIRECTIVES]}
    assert found == directives_of(cut, meta[:LONGEST_DIRECTIVES], NOW)
