"""The template of a URL: what the addresses of one kind of page have in common.

A template never spans sites. Addresses share one where they differ only in numbers, in identifiers (hex digits,
UUIDs, random letters and digits), in their last segment, or in the values of their parameters. It is a function of
the address alone, in time linear in its length, so that every node comes to the same.
"""

import re

from farm.model.url import relative_url_of, site_of

_DIGITS = re.compile(r"\d+")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{8,}\Z")
_FEW_DIGITS = 3
"""A word with a number has fewer, or all of them in a row: `lamp-17`, `spring-2026`."""


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
    """Return a segment with `#` for each number, and `*` where it is an identifier."""
    runs = _DIGITS.findall(segment)
    if len(runs) > 1 and sum(map(len, runs)) >= _FEW_DIGITS and _IDENTIFIER.match(segment):
        # Digits among letters: the letters of an identifier say nothing either.
        letters = _DIGITS.sub("", segment).replace("-", "").replace("_", "")
        if letters and _is_random(segment):
            return "*"
    return _DIGITS.sub("#", segment)


def _is_random(segment: str) -> bool:
    """Return whether letters and digits alternate within words, as they do in hex digits and random names."""
    words = re.split(r"[-_]", segment)
    changes = sum(
        one.isdigit() != other.isdigit()
        for word in words
        for one, other in zip(word, word[1:], strict=False)
    )
    return changes >= _FEW_DIGITS
