"""`farm status`: the numbers of a crawl, from anywhere."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from farm.build.visit import visited
from farm.model.ledger import Stats
from farm.settings.commands import StatusSettings
from farm.settings.load import load


def main(arguments: Sequence[str]) -> int:
    """Print the ledger of a crawl, for people or as JSON."""
    settings = load(StatusSettings, arguments, "farm status", "Print the numbers of a crawl.")
    name, stats = asyncio.run(_read(settings))
    if settings.as_json:
        print(json.dumps({"crawl": name, **asdict(stats)}, indent=2))
    else:
        _show(name, stats)
    return 0


async def _read(settings: StatusSettings) -> tuple[str, Stats]:
    async with visited(settings) as (crawl, frontier):
        return crawl.name, await frontier.stats()


def _show(name: str, stats: Stats) -> None:
    table = Table(title=f"crawl {name} ({stats.state})", title_justify="left", show_header=False)
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
    for reason, count in sorted(stats.dead_by_reason.items()):
        table.add_row(f"dead: {reason}", f"{count:,}")
    Console().print(table)
