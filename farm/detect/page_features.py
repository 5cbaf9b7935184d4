"""The features of a page that the rules read, extracted once.

Invariant: the cost is bounded for any page. Pages that keep a visitor out are short, so the rules read the markup
and words of short pages only, and of their markup only the beginning.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farm.model.egress import media_type_of
from farm.model.page import RenderedPage

URL_CHARS = 8_000
HEADER_CHARS = 1_000
MARKUP_CHARS = 200_000
TEXT_CHARS = 4_000
LONGEST_SIGN = 120
_HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class PageFeatures:
    """The features of a page. `markup` and `words` are in lower case, and empty for a long page."""

    status: int
    headers: Mapping[str, str]
    is_html: bool
    title: str
    words: str
    text_chars: int
    markup: str
    links: int
    final_url: str
    redirects: tuple[str, ...]


def features_of(page: RenderedPage) -> PageFeatures:
    """Return the features of a page."""
    # A page with this much text is the requested one: no rule reads its words or markup.
    is_long = len(page.text) > TEXT_CHARS
    words = "" if is_long else " ".join(page.text.split())
    return PageFeatures(
        status=page.status,
        headers={name.lower(): value[:HEADER_CHARS] for name, value in page.headers.items()},
        is_html=media_type_of(page.content_type) in _HTML,
        title=" ".join(page.title[:300].split()),
        words=words.lower(),
        # A page with white space only counts as empty.
        text_chars=len(page.text) if is_long else len(words),
        markup="" if is_long else page.html[:MARKUP_CHARS].lower(),
        links=len(page.links),
        final_url=page.final_url[:URL_CHARS],
        redirects=page.redirects,
    )


def tags(opening: re.Pattern[str], markup: str) -> Iterator[str]:
    """Yield each tag that matches `opening`, without its `>`; linear in the length of the markup.

    `opening` must end with `[^>]*`, so that each match consumes the whole tag.
    """
    return (found[0] for found in opening.finditer(markup))
