"""What style sheets say that bears on the text of a page: what is a block, hidden, apart, or kept as it is.

Only such declarations are read; of a page's states (hovered, focused, printed) that of one who has just come. What
always holds: time grows with the length of a sheet alone; what is not understood is left out, as by browsers.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

SHEET_CHARS = 1_000_000
MOST_RULES = 20_000
"""Of one sheet."""
PROPERTIES = frozenset(
    {"display", "visibility", "white-space", "text-transform", "position", "float", "apart"}
)
"""What is read; `apart` says whether something holds an inline element and the text before it apart."""
_MARKS = re.compile(
    r"[\"'{};\
]"
)
_LENGTH = re.compile(r"-?[0-9.]{1,20}")
_STATES = re.compile(
    r"::|:(?:hover|focus|active|visited|target|checked|indeterminate|placeholder|before|after|first-l|fullscreen"
    r"|open|popover|modal|autofill|user-|host|slotted|part|-|selection|enabled|disabled|playing|paused|picture)"
)
"""What no element is, or is in, when a page has just been opened."""
_LEFT_OUT = re.compile(r":not\(:(?:hover|focus|active|focus-within|focus-visible)\)")
_CLASS = re.compile(r"\.((?:[\w-]|[^\x00-\x7f]|\\.){1,200})")
_ID = re.compile(r"#((?:[\w-]|[^\x00-\x7f]){1,200})")
_IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_NAMED = re.compile(r"(?:^|[\s>+~])[a-zA-Z]")
_SIDES = ("margin", "padding")
_SELECTOR_CHARS = 2_000
"""Longer ones are made by machines."""


@dataclass(frozen=True, slots=True)
class StyleRule:
    """A selector with the declarations that are read, each with whether it is important.

    `needs` are the classes without which the selector matches nothing, `weight` is its specificity.
    """

    selector: str
    needs: frozenset[str]
    weight: tuple[int, int, int]
    declarations: tuple[tuple[str, str, bool], ...]


@lru_cache(maxsize=64)
def rules_of(css: str, width: int, height: int) -> tuple[StyleRule, ...]:
    """Return the rules that hold in a window of this size, in their order."""
    rules: list[StyleRule] = []
    for selectors, body in _blocks(_without_comments(css[:SHEET_CHARS]), width, height):
        declarations = _declarations(body)
        if not declarations:
            continue
        for selector in _split(selectors):
            made = _rule(selector, declarations)
            if made is not None:
                rules.append(made)
            if len(rules) >= MOST_RULES:
                return tuple(rules)
    return tuple(rules)


def _without_comments(css: str) -> str:
    first, *rest = css.split("/*")
    return "".join([first, *(piece.partition("*/")[2] for piece in rest)])


def _blocks(css: str, width: int, height: int) -> list[tuple[str, list[str]]]:
    """Return the selectors and the declarations of each rule, those within at-rules that hold included."""
    found: list[tuple[str, list[str]]] = []
    around: list[tuple[str | None, list[str]]] = [("", [])]
    """Of each block that is open its selectors, none of an at-rule that holds, None where it does not hold."""
    begins = 0
    for mark, at in _marks(css):
        text, within = css[begins:at], around[-1]
        if mark == "}" and len(around) == 1:
            # It makes the selectors that follow wrong.
            continue
        begins = at + 1
        if mark == "{":
            around.append((_opened(text.strip(), within[0], width, height), []))
            continue
        within[1].append(text)
        if mark == "}":
            selectors, said = around.pop()
            if selectors:
                found.append((selectors, said))
    return found


def _marks(css: str) -> Iterator[tuple[str, int]]:
    """Yield the braces and semicolons that stand in no string, with their places."""
    quote, begins = "", 0
    for part in _MARKS.finditer(css):
        mark = part[0]
        if part.start() < begins:
            continue
        if mark == "\\":
            begins = part.end() + 1
        elif quote:
            quote = "" if mark in {quote, "\n"} else quote
        elif mark in "\"'":
            quote = mark
        elif mark != "\n":
            yield mark, part.start()


def _opened(prelude: str, around: str | None, width: int, height: int) -> str | None:
    """Return the selectors of what stands in a block, within a rule of these; None where it does not hold."""
    if around is None or len(prelude) > _SELECTOR_CHARS:
        return None
    if not prelude.startswith("@"):
        if not around:
            return prelude
        parent = f":is({around})"
        nested = prelude.replace("&", parent) if "&" in prelude else f"{parent} {prelude}"
        return nested if len(nested) <= _SELECTOR_CHARS else None
    name, _, rest = prelude.partition(" ")
    name = name.lower()
    if name.startswith("@media"):
        return around if media_holds(prelude[len("@media") :], width, height) else None
    if name == "@supports":
        return None if rest.lstrip().startswith("not") else around
    return around if name.startswith(("@layer", "@scope", "@starting")) else None


def media_holds(query: str, width: int, height: int) -> bool:
    """Return whether a media query holds on a screen of this size."""
    alternatives = query.lower().split(",")
    return not query.strip() or any(_alternative_holds(one, width, height) for one in alternatives)


def _alternative_holds(query: str, width: int, height: int) -> bool:
    parts = [part for part in query.replace("and", " ").replace("(", " (").split() if part]
    is_not = parts[:1] == ["not"]
    conditions = re.findall(r"\(([^()]{0,200})\)", query)
    words = [part for part in parts if not part.startswith("(")]
    media = next((word for word in words if word in {"print", "speech", "tty", "tv"}), "")
    holds = not media and all(_feature_holds(one, width, height) for one in conditions)
    return holds != is_not


def _feature_holds(feature: str, width: int, height: int) -> bool:
    name, colon, value = (part.strip() for part in feature.partition(":"))
    if not colon:
        return _range_holds(name, width, height)
    known = {"width": width, "height": height}
    limit = _pixels(value)
    bound, _, dimension = name.partition("-")
    if bound in {"min", "max"} and dimension in known and limit is not None:
        return known[dimension] >= limit if bound == "min" else known[dimension] <= limit
    return (name, value) in {
        ("orientation", "landscape" if width >= height else "portrait"),
        ("prefers-reduced-motion", "no-preference"),
        ("prefers-color-scheme", "light"),
        ("hover", "hover"),
        ("any-hover", "hover"),
        ("pointer", "fine"),
        ("any-pointer", "fine"),
        ("scripting", "enabled"),
    }


def _range_holds(feature: str, width: int, height: int) -> bool:
    known = {"width": width, "height": height}
    parts = re.findall(r"[<>]=?|=|[^<>=\s]{1,40}", feature)
    numbers = [known.get(part, _pixels(part)) for part in parts[::2]]
    if len(parts) == 1:
        return parts[0] in {"color", "hover", "pointer", "width", "height"}
    if None in numbers or len(numbers) != len(parts) // 2 + 1:
        return False
    compared = {
        "<": float.__lt__,
        "<=": float.__le__,
        ">": float.__gt__,
        ">=": float.__ge__,
        "=": float.__eq__,
    }
    values = [float(one or 0) for one in numbers]
    return all(
        compared[sign](one, other) for sign, one, other in zip(parts[1::2], values, values[1:], strict=False)
    )


def _pixels(value: str) -> float | None:
    found = _LENGTH.match(value)
    if found is None:
        return None
    try:
        number = float(found[0])
    except ValueError:
        return None
    unit = value[found.end() :]
    return number * 16 if unit in {"em", "rem"} else number if unit in {"px", ""} else None


def _declarations(body: list[str]) -> tuple[tuple[str, str, bool], ...]:
    found = []
    for declaration in body:
        name, colon, value = declaration.partition(":")
        name = name.strip().lower()
        if not colon or not (name in PROPERTIES or name.startswith(_SIDES)):
            continue
        value, _, more = value.strip().lower().partition("!")
        value = value.strip()
        if name.startswith(_SIDES):
            side = _left_of(name, value)
            if side:
                found.append(("apart", side, more.strip() == "important"))
        elif value and "var(" not in value:
            found.append((name, value, more.strip() == "important"))
    return tuple(found)


def _left_of(name: str, value: str) -> str:
    """Return `yes` or `no` for a margin or padding at the left, empty for one of another side."""
    kind, _, side = name.partition("-")
    values = value.split()
    if not values or kind not in _SIDES:
        return ""
    if side in {"left", "inline", "inline-start"}:
        left = values[0]
    elif not side:
        left = values[{1: 0, 2: 1, 3: 1}.get(len(values), 3)]
    else:
        return ""
    is_off = left.lstrip("0.")[:1] in "123456789" if left.lstrip("0.") else False
    return "yes" if is_off or left.startswith(("calc", "clamp", "min", "max")) else "no"


def _split(selectors: str) -> list[str]:
    """Return the selectors of a list; commas within brackets part nothing."""
    parts, depth, begins = [], 0, 0
    for at, char in enumerate(selectors):
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(selectors[begins:at])
            begins = at + 1
    return [*parts, selectors[begins:]]


def _rule(selector: str, declarations: tuple[tuple[str, str, bool], ...]) -> StyleRule | None:
    selector = _LEFT_OUT.sub("", selector.strip())
    if (
        not selector
        or selector.startswith("}")
        or len(selector) > _SELECTOR_CHARS
        or _STATES.search(selector)
    ):
        return None
    bare = _IN_BRACKETS.sub("", selector)
    classes = _CLASS.findall(bare)
    inner = _CLASS.findall(selector)
    weight = (
        len(_ID.findall(selector)),
        len(inner) + selector.count("[") + bare.count(":"),
        len(_NAMED.findall(bare)),
    )
    needs = frozenset(name.replace("\\", "") for name in classes)
    return StyleRule(selector, needs, weight, declarations)
