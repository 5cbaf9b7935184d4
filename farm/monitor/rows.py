"""The parts of the live view that have a row per thing: the slots, and what went wrong lately."""

from rich.text import Text

from farm.model.event import Fate, Notice, Phase, VisitFailed
from farm.model.url import relative_url_of
from farm.monitor.figures import Glyphs, amount, clock, one_line, shortened, span
from farm.monitor.snapshot import SlotView, Snapshot

_TWO_COLUMNS = 140
_PHASE_WIDTH = max(len(phase) for phase in Phase)
_NAME_WIDTH = 10
_LONG_S = 30.0
_COUNTED = (Phase.NAVIGATING, Phase.SETTLING, Phase.COMMITTING, Phase.WAITING)
_FATES = {Fate.RETRY: "yellow", Fate.DEAD: "red"}
_STYLES = {
    Phase.STARTING: "yellow",
    Phase.NAVIGATING: "cyan",
    Phase.SETTLING: "blue",
    Phase.COMMITTING: "green",
    Phase.RECYCLING: "yellow",
}


def fitted(line: Text, width: int, glyphs: Glyphs) -> Text:
    """Return the line with a margin of one cell at the right."""
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


def slot_rows(snapshot: Snapshot, width: int, room: int, glyphs: Glyphs) -> list[Text]:
    """Return a row per slot; where there is no room for that, a count by phase and the longest visits."""
    slots = snapshot.slots
    columns = 2 if width >= _TWO_COLUMNS and len(slots) > room // 2 else 1
    if len(slots) <= room * columns:
        return _table(snapshot, slots, width, columns, glyphs)
    if room <= 0:
        return []
    # The oldest visit first: a row keeps its place for as long as its visit lasts.
    visits = sorted((slot for slot in slots if slot.url), key=lambda slot: (slot.url_since, slot.name))
    shown = visits[: (room - 1) * columns]
    return [_by_phase(snapshot, glyphs), *_table(snapshot, shown, width, columns, glyphs)]


def _by_phase(snapshot: Snapshot, glyphs: Glyphs) -> Text:
    line = Text(" ")
    phases = snapshot.phases
    # Always the same five, so that none moves when another comes or goes.
    counts = [(str(phase), phases.get(phase, 0), _STYLES.get(phase, "dim")) for phase in _COUNTED]
    counts.append(("other", len(snapshot.slots) - sum(count for _, count, _ in counts), "dim"))
    for word, count, style in counts:
        line.append(f"{glyphs.dot} ", style).append(f"{word} ", "" if count else "dim")
        line.append(amount(count).ljust(4), "bold" if count else "dim")
    return line


def _table(
    snapshot: Snapshot, slots: tuple[SlotView, ...] | list[SlotView], width: int, columns: int, glyphs: Glyphs
) -> list[Text]:
    name_width = min(_NAME_WIDTH, max((len(slot.name) for slot in snapshot.slots), default=0))
    rows = -(-len(slots) // columns)
    column_width = width // columns
    lines: list[Text] = []
    for row in range(rows):
        line = Text()
        for slot in slots[row::rows]:
            cell = _slot(slot, snapshot, name_width, column_width - 1, glyphs)
            cell.truncate(column_width, pad=columns > 1)
            line.append_text(cell)
        line.rstrip()
        lines.append(line)
    return lines


def _slot(slot: SlotView, snapshot: Snapshot, name_width: int, width: int, glyphs: Glyphs) -> Text:
    style = _STYLES.get(slot.phase, "dim")
    lasts_s = max(0.0, snapshot.now - (slot.url_since if slot.url else slot.since))
    line = Text.assemble(
        " ",
        (slot.name[-name_width:].ljust(name_width), "dim"),
        "  ",
        (f"{glyphs.dot} ", style),
        (str(slot.phase).ljust(_PHASE_WIDTH), style),
        (span(lasts_s).rjust(7), "yellow" if slot.url and lasts_s >= _LONG_S else "dim"),
        "  ",
    )
    return line.append(_address(slot.url, width - line.cell_len, snapshot, glyphs)) if slot.url else line


def _address(url: str, width: int, snapshot: Snapshot, glyphs: Glyphs) -> str:
    if snapshot.single_site is not None:
        # The site stands in the section's title.
        url = relative_url_of(url)
    return shortened(one_line(url), width, glyphs)


def trouble_rows(snapshot: Snapshot, width: int, room: int, glyphs: Glyphs) -> list[Text]:
    """Return what went wrong lately, the newest first: failed visits, and notices of more than interest."""
    troubles: list[VisitFailed | Notice] = [
        *(failure for failure in snapshot.failures if failure.fate in _FATES),
        *(notice for notice in snapshot.notices if notice.level != "info"),
    ]
    if not troubles:
        return [Text.assemble(("  none so far", "dim"))][: max(0, room)]
    troubles.sort(key=lambda trouble: -trouble.at)
    return [_trouble(trouble, snapshot, width, glyphs) for trouble in troubles[: max(0, room)]]


def _trouble(trouble: VisitFailed | Notice, snapshot: Snapshot, width: int, glyphs: Glyphs) -> Text:
    line = Text.assemble(" ", (clock(trouble.at - snapshot.started).rjust(7), "dim"), "  ")
    if isinstance(trouble, Notice):
        style = "red" if trouble.level == "error" else "yellow"
        return line.append(f"{trouble.level:<5}  ", style).append(one_line(trouble.text))
    line.append(f"{trouble.fate:<5}  ", _FATES[trouble.fate])
    line.append(f"{trouble.reason:<11} ")
    detail = one_line(trouble.detail)
    room = width - line.cell_len - 1
    # The address gets what the detail leaves, and at least half.
    address = _address(trouble.url, max(room // 2, room - len(detail) - 2), snapshot, glyphs)
    return line.append(address).append(f"  {detail}" if detail else "", "dim")
