"""What of a page the rules look at, prepared once.

What always holds: the cost is bounded, whatever the page. Pages that keep a visitor out are short, so markup is
searched in the beginning of a short page's document only.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farm.model.page import RenderedPage

URL_CHARS = 8_000
HEADER_CHARS = 1_000
MARKUP_CHARS = 200_000
TEXT_CHARS = 4_000
_HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class PageFeatures:
    """A page as the rules see it: `markup` and `words` in lower case, and empty for a long page."""

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
    """Prepare a page."""
    # With so much to read on it, a page is what it says: no rule looks at its words or its markup.
    is_long = len(page.text) > TEXT_CHARS
    words = "" if is_long else " ".join(page.text.split())
    return PageFeatures(
        status=page.status,
        headers={name.lower(): value[:HEADER_CHARS] for name, value in page.headers.items()},
        is_html=page.content_type.partition(";")[0].strip().lower() in _HTML,
        title=" ".join(page.title[:300].split()),
        words=words.lower(),
        # A page of nothing but white space is an empty one.
        text_chars=len(page.text) if is_long else len(words),
        markup="" if is_long else page.html[:MARKUP_CHARS].lower(),
        links=len(page.links),
        final_url=page.final_url[:URL_CHARS],
        redirects=page.redirects,
    )


def tags(opening: re.Pattern[str], markup: str) -> Iterator[str]:
    """Return each tag that begins as `opening` says, which takes all up to its `>`; reads the markup once.

    `opening` ends with `[^>]*`, so that it matches wherever a tag begins and goes on behind that tag.
    """
    return (found[0] for found in opening.finditer(markup))
