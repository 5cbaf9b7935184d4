"""The view as lines of text, a function of a snapshot, the terminal's size and the position in the view.

Invariants: never more lines than the terminal has, none wider than it; the position of a number does not change
when others do. The size decides which panels are shown.
"""

from collections.abc import Sequence

from rich.text import Text

from farm.monitor import panels
from farm.monitor.bottleneck import bottleneck
from farm.monitor.browse import Browsing, ViewPage
from farm.monitor.chart import ledger_bar
from farm.monitor.figures import ASCII, UNICODE, Glyphs, clock, one_line, span
from farm.monitor.layout import Panel, beside, fitted, side_by_side, stacked
from farm.monitor.pages import page_rows
from farm.monitor.progress import eta
from farm.monitor.snapshot import Snapshot
from farm.monitor.tables import DeadRow

_WIDE = 120
_LEAST_LEFT, _MOST_LEFT = 67, 92
_LEFT_SHARE = 0.46
_PAIRED = 90
"""How wide the right column must be for two panels beside each other."""
_TIGHT_ROWS = 14
_ROOMY_ROWS = 30
_LONG_ROWS = 34
_NOTICE_S = 10.0
_ENDS = "Ctrl-C finishes the pages under way and stops; a second one stops at once"
_KEYS = "? keys  1 overview  2 sites  3 proxies  4 nodes  5 dead  6 events  p pause  +/-"
_LIST_KEYS = "? keys  up/down  Enter opens  / filter  s order  Esc back  1 overview"
_STATES = {"running": ("crawling", "green"), "finished": ("finished", "bold green")}
_Part = tuple[str, str]


def frame(
    snapshot: Snapshot,
    width: int,
    height: int,
    title: str,
    place: Browsing | None = None,
    letters: Sequence[DeadRow] | None = None,
    *,
    unicode: bool = True,
) -> list[Text]:
    """Return the view as at most `height` lines of at most `width` cells.

    `place` is None if no key can be pressed; `letters` are the dead letters, None before they were read.
    """
    glyphs = UNICODE if unicode else ASCII
    at = place or Browsing()
    named = title.replace(UNICODE.between, glyphs.between)
    lines = [_header(snapshot, named, width), *_progress(snapshot, width, height, glyphs)]
    room = max(0, height - len(lines) - 1)
    if at.page is ViewPage.OVERVIEW:
        lines += _overview(snapshot, width, room, glyphs)
    else:
        drawn = page_rows(snapshot, at, letters, width, room, glyphs)[:room]
        lines += drawn + [Text()] * (room - len(drawn))
    lines = [*lines[: max(0, height - 1)], _foot(snapshot, place, glyphs)]
    return [fitted(line, width, glyphs) for line in lines[:height]]


def _overview(snapshot: Snapshot, width: int, room: int, glyphs: Glyphs) -> list[Text]:
    is_roomy = room >= _ROOMY_ROWS
    tables = [
        one
        for one in (
            panels.sites(snapshot, glyphs),
            panels.proxies(snapshot, glyphs),
            panels.nodes(snapshot, glyphs),
        )
        if one is not None
    ]
    is_wide = width >= _WIDE
    numbers = panels.numbers(snapshot, glyphs, whole=is_wide, grows=2 if is_wide else 4)
    contexts = panels.contexts(snapshot, glyphs)
    events = panels.events(snapshot, glyphs, room)
    results, phases = panels.results(snapshot, glyphs), panels.phases(snapshot, glyphs)
    if not is_wide:
        more = [results, phases] if room >= _LONG_ROWS else []
        return stacked([numbers, contexts, *tables, *more, events], width, room, glyphs)
    left_width = max(_LEAST_LEFT, min(_MOST_LEFT, int(width * _LEFT_SHARE)))
    right_width = width - left_width - 1
    left = stacked([numbers, panels.throughput(snapshot, glyphs), contexts], left_width, room, glyphs)
    if is_roomy and right_width >= _PAIRED:
        right = [*tables, _paired(results, phases, glyphs), events]
    else:
        right = [*tables, results, phases, events]
    return side_by_side(left, left_width, stacked(right, right_width, room, glyphs), glyphs)


def _paired(one: Panel, other: Panel, glyphs: Glyphs) -> Panel:
    """Return two panels beside each other as one."""

    def draw(width: int, room: int) -> list[Text]:
        half = width // 2
        lines = []
        for left, right in zip(
            stacked([one], half, room, glyphs), stacked([other], width - half, room, glyphs), strict=True
        ):
            lines.append(beside(left, half).append_text(right))
        return lines

    return Panel(
        "",
        max(one.least, other.least),
        max(one.wants, other.wants),
        min(one.rank, other.rank),
        one.grows,
        draw,
    )


def _header(snapshot: Snapshot, title: str, width: int) -> Text:
    state, style = _state(snapshot)
    right = Text.assemble((state, style), "  ", (clock(snapshot.elapsed_s).rjust(8), "bold"), " ")
    left = Text.assemble(" ", ("farm", "bold cyan"), "  ", (one_line(title), "bold"))
    room = width - right.cell_len
    if room < left.cell_len:
        left.truncate(max(0, room - 1), overflow="ellipsis")
    left.append(" " * (room - left.cell_len))
    return left.append_text(right)


def _state(snapshot: Snapshot) -> _Part:
    if snapshot.away_since is not None:
        # What is known of the crawl is from before.
        return (
            f"Redis away for {span(max(0.0, snapshot.now - snapshot.away_since))}, leasing paused",
            "bold red",
        )
    for store, since in snapshot.sinks_away.items():
        return f"waiting for {one_line(store)} since {span(max(0.0, snapshot.now - since))}", "bold red"
    if snapshot.is_ending:
        return f"stopping, {snapshot.at_work} under way", "bold yellow"
    state = one_line(snapshot.stats.state)
    return _STATES.get(state, (state, "bold yellow"))


def _progress(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """Return the progress of the crawl, its estimated end, and its bottleneck."""
    ledger, progress = snapshot.stats.ledger, snapshot.progress
    words, how = eta(progress, snapshot.stats)
    settled = ledger.done + ledger.dead
    total = settled + progress.left(snapshot.stats)
    share = f"{100 * settled / total:3.0f} %" if total else "  0 %"
    label = panels.label_row("Progress")
    room = max(0, min(width - 48, 140))
    line = label.append_text(ledger_bar(ledger, room, glyphs)).append(f" {share}", "bold")
    line.append(f"  {words}", "bold" if words else "")
    binds = panels.label_row("Held by", (bottleneck(snapshot), "yellow"))
    if height < _TIGHT_ROWS:
        return [line, binds]
    return [line, panels.label_row("", (how, "dim")), binds]


def _foot(snapshot: Snapshot, place: Browsing | None, glyphs: Glyphs) -> Text:
    if place is not None and place.is_typing:
        return Text.assemble(" filter: ", (one_line(place.pattern), "bold"), glyphs.full[:1])
    recent = [
        one_line(notice.text)
        for notice in snapshot.notices
        if notice.level == "info" and snapshot.now - notice.at < _NOTICE_S
    ]
    # What is worse than a remark stands among the events.
    if recent:
        return Text(f" {recent[-1]}", "cyan")
    if place is None:
        return Text(f" {_ENDS}", "dim")
    return Text(f" {_KEYS if place.page is ViewPage.OVERVIEW else _LIST_KEYS}", "dim")
