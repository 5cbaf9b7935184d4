"""The positions of keys in a TOML document, which its parser does not return."""

import re

Path = tuple[str | int, ...]
# A valid document is read: what begins as a string ends as one.
_TOKEN = re.compile(
    r"""\"{3}(?:[^\"\\]|\\.|\"(?!\"\"))*\"{3}|'{3}(?:[^']|'(?!''))*'{3}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*"""
    r"""|\[\[|\]\]|[\[\]{},.=\n]|[^\s"'#\[\]{},.=]+""",
    re.DOTALL,
)


def key_positions(text: str) -> dict[Path, tuple[int, int]]:
    """Return line and column, from 1, of each key and table of a valid TOML document, by its path."""
    tokens = [(one[0], one.start()) for one in _TOKEN.finditer(text) if not one[0].startswith("#")]
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    at = 0
    while at < len(tokens):
        mark, start = tokens[at]
        if mark in {"[", "[["}:
            # `[[` never begins a value here: those are read below.
            names, at = _key(tokens, at + 1, ("]", "]]"))
            table = names
            if mark == "[[":
                counts[names] = counts.get(names, -1) + 1
                table = (*names, counts[names])
            found.setdefault(table, start)
            at += 1
        elif mark == "\n":
            at += 1
        else:
            at = _pair(tokens, at, table, found)
    return {path: _place(text, start) for path, start in found.items()}


def _place(text: str, start: int) -> tuple[int, int]:
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _key(tokens: list[tuple[str, int]], at: int, ends: tuple[str, ...]) -> tuple[Path, int]:
    names: list[str | int] = []
    while at < len(tokens) and tokens[at][0] not in ends:
        if tokens[at][0] != ".":
            names.append(tokens[at][0].strip("\"'"))
        at += 1
    return tuple(names), at


def _pair(tokens: list[tuple[str, int]], at: int, table: Path, found: dict[Path, int]) -> int:
    start = tokens[at][1]
    names, at = _key(tokens, at, ("=",))
    path = (*table, *names)
    for length in range(len(table) + 1, len(path) + 1):
        found.setdefault(path[:length], start)
    return _value(tokens, at + 1, path, found)


def _value(tokens: list[tuple[str, int]], at: int, path: Path, found: dict[Path, int]) -> int:
    """Skip a value, noting the keys in it; return its end. The depth is bounded by that of tomllib."""
    mark = tokens[at][0] if at < len(tokens) else ""
    if mark == "{":
        at += 1
        while at < len(tokens) and tokens[at][0] != "}":
            at = at + 1 if tokens[at][0] in {",", "\n"} else _pair(tokens, at, path, found)
        return at + 1
    if mark not in {"[", "[["}:
        # A number with a point is several tokens.
        while at < len(tokens) and tokens[at][0] not in {",", "}", "]", "]]", "\n"}:
            at += 1
        return at
    depth = 0
    while at < len(tokens):
        depth += {"[": 1, "[[": 2, "]": -1, "]]": -2}.get(tokens[at][0], 0)
        at += 1
        if depth <= 0:
            break
    return at
