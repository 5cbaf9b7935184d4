"""Charts of characters: bars over time with axes, and the ledger as one bar."""

import math
from collections.abc import Sequence

from rich.text import Text

from farm.model.crawl import Ledger
from farm.monitor.figures import Glyphs, bar, span

_AXIS = 7
_STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
_MARK_EVERY = 15
_LEAST_ROWS = 2
_LEAST, _MOST = 1e-9, 1e15
"""Values that are not between them are not drawn."""


def nice_top(value: float) -> float:
    """Return the least round number (1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten) not below it; 1 for none."""
    if not _LEAST < value < _MOST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _STEPS if step * power >= value * (1 - 1e-9)), 10 * power)


def bar_chart(values: Sequence[float], every_s: float, width: int, rows: int, glyphs: Glyphs) -> list[Text]:
    """Return `rows` lines: bars of the latest values, the newest at the right, an axis at the left and below.

    Each value is of `every_s` seconds.
    """
    height, columns = rows - 2, width - _AXIS - 2
    if height < _LEAST_ROWS or columns < _MARK_EVERY:
        return []
    # A report of another node may have any number.
    shown = [value if _LEAST < value < _MOST else 0.0 for value in values[-columns:]]
    top = nice_top(max(shown, default=0.0))
    levels = [round(value / top * height * 8) for value in shown]
    lines = []
    for row in range(height):
        floor = (height - 1 - row) * 8
        label = top if row == 0 else top / 2 if 2 * row == height else None
        line = Text(_label(label).rjust(_AXIS - 1), "dim").append(
            glyphs.tick if label else glyphs.axis, "dim"
        )
        line.append(" " * (columns - len(shown)))
        lines.append(line.append("".join(_cell(level - floor, glyphs) for level in levels), "cyan"))
    marks = [glyphs.rule] * columns
    labels = [" "] * (columns + 1)
    for back in range(0, columns, _MARK_EVERY):
        text = "now" if not back else f"-{span(back * every_s)}"
        at = columns - 1 - back
        if at - len(text) + 1 < 0:
            break
        marks[at] = glyphs.mark
        labels[at - len(text) + 1 : at + 1] = text
    lines.append(Text(f"{_label(0.0).rjust(_AXIS - 1)}{glyphs.corner}{''.join(marks)}", "dim"))
    lines.append(Text(f"{'':{_AXIS}}{''.join(labels)}".rstrip(), "dim"))
    return lines


def _label(value: float | None) -> str:
    return "" if value is None else f"{value:g}"[: _AXIS - 1]


def _cell(level: int, glyphs: Glyphs) -> str:
    return " " if level <= 0 else glyphs.bars[min(8, level) - 1]


def ledger_bar(ledger: Ledger, width: int, glyphs: Glyphs) -> Text:
    """Return a bar of all URLs: done, dead, under way, delayed, queued, each with its own symbol.

    Every state with a URL has at least one cell, as far as there is room.
    """
    states = (ledger.done, ledger.dead, ledger.leased, ledger.delayed, ledger.queued)
    total = sum(max(0, one) for one in states)
    if not total or width < len(states):
        return Text("".join(bar(0.0, max(0, width), glyphs)), "dim")
    cells = [max(bool(one > 0), int(max(0, one) / total * width)) for one in states]
    while sum(cells) > width:
        cells[cells.index(max(cells))] -= 1
    cells[-1 if states[-1] > 0 else states.index(max(states))] += width - sum(cells)
    styles = ("green", "bold red", "cyan", "yellow", "dim")
    line = Text()
    for sign, number, style in zip(glyphs.states, cells, styles, strict=True):
        line.append(sign * number, style)
    return line
