"""`farm list`: the crawls in the folders below, or in a Redis."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from farm.app.access import PRIVATE, redis_url, short_patience_s
from farm.cli.signals import run_interruptible
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import crawl_names, find_crawl
from farm.frontier.frontier import RedisFrontier
from farm.model.crawl import Ledger, crawl_state
from farm.model.errors import CrawlGone, CrawlUnreadable, FrontierRefused, NoSuchCrawl, UsageError
from farm.monitor.figures import escaped, size
from farm.monitor.terminal import table_console
from farm.settings.commands import ListSettings
from farm.settings.load import load
from farm.settings.options import EMBEDDED
from farm.sinks.output_folders import OutputFolder, output_folders
from farm.sinks.record import timestamp

ABOUT = (
    "List the crawls whose output folders lie below, as their last runs left them, or those in a Redis, with "
    "their state and size."
)


def main(arguments: Sequence[str]) -> int:
    """Print the crawls, for people or as JSON, one object a line."""
    settings = load(ListSettings, arguments, "farm list", ABOUT)
    if settings.redis == EMBEDDED:
        found = [_of_folder(one) for one in output_folders(settings.folders or (".",), PRIVATE)]
    elif settings.folders:
        raise UsageError("`farm list` looks into folders or into a Redis; leave the folders or --redis out.")
    else:
        found = run_interruptible(_in_redis(settings))
    if settings.as_json:
        for crawl in found:
            print(json.dumps(crawl))
    elif found:
        _show(found)
    else:
        print("no crawls")
    return 0


def _of_folder(folder: OutputFolder) -> dict[str, Any]:
    at = folder.finished_at
    return {**asdict(folder), "finished_at": timestamp(at) if at is not None else None}


async def _in_redis(settings: ListSettings) -> list[dict[str, Any]]:
    patience_s = short_patience_s(settings)
    client = await connect(redis_url(settings), first_patience_s=patience_s, patience_s=patience_s)
    try:
        found = [await _of_redis(client, name) for name in await crawl_names(client)]
        return [one for one in found if one is not None]
    finally:
        await client.close()


async def _of_redis(client: RedisClient, name: str) -> dict[str, Any] | None:
    """Return a crawl; None if it was deleted meanwhile. An unreadable crawl does not hide the others."""
    try:
        frontier = RedisFrontier(client, await find_crawl(client, name))
        stats, nodes = await frontier.stats(), await frontier.nodes.list()
        is_worked = any(node.is_alive for node in nodes)
        state = crawl_state(stats, is_fed=await frontier.feeders.any(), is_worked=is_worked)
        ledger = asdict(stats.ledger)
    except (NoSuchCrawl, CrawlGone):
        return None
    except (CrawlUnreadable, FrontierRefused):
        state, ledger = "unreadable", None
    return {"crawl": name, "redis": client.place, "state": state, "ledger": ledger}


def _show(found: Sequence[dict[str, Any]]) -> None:
    is_folder = "path" in found[0]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("folder" if is_folder else "crawl", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("done", "open", "dead", *(("size", "ended") if is_folder else ())):
        table.add_column(name, justify="right")
    for crawl in found:
        ledger = Ledger(**crawl["ledger"]) if crawl["ledger"] is not None else None
        texts = [crawl["path"] if is_folder else crawl["crawl"], crawl["state"]]
        counts = (
            ["", "", ""] if ledger is None else [f"{n:,}" for n in (ledger.done, ledger.open, ledger.dead)]
        )
        if is_folder:
            at = crawl["finished_at"]
            counts += [size(crawl["size_bytes"]), at[:16].replace("T", " ") if at else ""]
        table.add_row(*(Text(escaped(text)) for text in texts), *counts)
    table_console().print(table, highlight=False)
