"""The layout of panels in a terminal: their rows, the columns of tables that fit, and panels side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from farm.monitor.figures import Glyphs, one_line

Cell = str | tuple[str, str]
"""A text, and its style if it has one. Texts from outside are escaped here."""
_FIRST = 16
"""The least width of a table's first column."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Some rows with a title (empty: without one): at least `least` rows, and no use for more than `wants`.

    Both count the title. `draw` returns at most as many lines as it is given rows, for a width. If there is too
    little room, the panels of the highest `rank` are left out; spare rows go to the least `grows` first.
    """

    title: str
    least: int
    wants: int
    rank: int
    grows: int
    draw: Callable[[int, int], list[Text]]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table; if there is too little room, those of the highest `rank` are left out."""

    title: str
    width: int
    rank: int
    left: bool = False


def fitted(line: Text, width: int, glyphs: Glyphs) -> Text:
    """Return the line with a margin of one cell at the right."""
    if line.cell_len < width:
        return line
    short = line.copy()
    short.rstrip()
    if short.cell_len < width:
        return short
    short.truncate(max(0, width - 2))
    return short.append(glyphs.ellipsis, "dim")


def section(title: str, width: int, glyphs: Glyphs) -> Text:
    """Return a rule with a title in it."""
    line = Text.assemble(" ", (glyphs.rule * 2, "dim"), f" {title} ")
    return line.append(glyphs.rule * (width - line.cell_len - 1), "dim")


def stacked(panels: Sequence[Panel], width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """Return `height` lines: the panels in their order, as many rows each as there are for it."""
    by_rank = sorted(range(len(panels)), key=lambda at: panels[at].rank)
    rows = dict[int, int]()
    for at in by_rank:
        if sum(rows.values()) + panels[at].least <= height:
            rows[at] = panels[at].least
    spare = height - sum(rows.values())
    for at in sorted(rows, key=lambda one: panels[one].grows):
        more = min(spare, max(0, panels[at].wants - rows[at]))
        rows[at] += more
        spare -= more
    lines: list[Text] = []
    for at in sorted(rows):
        panel, room = panels[at], rows[at]
        if panel.title:
            lines.append(section(panel.title, width, glyphs))
            room -= 1
        drawn = panel.draw(width, room)[:room]
        lines += [fitted(line, width, glyphs) for line in drawn] + [Text()] * (room - len(drawn))
    return [*lines, *[Text()] * (height - len(lines))][:height]


def side_by_side(left: list[Text], left_width: int, right: list[Text], glyphs: Glyphs) -> list[Text]:
    """Return the lines of two columns of as many lines, with a wall between them."""
    lines = []
    for one, other in zip(left, right, strict=True):
        lines.append(beside(one, left_width).append(glyphs.wall, "dim").append_text(other))
    return lines


def beside(line: Text, width: int) -> Text:
    """Return a new line that begins with this one, cut or filled to a width."""
    # A line of its own: a style of the whole of the first would be one of what is appended.
    found = Text().append_text(line)
    found.truncate(width, pad=True)
    return found


def table(
    columns: Sequence[TableColumn],
    rows: Sequence[Sequence[Cell]],
    width: int,
    room: int,
    glyphs: Glyphs,
    chosen: int | None = None,
) -> list[Text]:
    """Return a heading and at most `room - 1` rows; the first column has the width that the others leave.

    With `chosen` the rows that are shown are those around it, and it is marked.
    """
    if room < 1:
        return []
    kept = _kept(columns, width)
    widths = {at: columns[at].width for at in kept[1:]}
    first = width - 4 - sum(widths.values()) - len(widths)
    begin = 0 if chosen is None else max(0, min(chosen - (room - 1) // 2, len(rows) - (room - 1)))
    heading = Text("   ")
    for at in kept:
        heading.append(_padded(columns[at].title, widths.get(at, first), columns[at], glyphs), "dim")
    lines = [heading]
    for number in range(begin, min(len(rows), begin + room - 1)):
        line = Text(f" {glyphs.chosen} " if number == chosen else "   ")
        for at in kept:
            cell = rows[number][at]
            text, style = (cell, "") if isinstance(cell, str) else cell
            line.append(_padded(one_line(text), widths.get(at, first), columns[at], glyphs), style)
        if number == chosen:
            line.stylize("reverse")
        lines.append(line)
    return lines


def _kept(columns: Sequence[TableColumn], width: int) -> list[int]:
    """Return which columns fit, in their order; the first always does."""
    kept, used = [0], 4 + max(_FIRST, columns[0].width)
    for at in sorted(range(1, len(columns)), key=lambda one: columns[one].rank):
        if used + columns[at].width + 1 <= width:
            kept.append(at)
            used += columns[at].width + 1
    return sorted(kept)


def _padded(text: str, width: int, column: TableColumn, glyphs: Glyphs) -> str:
    """Return a text in exactly so many cells, with a space between it and the column before."""
    cell = Text(text)
    if cell.cell_len > width:
        cell.truncate(max(0, width - 1))
        cell.append(glyphs.ellipsis)
    pad = " " * (width - cell.cell_len)
    return f"{cell.plain}{pad} " if column.left else f"{pad}{cell.plain} "
