"""The parts of the live view with a symbol or a row for each item: the contexts, and the recent events."""

from rich.text import Text

from farm.model.event import Fate, Notice, Phase, VisitFailed
from farm.model.url import relative_url_of
from farm.monitor.figures import Glyphs, amount, clock, one_line, shortened, span
from farm.monitor.snapshot import SlotView, Snapshot

_TWO_COLUMNS = 140
_GROUP = 10
_PHASE_WIDTH = max(len(phase) for phase in Phase)
_NAME_WIDTH = 10
_DETAIL_ROOM = 36
"""With less room beside its other columns an event is shown without its detail."""
_LONG_S = 30.0
_COUNTED = (
    Phase.NAVIGATING,
    Phase.SETTLING,
    Phase.COMMITTING,
    Phase.IDLE,
    Phase.WAITING,
    Phase.LEASING,
    Phase.RECYCLING,
    Phase.STARTING,
    Phase.STOPPED,
)
"""The phases that are counted by name, the most informative first: a narrow terminal has no room for all."""
SIGNS = {
    Phase.WAITING: "w",
    Phase.STARTING: "+",
    Phase.LEASING: "l",
    Phase.IDLE: ".",
    Phase.NAVIGATING: "N",
    Phase.SETTLING: "S",
    Phase.COMMITTING: "C",
    Phase.RECYCLING: "r",
    Phase.STOPPED: "x",
}
_FATES = {Fate.RETRY: "yellow", Fate.DEAD: "red"}
_LEVELS = {"warning": "yellow", "error": "red"}
_STYLES = {
    Phase.STARTING: "yellow",
    Phase.NAVIGATING: "cyan",
    Phase.SETTLING: "blue",
    Phase.COMMITTING: "green",
    Phase.RECYCLING: "yellow",
}


def grid_rows(snapshot: Snapshot, width: int, room: int) -> list[Text]:
    """Return a sign per context, in groups of ten; nothing if there is no room for all of them."""
    per_row = max(1, (width - 4) // (_GROUP + 1)) * _GROUP
    slots = snapshot.slots
    if -(-len(slots) // per_row) > room:
        return []
    lines = []
    for start in range(0, len(slots), per_row):
        line = Text("   ")
        for number, slot in enumerate(slots[start : start + per_row]):
            gap = " " if number and number % _GROUP == 0 else ""
            line.append(gap + SIGNS[slot.phase], _STYLES.get(slot.phase, "dim"))
        lines.append(line)
    return lines


def slot_rows(snapshot: Snapshot, width: int, room: int, glyphs: Glyphs) -> list[Text]:
    """Return a row per slot; if there is no room for that, the longest visits."""
    slots = snapshot.slots
    columns = 2 if width >= _TWO_COLUMNS and len(slots) > room // 2 else 1
    if len(slots) <= room * columns:
        return _table(snapshot, slots, width, columns, glyphs)
    if room <= 0:
        return []
    # The oldest visit first: a row keeps its place for as long as its visit lasts.
    visits = sorted((slot for slot in slots if slot.url), key=lambda slot: (slot.url_since, slot.name))
    return _table(snapshot, visits[: room * columns], width, columns, glyphs)


def by_phase(snapshot: Snapshot, width: int) -> Text:
    """Return how many contexts are in each phase, with the sign of the phase."""
    line = Text("   ")
    phases = snapshot.phases
    # Always the same ones, so that none moves when another comes or goes.
    counts = [(phase, str(phase), phases.get(phase, 0)) for phase in _COUNTED]
    for phase, word, count in counts:
        if line.cell_len + len(word) + 8 > width:
            break
        line.append(f"{SIGNS[phase]} ", _STYLES.get(phase, "dim"))
        line.append(f"{word} ", "" if count else "dim")
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
        (f"{SIGNS[slot.phase]} ", style),
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


def event_rows(snapshot: Snapshot, width: int, room: int, glyphs: Glyphs) -> list[Text]:
    """Return the recent events, the newest first: failed visits, and notices to the user."""
    happened: list[VisitFailed | Notice] = [
        *(failure for failure in snapshot.failures if failure.fate in _FATES),
        *snapshot.notices,
    ]
    if not happened:
        return [Text.assemble(("  none so far", "dim"))][: max(0, room)]
    happened.sort(key=lambda one: -one.at)
    return [_happened(one, snapshot, width, glyphs) for one in happened[: max(0, room)]]


def _happened(event: VisitFailed | Notice, snapshot: Snapshot, width: int, glyphs: Glyphs) -> Text:
    line = Text.assemble(" ", (clock(event.at - snapshot.started).rjust(7), "dim"), "  ")
    if isinstance(event, Notice):
        style = _LEVELS.get(event.level, "cyan")
        return line.append(f"{one_line(event.level):<7}  ", style).append(one_line(event.text))
    line.append(f"{event.fate:<7}  ", _FATES[event.fate])
    line.append(f"{one_line(event.reason):<11} ")
    detail = one_line(event.detail)
    room = width - line.cell_len - 1
    if room < _DETAIL_ROOM:
        # The details of the URL's page have it.
        detail = ""
    # The address gets what the detail leaves, and at least two thirds.
    address = _address(event.url, max(room * 2 // 3, room - len(detail) - 2), snapshot, glyphs)
    return line.append(address).append(f"  {detail}" if detail else "", "dim")
