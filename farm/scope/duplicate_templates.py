"""Families of addresses that all show the same: told by the pages' content, counted, and stopped after a while.

A family are the addresses of one site that differ only in numbers, in their last word or in the values of
their parameters. What always holds: a page that nobody has seen before weighs more than one that repeats
another, so that a catalogue of pages that differ is crawled whole; a family that was stopped is looked at now
and then, and goes on when it shows something new (a site may have been out of order); what is remembered is
bounded, and is a node's own, so that several nodes let through a few more each.
"""

import logging
import re
from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

log = logging.getLogger("farm.scope")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class DuplicateParams:
    """A family is stopped at a score of `most`; a page that repeats another adds 1, a new one takes `forgives`.

    Of a stopped family one visit in `look_every` takes place. A text of fewer than `short` characters says little
    about a page: there the HTML is compared. What is remembered are so many pages, with addresses of so many
    characters in all, and so many families.
    """

    most: int = 50
    forgives: int = 10
    look_every: int = 50
    short: int = 100
    remembered: int = 50_000
    remembered_chars: int = 8_000_000
    families: int = 20_000


class DuplicateTemplates:
    """Hears of every page that was kept, and says which addresses need no visit."""

    def __init__(self, params: DuplicateParams | None = None) -> None:
        self._params = params or DuplicateParams()
        self._shown: OrderedDict[bytes, str] = OrderedDict()
        self._shown_chars = 0
        self._scores: OrderedDict[bytes, int] = OrderedDict()
        self._passed_over: Counter[bytes] = Counter()
        self.repeated = 0

    def note(self, url: str, title: str, text: str, html: str) -> str | None:
        """Take in a page; return the address that showed the same before, if there is one."""
        words = " ".join(text.split())
        content = words if len(words) >= self._params.short else html
        family = template_of(url)
        site = family.partition("/")[0]
        digest = _digest(f"{site}\n{title}\n{content}")
        first = self._shown.get(digest)
        if first is None:
            first = self._shown[digest] = url
            self._shown_chars += len(url)
        self._shown.move_to_end(digest)
        is_new = first == url
        self.repeated += not is_new
        self._score(family, -self._params.forgives if is_new else 1)
        while len(self._shown) > self._params.remembered or self._shown_chars > self._params.remembered_chars:
            self._shown_chars -= len(self._shown.popitem(last=False)[1])
        return None if is_new else first

    def is_stopped(self, url: str) -> bool:
        """Whether the address is one of a family that shows the same everywhere."""
        return self._scores.get(_digest(template_of(url)), 0) >= self._params.most

    def should_skip(self, url: str) -> bool:
        """Whether a visit need not take place: it would be to a stopped family, and no look at it is due."""
        family = _digest(template_of(url))
        if self._scores.get(family, 0) < self._params.most:
            return False
        self._passed_over[family] += 1
        return self._passed_over[family] % self._params.look_every != 0

    def _score(self, family: str, change: int) -> None:
        key = _digest(family)
        before = self._scores.pop(key, 0)
        if before >= self._params.most and change > 0:
            # What was under way when it was stopped, and what a look at it showed.
            change = 0
        after = self._scores[key] = max(0, before + change)
        if before < self._params.most <= after:
            log.info("%s shows the same under all its addresses, and is left", family)
        elif after < self._params.most <= before:
            del self._passed_over[key]
            log.info("%s shows something new, and is visited again", family)
        while len(self._scores) > self._params.families:
            self._passed_over.pop(self._scores.popitem(last=False)[0], None)


def template_of(url: str) -> str:
    """Return what a canonical URL has in common with its family: `shop.example/p/*?page`."""
    address, _, query = url.partition("?")
    site, _, path = address.split("/", 2)[2].partition("/")
    *folders, last = path.split("/")
    if last:
        numbered = _DIGITS.sub("#", last)
        last = numbered if numbered != last else "*"
    names = "&".join(sorted({part.partition("=")[0] for part in query.split("&")})) if query else ""
    parts = [*(_DIGITS.sub("#", folder) for folder in folders), last]
    return f"{site}/{'/'.join(parts)}{'?' if names else ''}{names}"


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()
