"""The tables of the view: sites, proxies, nodes, dead letters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from farm.model.event import ProxiesRead
from farm.monitor.figures import amount, lapse, rate, span
from farm.monitor.layout import Cell, TableColumn
from farm.monitor.snapshot import NodeView, SiteView, Snapshot

_PERCENT = 100
_POOR = 0.4
_MUCH_LATER = 1.5
_NEAR = 0.85
_GIB = 1 << 30
_ASLEEP_PER_S = 0.005
"""Below this rate a site without a visit under way comes after the others."""


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A dead letter in the view; `url` is empty if it cannot be read.

    `where` are the flags that name its crawl to any command, ready for a shell.
    """

    id: str
    reason: str
    at: str
    attempts: int
    url: str
    detail: str
    where: str = ""


SITE_COLUMNS = (
    TableColumn("site", 16, 0, left=True),
    TableColumn("rate", 7, 1),
    TableColumn("at once", 7, 2),
    TableColumn("latency", 8, 7),
    TableColumn("of base", 7, 8),
    TableColumn("pages", 8, 3),
    TableColumn("4xx", 6, 6),
    TableColumn("5xx", 6, 4),
    TableColumn("put off", 7, 9),
    TableColumn("failed", 7, 10),
    TableColumn("held by", 15, 5, left=True),
)
_VERDICTS = {"refused": "429 or 503", "slow": "latency", "failing": "failures", "held": "latency"}

Order = tuple[str, Callable[[SiteView], tuple[float, ...]]]
SITE_ORDERS: tuple[Order, ...] = (
    # Of what grows and never falls: rows that changed places all the time could not be read.
    ("visits", lambda site: (site.per_s < _ASLEEP_PER_S and not site.in_flight, -_visits(site))),
    ("rate", lambda site: (-site.per_s, -site.in_flight)),
    (
        "failures",
        lambda site: (-(site.failed + site.server_errors), -site.throttled, -site.client_errors),
    ),
    ("latency", lambda site: (-site.latency_ms,)),
    ("blocked", lambda site: (-site.blocked_until, -site.throttled)),
)
"""The orders of the sites; the first is that of the overview."""


def _visits(site: SiteView) -> int:
    return site.pages + site.client_errors + site.server_errors + site.throttled + site.failed


def site_rows(sites: Sequence[SiteView], other: SiteView | None, now: float) -> list[Sequence[Cell]]:
    """Return a row per site, and one of the others together."""
    rows = [_site(site, site.site, now) for site in sites]
    return rows if other is None else [*rows, _site(other, "other sites", now)]


def _site(site: SiteView, name: str, now: float) -> Sequence[Cell]:
    slower = site.latency_ms / site.baseline_ms if site.baseline_ms and site.latency_ms else 0.0
    return (
        (name, "" if site.site else "dim"),
        rate(site.per_s),
        f"{amount(site.in_flight)}/{amount(site.limit)}" if site.limit else amount(site.in_flight),
        lapse(site.latency_ms) if site.latency_ms else ("-", "dim"),
        (f"{slower:.1f}x", "yellow" if slower >= _MUCH_LATER else "") if slower else ("-", "dim"),
        _number(site.pages, ""),
        _number(site.client_errors, "yellow"),
        _number(site.server_errors, "red"),
        _number(site.throttled, "yellow"),
        _number(site.failed, "red"),
        _held(site, now),
    )


def _held(site: SiteView, now: float) -> Cell:
    if site.blocked_until > now:
        return f"blocked {span(max(1.0, site.blocked_until - now))}", "bold yellow"
    why = _VERDICTS.get(site.verdict, "")
    if site.rate:
        return f"{rate(site.rate)} {why}", "yellow"
    return why, "yellow"


def _number(number: int, style: str) -> Cell:
    return (amount(number), style) if number else ("0", "dim")


PROXY_COLUMNS = (
    TableColumn("proxy", 18, 0, left=True),
    TableColumn("state", 16, 1, left=True),
    TableColumn("score", 6, 2),
    TableColumn("contexts", 8, 3),
    TableColumn("latency", 8, 5),
    TableColumn("bans", 5, 6),
    TableColumn("banned for", 10, 4, left=True),
)


def proxy_rows(snapshot: Snapshot) -> list[Sequence[Cell]]:
    """Return a row per reported proxy."""
    read = snapshot.last(ProxiesRead)
    if read is None:
        return []
    passed_s = max(0.0, snapshot.now - read.at)
    rows: list[Sequence[Cell]] = []
    for proxy in read.proxies:
        banned_s = max(0.0, proxy.banned_s - passed_s)
        left = f" {span(banned_s)}" if proxy.state == "banned" and banned_s else ""
        rows.append(
            (
                proxy.label.removeprefix("http://"),
                (f"{proxy.state}{left}", "" if proxy.state == "available" else "bold yellow"),
                (f"{_PERCENT * proxy.score:.0f} %", "yellow" if proxy.score < _POOR else ""),
                _number(proxy.slots, ""),
                lapse(proxy.latency_ms) if proxy.latency_ms else ("-", "dim"),
                _number(proxy.bans, "yellow"),
                (f"{amount(proxy.sites)} site{'' if proxy.sites == 1 else 's'}", "yellow")
                if proxy.sites
                else ("no site", "dim"),
            )
        )
    return rows


NODE_COLUMNS = (
    TableColumn("node", 16, 0, left=True),
    TableColumn("state", 9, 1, left=True),
    TableColumn("at work", 7, 2),
    TableColumn("memory", 13, 3),
    TableColumn("pages", 7, 4),
    TableColumn("held by", 10, 5, left=True),
    TableColumn("last reclaim", 26, 6, left=True),
)
OTHER_NODE_COLUMNS = (*NODE_COLUMNS[:2], TableColumn("contexts", 8, 2))
"""What a node knows of the others."""
_STATE_STYLES = {"running": "green", "draining": "yellow", "lost": "bold red", "ended": "dim"}


def _memory(node: NodeView) -> Cell:
    used, budget = node.memory_used_bytes, node.memory_budget_bytes
    if not budget:
        return "-", "dim"
    style = "bold red" if used >= budget else "yellow" if used >= _NEAR * budget else ""
    return f"{used / _GIB:.1f}/{budget / _GIB:.1f} GiB", style


def node_rows(snapshot: Snapshot) -> list[Sequence[Cell]]:
    """Return a row per node: those of a view of the whole crawl, or the others that this node knows of."""
    views: list[Sequence[Cell]] = [
        (
            node.name,
            (
                node.state if node.state != "lost" else f"lost {span(node.silent_s)}",
                _STATE_STYLES.get(node.state, ""),
            ),
            f"{amount(node.at_work)}/{amount(node.contexts)}",
            _memory(node),
            rate(node.pages_per_s),
            node.binding if node.limit < node.contexts else "",
            (f"{node.last_reclaim}, {span(node.reclaimed_s)} ago", "")
            if node.last_reclaim
            else ("none", "dim"),
        )
        for node in snapshot.node_views
    ]
    others: list[Sequence[Cell]] = [
        (
            node.name,
            (
                node.state if node.state != "lost" else f"lost {span(node.silent_s)}",
                _STATE_STYLES.get(node.state, ""),
            ),
            amount(node.contexts),
        )
        for node in snapshot.nodes
    ]
    return views or others


def node_columns(snapshot: Snapshot) -> Sequence[TableColumn]:
    """Return the columns of `node_rows`."""
    return NODE_COLUMNS if snapshot.node_views else OTHER_NODE_COLUMNS


DEAD_COLUMNS = (
    TableColumn("URL", 24, 0, left=True),
    TableColumn("reason", 11, 1, left=True),
    TableColumn("at", 8, 4, left=True),
    TableColumn("tries", 5, 3),
    TableColumn("detail", 40, 2, left=True),
)


def dead_rows(letters: Sequence[DeadRow]) -> list[Sequence[Cell]]:
    """Return a row per dead letter."""
    return [
        (one.url or ("cannot be read", "dim"), (one.reason, "red"), one.at, amount(one.attempts), one.detail)
        for one in letters
    ]
