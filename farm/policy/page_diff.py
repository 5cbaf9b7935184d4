"""How a page of a cheaper renderer differs from the browser's, in what a record keeps.

Compared are status, final address, title, what the page is (a block, a captcha, ...), what it says of itself to
programs, the links as a set, and the visible text by its lines. Where the two differ, the browser visits the page
again: what differs between visits by the browser is chance, and is no difference.

For links and lines that means: what all of the browser's pages have, the cheap one must have, and of all else it
may have as many as they do. So a page that shows other offers on each visit agrees, and one that shows none does
not. A third visit by the browser tells what two have in common by chance.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import Any

from farm.model.page import Detection, RenderedPage
from farm.model.tiers import EXAMPLE_CHARS

BROWSER_VISITS = 3
"""So often the browser visits a page at most to tell a difference from chance."""
_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What is compared of a page; `lines` and `links` count how often each occurs, links once at most.

    Images and media are among the links, where they are listed.
    """

    single: Mapping[str, Any]
    links: Counter[str] = field(repr=False)
    lines: Counter[str] = field(repr=False)

    @classmethod
    def of(cls, page: RenderedPage, detection: Detection | None, fields: Any = None) -> "PageFacts":
        """Return the facts of a page; `fields` are what was extracted of it, in any form that can be compared."""
        images = (one.url for one in (page.images or ()))
        media = (one.url for one in (page.media or ()))
        urls = (*(link.url for link in page.links), *images, *media)
        return cls(
            {
                "status": page.status,
                "final address": page.final_url,
                "title": _plain(page.title),
                "finding": detection.finding if detection is not None else None,
                "metadata": page.metadata or None,
                "canonical address": page.canonical,
                "robots": page.robots,
                "fields": fields,
            },
            Counter(dict.fromkeys(urls, 1)),
            Counter(line for line in map(_plain, page.text.splitlines()) if line),
        )


def difference(browser: Sequence[PageFacts], cheap: PageFacts) -> str | None:
    """Return how the cheap page differs from the browser's, None where it does not.

    `browser` are one or several visits of the browser: what differs between them is not counted.
    """
    for name, value in browser[0].single.items():
        others = [one.single[name] for one in browser]
        if cheap.single[name] not in others and others == [value] * len(others):
            return _cut(f"{name}: {_shown(cheap.single[name])} in place of {_shown(value)}")
    for name in ("links", "lines"):
        found = _unlike([getattr(one, name) for one in browser], getattr(cheap, name))
        if found is not None:
            return _cut(f"{name}: {found}")
    return None


def _unlike(browser: Sequence[Counter[str]], cheap: Counter[str]) -> str | None:
    """Return what the cheap page lacks, or has too much of; None where chance explains it."""
    if cheap in browser:
        return None
    stable = reduce(and_, browser)
    lacks = stable - cheap
    if lacks:
        return f"lacks {lacks.total()}, such as {_shown(next(iter(lacks)))}"
    own = cheap - stable
    # The visits show how many there may be, and how much that number moves.
    counts = [(one - stable).total() for one in browser]
    least, most = min(counts), max(counts)
    slack = most - least
    if own.total() > most + slack:
        return f"has {own.total() - most} more, such as {_shown(next(iter(own)))}"
    if own.total() < least - slack:
        return f"has {least - own.total()} fewer of those that are others on each visit"
    return None


def _plain(text: str) -> str:
    return " ".join(text.split())


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")


def _cut(text: str) -> str:
    return text[:EXAMPLE_CHARS]
