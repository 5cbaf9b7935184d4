"""The path rules of a robots.txt, compiled: the most specific rule that matches a path decides.

What always holds: rules without wildcards are found by a binary search, however many there are; of the others no
more than `MAX_STARS` wildcards are compared with a path. A prohibition beyond that is widened to all paths that
begin as it does, and a permission beyond that is left out: nothing that is forbidden is ever visited for it.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_STARS = 10_000
"""In all rules of a file together; the longest files seen in the wild have a few hundred."""
_STARS = re.compile(r"\*{2,}")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

Weight = tuple[int, bool]
"""What decides between rules that match: the length of the pattern, then the permission."""
NONE: Weight = (-1, True)


def normal_path(path: str) -> str:
    """Return a path in the form that is compared: what need not be escaped is not, the rest in capitals."""
    path = _NOT_ASCII.sub(_escaped, path)
    return _ESCAPE.sub(_unescaped, path) if "%" in path else path


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern with wildcards: `pieces` between its stars, and whether its end is the path's end."""

    pieces: tuple[str, ...]
    anchored: bool
    weight: Weight

    def matches(self, path: str) -> bool:
        """Whether a path, with its query, falls under the pattern."""
        first, *rest = self.pieces
        if not path.startswith(first):
            return False
        at = len(first)
        last = rest.pop() if self.anchored else ""
        for piece in rest:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return not self.anchored or (len(path) - len(last) >= at and path.endswith(last))


@dataclass(frozen=True, slots=True)
class PathRules:
    """What is allowed and forbidden; `of` compiles it.

    `prefixes` are sorted; `parents` has the place of the longest prefix that each one begins with itself (-1 for
    none), and `weights` the greatest weight among a prefix and all it begins with. `patterns` come with the most
    specific first. `stars` is how many wildcards they have in all.
    """

    prefixes: Sequence[str] = ()
    parents: Sequence[int] = ()
    weights: Sequence[Weight] = ()
    whole: Mapping[str, Weight] | None = None
    patterns: tuple[Pattern, ...] = ()
    stars: int = 0
    widened: int = 0

    @classmethod
    def of(cls, rules: Mapping[str, bool]) -> "PathRules":
        """Compile rules: by pattern, in the form of `normal_path`, whether it is a permission."""
        begins: dict[str, Weight] = {}
        whole: dict[str, Weight] = {}
        patterns: list[Pattern] = []
        stars = widened = 0
        for text, allow in rules.items():
            weight = (len(text), allow)
            anchored = text.endswith("$")
            pieces = _STARS.sub("*", text.removesuffix("$")).split("*")
            if not anchored and not pieces[-1] and len(pieces) > 1:
                pieces.pop()  # `/x*` is `/x`
            count = len(pieces) - 1
            if count == 0:
                known = whole if anchored else begins
            elif stars + count <= MAX_STARS:
                patterns.append(Pattern(tuple(pieces), anchored, weight))
                stars += count
                continue
            else:
                known = begins
                if allow:
                    continue
                widened += 1
            known[pieces[0]] = max(weight, known.get(pieces[0], NONE))
        patterns.sort(key=lambda pattern: pattern.weight, reverse=True)
        prefixes = sorted(begins)
        parents, weights = _nested(prefixes, begins)
        return cls(prefixes, parents, weights, whole, tuple(patterns), stars, widened)

    def allows(self, path: str) -> bool:
        """Whether a path, in the form of `normal_path`, may be visited."""
        if path == "/robots.txt":
            return True
        best = (self.whole or {}).get(path, NONE)
        at = bisect_right(self.prefixes, path) - 1
        while at >= 0 and not path.startswith(self.prefixes[at]):
            at = self.parents[at]
        if at >= 0:
            best = max(best, self.weights[at])
        for pattern in self.patterns:
            if pattern.weight < best:
                break
            if pattern.matches(path):
                return pattern.weight[1]
        return best[1]


def _nested(prefixes: Sequence[str], own: Mapping[str, Weight]) -> tuple[list[int], list[Weight]]:
    """Return the parent of each sorted prefix, and the greatest weight on the way from it to the top."""
    parents: list[int] = []
    weights: list[Weight] = []
    above: list[int] = []
    for at, prefix in enumerate(prefixes):
        while above and not prefix.startswith(prefixes[above[-1]]):
            above.pop()
        parent = above[-1] if above else -1
        parents.append(parent)
        weights.append(max(own[prefix], weights[parent]) if above else own[prefix])
        above.append(at)
    return parents, weights


def _escaped(match: re.Match[str]) -> str:
    # The file was read byte by byte, and a canonical URL has ASCII only.
    return f"%{ord(match[0]):02X}"


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()
