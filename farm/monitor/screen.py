"""The live view as lines of text, made of a snapshot and the size of the terminal, and of nothing else.

What always holds: never more lines than the terminal has, none wider than it; every number has its place
and keeps it, so that the eye can rest on one while the others move.
"""

from collections.abc import Mapping, Sequence

from rich.text import Text

from farm.monitor.figures import (
    ASCII,
    UNICODE,
    Glyphs,
    amount,
    bar,
    by_proxies,
    clock,
    lapse,
    one_line,
    rate,
    size,
    span,
    sparkline,
)
from farm.monitor.rows import fitted, section, slot_rows, trouble_rows
from farm.monitor.snapshot import BIN_S, Snapshot

_MUCH_LAG_S = 0.1
_WIDE = 124
_LEFT = 82
_LABEL = 11
# Columns of figures: how wide the number is, and the word after it.
_FIRST, _SECOND, _THIRD, _FIGURE = (9, 6), (8, 6), (9, 7), (9, 0)
_FEWEST_TROUBLES = 4
_MOST_TROUBLES = 12
_TIGHT_ROWS = 20
_ROOMY_ROWS = 28
_NOTICE_S = 60.0
_MOST_NODES = 30
_HINT = "Ctrl-C finishes the pages under way and stops; a second one stops at once"
_STATES = {"running": ("crawling", "green"), "finished": ("finished", "bold green")}
_Part = tuple[str, str]
_Column = tuple[int, int]
_MEASURES = ("collect", "recycle", "shed", "engine", "kill")
_LIMITS = {
    "ramp": "the ramp-up",
    "memory": "the memory budget",
    "cpu": "a busy processor",
    "rate": "the rate limit",
    "places": "the places in flight",
    "proxies": "the proxies' rate",
    "contexts": "the number of contexts",
}


def frame(snapshot: Snapshot, width: int, height: int, title: str, *, unicode: bool = True) -> list[Text]:
    """Return the view as at most `height` lines of at most `width` cells."""
    glyphs = UNICODE if unicode else ASCII
    tight = height < _TIGHT_ROWS
    lines = [_header(snapshot, title, width)]
    if not tight:
        lines.append(Text())
    lines += _numbers(snapshot, width, height, glyphs)
    if snapshot.nodes and not tight:
        lines.append(_nodes(snapshot, glyphs))
    if height >= _ROOMY_ROWS:
        lines.append(Text())

    # Two section rules, and the line at the foot.
    room = max(0, height - len(lines) - 3)
    fewest = min(_FEWEST_TROUBLES, room // 3)
    slots = slot_rows(snapshot, width, room - fewest, glyphs)
    troubles = trouble_rows(snapshot, width, min(_MOST_TROUBLES, room - len(slots)), glyphs)
    lines.append(section(_slots_title(snapshot), width, glyphs))
    lines += slots
    lines.append(section("last errors", width, glyphs))
    lines += troubles
    lines += [Text()] * (height - len(lines) - 1)
    lines = [*lines[: height - 1], _foot(snapshot)]
    return [fitted(line, width, glyphs) for line in lines[:height]]


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
    return _STATES.get(snapshot.stats.state, (snapshot.stats.state, "bold yellow"))


def _numbers(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Text]:
    wide = width >= _WIDE
    inner = _LEFT if wide else width
    main = [
        _pages(snapshot, inner, glyphs),
        _queue(snapshot),
        _times(snapshot),
        _memory(snapshot, inner, glyphs),
        _slots(snapshot).append(_lag(snapshot), "bold yellow"),
    ]
    more = [
        _reasons("Skipped", snapshot.skipped, glyphs, "yellow"),
        _reasons("Dead", snapshot.stats.dead_by_reason, glyphs, "red"),
        _recycled(snapshot, glyphs),
    ]
    if not wide:
        return main + more[: 1 if height < _ROOMY_ROWS else 3]
    more += [_turned_away(snapshot), _received(snapshot)]
    for left, right in zip(main, more, strict=True):
        left.truncate(_LEFT - 1, overflow="ellipsis", pad=True)
        left.append(" ").append_text(right)
    return main


def _lag(snapshot: Snapshot) -> str:
    """Return how late the event loop runs, where that is much: it delays every page."""
    late_s = snapshot.loop_lag.recent_s
    return f"  loop {lapse(1000 * late_s)} late" if late_s >= _MUCH_LAG_S else ""


def _row(label: str, *parts: str | _Part) -> Text:
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


def _pages(snapshot: Snapshot, width: int, glyphs: Glyphs) -> Text:
    ledger = snapshot.stats.ledger
    line = _row(
        "Pages",
        *_count(ledger.done, "done", _FIRST),
        *_count(ledger.dead, "dead", _SECOND, "bold red"),
        *_figure(rate(snapshot.pages_per_s), "now", "bold", _THIRD),
        "  ",
    )
    room = min(40, width - line.cell_len - 1)
    history = [count / BIN_S for count in snapshot.history]
    return line.append(sparkline(history, room, glyphs), "cyan") if room > 0 else line


def _queue(snapshot: Snapshot) -> Text:
    ledger = snapshot.stats.ledger
    carried = by_proxies(snapshot.proxied)
    return _row(
        "Queue",
        *_count(ledger.queued, "queued", _FIRST),
        *_count(ledger.leased, "leased", _SECOND),
        *_count(ledger.delayed, "delayed", _THIRD, "bold yellow"),
        (f"  {carried} by proxies" if carried else "", "dim"),
    )


def _times(snapshot: Snapshot) -> Text:
    return _row(
        "Page time",
        *_figure(lapse(snapshot.page_ms_p50), "median", "bold", _FIRST),
        *_figure(lapse(snapshot.page_ms_p95), "p95", "bold", _SECOND),
        *_count(snapshot.stats.retried, "retried", _THIRD, "bold yellow"),
        (f"  {rate(snapshot.pages_per_s_overall)} overall", "dim"),
    )


def _memory(snapshot: Snapshot, width: int, glyphs: Glyphs) -> Text:
    used, budget = snapshot.memory.used_bytes, snapshot.memory.budget_bytes
    fraction = used / budget if budget else 0.0
    style = "red" if fraction >= 1 else "yellow" if fraction >= 0.85 else "green"  # noqa: PLR2004
    full, empty = bar(fraction, 24, glyphs)
    texts = f"  {size(used):>9} of {size(budget):<9}", f" peak {size(snapshot.memory_peak_bytes):<9}"
    line = _row("Memory", (full, style), (empty, "dim"), (texts[0], "bold"), (texts[1], "dim"))
    processes = f"{snapshot.memory.processes:>4} processes"
    return line.append(processes, "dim") if line.cell_len + len(processes) < width else line


def _slots(snapshot: Snapshot) -> Text:
    total = len(snapshot.slots)
    limit, flow = snapshot.admission.limit, snapshot.flow
    parts = _count(snapshot.at_work, f"of {total} at work", _FIRST)
    if limit < total:
        binding = _LIMITS.get(snapshot.admission.binding, snapshot.admission.binding)
        parts.append((f"   held to {limit} by {binding}", "yellow"))
    elif flow.per_s:
        # Little's law: how many are under way, how many end a second, how long one takes.
        law = f"   L {flow.under_way:.1f} = {rate(flow.per_s)} x {lapse(flow.took_s * 1000)}"
        parts.append((law, "dim"))
    return _row("Contexts", *parts)


def _reasons(label: str, reasons: Mapping[str, int], glyphs: Glyphs, style: str) -> Text:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    line = _row(label, *_count(sum(reasons.values()), "", _FIGURE, f"bold {style}"))
    between = f" {glyphs.between} "
    return line.append(
        " " + between.join(f"{one_line(reason)} {amount(count)}" for reason, count in ordered), "dim"
    )


def _recycled(snapshot: Snapshot, glyphs: Glyphs) -> Text:
    contexts, engines = snapshot.recycled.get("context", 0), snapshot.recycled.get("engine", 0)
    line = _row(
        "Recycled", *_count(contexts, f"contexts {glyphs.between} {amount(engines)} engines", _FIGURE)
    )
    measures = [
        f"{name} {amount(snapshot.relieved[name])}" for name in _MEASURES if name in snapshot.relieved
    ]
    if measures:
        line.append(f" {glyphs.between} {' '.join(measures)}, {size(snapshot.relieved_bytes)} back", "dim")
    return line


def _turned_away(snapshot: Snapshot) -> Text:
    return _row("Links", *_count(snapshot.stats.duplicates, "known already", _FIGURE))


def _received(snapshot: Snapshot) -> Text:
    return _row("Received", (size(snapshot.bytes_received).rjust(9), "bold"))


def _nodes(snapshot: Snapshot, glyphs: Glyphs) -> Text:
    """Return the other nodes in a line: how many are at work, and their names; those that were lost come first."""
    at_work = sum(node.state != "lost" for node in snapshot.nodes)
    line = _row("Nodes", *_count(at_work, "others at work", _FIRST), "  ")
    ordered = sorted(snapshot.nodes, key=lambda node: node.state != "lost")
    for number, node in enumerate(ordered[:_MOST_NODES]):
        if number:
            line.append(f" {glyphs.between} ", "dim")
        line.append(one_line(node.name), "dim" if node.state == "running" else "")
        if node.state != "running":
            line.append(f" {node.state}", "bold red" if node.state == "lost" else "yellow")
    return line


def _slots_title(snapshot: Snapshot) -> str:
    return "contexts" if snapshot.single_site is None else f"contexts on {snapshot.single_site}"


def _foot(snapshot: Snapshot) -> Text:
    recent: Sequence[str] = [
        one_line(notice.text)
        for notice in snapshot.notices
        if notice.level == "info" and snapshot.now - notice.at < _NOTICE_S
    ]
    # What is worse than a remark stands among the errors.
    return Text.assemble((f" {recent[-1]}", "cyan") if recent else (f" {_HINT}", "dim"))
