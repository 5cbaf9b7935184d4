"""Numbers, addresses and texts for people.

The width of a number does not change with its value. Texts come from outside, and are escaped: a terminal
interprets control characters, and a log is read line by line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from farm.model.egress import ProxyBytes

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400
_SECOND_MS = 1000
_KIB = 1024
_COUNTED = 10_000_000
_TENTHS = 1000
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The symbols of the view."""

    full: str
    empty: str
    bars: str
    rule: str
    dot: str
    between: str
    ellipsis: str
    states: str
    """Of a bar of the ledger: done, dead, leased, delayed, queued."""
    axis: str
    tick: str
    corner: str
    mark: str
    wall: str
    """Between two columns of panels."""
    chosen: str


UNICODE = Glyphs("━", "╌", "▁▂▃▄▅▆▇█", "─", "●", "·", "…", "█×▒~░", "│", "┤", "└", "┴", "│", "›")  # noqa: RUF001 - signs, no letters
ASCII = Glyphs("#", "-", "_.-:=+*#", "-", "*", "|", "~", "#x>~.", "|", "+", "+", "+", "|", ">")


def span(seconds: float) -> str:
    """Return a duration in at most six characters: `7s`, `3m05s`, `2h07m`, `12d`."""
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02d}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S:02d}m"
    return f"{whole // _DAY_S}d"


def clock(seconds: float) -> str:
    """Return the time of a run: `1:23`, `1:02:03`."""
    minutes, second = divmod(int(max(0.0, seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def amount(number: int) -> str:
    """Return a count with separators, in at most nine characters."""
    return f"{number:,}" if number < _COUNTED else f"{number / 1e6:,.1f}M"


def counted(number: int, what: str) -> str:
    """Return a number with what it counts: `1 page`, `12,345 pages`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Return a number of bytes in at most nine characters: `2.1 GiB`."""
    for unit in _UNITS[:-1]:
        if number < _KIB - 1:
            return f"{number:.0f} {unit}" if unit in {"B", "KiB"} else f"{number:.1f} {unit}"
        number /= _KIB
    return f"{number:.1f} {_UNITS[-1]}"


def rate(per_s: float) -> str:
    """Return a rate in at most seven characters: `12.4/s`."""
    return f"{per_s:.1f}/s" if per_s < _TENTHS else f"{per_s:,.0f}/s"


def lapse(ms: float) -> str:
    """Return the time of a page: `320 ms`, `1.2 s`."""
    return f"{ms:.0f} ms" if ms < _SECOND_MS else f"{ms / _SECOND_MS:.1f} s"


def shortened(url: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """Return an address in at most `width` characters; the end of its path, which tells pages apart, stays.

    The host stays too where it takes no more than half of the room.
    """
    text = url.partition("://")[2] or url
    if len(text) <= width:
        return text
    if width <= 1:
        return text[:width]
    host_end = text.find("/") + 1
    head = host_end if 0 < host_end <= width // 2 else (width - 1) // 3
    return text[:head] + glyphs.ellipsis + text[len(text) - (width - head - 1) :]


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs = UNICODE) -> str:
    """Return the latest values as bars, one character each, filled from the left; no value is the lowest bar."""
    shown = values[-width:] if width > 0 else ()
    top = max(shown, default=0)
    steps = len(glyphs.bars) - 1
    bars = (glyphs.bars[round(value / top * steps) if top else 0] for value in shown)
    return "".join(bars).ljust(max(width, 0))


def bar(fraction: float, width: int, glyphs: Glyphs = UNICODE) -> tuple[str, str]:
    """Return the full and the empty part of a bar; a value above 0 has at least one cell."""
    full = min(width, round(max(0.0, fraction) * width)) or (1 if fraction > 0 and width else 0)
    return glyphs.full * full, glyphs.empty * (width - full)


def one_line(text: str) -> str:
    """Return a text without the characters that would move a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


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


def by_proxies(carried: ProxyBytes) -> str:
    """Return the bytes through proxies, and their budget; empty if there are none and no budget."""
    if not carried.used and not carried.budget:
        return ""
    of = f" of {size(carried.budget)}" if carried.budget else ""
    return f"{size(carried.used)}{of}"
