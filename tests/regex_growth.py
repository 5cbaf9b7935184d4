"""Whether a regular expression can take more than linear time, judged from its parse tree.

A pattern becomes an automaton without empty steps. A backtracking matcher takes superlinear time where a text
can be divided between two loops in more than one way and what follows may fail: there are states p and q and a
word w with p -w-> p, p -w-> q and q -w-> q (the criterion IDA of A. Weber and H. Seidl, "On the degree of
ambiguity of finite automata", 1991). A search that is not anchored is a loop over any character in front of the
pattern, so that `a*b` is seen to be quadratic on `aaaa`. Repeats with a bound are no loops; their bounds are
limited instead.

Where it cannot tell it says that a pattern may be slow, never that it is fast.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST_REPEATS = 2_000
"""Of a bounded repeat: what one start of a match may cost at the most."""
START = 0

SEARCHING = frozenset({"search", "findall", "finditer", "sub", "subn", "split"})

_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_CHARACTERS = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
_PROBES = "aZ_0 \t\n.-/:;,<>\"'=&?#%@|()[]{}*+!$^~\\é ٣\x00\u2028"


def slowness(pattern: re.Pattern[Any], methods: Iterable[str]) -> str | None:
    """Return why the pattern may take more than linear time when it is called so; None where it cannot."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    flags = pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
    tree = _parser.parse(text, flags & ~re.DEBUG)
    for method in methods:
        reason = _Automaton(tree, flags, method).slowness()
        if reason is not None:
            return f"{method}: {reason}"
    return None


class _Automaton:
    """States are the places of a pattern that take a character; START is the loop of a search."""

    def __init__(self, tree: Any, flags: int, method: str) -> None:
        self.flags = flags
        self.takes: dict[int, frozenset[str]] = {}
        self.next: dict[int, set[int]] = defaultdict(set)
        self.twice: set[tuple[int, int]] = set()
        self.problem: str | None = None
        self.free_end: set[int] = set()
        self.alphabet = frozenset(_PROBES) | frozenset(_literals(tree))
        first, last, skippable, is_free = self._sequence(tree.data if hasattr(tree, "data") else tree)
        if method in SEARCHING and not _is_anchored(tree.data, flags):
            self.takes[START] = self.alphabet
            self._join({START}, first | {START})
        if method != "fullmatch":
            self.free_end = {place for place in last if is_free.get(place, False)}
        self.is_skippable = skippable

    # -- building

    def _sequence(self, items: Sequence[Any]) -> tuple[set[int], set[int], bool, dict[int, bool]]:
        """Return first and last places, whether they can be skipped, and which last ones end unconditionally."""
        first: set[int] = set()
        last: set[int] = set()
        skippable = True
        free: dict[int, bool] = {}
        for item in items:
            if item[0] is sre.AT or item[0] in (sre.ASSERT, sre.ASSERT_NOT):
                # It may fail, and takes nothing; what a lookaround reads is read, and then comes to nothing.
                free = dict.fromkeys(free, False)
                if item[0] is not sre.AT:
                    inner_first, _, _, _ = self._sequence(item[1][1])
                    self._join(last, inner_first)
                    first |= inner_first if skippable else set()
                continue
            one_first, one_last, one_skippable, one_free = self._item(item)
            self._join(last, one_first)
            if skippable:
                first |= one_first
            if one_skippable:
                last, free = last | one_last, {**free, **one_free}
            else:
                last, free = one_last, one_free
            skippable = skippable and one_skippable
        return first, last, skippable, free

    def _item(self, item: Any) -> tuple[set[int], set[int], bool, dict[int, bool]]:
        kind, value = item
        if kind in _CHARACTERS:
            place = len(self.takes) + 1
            self.takes[place] = self._characters(item)
            return {place}, {place}, False, {place: True}
        if kind is sre.SUBPATTERN:
            return self._sequence(value[3])
        if kind is sre.ATOMIC_GROUP:
            return self._sequence(value)
        if kind is sre.BRANCH:
            parts = [self._sequence(branch) for branch in value[1]]
            if sum(part[2] for part in parts) > 1:
                self.problem = "two branches may both be nothing"
            return (
                set().union(*(part[0] for part in parts)),
                set().union(*(part[1] for part in parts)),
                any(part[2] for part in parts),
                {place: is_free for part in parts for place, is_free in part[3].items()},
            )
        if kind in _REPEATS:
            return self._repeat(*value)
        self.problem = f"{kind} is not understood"
        return set(), set(), True, {}

    def _repeat(self, least: int, most: Any, body: Any) -> tuple[set[int], set[int], bool, dict[int, bool]]:
        first, last, skippable, free = self._sequence(body)
        if most is sre.MAXREPEAT:
            self._join(last, first)
        elif most > MOST_REPEATS:
            self.problem = f"repeats up to {most} times"
        elif most > 1:
            # A second copy: what the repeat can do once behind itself.
            more_first, more_last, _, more_free = self._sequence(body)
            self._join(last, more_first)
            last, free = last | more_last, {**free, **more_free}
        return first, last, skippable or least == 0, free

    def _join(self, before: Iterable[int], after: Iterable[int]) -> None:
        for one in before:
            for other in after:
                if other in self.next[one]:
                    self.twice.add((one, other))
                self.next[one].add(other)

    def _characters(self, item: Any) -> frozenset[str]:
        atom = _compiled([item], self.flags)
        return frozenset(one for one in self.alphabet if atom.fullmatch(one))

    # -- judging

    def slowness(self) -> str | None:
        if self.problem is not None:
            return self.problem
        self.reach = {place: self._reached({place}) for place in self.takes}
        for one, other in self.twice:
            if one in self.reach[other]:
                return "a loop can take one text in two ways"
        looping = [place for place in self.takes if place in self.reach[place]]
        for p in looping:
            if self._has_two_ways_round(p):
                return "a loop can take one text in two ways"
            for q in looping:
                if p != q and q in self.reach[p] and q not in self.free_end and self._shares_a_word(p, q):
                    return "two loops can divide a text between them"
        return None

    def _reached(self, begun: set[int]) -> set[int]:
        found: set[int] = set()
        waiting = list(begun)
        while waiting:
            for following in self.next[waiting.pop()]:
                if following not in found:
                    found.add(following)
                    waiting.append(following)
        return found

    def _round(self, place: int) -> set[int]:
        """Return the places of the loop that this one is in."""
        return {other for other in self.reach[place] if place in self.reach[other]}

    def _shares_a_word(self, p: int, q: int) -> bool:
        """Whether there is a word that leads from p to p, from p to q and from q to q."""
        around_p, around_q = self._round(p), self._round(q)
        between = {place for place in self.reach[p] if q in self.reach[place]}
        seen, waiting = {(p, p, q)}, [(p, p, q)]
        while waiting:
            one, two, three = waiting.pop()
            # A place is entered by a character that it takes.
            for a in self.next[one] & around_p:
                for b in self.next[two] & between:
                    shared = self.takes[a] & self.takes[b]
                    if not shared:
                        continue
                    for c in self.next[three] & around_q:
                        if not shared & self.takes[c]:
                            continue
                        if (a, b, c) == (p, q, q):
                            return True
                        if (a, b, c) not in seen:
                            seen.add((a, b, c))
                            waiting.append((a, b, c))
        return False

    def _has_two_ways_round(self, p: int) -> bool:
        """Whether there is a word that leads from p to p by two different ways."""
        around = self._round(p)
        seen: set[tuple[int, int, bool]] = set()
        waiting = [(p, p, False)]
        while waiting:
            one, other, parted = waiting.pop()
            for a in self.next[one] & around:
                for b in self.next[other] & around:
                    if not self.takes[a] & self.takes[b]:
                        continue
                    state = (a, b, parted or a != b)
                    if state == (p, p, True):
                        return True
                    if state not in seen:
                        seen.add(state)
                        waiting.append(state)
        return False


def _compiled(items: list[Any], flags: int) -> re.Pattern[str]:
    """Compile one item of a parse tree."""
    from re import _compiler  # type: ignore[attr-defined]

    state = _parser.State()
    state.flags = flags
    state.str = ""
    found: re.Pattern[str] = _compiler.compile(_parser.SubPattern(state, items), flags)
    return found


def _literals(tree: Any) -> Iterable[str]:
    """Return the characters that a pattern names, and the ends of its ranges, in both cases."""
    for item in tree:
        # By identity: a repeat begins with its least number, which may equal an opcode's.
        if (
            isinstance(item, tuple)
            and len(item) > 1
            and (item[0] is sre.LITERAL or item[0] is sre.NOT_LITERAL)
        ):
            yield from _both(item[1])
        elif isinstance(item, tuple) and len(item) > 1 and item[0] is sre.RANGE:
            yield from _both(item[1][0]) + _both(item[1][1])
        elif isinstance(item, tuple | list | _parser.SubPattern):
            yield from _literals(item)


def _both(code: int) -> str:
    return chr(code).lower()[:1] + chr(code).upper()[:1] + chr(code)


def _is_anchored(items: Sequence[Any], flags: int) -> bool:
    """Whether a search can begin to match at one place only."""
    if not items:
        return False
    kind, value = items[0]
    if kind is sre.AT:
        return value is sre.AT_BEGINNING_STRING or (value is sre.AT_BEGINNING and not flags & re.MULTILINE)
    if kind is sre.SUBPATTERN:
        return _is_anchored(value[3].data, flags)
    if kind is sre.BRANCH:
        return all(_is_anchored(branch.data, flags) for branch in value[1])
    return False
