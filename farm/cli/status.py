"""`farm status`: the numbers of a crawl, from anywhere."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from farm.app.access import open_existing_crawl
from farm.cli.signals import run_interruptible
from farm.frontier.nodes import NodeFlow, by_site
from farm.model.crawl import Stats, seen_state
from farm.model.egress import ProxyBytes
from farm.monitor.figures import by_proxies, escaped
from farm.policy.capacity import together
from farm.settings.commands import StatusSettings
from farm.settings.load import load

SITES = 10


def main(arguments: Sequence[str]) -> int:
    """Print the ledger of a crawl, for people or as JSON."""
    settings = load(StatusSettings, arguments, "farm status", "Print the numbers of a crawl.")
    name, stats, proxied, at_work, nodes = run_interruptible(_read(settings))
    if settings.as_json:
        told = {"crawl": name, **asdict(stats), "proxy_bytes": asdict(proxied), "flow": _flow(nodes)}
        print(json.dumps(told, indent=2))
    else:
        _show(name, stats, proxied, at_work, nodes)
    return 0


async def _read(settings: StatusSettings) -> tuple[str, Stats, ProxyBytes, int, list[NodeFlow]]:
    """Return the ledger, what went by proxies, how many nodes are at work, and their flows.

    A node that has just begun has no flow.
    """
    async with open_existing_crawl(settings) as (crawl, frontier):
        # A node that has ended is unregistered at once; what it measured stays for `farm plan`.
        alive = {node.name for node in await frontier.nodes.list() if node.is_alive}
        nodes = [node for node in await frontier.flow.read() if node.is_fresh and node.node in alive]
        is_fed = await frontier.feeders.any()
        stats = await frontier.stats()
        state = seen_state(stats, is_fed=is_fed, is_worked=bool(alive))
        proxied = await frontier.proxy_bytes.read()
        return crawl.name, replace(stats, state=state), proxied, len(alive), nodes


def _flow(nodes: list[NodeFlow]) -> dict[str, Any]:
    """Return Little's law in figures: visits a second, seconds a visit takes, visits under way."""
    return {
        **asdict(together(node.flow for node in nodes)),
        "nodes": {node.node: {"contexts": node.limit, "bound_by": node.binding} for node in nodes},
        "sites": {site: asdict(flow) for site, flow in by_site(nodes).items()},
    }


def _show(name: str, stats: Stats, proxied: ProxyBytes, at_work: int, nodes: list[NodeFlow]) -> None:
    idle = ", no node at work" if stats.state in {"running", "paused"} and not at_work else ""
    Console().print(f"crawl {name} ({stats.state}{idle})", highlight=False, markup=False, soft_wrap=True)
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for state, count in asdict(stats.ledger).items():
        table.add_row(state, f"{count:,}")
    table.add_section()
    table.add_row("sites", f"{stats.sites:,}")
    table.add_row("pages rendered", f"{stats.rendered:,}")
    table.add_row("duplicates turned away", f"{stats.duplicates:,}")
    table.add_row("retries", f"{stats.retried:,}")
    table.add_row("leases expired", f"{stats.expired:,}")
    if carried := by_proxies(proxied):
        table.add_row("by proxies", carried)
    for reason, count in sorted(stats.dead_by_reason.items()):
        table.add_row(Text(escaped(f"dead: {reason}")), f"{count:,}")
    if nodes:
        table.add_section()
        flow = together(node.flow for node in nodes)
        table.add_row("visits under way (L)", f"{flow.under_way:.1f}")
        table.add_row("visits a second", f"{flow.per_s:.2f}")
        table.add_row("a visit takes (W)", f"{flow.took_s:.2f} s")
        for site, one in list(by_site(nodes).items())[:SITES]:
            table.add_row(Text(f"  {escaped(site)}"), f"{one.per_s:.2f}/s x {one.took_s:.2f} s")
        for node in nodes:
            table.add_row(Text(escaped(f"node {node.node}")), Text(escaped(_held(node))))
    Console().print(table)


def _held(node: NodeFlow) -> str:
    """Return how many contexts a node may use and what allows no more, as the live view says it."""
    contexts = f"{node.limit} context{'' if node.limit == 1 else 's'}"
    return f"{contexts}, held by {node.binding}" if node.binding else contexts
