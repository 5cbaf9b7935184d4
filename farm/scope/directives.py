"""The directives of a page for robots: `noindex` and `nofollow`.

They are in the header `X-Robots-Tag` and in meta elements named `robots`. Both use the same words. A line of the
header may address one robot (`otherbot: noindex`); what is for others does not count. What several lines say adds
up, and a robot's name holds up to the next one or the end of its line.

`unavailable_after` and a date say `noindex` from this date on; what is no date says nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from farm.scope.dates import LONGEST_DATE, moment_of
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


def directives_of(headers: Mapping[str, str], meta: str, now: datetime | None = None) -> Directives:
    """Read a page's headers (names in lower case) and the content of its meta element.

    `now` is when the page was read; without it dates are not looked at.
    """
    words: set[str] = set()
    dates: list[str] = []
    _read(meta[:LONGEST_DIRECTIVES].lower(), words, dates, names_robots=False)
    for line in headers.get("x-robots-tag", "")[:LONGEST_DIRECTIVES].lower().split("\n"):
        _read(line, words, dates, names_robots=True)
    noindex = bool(words & {"noindex", "none"}) or (
        now is not None and any(_is_past(one, now) for one in dates)
    )
    return Directives(noindex, bool(words & {"nofollow", "none"}))


def _read(line: str, words: set[str], dates: list[str], *, names_robots: bool) -> None:
    """Add the directives of a line, in lower case, that address us or every robot, and their dates."""
    is_ours, is_dated = True, False
    for part in map(str.strip, line.split(",")):
        if is_dated and part[:1].isdigit():
            # `25 Jun 2030 15:00:00 PST` of a date that begins with its weekday.
            if is_ours:
                dates[-1] = f"{dates[-1]}, {part}"[:LONGEST_DATE]
            continue
        name, colon, rest = map(str.strip, part.partition(":"))
        if names_robots and colon and name not in _WORDS and _ROBOT.fullmatch(name):
            is_ours = name == "*" or is_named(name, TOKEN)
            name, _, rest = map(str.strip, rest.partition(":"))
        is_dated = name == _DATED
        if is_ours:
            words.update(name.split())
        if is_ours and is_dated:
            dates.append(rest[:LONGEST_DATE])


def _is_past(date: str, now: datetime) -> bool:
    # RFC 850 and 822 are read in either case, ISO 8601 in capitals alone.
    moment = moment_of(date.upper())
    return moment is not None and moment <= now
