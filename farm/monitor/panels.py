"""The panels of the overview: each says how many rows it can use, and draws what it is given."""

from collections.abc import Mapping, Sequence
from functools import partial

from rich.text import Text

from farm.model.event import Reclaimed
from farm.monitor.chart import bar_chart
from farm.monitor.figures import Glyphs, amount, bar, by_proxies, lapse, one_line, rate, size, span, sparkline
from farm.monitor.layout import Cell, Panel, TableColumn, beside, table
from farm.monitor.rows import by_phase, event_rows, grid_rows, slot_rows
from farm.monitor.snapshot import BIN_S, Snapshot
from farm.monitor.tables import (
    PROXY_COLUMNS,
    SITE_COLUMNS,
    SITE_ORDERS,
    node_columns,
    node_rows,
    proxy_rows,
    site_rows,
)

_LABEL = 11
# Columns of figures: how wide the number is, and the word after it.
_FIRST, _SECOND, _THIRD = (9, 8), (8, 8), (9, 9)
_MUCH_LAG_S = 0.1
_NEAR, _FULL = 0.85, 1.0
_Part = tuple[str, str]
_Column = tuple[int, int]
_MEASURES = ("collect", "recycle", "shed", "engine", "kill")
_CHART_ROWS = 12
_LEAST_CHART = 6
_MOST_ROWS = 14
_CODE_STYLES = {2: "green", 3: "cyan", 4: "yellow", 5: "red"}
_PHASES = ("lease", "navigate", "settle", "handler", "extract")
"""In the order of a visit."""


def numbers(snapshot: Snapshot, glyphs: Glyphs, *, whole: bool, grows: int) -> Panel:
    """Return the figures of the crawl and of this node; `whole` says that rates have a chart elsewhere."""
    return Panel("", 6, 11 if whole else 9, 0, grows, partial(_numbers, snapshot, glyphs, whole))


def _numbers(snapshot: Snapshot, glyphs: Glyphs, whole: bool, width: int, room: int) -> list[Text]:
    rows = [
        _pages(snapshot, width, glyphs, whole=whole),
        _queue(snapshot, width, glyphs),
        _times(snapshot),
        _memory(snapshot, width, glyphs),
        _contexts(snapshot, width, whole=whole),
        *_failed(snapshot, glyphs, whole=whole),
        *([_processor(snapshot)] if whole else []),
        _reclaimed(snapshot, glyphs),
        _recycled(snapshot, glyphs),
        _received(snapshot, glyphs),
    ]
    return rows[:room]


def label_row(label: str, *parts: str | _Part) -> Text:
    """Return a row that begins with its label."""
    return Text.assemble(" ", (label.ljust(_LABEL), "dim"), *parts)


def _figure(text: str, word: str, style: str, column: _Column) -> list[_Part]:
    """Return a number and its word in a place of their own, so that rows stand in columns."""
    return [
        (text.rjust(column[0]), style),
        (f" {word}".ljust(column[1] + 1), "dim" if style == "dim" else ""),
    ]


def _count(number: int, word: str, column: _Column, style: str = "bold") -> list[_Part]:
    """Return a count as `_figure` does; zero is dimmed."""
    return _figure(amount(number), word, style if number else "dim", column)


def _pages(snapshot: Snapshot, width: int, glyphs: Glyphs, *, whole: bool) -> Text:
    ledger = snapshot.stats.ledger
    done, dead = glyphs.states[0], glyphs.states[1]
    line = label_row(
        "Pages",
        *_count(ledger.done, f"done {done}", _FIRST),
        *_count(ledger.dead, f"dead {dead}", _SECOND, "bold red"),
        *_figure(rate(snapshot.pages_per_s), "now", "bold", _THIRD),
        "  ",
    )
    if whole:
        return _beside(line, f"{rate(snapshot.pages_per_s_overall)} overall", width)
    room = min(40, width - line.cell_len - 1)
    history = [count / BIN_S for count in snapshot.history]
    return line.append(sparkline(history, room, glyphs), "cyan") if room > 0 else line


def _beside(line: Text, words: str, width: int) -> Text:
    """Append words if there is room for all of them."""
    return line.append(words, "dim") if line.cell_len + len(words) < width else line


def _queue(snapshot: Snapshot, width: int, glyphs: Glyphs) -> Text:
    ledger = snapshot.stats.ledger
    leased, delayed, queued = (glyphs.states[number] for number in (2, 3, 4))
    line = label_row(
        "Queue",
        *_count(ledger.queued, f"queued {queued}", _FIRST),
        *_count(ledger.leased, f"leased {leased}", _SECOND),
        *_count(ledger.delayed, f"delayed {delayed}", _THIRD, "bold yellow"),
    )
    number = snapshot.stats.sites
    return _beside(line, f"  {amount(number)} site{'' if number == 1 else 's'}", width)


def _times(snapshot: Snapshot) -> Text:
    return label_row(
        "Page time",
        *_figure(lapse(snapshot.page_ms_p50), "median", "bold", _FIRST),
        *_figure(lapse(snapshot.page_ms_p95), "p95", "bold", _SECOND),
        *_count(snapshot.stats.retried, "retried", _THIRD, "bold yellow"),
    )


def _memory(snapshot: Snapshot, width: int, glyphs: Glyphs) -> Text:
    memory = snapshot.memory
    used, budget = memory.used_bytes, memory.budget_bytes
    fraction = used / budget if budget else 0.0
    style = "red" if fraction >= _FULL else "yellow" if fraction >= _NEAR else "green"
    full, empty = bar(fraction, min(24, max(0, width - 56)), glyphs)
    texts = f"{size(used):>9} of {size(budget):<9}", f" peak {size(snapshot.memory_peak_bytes):<9}"
    line = label_row("Memory", (texts[0], "bold"), (texts[1], "dim"), " ", (full, style), (empty, "dim"))
    return _beside(line, f" {memory.processes} processes", width)


def _contexts(snapshot: Snapshot, width: int, *, whole: bool) -> Text:
    total, flow = len(snapshot.slots), snapshot.flow
    line = label_row("Contexts", *_count(snapshot.at_work, f"of {amount(total)} at work", (9, 15)))
    limit = snapshot.admission.limit
    if limit < total:
        line.append(f" {amount(limit)} may work", "yellow")
    elif flow.per_s:
        # Little's law: how many are under way, how many end a second, how long one takes.
        line.append(f" L {flow.under_way:.1f} = {rate(flow.per_s)} x {lapse(flow.took_s * 1000)}", "dim")
    if whole:
        return line
    line.append(_late(snapshot), "bold yellow")
    busy = snapshot.processor_share
    return line if busy is None else _beside(line, f"  processor {100 * busy:.0f} %", width)


def _processor(snapshot: Snapshot) -> Text:
    busy = snapshot.processor_share
    share = "-" if busy is None else f"{100 * busy:.0f} %"
    line = label_row("Processor", *_figure(share, "busy", "dim" if busy is None else "bold", _FIRST))
    return line.append(_late(snapshot), "bold yellow")


def _late(snapshot: Snapshot) -> str:
    """Return how late the event loop is; empty unless that is much: it delays every page."""
    late_s = snapshot.loop_lag.recent_s
    return f"  loop {lapse(1000 * late_s)} late" if late_s >= _MUCH_LAG_S else ""


def _failed(snapshot: Snapshot, glyphs: Glyphs, *, whole: bool) -> list[Text]:
    dead = _reasons("Dead", snapshot.stats.dead_by_reason, glyphs, "red")
    if whole:
        return [dead, _reasons("Skipped", snapshot.skipped, glyphs, "yellow")]
    skipped = _reasons("", snapshot.skipped, glyphs, "yellow")
    return [dead.append(f"  {glyphs.between}  skipped", "dim").append_text(skipped[_LABEL + 1 :])]


def _reasons(label: str, counts: Mapping[str, int], glyphs: Glyphs, style: str) -> Text:
    ordered = sorted(((name, count) for name, count in counts.items() if count), key=lambda one: -one[1])
    total = sum(count for _, count in ordered)
    line = label_row(label, (amount(total).rjust(_FIRST[0]), style if total else "dim"))
    words = f" {glyphs.between} ".join(f"{one_line(name)} {amount(count)}" for name, count in ordered[:4])
    return line.append(f"  {words}" if words else "", "dim")


def last_reclaim(snapshot: Snapshot) -> str:
    """Return the last measure against tight memory in words; empty if there was none."""
    read = snapshot.last(Reclaimed)
    return f"{one_line(read.measure)} gave {size(read.freed_bytes)}" if read is not None else ""


def _reclaimed(snapshot: Snapshot, glyphs: Glyphs) -> Text:
    read = snapshot.last(Reclaimed)
    total = sum(snapshot.relieved.values())
    line = label_row("Reclaimed", *_count(total, "times", (9, 5)))
    if read is None:
        return line
    measures = [
        f"{name} {amount(snapshot.relieved[name])}" for name in _MEASURES if name in snapshot.relieved
    ]
    line.append(f"  {size(snapshot.relieved_bytes)} back {glyphs.between} {' '.join(measures)}", "dim")
    ago = span(max(0.0, snapshot.now - read.at))
    return line.append(f" {glyphs.between} last {ago} ago: {last_reclaim(snapshot)}", "dim")


def _recycled(snapshot: Snapshot, glyphs: Glyphs) -> Text:
    contexts, engines = snapshot.recycled.get("context", 0), snapshot.recycled.get("engine", 0)
    words = f"contexts {glyphs.between} {amount(engines)} engines"
    return label_row("Recycled", *_count(contexts, words, (9, 0)))


def _received(snapshot: Snapshot, glyphs: Glyphs) -> Text:
    line = label_row("Received", (size(snapshot.bytes_received).rjust(9), "bold"))
    line.append(f" {glyphs.between} {size(snapshot.bytes_per_s)}/s")
    carried = by_proxies(snapshot.proxied)
    line.append(f"  {carried} by proxies" if carried else "", "dim")
    for renderer, count in snapshot.stats.tiers.pages.items():
        line.append(f"  {glyphs.between} {amount(count)} pages by {renderer}", "dim")
    words = f"links known already {amount(snapshot.stats.duplicates)}"
    return line.append(f"  {glyphs.between} {words}", "dim")


def throughput(snapshot: Snapshot, glyphs: Glyphs) -> Panel:
    """Return the chart of pages a second."""

    def draw(width: int, room: int) -> list[Text]:
        values = [count / BIN_S for count in snapshot.history]
        return bar_chart(values, BIN_S, width - 1, room, glyphs)

    return Panel("pages a second", _LEAST_CHART, _CHART_ROWS, 4, 1, draw)


def contexts(snapshot: Snapshot, glyphs: Glyphs) -> Panel:
    """Return the grid of contexts by what they do, and below it the visits, the longest first."""
    site = snapshot.single_site
    title = "contexts" if site is None else f"contexts on {one_line(site)}"
    wants = len(snapshot.slots) + 2

    def draw(width: int, room: int) -> list[Text]:
        counts = by_phase(snapshot, width)
        if len(snapshot.slots) < room:
            return [counts, *slot_rows(snapshot, width, room - 1, glyphs)]
        grid = grid_rows(snapshot, width, room - 1)
        return [counts, *grid, *slot_rows(snapshot, width, room - 1 - len(grid), glyphs)]

    return Panel(title, min(5, wants), wants, 1, 3, draw)


def sites(snapshot: Snapshot, glyphs: Glyphs) -> Panel | None:
    """Return the table of the busiest sites; None if none is known."""
    _, order = SITE_ORDERS[0]
    ordered = sorted(snapshot.sites, key=lambda site: (*order(site), site.site))
    rows = site_rows(ordered, snapshot.other_sites, snapshot.now)
    return _table("sites", SITE_COLUMNS, rows, glyphs, rank=2)


def proxies(snapshot: Snapshot, glyphs: Glyphs) -> Panel | None:
    """Return the table of proxies; None without proxies."""
    return _table("proxies", PROXY_COLUMNS, proxy_rows(snapshot), glyphs, rank=5)


def nodes(snapshot: Snapshot, glyphs: Glyphs) -> Panel | None:
    """Return the table of nodes; None if there is no other."""
    title = "nodes" if snapshot.node_views else "other nodes"
    return _table(title, node_columns(snapshot), node_rows(snapshot), glyphs, rank=3)


def _table(
    title: str, columns: Sequence[TableColumn], rows: Sequence[Sequence[Cell]], glyphs: Glyphs, *, rank: int
) -> Panel | None:
    if not rows:
        return None
    wants = 2 + min(len(rows), _MOST_ROWS)
    return Panel(
        title, min(wants, 4), wants, rank, 2, lambda width, room: table(columns, rows, width, room, glyphs)
    )


def results(snapshot: Snapshot, glyphs: Glyphs) -> Panel:
    """Return the results of visits: statuses at the left, reasons of dead letters at the right."""
    codes = sorted(snapshot.codes.items(), key=lambda one: (-one[1], one[0]))
    dead = sorted(snapshot.stats.dead_by_reason.items(), key=lambda one: (-one[1], one[0]))
    rows = max(1, len(codes), len(dead))

    def draw(width: int, room: int) -> list[Text]:
        half = width // 2
        left = [
            _share(str(code), count, snapshot.pages_done, half, _CODE_STYLES.get(code // 100, ""), glyphs)
            for code, count in codes[:room]
        ]
        total = sum(count for _, count in dead)
        right = [_share(reason, count, total, half, "red", glyphs) for reason, count in dead[:room]]
        left = left or [Text("   no page yet", "dim")]
        right = right or [Text("   none is dead", "dim")]
        lines = []
        for number in range(max(len(left), len(right))):
            line = beside(left[number] if number < len(left) else Text(), half)
            lines.append(line.append_text(right[number] if number < len(right) else Text()))
        return lines

    return Panel("statuses and dead by reason", min(3, 1 + rows), 1 + min(rows, 8), 6, 5, draw)


def _share(name: str, count: int, total: int, width: int, style: str, glyphs: Glyphs) -> Text:
    line = Text.assemble("   ", (one_line(name)[:11].ljust(12), style), (amount(count).rjust(9), "bold"), " ")
    room = min(20, width - line.cell_len - 2)
    full, empty = bar(count / total if total else 0.0, max(0, room), glyphs)
    return line.append(full, style).append(empty, "dim")


def phases(snapshot: Snapshot, glyphs: Glyphs) -> Panel:
    """Return the phases of a page's time, in the order of a visit, the slowest marked."""
    known = {name: snapshot.phase_ms[name] for name in _PHASES if name in snapshot.phase_ms}
    slowest = max(known, key=lambda name: known[name], default="")
    total = sum(known.values())

    def draw(width: int, room: int) -> list[Text]:
        names = sorted(known, key=lambda name: -known[name])[:room]
        lines = []
        for name in (one for one in known if one in names):
            line = Text.assemble("   ", (name.ljust(12), ""), (lapse(known[name]).rjust(9), "bold"), " ")
            room_left = min(30, width - line.cell_len - 16)
            full, empty = bar(known[name] / total if total else 0.0, max(0, room_left), glyphs)
            share = f" {100 * known[name] / total if total else 0:3.0f} %"
            line.append(full, "cyan").append(empty, "dim").append(share, "dim")
            lines.append(line.append(" slowest" if name == slowest else "", "yellow"))
        return lines or [Text("   no page yet", "dim")]

    return Panel("where a page's time goes", 3, 1 + max(1, len(known)), 7, 5, draw)


def events(snapshot: Snapshot, glyphs: Glyphs, wants: int) -> Panel:
    """Return the recent events, the newest first."""
    return Panel(
        "recent events", 4, wants, 1, 9, lambda width, room: event_rows(snapshot, width, room, glyphs)
    )
