"""robots.txt by RFC 9309, read as Google's parser reads it where the RFC leaves it open.

What always holds: any bytes parse, in time linear in their length; a pattern is matched without regular
expressions, so no file can make matching slow. A file that is a web page by mistake has no rules and allows all.

Own code, because the maintained parsers were tried against these cases and miss some: a token followed by a
version or by words (`CrawlFarm/1.0`, `* all others`), a byte order mark.
"""

import re
from dataclasses import dataclass, field

TOKEN = "crawlfarm"  # noqa: S105 - the product token of robots.txt
MAX_BYTES = 512 * 1024
"""The RFC asks for 500 KiB at least; what comes after is not read."""
MAX_RULES = 20_000
LONGEST_LINE = 2083 * 8

_BOM = b"\xef\xbb\xbf"
_AGENT = re.compile(r"[A-Za-z_-]+")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_AGENTS = frozenset({"user-agent", "useragent", "user agent"})
# The misspellings that Google's parser forgives: whoever wrote them meant it.
_DISALLOWS = frozenset({"disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"})
_SITEMAPS = frozenset({"sitemap", "site-map"})


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path pattern: `pieces` between its stars, and whether its end is the path's end."""

    pieces: tuple[str, ...]
    anchored: bool
    length: int
    allow: bool

    def matches(self, path: str) -> bool:
        """Whether a path, with its query, falls under the pattern."""
        first, *rest = self.pieces
        if not path.startswith(first):
            return False
        if not rest:
            return not self.anchored or len(path) == len(first)
        at = len(first)
        last = rest.pop() if self.anchored else ""
        for piece in rest:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return not self.anchored or (len(path) - len(last) >= at and path.endswith(last))


@dataclass(slots=True)
class _Group:
    """What is said to one of the two audiences that concern us: our token, or everybody."""

    named: bool = False
    patterns: list[Pattern] = field(default_factory=list)
    crawl_delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class RobotsRules:
    """The rules of one origin for our token. `patterns` come with the most specific first."""

    patterns: tuple[Pattern, ...] = ()
    crawl_delay_s: float | None = None
    sitemaps: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """Whether a canonical URL of this origin may be visited."""
        path = normal_path("/" + url.partition("#")[0].split("/", 3)[3])
        if path == "/robots.txt":
            return True
        return next((pattern.allow for pattern in self.patterns if pattern.matches(path)), True)


def parse(content: bytes, token: str = TOKEN) -> RobotsRules:
    """Read a robots.txt for a product token."""
    ours, everybody, nobody = _Group(), _Group(), _Group()
    audience: list[_Group] = []
    naming = False
    sitemaps: list[str] = []
    text = content[:MAX_BYTES].removeprefix(_BOM).decode("latin-1")
    for line in re.split(r"\r\n|\n|\r", text):
        key, value = _parted(line[:LONGEST_LINE])
        if key in _AGENTS:
            if not naming:
                audience, naming = [], True
            group = _addressed(value, token.lower(), ours, everybody, nobody)
            group.named = True
            audience.append(group)
        elif key in _DISALLOWS or key == "allow":
            naming = False
            for group in audience:
                _add(group, value, allow=key == "allow")
        elif key == "crawl-delay":
            # No rule of the RFC's: it neither ends the list of agents nor takes more than a plain number.
            for group in audience:
                if group.crawl_delay_s is None:
                    group.crawl_delay_s = _seconds(value)
        elif key in _SITEMAPS and value:
            sitemaps.append(value)
    group = ours if ours.named else everybody
    # Longer is more specific; of equals the permission wins.
    ordered = sorted(group.patterns, key=lambda pattern: (-pattern.length, not pattern.allow))
    return RobotsRules(tuple(ordered), group.crawl_delay_s, tuple(dict.fromkeys(sitemaps)))


def normal_path(path: str) -> str:
    """Return a path in the form that is compared: what need not be escaped is not, the rest in capitals."""
    path = _NOT_ASCII.sub(_escaped, path)
    return _ESCAPE.sub(_unescaped, path) if "%" in path else path


def _escaped(match: re.Match[str]) -> str:
    # The file was read byte by byte, and a canonical URL has ASCII only.
    return f"%{ord(match[0]):02X}"


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _parted(line: str) -> tuple[str, str]:
    line = line.partition("#")[0].strip(" \t\0")
    key, colon, value = line.partition(":")
    if not colon:
        # "Disallow /x": forgiven where it is two words.
        words = line.split()
        key, value = words if len(words) == 2 else ("", "")  # noqa: PLR2004 - the key and its value
    return key.strip().lower(), value.strip()


def _addressed(value: str, token: str, ours: _Group, everybody: _Group, nobody: _Group) -> _Group:
    if value == "*" or (value.startswith("*") and value[1:2].isspace()):
        return everybody
    found = _AGENT.match(value)
    return ours if found and found[0].lower() == token else nobody


def _add(group: _Group, value: str, *, allow: bool) -> None:
    if not value or len(group.patterns) >= MAX_RULES:
        return
    group.patterns.append(_pattern(value, allow=allow))
    folder, slash, name = value.rpartition("/")
    if allow and slash and name.startswith("index.htm"):
        # A folder and its index page are one page, to Google and to most servers.
        group.patterns.append(_pattern(folder + "/$", allow=True))


def _pattern(value: str, *, allow: bool) -> Pattern:
    text = normal_path(value)
    anchored = text.endswith("$")
    pieces = tuple((text[:-1] if anchored else text).split("*"))
    return Pattern(pieces, anchored, len(text), allow)


def _seconds(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) else None
