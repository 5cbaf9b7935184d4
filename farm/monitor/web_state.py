"""The contents of the page for a browser, as texts and numbers ready to be shown.

Without names (`named` false) it does not reveal what is crawled: no URL, site, proxy, node or message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from farm.model.event import Fate, NodesRead, Notice, Phase, ProxiesRead, VisitFailed
from farm.monitor.bottleneck import bottleneck
from farm.monitor.figures import amount, clock, lapse, one_line, rate, size, span
from farm.monitor.layout import Cell, TableColumn
from farm.monitor.progress import eta
from farm.monitor.rows import SIGNS
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

_URL_CHARS = 300
_CONTEXTS = 200
_EVENTS = 40
_SITES = 30
_FATES = frozenset({Fate.RETRY, Fate.DEAD})


def without_names(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with only its numbers."""
    hidden = {NodesRead, ProxiesRead}
    return replace(
        snapshot,
        slots=tuple(replace(slot, name="", url="") for slot in snapshot.slots),
        readings={kind: one for kind, one in snapshot.readings.items() if kind not in hidden},
        sites=(),
        other_sites=None,
        failures=(),
        notices=(),
        sinks_away={"": min(snapshot.sinks_away.values())} if snapshot.sinks_away else {},
        single_site=None,
        node_views=(),
    )


def page_state(snapshot: Snapshot, title: str, *, named: bool) -> dict[str, Any]:
    """Return the contents of the page as JSON values; every text is one line without control characters."""
    if not named:
        snapshot, title = without_names(snapshot), ""
    ledger, memory = snapshot.stats.ledger, snapshot.memory
    settled = ledger.done + ledger.dead
    total = settled + snapshot.progress.left(snapshot.stats)
    to_go, how = eta(snapshot.progress, snapshot.stats)
    state = {
        "named": named,
        "title": one_line(title),
        "state": "Redis away" if snapshot.away_since is not None else one_line(snapshot.stats.state),
        "elapsed": clock(snapshot.elapsed_s),
        "share": round(100 * settled / total, 1) if total else 0.0,
        "to_go": to_go,
        "how": how,
        "held": bottleneck(snapshot),
        "ledger": {name: getattr(ledger, name) for name in ("done", "dead", "leased", "delayed", "queued")},
        "numbers": _numbers(snapshot),
        "pages_per_s": [count / BIN_S for count in snapshot.history],
        "bin_s": BIN_S,
        "memory": [memory.used_bytes, memory.budget_bytes],
        "processor": snapshot.processor_share,
        "bytes_per_s": round(snapshot.bytes_per_s),
        "grid": [[SIGNS[slot.phase], slot.phase] for slot in snapshot.slots[:_CONTEXTS]],
        "phases": [[SIGNS[phase], phase, snapshot.phases.get(phase, 0)] for phase in Phase],
        "codes": _counted({str(code): count for code, count in snapshot.codes.items()}),
        "dead": _counted(snapshot.stats.dead_by_reason),
        "times": [[one_line(name), round(ms)] for name, ms in snapshot.phase_ms.items() if name != "total"],
    }
    return {**state, **_named(snapshot)} if named else state


def shown_letter(letter: Mapping[str, Any], *, has_picture: bool) -> dict[str, Any]:
    """Return a dead letter as the page shows it: like `farm dead list --json`, texts cut and on one line each."""
    task = letter["task"] or {}
    return {
        "id": one_line(letter["id"]),
        "reason": one_line(letter["reason"][:_URL_CHARS]),
        "url": one_line(task.get("url", "")[:_URL_CHARS]),
        "detail": one_line(letter["detail"][:_URL_CHARS]),
        "attempts": letter["attempts"],
        "at": letter["at"] or "",
        "picture": has_picture,
    }


def _numbers(snapshot: Snapshot) -> list[tuple[str, str]]:
    memory, flow = snapshot.memory, snapshot.flow
    return [
        ("pages a second", f"{rate(snapshot.pages_per_s)} now, {rate(snapshot.pages_per_s_overall)} overall"),
        ("page time", f"{lapse(snapshot.page_ms_p50)} median, {lapse(snapshot.page_ms_p95)} p95"),
        ("memory", f"{size(memory.used_bytes)} of {size(memory.budget_bytes)}"),
        ("memory at most", size(snapshot.memory_peak_bytes)),
        ("contexts", f"{amount(snapshot.at_work)} of {amount(len(snapshot.slots))} at work"),
        ("under way", f"{flow.under_way:.1f} = {rate(flow.per_s)} x {lapse(1000 * flow.took_s)}"),
        ("received", f"{size(snapshot.bytes_received)}, {size(snapshot.bytes_per_s)} a second"),
        ("retried", amount(snapshot.stats.retried)),
        ("sites", amount(snapshot.stats.sites)),
    ]


def _named(snapshot: Snapshot) -> dict[str, Any]:
    """Return the contents that include names."""
    _, order = SITE_ORDERS[0]
    sites = sorted(snapshot.sites, key=lambda site: (*order(site), site.site))[:_SITES]
    return {
        "sites": _table(SITE_COLUMNS, site_rows(sites, snapshot.other_sites, snapshot.now)),
        "proxies": _table(PROXY_COLUMNS, proxy_rows(snapshot)),
        "nodes": _table(node_columns(snapshot), node_rows(snapshot)),
        "contexts": [
            [
                one_line(slot.name),
                str(slot.phase),
                span(max(0.0, snapshot.now - (slot.url_since if slot.url else slot.since))),
                one_line(slot.url[:_URL_CHARS]),
            ]
            for slot in snapshot.slots[:_CONTEXTS]
        ],
        "events": _events(snapshot),
    }


def _table(columns: Sequence[TableColumn], rows: Sequence[Sequence[Cell]]) -> dict[str, Any]:
    return {
        "columns": [column.title for column in columns],
        "left": [column.left for column in columns],
        "rows": [
            [one_line(cell if isinstance(cell, str) else cell[0])[:_URL_CHARS] for cell in row]
            for row in rows
        ],
    }


def _events(snapshot: Snapshot) -> list[list[str]]:
    happened: list[VisitFailed | Notice] = [
        *(one for one in snapshot.failures if one.fate in _FATES),
        *snapshot.notices,
    ]
    happened.sort(key=lambda one: -one.at)
    return [[clock(one.at - snapshot.started), *_told(one)] for one in happened[:_EVENTS]]


def _told(event: VisitFailed | Notice) -> tuple[str, str]:
    if isinstance(event, Notice):
        return one_line(event.level), one_line(event.text)[:_URL_CHARS]
    text = f"{event.reason}  {event.url[:_URL_CHARS]}  {event.detail[:_URL_CHARS]}"
    return str(event.fate), one_line(text)


def _counted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [(one_line(name), count) for name, count in ordered if count]
