"""`farm status`: the numbers of a crawl, from anywhere."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from farm.app.access import open_existing_crawl
from farm.cli.signals import run_interruptible
from farm.frontier.node_status import NodeStatus, node_of, status_of_nodes
from farm.frontier.nodes import NodeFlow, by_site
from farm.model.crawl import Stats, seen_state
from farm.model.egress import ProxyBytes
from farm.monitor.figures import by_proxies, escaped, size, span
from farm.policy.capacity import together
from farm.settings.commands import StatusSettings
from farm.settings.load import load

SITES = 10


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read of a crawl; `flows` are those of the nodes at work: one that has just begun has none."""

    crawl: str
    stats: Stats
    eligible: int
    proxied: ProxyBytes
    nodes: Sequence[NodeStatus]
    flows: list[NodeFlow]


def main(arguments: Sequence[str]) -> int:
    """Print the ledger of a crawl and its nodes, for people or as JSON."""
    settings = load(StatusSettings, arguments, "farm status", "Print the numbers of a crawl.")
    read = run_interruptible(_read(settings))
    if settings.as_json:
        now = datetime.now(UTC)
        told = {
            "crawl": read.crawl,
            **asdict(read.stats),
            "eligible": read.eligible,
            "nodes": [_node(node, now) for node in read.nodes],
            "proxy_bytes": asdict(read.proxied),
            "flow": _flow(read.flows),
        }
        print(json.dumps(told, indent=2))
    else:
        _show(read)
    return 0


async def _read(settings: StatusSettings) -> _Reading:
    async with open_existing_crawl(settings) as (crawl, frontier):
        entries = await frontier.nodes.history()
        # A node that has ended is unregistered at once; what it measured stays for `farm plan`.
        alive = {node.name for node in entries if node.is_alive}
        flows = [flow for flow in await frontier.flow.read() if flow.is_fresh and flow.node in alive]
        is_fed = await frontier.feeders.any()
        stats = await frontier.stats()
        state = seen_state(stats, is_fed=is_fed, is_worked=bool(alive))
        return _Reading(
            crawl.name,
            replace(stats, state=state),
            await frontier.eligible(),
            await frontier.proxy_bytes.read(),
            status_of_nodes(entries, flows),
            flows,
        )


def _node(node: NodeStatus, now: datetime) -> dict[str, Any]:
    """Return a node as JSON has it; `last_seen` is a time of the wall clock."""
    seen = (now - timedelta(seconds=node.silent_s)).isoformat(timespec="milliseconds")
    told = asdict(node)
    del told["silent_s"]
    return {**told, "last_seen": seen.replace("+00:00", "Z")}


def _flow(nodes: list[NodeFlow]) -> dict[str, Any]:
    """Return Little's law in figures: visits a second, seconds a visit takes, visits under way."""
    return {
        **asdict(together(node.flow for node in nodes)),
        "nodes": {node.node: {"contexts": node.limit, "bound_by": node.binding} for node in nodes},
        "sites": {site: asdict(flow) for site, flow in by_site(nodes).items()},
    }


def _show(read: _Reading) -> None:
    stats, at_work = read.stats, any(node.is_alive for node in read.nodes)
    idle = ", no node at work" if stats.state in {"running", "paused"} and not at_work else ""
    Console().print(
        f"crawl {read.crawl} ({stats.state}{idle})", highlight=False, markup=False, soft_wrap=True
    )
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for state, count in asdict(stats.ledger).items():
        table.add_row(state, f"{count:,}")
    table.add_row("could be leased now", f"{read.eligible:,}")
    table.add_section()
    table.add_row("sites", f"{stats.sites:,}")
    cheap = [f"{count:,} by {renderer}" for renderer, count in stats.tiers.pages.items()]
    table.add_row("pages rendered", ", ".join([f"{stats.rendered:,}", *cheap]))
    table.add_row("duplicates turned away", f"{stats.duplicates:,}")
    table.add_row("left out of a full queue", f"{stats.left_out:,}")
    table.add_row("retries", f"{stats.retried:,}")
    table.add_row("leases expired", f"{stats.expired:,}")
    if carried := by_proxies(read.proxied):
        table.add_row("by proxies", carried)
    for reason, count in sorted(stats.dead_by_reason.items()):
        table.add_row(Text(escaped(f"dead: {reason}")), f"{count:,}")
    if read.flows:
        table.add_section()
        flow = together(node.flow for node in read.flows)
        table.add_row("visits under way (L)", f"{flow.under_way:.1f}")
        table.add_row("visits a second", f"{flow.per_s:.2f}")
        table.add_row("a visit takes (W)", f"{flow.took_s:.2f} s")
        for site, one in list(by_site(read.flows).items())[:SITES]:
            table.add_row(Text(f"  {escaped(site)}"), f"{one.per_s:.2f}/s x {one.took_s:.2f} s")
    if read.nodes:
        table.add_section()
    for node in read.nodes:
        table.add_row(Text(escaped(f"node {node.name}")), Text(escaped(_standing(node))))
        for told in read.flows if node.is_alive else ():
            if node_of(told.node) == node.name:
                number = told.node.partition("/")[2]
                label = f"  process {number}" if number else "  contexts"
                table.add_row(Text(escaped(label)), Text(escaped(_held(told))))
    Console().print(table)


def _standing(node: NodeStatus) -> str:
    """Return a node's state, with what it holds or when it was last heard of."""
    if not node.is_alive:
        return f"{node.state}, last seen {span(node.silent_s)} ago"
    parts = [node.state, f"{node.leased:,} leased"]
    if node.memory_bytes:
        parts.append(size(node.memory_bytes))
    return ", ".join([*parts, *([f"version {node.version}"] if node.version else [])])


def _held(node: NodeFlow) -> str:
    """Return how many contexts a node may use and what allows no more, as the live view says it."""
    contexts = f"{node.limit} context{'' if node.limit == 1 else 's'}"
    return f"{contexts}, held by {node.binding}" if node.binding else contexts
