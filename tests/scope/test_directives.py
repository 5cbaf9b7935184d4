"""What a page says to robots about itself."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.scope.directives import LONGEST_DIRECTIVES, Directives, directives_of


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


@given(st.text(max_size=50), st.text("abnoidexfw:,\n *", max_size=50))
@example("," * 1_000_000 + "nofollow", "nofollow")
@example("", "a:" * 1_000_000 + "noindex")
def test_any_directives_are_read(meta: str, header: str) -> None:
    """No more of them than the cap."""
    found = directives_of({"x-robots-tag": header}, meta)
    assert found == directives_of({"x-robots-tag": header[:LONGEST_DIRECTIVES]}, meta[:LONGEST_DIRECTIVES])
