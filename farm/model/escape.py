"""Text from outside, made safe to show: a terminal acts on what it prints, and a log is read line by line."""


def escaped(text: str) -> str:
    r"""Return the text with every character that is not printable written as an escape (`\x1b`, `\u202e`, `\n`).

    Covers control characters (ESC, C1), line separators, bidirectional and zero-width controls and lone
    surrogates. A text that is printable is returned as it is.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def escaped_lines(text: str) -> str:
    """Return a text of several lines, each escaped, joined by newlines."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
