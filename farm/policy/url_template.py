"""The template of a URL: the common form of the addresses of one kind of page.

A template never spans sites. Addresses share one where they differ only in numbers, in identifiers (hex digits,
UUIDs, random letters and digits), in their last segment, or in the values of their parameters. It is a function of
the address alone, in time linear in its length, so that every node computes the same.
"""

import re
from itertools import pairwise

from farm.model.url import relative_url_of, site_of

_DIGITS = re.compile(r"\d+")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{8,}\Z")
_CHANGES = 3
"""Between letters and digits; a word with a number has fewer: `lamp-17`, `spring-2026`, `mp3player`."""


def template_of(url: str) -> str:
    """Return the template of a canonical URL, such as `shop.example/p/*?page`."""
    address, _, query = url.partition("?")
    site, path = site_of(address), relative_url_of(address)[1:]
    *folders, last = path.split("/")
    if last:
        folded = _folded(last)
        last = folded if folded != last else "*"
    names = "&".join(sorted({part.partition("=")[0] for part in query.split("&")})) if query else ""
    parts = [*map(_folded, folders), last]
    return f"{site}/{'/'.join(parts)}{'?' if names else ''}{names}"


def _folded(segment: str) -> str:
    """Return a segment with `#` for each number; `*` where it is an identifier, with its letters."""
    if _IDENTIFIER.match(segment) and not segment.isalpha() and _is_random(segment):
        return "*"
    return _DIGITS.sub("#", segment)


def _is_random(segment: str) -> bool:
    """Return whether letters and digits alternate within words, as they do in hex digits and random names."""
    words = segment.replace("_", "-").split("-")
    changes = (one.isdigit() != other.isdigit() for word in words for one, other in pairwise(word))
    return sum(changes) >= _CHANGES
