"""Texts of pages: those of JavaScript may have halves of surrogate pairs, which UTF-8 cannot hold.

Nor is every character fit for a terminal, which obeys the control characters from U+0080 on too, and turns the
direction of what follows some others.
"""

import re

_UNUSUAL = re.compile(r"[^ -~\n]")


def well_formed(text: str) -> str:
    """Return the text with each half of a surrogate pair as U+FFFD, as JavaScript's `toWellFormed` has it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def utf_8(text: str) -> bytes:
    """Return the text in UTF-8, each half of a surrogate pair as U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return well_formed(text).encode()


def printable_json(text: str) -> str:
    r"""Return JSON with every character that is not printable as an escape (`\u009b`); newlines stay.

    Its values are the same: outside of strings JSON has no such characters.
    """
    return text if text.isprintable() else _UNUSUAL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
