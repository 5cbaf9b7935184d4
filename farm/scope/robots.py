"""A site's rules for robots: its robots.txt.

It is read by RFC 9309, and as Google's parser reads it where the RFC leaves it open. Invariants:
any bytes parse, in time linear in their length. A file that is a web page by mistake has no rules and allows
all. Rules without wildcards are found by a binary search, however many there are; at most `MAX_STARS` wildcards
are compared with a path. A prohibition beyond that is widened to every path with its prefix, and a permission
beyond it is dropped: rules that do not fit forbid more, never less.

Own code, because the maintained parsers fail on some of the tested cases: a token followed by a version or by
words (`CrawlFarm/1.0`, `* all others`), a byte order mark.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farm.model.url import relative_url_of

MAX_STARS = 10_000
"""Wildcards in all rules of a file together; the longest files in use have a few hundred."""
_STARS = re.compile(r"\*{2,}")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

Weight = tuple[int, bool]
"""The precedence of a matching rule: the length of its pattern, then the permission."""
NONE: Weight = (-1, True)


def normal_path(path: str) -> str:
    """Return a path in the form that is compared: unreserved characters unescaped, other escapes in capitals."""
    path = _NOT_ASCII.sub(_escaped, path)
    return _ESCAPE.sub(_unescaped, path) if "%" in path else path


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern with wildcards: `pieces` between its stars, and whether its end is the path's end."""

    pieces: tuple[str, ...]
    anchored: bool
    weight: Weight

    def matches(self, path: str) -> bool:
        """Return whether a path, with its query, matches the pattern."""
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
    """Compiled path rules: the most specific rule that matches a path decides. `of` compiles them.

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

    @property
    def has_rules(self) -> bool:
        """Whether there is a rule; else every path is allowed."""
        return bool(self.prefixes or self.whole or self.patterns)

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
        """Return whether a path, in the form of `normal_path`, may be visited."""
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


TOKEN = "crawlfarm"  # noqa: S105 - the product token of robots.txt
MAX_BYTES = 512 * 1024
"""Bytes that are read of a file; the RFC requires at least 500 KiB."""
MAX_SITEMAPS = 2000
MAX_LINK_STARS = 1000
"""A page has thousands of links: rules with more wildcards in all are matched only before a visit."""
LONGEST_LINE = 2083 * 8 - 1
"""Google's length. A longer prohibition is cut to it, a longer permission is not read."""

# Of UTF-8, or what an editor left of it.
_BOM = re.compile(rb"\xef(?:\xbb\xbf?)?")
_AGENT = re.compile(r"[A-Za-z_-]+")
_LINE = re.compile(r"[^\r\n]+")
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_AGENTS = frozenset({"user-agent", "useragent", "user agent"})
# The misspellings that Google's parser accepts.
_DISALLOWS = frozenset({"disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"})
_SITEMAPS = frozenset({"sitemap", "site-map"})


def is_named(text: str, token: str) -> bool:
    """Return whether a text begins with a product token in lower case, and then with what belongs to no token."""
    found = _AGENT.match(text)
    return found is not None and found[0].lower() == token


@dataclass(slots=True)
class _Group:
    """The rules for one of two audiences, our token or everybody; `rules` is by pattern."""

    named: bool = False
    rules: dict[str, bool] = field(default_factory=dict)
    crawl_delay_s: float | None = None

    def add(self, value: str, *, allow: bool) -> None:
        """Add a pattern; of two equal ones the permission wins."""
        text = normal_path(value)
        self.rules[text] = allow or self.rules.get(text, False)


class _Groups:
    """The groups of a file, built line by line."""

    def __init__(self, token: str) -> None:
        self.ours, self.everybody, self._nobody = _Group(), _Group(), _Group()
        self._token = token.lower()
        self._audience: list[_Group] = []
        self._naming = False

    def name(self, value: str) -> None:
        """Address an agent, together with those named on the lines directly before."""
        if not self._naming:
            self._audience, self._naming = [], True
        group = self._addressed(value)
        group.named = True
        # One audience may be named on every line of the file, and gets each rule once.
        if not any(group is one for one in self._audience):
            self._audience.append(group)

    def rule(self, value: str, *, allow: bool) -> None:
        """Add a rule to the addressed groups; an empty one has no effect."""
        self._naming = False
        if not value:
            return
        for group in self._audience:
            group.add(value, allow=allow)
            folder, slash, name = value.rpartition("/")
            if allow and slash and name.startswith("index.htm"):
                # A folder and its index page are one page, to Google and to most servers.
                group.add(folder + "/$", allow=True)

    def delay(self, value: str) -> None:
        """Set the crawl-delay of the addressed groups. Not in the RFC, it does not end the list of agents."""
        for group in self._audience:
            if group.crawl_delay_s is None:
                group.crawl_delay_s = _seconds(value)

    def _addressed(self, value: str) -> _Group:
        if value == "*" or (value.startswith("*") and value[1:2].isspace()):
            return self.everybody
        return self.ours if is_named(value, self._token) else self._nobody


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """The rules of one origin for our token."""

    paths: PathRules = field(default_factory=PathRules)
    crawl_delay_s: float | None = None
    sitemaps: tuple[str, ...] = ()

    @property
    def widened(self) -> int:
        """How many prohibitions were widened to their prefix, because there are too many wildcards."""
        return self.paths.widened

    def allows(self, url: str) -> bool:
        """Return whether a canonical URL of this origin may be visited."""
        return self.paths.allows(normal_path(relative_url_of(url).partition("#")[0]))

    def surely_forbids(self, url: str) -> bool:
        """Return whether it is forbidden, by rules with few enough wildcards to match every link of a page."""
        paths = self.paths
        return paths.has_rules and paths.stars <= MAX_LINK_STARS and not self.allows(url)


def parse(content: bytes, token: str = TOKEN) -> RobotsRules:
    """Return the rules of a robots.txt for a product token."""
    groups = _Groups(token)
    sitemaps: dict[str, None] = {}
    if len(content) > MAX_BYTES:
        # Half a line would mean something else: `Allow: /public` might become `Allow: /`.
        content = content[: max(content.rfind(b"\n", 0, MAX_BYTES), content.rfind(b"\r", 0, MAX_BYTES), 0)]
    mark = _BOM.match(content)
    for line in _LINE.finditer(content[mark.end() if mark else 0 :].decode("latin-1")):
        text = line[0].partition("#")[0]
        key, value = _key_and_value(text[:LONGEST_LINE])
        if key in _AGENTS:
            groups.name(value)
        elif key in _DISALLOWS:
            groups.rule(value, allow=False)
        elif key == "allow":
            # Cut short, it would allow more than it says.
            groups.rule(value if len(text) <= LONGEST_LINE else "", allow=True)
        elif key == "crawl-delay":
            groups.delay(value)
        elif key in _SITEMAPS and value and len(sitemaps) < MAX_SITEMAPS:
            sitemaps[_text(value)] = None
    group = groups.ours if groups.ours.named else groups.everybody
    return RobotsRules(PathRules.of(group.rules), group.crawl_delay_s, tuple(sitemaps))


def _key_and_value(line: str) -> tuple[str, str]:
    line = line.strip(" \t\0")
    key, colon, value = line.partition(":")
    if not colon:
        # "Disallow /x": forgiven where it is two words.
        words = line.split()
        key, value = words if len(words) == 2 else ("", "")  # noqa: PLR2004 - the key and its value
    return key.strip().lower(), value.strip()


def _text(value: str) -> str:
    """Return a value that was read as Latin-1 decoded as UTF-8 where it is."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def _seconds(value: str) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None
