"""The pages of the view beside the overview: whole tables, the details of a row, the keys."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from farm.model.url import site_of
from farm.monitor.browse import KEYS, Browsing, ViewPage, position
from farm.monitor.figures import Glyphs, amount, clock, one_line, rate, span
from farm.monitor.layout import Cell, TableColumn, section, table
from farm.monitor.rows import event_rows, slot_rows
from farm.monitor.snapshot import Snapshot
from farm.monitor.tables import (
    DEAD_COLUMNS,
    PROXY_COLUMNS,
    SITE_COLUMNS,
    SITE_ORDERS,
    DeadRow,
    dead_rows,
    node_columns,
    node_rows,
    proxy_rows,
    site_rows,
)

_LABEL = 16
_CONTINUED = " \\"
"""At the end of a line a shell goes on with the next one."""
_EMPTY = {
    ViewPage.SITES: "no site yet",
    ViewPage.PROXIES: "no proxies: they are given by --proxies FILE",
    ViewPage.NODES: "no other node",
    ViewPage.DEAD: "no dead letter",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows of a page, and the key of each, by which it is chosen."""

    columns: Sequence[TableColumn] = ()
    rows: Sequence[Sequence[Cell]] = ()
    keys: Sequence[str] = ()


def listing(snapshot: Snapshot, place: Browsing, letters: Sequence[DeadRow] | None) -> Listing:
    """Return the rows of a page that contain its pattern; empty for a page that lists nothing."""
    match place.page:
        case ViewPage.SITES:
            _, order = SITE_ORDERS[place.order]
            sites = sorted(snapshot.sites, key=lambda site: (*order(site), site.site))
            rows = site_rows(sites, snapshot.other_sites, snapshot.now)
            return _matching(SITE_COLUMNS, rows, place.pattern)
        case ViewPage.PROXIES:
            return _matching(PROXY_COLUMNS, proxy_rows(snapshot), place.pattern)
        case ViewPage.NODES:
            return _matching(node_columns(snapshot), node_rows(snapshot), place.pattern)
        case ViewPage.DEAD:
            known = letters or ()
            return _matching(DEAD_COLUMNS, dead_rows(known), place.pattern, [one.id for one in known])
    return Listing()


def _matching(
    columns: Sequence[TableColumn],
    rows: Sequence[Sequence[Cell]],
    pattern: str,
    keys: Sequence[str] | None = None,
) -> Listing:
    named = keys if keys is not None else [_text(row[0]) for row in rows]
    wanted = pattern.casefold()
    found = [
        (row, key)
        for row, key in zip(rows, named, strict=True)
        if not wanted or any(wanted in _text(cell).casefold() for cell in row)
    ]
    return Listing(columns, [row for row, _ in found], [key for _, key in found])


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def page_rows(
    snapshot: Snapshot,
    place: Browsing,
    letters: Sequence[DeadRow] | None,
    width: int,
    room: int,
    glyphs: Glyphs,
) -> list[Text]:
    """Return the lines of a page that is not the overview."""
    if place.page is ViewPage.KEYS:
        return [section("keys", width, glyphs), *_keys()][:room]
    if place.page is ViewPage.EVENTS:
        return [section("events", width, glyphs), *event_rows(snapshot, width, room - 1, glyphs)]
    shown = listing(snapshot, place, letters)
    at = position(place, shown.keys)
    if place.is_open and shown.keys:
        name = shown.keys[at]
        head = section(f"{place.page}: {one_line(name)}", width, glyphs)
        return [head, *_opened(snapshot, place, shown, at, letters, width, room - 1, glyphs)]
    title = str(place.page)
    if place.page is ViewPage.SITES:
        title += f" by {SITE_ORDERS[place.order][0]}"
    if place.pattern:
        title += f" with {one_line(place.pattern)}"
    lines = [section(f"{title}: {amount(len(shown.rows))}", width, glyphs)]
    if not shown.rows:
        is_unread = place.page is ViewPage.DEAD and letters is None
        text = "they are being read" if is_unread else _EMPTY.get(place.page, "nothing")
        return [*lines, Text(f"   {text}", "dim")]
    return [*lines, *table(shown.columns, shown.rows, width, room - 1, glyphs, at)]


def _keys() -> list[Text]:
    return [Text.assemble("   ", (keys.ljust(_LABEL), "bold"), does) for keys, does in KEYS]


def _opened(
    snapshot: Snapshot,
    place: Browsing,
    shown: Listing,
    at: int,
    letters: Sequence[DeadRow] | None,
    width: int,
    room: int,
    glyphs: Glyphs,
) -> list[Text]:
    """Return the details of one row."""
    if place.page is ViewPage.DEAD:
        letter = next(one for one in letters or () if one.id == shown.keys[at])
        return _letter(letter, width)[:room]
    lines = [
        _fact(column.title, _text(cell)) for column, cell in zip(shown.columns, shown.rows[at], strict=True)
    ]
    key = shown.keys[at]
    if place.page is ViewPage.SITES:
        found = next((site for site in snapshot.sites if site.site == key), None)
        if found is not None and found.rate:
            lines.append(_fact("its rate", f"{rate(found.rate)} at most, learnt from its answers"))
        if found is not None and found.blocked_until > snapshot.now:
            lines.append(_fact("blocked until", clock(found.blocked_until - snapshot.started)))
        return [*lines, *_around(snapshot, lambda url: site_of(url) == key, width, room - len(lines), glyphs)]
    if place.page is ViewPage.NODES:
        node = next((one for one in snapshot.node_views if one.name == key), None)
        lines.append(_fact("last heard of", f"{span(node.silent_s) if node else '-'} ago"))
        return [*lines, *_slots_of(snapshot, key, width, room - len(lines), glyphs)]
    return lines


def _around(
    snapshot: Snapshot, is_meant: Callable[[str], bool], width: int, room: int, glyphs: Glyphs
) -> list[Text]:
    """Return the contexts and the failures of the URLs that are meant."""
    slots = tuple(slot for slot in snapshot.slots if slot.url and is_meant(slot.url))
    failures = tuple(one for one in snapshot.failures if is_meant(one.url))
    part = replace(snapshot, slots=slots, failures=failures, notices=())
    half = max(0, room // 2 - 1)
    return [
        section("contexts on it", width, glyphs),
        *slot_rows(part, width, half, glyphs),
        section("failures", width, glyphs),
        *event_rows(part, width, room - half - 2, glyphs),
    ][: max(0, room)]


def _slots_of(snapshot: Snapshot, node: str, width: int, room: int, glyphs: Glyphs) -> list[Text]:
    part = replace(snapshot, slots=tuple(one for one in snapshot.slots if one.name.startswith(f"{node}/")))
    return [section("its contexts", width, glyphs), *slot_rows(part, width, room - 1, glyphs)][: max(0, room)]


def _letter(letter: DeadRow, width: int) -> list[Text]:
    lines = [
        _fact("URL", letter.url or "cannot be read"),
        _fact("reason", letter.reason),
        _fact("tries", amount(letter.attempts)),
        _fact("given up at", letter.at),
        _fact("id", letter.id),
    ]
    wide = max(1, width - _LABEL - 5)
    detail = one_line(letter.detail)
    parts = [detail[start : start + wide] for start in range(0, len(detail), wide)] or [""]
    lines += [_fact("detail" if not number else "", part) for number, part in enumerate(parts)]
    lines += [Text(), Text("   To try it again:", "dim")]
    return [*lines, *(Text(f"   {part}") for part in _command(letter, wide))]


def _command(letter: DeadRow, width: int) -> list[str]:
    """Return the command that tries it again; over several lines a shell joins them, as they can be pasted."""
    words = ["farm", "dead", "replay", letter.id, *shlex.split(letter.where)]
    parts: list[str] = []
    for word in (shlex.quote(one_line(word)) for word in words):
        if parts and len(parts[-1]) + 1 + len(word) + len(_CONTINUED) <= width:
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return [f"{part}{_CONTINUED}" for part in parts[:-1]] + parts[-1:]


def _fact(label: str, text: str) -> Text:
    return Text.assemble("   ", (label.ljust(_LABEL), "dim"), one_line(text))
