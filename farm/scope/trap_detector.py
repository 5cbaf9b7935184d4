"""Crawler traps: addresses that a site generates endlessly, recognised by their shape and values.

Invariants: numbers alone make no trap, so that a catalogue of any size is crawled whole; a judgement takes
time linear in the length of the address; memory is bounded. Each node has its own, so that several nodes let a few
more addresses through.

- a path that repeats itself: `/a/a/a/`, `/a/b/a/b/a/b/`
- a calendar beyond the years that have dates, or with many pages before 1970
- a page under a second session id
- filters: several parameters of one path vary, in more combinations than the cap
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from operator import eq

from farm.model.url import relative_url_of, site_of

FIRST_YEAR = 1970
YEARS_AHEAD = 2
LONGEST_PART = 8
"""Folders; a longer repeated part of a path is not searched for, so that the search stays linear."""
_RANDOM_CHARS, _RANDOM_DIGITS = 16, 20
_REMEMBERED, _REMEMBERED_CHARS = 8192, 500
"""Most links of a page are those of the page before; longer addresses are seldom in a menu."""
_NAMES = 64
"""Parameters of one path that are compared; filters have fewer."""
_SESSION = re.compile(
    r"(;jsessionid=[^;?#/]*)"
    r"|(?<=[?&])(?:phpsessid|jsessionid|cfid|cftoken|aspsessionid[a-z]{0,12}|(sid|session_?id))=([^&#]*)&?",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"[a-z0-9_-]+", re.IGNORECASE)
# Only where a path calls itself a calendar: `/product/4711/12` is a product.
_CALENDAR = re.compile(r"calend|kalend|agenda|event|schedule", re.IGNORECASE)
_IN_PATH = re.compile(r"/(\d{4})[/-](?:0?[1-9]|1[0-2])(?![0-9])")
_IN_QUERY = re.compile(r"[?&](?:year=|(?:date|month|day)=(?=\d{4}-))(\d{4})(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TrapParams:
    """`repeats` of a part of the path in a row; `combinations` in which `parameters` or more of one path vary.

    `past` is how many addresses of one calendar may lie before 1970: an archive has that many, an endless calendar
    more.
    """

    this_year: int
    repeats: int = 3
    combinations: int = 1000
    parameters: int = 3
    past: int = 500
    remembered: int = 20_000


@dataclass(slots=True)
class _Combined:
    """The parameters of one path: their combinations, each one's first value, and which of them vary."""

    seen: set[bytes] = field(default_factory=set)
    first: dict[str, str] = field(default_factory=dict)
    varied: set[str] = field(default_factory=set)

    def compare(self, parts: Sequence[str]) -> None:
        """Compare the parameters of another address; one that is missing or new in an address varies."""
        values = dict(part.partition("=")[::2] for part in parts[:_NAMES])
        if not self.seen:
            self.first = values
            return
        self.varied.update(name for name, value in self.first.items() if values.get(name) != value)
        for name in values.keys() - self.first.keys():
            if len(self.varied) < _NAMES:
                self.varied.add(name)


class TrapDetector:
    """Judges canonical URLs in the order in which they are found."""

    def __init__(self, params: TrapParams) -> None:
        self._params = params
        self._sessions: OrderedDict[bytes, bytes] = OrderedDict()
        self._combined: OrderedDict[bytes, _Combined] = OrderedDict()
        self._past: OrderedDict[bytes, set[bytes]] = OrderedDict()
        self._by_shape = lru_cache(_REMEMBERED)(self._shape)

    def is_trap(self, url: str) -> bool:
        """Return whether the URL is a trap."""
        is_known = self._by_shape(url) if len(url) <= _REMEMBERED_CHARS else None
        if is_known is not None:
            return is_known
        path = _path_of(url)
        return (
            self._repeats(path.split("/"))
            or self._beyond(url, path)
            or self._other_session(url)
            or self._facets(url)
        )

    def _shape(self, url: str) -> bool | None:
        """Return whether the URL is a trap if that depends on it alone; None if it depends on others too."""
        path = _path_of(url)
        if self._repeats(path.split("/")):
            return True
        return None if "?" in url or ";" in url or _CALENDAR.search(path) else False

    def _repeats(self, segments: list[str]) -> bool:
        times = self._params.repeats
        if len(set(segments)) == len(segments):
            return False
        for length in range(1, min(LONGEST_PART, len(segments) // times) + 1):
            # A part repeats in a row where that many segments equal the ones one part later.
            same = bytes(map(eq, segments, segments[length:]))
            row = b"\1" * (length * (times - 1))
            start = same.find(row)
            while start >= 0:
                # Numbers repeat by chance: `/1/1/1` is a chapter.
                if not all(one == "" or one.isdigit() for one in segments[start : start + length]):
                    return True
                # All of this run repeats that part: the next candidate begins after it.
                end = same.find(b"\0", start)
                start = same.find(row, end) if end >= 0 else -1
        return False

    def _beyond(self, url: str, path: str) -> bool:
        found = _calendar_year(path) or ("?" in url and _IN_QUERY.search(url)) or None
        if found is None:
            return False
        year = int(found[1])
        if year >= FIRST_YEAR:
            return year > self._params.this_year + YEARS_AHEAD
        before = path[: found.start(1)] if found.string is path else path
        calendar, this = _digest(f"{site_of(url)}/{before}"), _digest(url)
        seen = self._past.setdefault(calendar, set())
        self._past.move_to_end(calendar)
        if this not in seen and len(seen) >= self._params.past:
            return True
        seen.add(this)
        if len(self._past) > self._params.remembered // 100:
            self._past.popitem(last=False)
        return False

    def _other_session(self, url: str) -> bool:
        if "?" not in url and ";" not in url:
            return False
        plain = _SESSION.sub(_without_session, url)
        if plain == url:
            return False
        key, this = _digest(plain), _digest(url)
        first = self._sessions.setdefault(key, this)
        while len(self._sessions) > self._params.remembered:
            self._sessions.popitem(last=False)
        return first != this

    def _facets(self, url: str) -> bool:
        path, _, query = url.partition("?")
        if query.count("&") + 1 < self._params.parameters or not query:
            return False
        key = _digest(path)
        known = self._combined.setdefault(key, _Combined())
        self._combined.move_to_end(key)
        parts = query.split("&")
        this = _digest("&".join(sorted(parts)))
        if this in known.seen:
            return False
        known.compare(parts)
        if len(known.seen) >= self._params.combinations:
            return len(known.varied) >= self._params.parameters
        known.seen.add(this)
        if len(self._combined) > self._params.remembered // 100:
            self._combined.popitem(last=False)
        return False


def _path_of(url: str) -> str:
    return relative_url_of(url)[1:].partition("?")[0]


def _without_session(match: re.Match[str]) -> str:
    """Return an empty text for a session id, and any other parameter unchanged.

    Where the name is ambiguous (`sid` is also a story's number) the value has to look random.
    """
    if match[2] is None:
        return ""
    value = match[3]
    is_long = len(value) >= (_RANDOM_DIGITS if value.isdigit() else _RANDOM_CHARS)
    is_random = is_long and _RANDOM.fullmatch(value) and any(map(str.isdigit, value))
    return "" if is_random else match[0]


def _calendar_year(path: str) -> re.Match[str] | None:
    """Return the last year with a month below a folder that is named like a calendar."""
    named = _CALENDAR.search(path)
    if named is None:
        return None
    below = path.find("/", named.end())
    last = None
    for last in _IN_PATH.finditer(path, below) if below >= 0 else ():  # noqa: B007
        pass
    return last


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()
