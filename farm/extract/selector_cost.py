"""What a CSS selector would cost on a page: nothing can interrupt its search, and the page decides how it goes.

The library goes from an element that the end of a selector matches to what is around it, and where the beginning
fits nowhere it tries every choice of ancestors: for `.a div div b` below 800 elements 85 million times for each.
"""

import re
from functools import lru_cache
from math import comb

from selectolax.lexbor import LexborNode, SelectolaxError

from farm.extract.nesting import Unreadable

MOST_TRIES = 400_000_000
"""A second of it."""
_TOKEN = re.compile(r"""\\.|"[^"]*"|'[^']*'|\[[^\]]*\]|[(),]|\s*[>+~]\s*|\s+""", re.DOTALL)
_Parts = tuple[str, int, int]


@lru_cache(maxsize=1_000)
def parts_of(selector: str) -> tuple[_Parts, ...]:
    """Return of each alternative its last part, and how many ancestors and siblings before are chosen for it."""
    found: list[_Parts] = []
    depth = begins = ancestors = siblings = 0
    text = selector.strip()
    for token in _TOKEN.finditer(text):
        mark = token[0].strip() or " "
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
        elif mark == "," and depth == 0:
            found.append((text[begins : token.start()].strip(), ancestors, siblings))
            begins, ancestors, siblings = token.end(), 0, 0
        elif mark in {" ", ">", "+", "~"}:
            around = text[token.start() - 1 : token.start()], text[token.end() : token.end() + 1]
            if mark != " " or (around[0] not in {"(", ",", ""} and around[1] not in {")", ",", ""}):
                ancestors += mark == " "
                siblings += mark == "~"
                begins = token.end() if depth == 0 else begins
    return (*found, (text[begins:].strip(), ancestors, siblings))


class SelectorCost:
    """Knows of the elements of one page how many are around and before them, as far as it was asked."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def check(self, selector: str, root: LexborNode) -> None:
        """Raise `Unreadable` where the search in `root` would try more than `MOST_TRIES` times."""
        tries = 0
        for last, ancestors, siblings in parts_of(selector):
            # One of them makes no more than the square of a nesting that is bounded.
            if ancestors < 2 and not siblings:  # noqa: PLR2004
                continue
            for node in _matched(root, last):
                tries += comb(self._ancestors_of(node), ancestors) * (
                    comb(self._siblings_of(node), siblings) if siblings else 1
                )
                if tries > MOST_TRIES:
                    raise Unreadable(f"`{selector}` would be tried more than {MOST_TRIES:,} times")

    def _ancestors_of(self, node: LexborNode) -> int:
        way: list[int] = []
        at: LexborNode | None = node
        while at is not None and at.mem_id not in self._above:
            way.append(at.mem_id)
            at = at.parent
        known = self._above[at.mem_id] if at is not None else -1
        for number, id_ in enumerate(reversed(way), 1):
            self._above[id_] = known + number
        return self._above[node.mem_id]

    def _siblings_of(self, node: LexborNode) -> int:
        if node.mem_id not in self._before and node.parent is not None:
            for number, one in enumerate(node.parent.iter()):
                self._before[one.mem_id] = number
        return self._before.get(node.mem_id, 0)


def _matched(root: LexborNode, selector: str) -> list[LexborNode]:
    try:
        return root.css(selector or "*")
    except SelectolaxError:
        # Not one by itself: what it is part of says so.
        return root.css("*")
