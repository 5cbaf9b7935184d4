"""Crawler traps: addresses that a site makes without end, told by their shape.

What always holds: numbers alone make no trap, so that a catalogue of any size is crawled whole; what is remembered
is bounded, and is a node's own, so that several nodes let through a few more each.

- a path that repeats itself: `/a/a/a/`, `/a/b/a/b/a/b/`
- a calendar that has left the years in which there is something to see
- a page under another session id, of which it was seen under one
- filters that are combined without end: one path with several parameters, in more combinations than the cap
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

FIRST_YEAR = 1970
YEARS_AHEAD = 2
_SESSION = re.compile(
    r"(?:;jsessionid=[^?#/]*"
    r"|(?<=[?&])(?:phpsessid|jsessionid|sessionid|session_id|sid|cfid|cftoken|aspsessionid\w*)=[^&#]*&?)",
    re.IGNORECASE,
)
# Only where a path calls itself a calendar: `/product/4711/12` is a product.
_IN_PATH = re.compile(
    r"/[^/?]*(?:calend|kalend|agenda|event|schedule)[^/?]*/(?:[^?]*/)?(\d{4})[/-](?:0?[1-9]|1[0-2])(?![0-9])",
    re.IGNORECASE,
)
_IN_QUERY = re.compile(r"[?&](?:year=|(?:date|month|day)=(?=\d{4}-))(\d{4})(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TrapParams:
    """`repeats` of a part of the path in a row; `combinations` of `parameters` or more that one path may have."""

    this_year: int
    repeats: int = 3
    combinations: int = 1000
    parameters: int = 3
    remembered: int = 20_000


class TrapWatch:
    """Judges canonical URLs, in the order in which they are met."""

    def __init__(self, params: TrapParams) -> None:
        self._params = params
        self._sessions: OrderedDict[bytes, bytes] = OrderedDict()
        self._combined: OrderedDict[str, set[bytes]] = OrderedDict()

    def springs(self, url: str) -> bool:
        """Whether the URL is one that a site makes without end."""
        path = url.split("/", 3)[3].partition("?")[0]
        return (
            self._repeats(path.split("/"))
            or self._beyond(url)
            or self._other_session(url)
            or self._facets(url)
        )

    def _repeats(self, segments: list[str]) -> bool:
        times = self._params.repeats
        for length in range(1, len(segments) // times + 1):
            for start in range(len(segments) - length * times + 1):
                part = segments[start : start + length]
                # Numbers repeat by chance: `/1/1/1` is a chapter.
                if all(one == "" or one.isdigit() for one in part):
                    continue
                if segments[start : start + length * times] == part * times:
                    return True
        return False

    def _beyond(self, url: str) -> bool:
        found = _IN_PATH.search(url, 8) or _IN_QUERY.search(url)
        return found is not None and not FIRST_YEAR <= int(found[1]) <= self._params.this_year + YEARS_AHEAD

    def _other_session(self, url: str) -> bool:
        plain = _SESSION.sub("", url)
        if plain == url:
            return False
        key, this = _digest(plain), _digest(url)
        first = self._sessions.setdefault(key, this)
        self._forget(self._sessions)
        return first != this

    def _facets(self, url: str) -> bool:
        path, _, query = url.partition("?")
        if query.count("&") + 1 < self._params.parameters or not query:
            return False
        seen = self._combined.setdefault(path, set())
        self._combined.move_to_end(path)
        this = _digest("&".join(sorted(query.split("&"))))
        if this in seen:
            return False
        if len(seen) >= self._params.combinations:
            return True
        seen.add(this)
        if len(self._combined) > self._params.remembered // 100:
            self._combined.popitem(last=False)
        return False

    def _forget(self, known: OrderedDict[bytes, bytes]) -> None:
        while len(known) > self._params.remembered:
            known.popitem(last=False)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()
