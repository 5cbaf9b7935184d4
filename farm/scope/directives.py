"""A page's directives for robots: the header `X-Robots-Tag` and the meta element `robots`.

Both use the same words. A header may address one robot (`otherbot: noindex`); those for others do not count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farm.scope.robots import TOKEN

# These words take a value after a colon, so the text before it is no robot's name.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})

LONGEST = 16_384
"""Characters that are read of the element and of the header each."""


@dataclass(frozen=True, slots=True)
class Directives:
    """`noindex` is only recorded; with `nofollow` no link of the page is followed."""

    noindex: bool = False
    nofollow: bool = False


def directives_of(headers: Mapping[str, str], meta: str) -> Directives:
    """Read a page's headers (names in lower case) and the content of its meta element."""
    words = {word.strip().lower() for word in meta[:LONGEST].split(",")}
    words.update(_words_for_us(headers.get("x-robots-tag", "")[:LONGEST]))
    return Directives(bool(words & {"noindex", "none"}), bool(words & {"nofollow", "none"}))


def _words_for_us(value: str) -> Iterator[str]:
    # Several headers arrive as one value, joined by line breaks or commas; a name applies until the next one.
    for header in value.split("\n"):
        addressed = True
        for part in header.split(","):
            name, colon, rest = part.partition(":")
            word = part
            if colon and name.strip().lower() not in _VALUED:
                addressed, word = name.strip().lower() in {TOKEN, "*"}, rest
            if addressed:
                yield word.strip().lower()
