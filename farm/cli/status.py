"""`farm status`: the numbers of a crawl, from anywhere."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from farm.app.access import open_existing_crawl
from farm.app.operations import CrawlStatus, plain_status, read_status
from farm.cli.signals import run_interruptible
from farm.frontier.node_status import NodeStatus, node_of
from farm.frontier.nodes import NodeFlow, by_site
from farm.monitor.figures import by_proxies, escaped, size, span
from farm.monitor.terminal import table_console
from farm.policy.capacity import together
from farm.settings.commands import StatusSettings
from farm.settings.load import load

SITES = 10


def main(arguments: Sequence[str]) -> int:
    """Print the ledger of a crawl and its nodes, for people or as JSON."""
    settings = load(StatusSettings, arguments, "farm status", "Print the numbers of a crawl.")
    read = run_interruptible(_read(settings))
    if settings.as_json:
        print(json.dumps(plain_status(read), indent=2))
    else:
        _show(read)
    return 0


async def _read(settings: StatusSettings) -> CrawlStatus:
    async with open_existing_crawl(settings) as (crawl, frontier):
        return await read_status(crawl.name, frontier)


def _show(read: CrawlStatus) -> None:
    stats, at_work = read.stats, any(node.is_alive for node in read.nodes)
    idle = ", no node at work" if stats.state in {"running", "paused"} and not at_work else ""
    console = table_console()
    console.print(f"crawl {read.crawl} ({stats.state}{idle})", highlight=False, markup=False, soft_wrap=True)
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
    console.print(table)


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
