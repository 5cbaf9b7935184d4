"""The directives of a page for robots: `noindex` and `nofollow`.

They are in the header `X-Robots-Tag` and in meta elements named `robots`. Both use the same words. A line of the
header may address one robot (`otherbot: noindex`); what is for others does not count. What several lines say adds
up, and a robot's name holds up to the next one or the end of its line.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from farm.scope.robots import TOKEN, is_named

# What comes before a colon and is no robot's name: words that take a value, and those that some write one behind.
_DATED = "unavailable_after"
_WORDS = frozenset(
    {_DATED, "max-snippet", "max-image-preview", "max-video-preview", "noindex", "nofollow", "none"}
)
_ROBOT = re.compile(r"\*|[A-Za-z0-9][^\s,:]*")

LONGEST_DIRECTIVES = 16_384
"""Characters that are read of the element and of the header each."""


@dataclass(frozen=True, slots=True)
class Directives:
    """`noindex` is only recorded; with `nofollow` no link of the page is followed."""

    noindex: bool = False
    nofollow: bool = False


def directives_of(headers: Mapping[str, str], meta: str) -> Directives:
    """Read a page's headers (names in lower case) and the content of its meta element."""
    words: set[str] = set()
    for part in meta[:LONGEST_DIRECTIVES].lower().split(","):
        words.update(part.partition(":")[0].split())
    for line in headers.get("x-robots-tag", "")[:LONGEST_DIRECTIVES].lower().split("\n"):
        words.update(_words_for_us(line))
    return Directives(bool(words & {"noindex", "none"}), bool(words & {"nofollow", "none"}))


def _words_for_us(line: str) -> Iterator[str]:
    """Yield the directives of a line of the header, in lower case, that address us or every robot."""
    is_ours, is_dated = True, False
    for part in map(str.strip, line.split(",")):
        if is_dated and part[:1].isdigit():
            # `25 Jun 2030 15:00:00 PST` of a date that begins with its weekday.
            continue
        name, colon, rest = map(str.strip, part.partition(":"))
        if colon and name not in _WORDS and _ROBOT.fullmatch(name):
            is_ours = name == "*" or is_named(name, TOKEN)
            name = rest.partition(":")[0].strip()
        is_dated = name == _DATED
        if is_ours:
            yield from name.split()
