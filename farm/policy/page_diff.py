"""How the pages of a cheaper renderer differ from the browser's, in what a record keeps.

Compared are status, final address, title, language, what the page is (a block, a captcha, ...), what it says of
itself to programs, the links as a set, with `nofollow`, and the visible text by its lines. Where lines are broken
is no difference: a style sheet decides that, which a cheap renderer may not know. Where two pages differ, both
renderers visit the page again: what differs between visits by one renderer is chance.

So what all visits of the one have, and what all visits of the other have, must be the same, and what is another on
each visit must be as much: a page that shows other offers on each visit agrees, and one that shows none does not.
With one cheap visit alone it is enough that it has what all of the browser's have, and of all else as many as
they.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import Any

from farm.model.page import Detection, RenderedPage
from farm.model.tiers import EXAMPLE_CHARS

MOST_VISITS = 3
"""How often each renderer visits a page at most, to tell a difference from random content."""
_TIMES = 2
"""How many characters more or less of random content than the browser's are tolerated."""
_NOT_FOLLOWED = " nofollow"
"""Behind the address of such a link: no address has a space."""
_EACH_CHARS = 40
"""What a line, or a link, costs beside its characters."""
_SHOWN_CHARS = 80
_SEARCHED = 200
"""How many lines are searched for an example that is missing in any form."""
_Lines = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PageFacts:
    """The compared facts of a page: single values, links in the order of their addresses, and lines of text.

    Images and media are among the links if they are listed; each is in it once.
    """

    single: Mapping[str, Any]
    links: tuple[str, ...] = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, page: RenderedPage, detection: Detection | None, fields: Any = None) -> "PageFacts":
        """Return the facts of a page; `fields` are the extracted items, in any form that can be compared."""
        images = (one.url for one in (page.images or ()))
        media = (one.url for one in (page.media or ()))
        links = (
            f"{one.url}{_NOT_FOLLOWED}" if "nofollow" in one.rel.lower() else one.url for one in page.links
        )
        urls = (*links, *images, *media)
        return cls(
            {
                "status": page.status,
                "final address": page.final_url,
                "title": _plain(page.title),
                "language": page.lang,
                "finding": detection.finding if detection is not None else None,
                "metadata": page.metadata or None,
                "canonical address": page.canonical,
                "robots": page.robots,
                "fields": fields,
            },
            tuple(sorted({*urls})),
            tuple(line for line in map(_plain, page.text.splitlines()) if line),
        )

    @property
    def size(self) -> int:
        """How much a comparison has to go through, in characters."""
        parts = (self.lines, self.links)
        return sum(sum(map(len, part)) + _EACH_CHARS * len(part) for part in parts)


def difference(browser: Sequence[PageFacts], cheap: Sequence[PageFacts]) -> str | None:
    """Return how the cheap pages differ from the browser's, None if they do not.

    Both are one or several visits of the same page.
    """
    for name, value in browser[0].single.items():
        others, cheaps = ([one.single[name] for one in pages] for pages in (browser, cheap))
        if cheaps[0] not in others and others == [value] * len(others):
            return _cut(f"{name}: {_shown(cheaps[0])} in place of {_shown(value)}")
    for name in ("links", "lines"):
        found = _unlike([getattr(one, name) for one in browser], [getattr(one, name) for one in cheap])
        if found is not None:
            return _cut(f"{name}: {found}")
    return None


def _unlike(browser: Sequence[_Lines], cheap: Sequence[_Lines]) -> str | None:
    """Return what the cheap pages lack, or have too much of; None if layout or random content explains it."""
    if any(_is_same(one, other) for one in browser for other in cheap):
        return None
    stable = _shared(browser)
    if len(cheap) == 1:
        lacks, own = _without(stable, cheap[0]), _without(cheap[0], stable)
        if lacks:
            return _lacking(lacks, cheap[0])
        # The visits show how many there may be, and how much that number moves.
        counts = [len(_without(one, stable)) for one in browser]
        least, most = min(counts), max(counts)
        return _amiss(own, len(own), least - (most - least), most + (most - least))
    of_cheap = _shared(cheap)
    if not _is_same(stable, of_cheap):
        lacks, own = _without(stable, of_cheap), _without(of_cheap, stable)
        return _lacking(lacks, of_cheap) if lacks else _amiss(own, len(own), 0, 0)
    chars = [len(_joined(_without(one, stable))) for one in browser]
    own = _without(cheap[0], of_cheap)
    return _amiss(own, len(_joined(own)), min(chars) / _TIMES, max(chars) * _TIMES)


def _shared(pages: Sequence[_Lines]) -> _Lines:
    """Return the lines that all of the pages have, in the order of the first."""
    left = reduce(and_, map(Counter, pages))
    return _taken(pages[0], left)


def _without(one: _Lines, other: _Lines) -> _Lines:
    """Return the lines that are missing in the other, or are less frequent there, in their order."""
    return _taken(one, Counter(one) - Counter(other))


def _taken(lines: _Lines, left: Counter[str]) -> _Lines:
    kept = []
    for line in lines:
        if left[line] > 0:
            left[line] -= 1
            kept.append(line)
    return tuple(kept)


def _is_same(one: _Lines, other: _Lines) -> bool:
    """Return whether two pages have the same text, wherever its lines are broken."""
    return (
        one == other
        or _joined(one) == _joined(other)
        or _joined(_without(one, other)) == _joined(_without(other, one))
    )


def _joined(lines: _Lines) -> str:
    return "".join("".join(lines).split())


def _lacking(lines: _Lines, cheap: _Lines) -> str:
    """Say how many lines are missing, with an example that is missing in any form, if there is one."""
    there = _joined(cheap)
    missing = [line for line in lines[:_SEARCHED] if _joined((line,)) not in there] or lines
    return f"lacks {len(missing)}, such as {_shown(missing[0])}"


def _amiss(own: _Lines, amount: float, least: float, most: float) -> str | None:
    """Say that there is more or less content than allowed; None if the amount is within its bounds."""
    if amount > most:
        example = f", such as {_shown(own[0])}" if own else ""
        return f"has {len(own)} that the browser has not{example}"
    return "has fewer of those that are others on each visit" if amount < least else None


def _plain(text: str) -> str:
    return " ".join(text.split())


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


def _cut(text: str) -> str:
    return text[:EXAMPLE_CHARS]
