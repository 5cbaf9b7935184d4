"""How deep the elements of a page are nested, found out before a parser is given it.

At many a tag an HTML parser looks through all elements that are open: of 200,000 in each other it looks 20 billion
times, and nothing can interrupt it. A page of fewer than `LOOKED_AT_FROM` tags cannot take long, and is not looked
at. What is found is an estimate: a page may hide its nesting from it, and then meets a deadline.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from farm.extract.element_rules import VOID

LOOKED_AT_FROM = 20_000
MOST_LOOKS = 1_000_000_000
"""Of a parser, at open elements: a second or two of it."""
_MARK = re.compile(r"<(?:(!--)|(/?)([a-zA-Z][^\s/>]{0,40}))")
_IN_TAG = re.compile(r"(>)|=\s*([\"'])")
_RAW = frozenset(
    ("script", "style", "xmp", "iframe", "noembed", "noframes", "noscript", "textarea", "title", "plaintext")
)
"""Whose content has no elements."""
_ENDS = {name: re.compile(f"</{name}", re.IGNORECASE) for name in _RAW}
CLOSED_BY_OTHERS = VOID | frozenset(
    (
        *("html", "head", "body", "p", "li", "dt", "dd", "option", "optgroup", "rt", "rp", "a", "button"),
        *("tr", "td", "th", "tbody", "thead", "tfoot", "colgroup", "caption"),
    )
)
"""Elements that sites leave open, and that never are in each other but with others between."""


class Unreadable(Exception):
    """The page, or the selector on this page, would take too long; the message says why."""


@dataclass(frozen=True, slots=True)
class Nesting:
    """How deep elements are in each other, and how often a parser looks at open ones, as far as was looked."""

    depth: int
    looks: int


def nesting_of(html: str, uncounted: Collection[str] = CLOSED_BY_OTHERS) -> Nesting:
    """Return how a page is nested, as far as is needed to know that it takes too long; linear in its length.

    Elements that are `uncounted` do not nest by themselves. HTML that a browser has written closes every element,
    so that `VOID` are those that are not counted there.
    """
    opened: dict[str, int] = {}
    depth = deepest = looks = at = 0
    while looks <= MOST_LOOKS and (mark := _MARK.search(html, at)) is not None:
        is_comment, is_end, name = mark[1], mark[2], (mark[3] or "").lower()
        if is_comment:
            at = html.find("-->", mark.end())
            if at < 0:
                break
            continue
        at, is_closed = _end_of_tag(html, mark.end())
        if is_end:
            if opened.get(name):
                opened[name] -= 1
                depth -= 1
            continue
        looks += depth
        if name in _RAW:
            end = _ENDS[name].search(html, at)
            if end is None:
                break
            at = end.start()
        elif name not in uncounted and not (is_closed and (opened.get("svg") or opened.get("math"))):
            opened[name] = opened.get(name, 0) + 1
            depth += 1
            deepest = max(deepest, depth)
    return Nesting(deepest, looks)


def _end_of_tag(html: str, at: int) -> tuple[int, bool]:
    """Return where a tag ends, and whether it is closed there, which only drawings and formulas can be."""
    while (mark := _IN_TAG.search(html, at)) is not None:
        if mark[1]:
            return mark.end(), html[mark.start() - 1] == "/"
        at = html.find(mark[2], mark.end()) + 1
        if at == 0:
            break
    return len(html), False


def check_nesting(html: str) -> None:
    """Raise `Unreadable` for a page, as its server has sent it, that would keep a parser busy."""
    if html.count("<") > LOOKED_AT_FROM and nesting_of(html).looks > MOST_LOOKS:
        raise Unreadable("its elements are nested so deep that parsing them would take too long")
