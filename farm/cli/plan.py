"""`farm plan`: how many contexts and nodes, how long, and what binds; by Little's law, from what was measured."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from farm.app.access import open_existing_crawl
from farm.cli.interruptible import run_interruptible
from farm.egress.proxy_file import ProxyFile
from farm.frontier.nodes import by_site
from farm.model.crawl import Stats
from farm.model.errors import UsageError
from farm.monitor.figures import size
from farm.policy.capacity import (
    CONTEXT_BYTES,
    CapacityPlan,
    Flow,
    Workload,
    automatic_contexts,
    plan,
    together,
)
from farm.resources.host_load import core_count
from farm.resources.memory import machine_bytes
from farm.settings.commands import PlanSettings
from farm.settings.load import load
from farm.settings.units import Rate

ASSUMED_S = 1.0
"""How long a visit takes where nothing is known of the site."""
NAMES = {
    "contexts": "the number of contexts",
    "memory": "the memory budget",
    "cpu": "the processor",
    "rate": "the sites' rate",
    "site_concurrency": "the places in flight at the sites",
    "global_rate": "the global rate",
    "proxies": "C_max: the proxies' rate",
}


def main(arguments: Sequence[str]) -> int:
    """Print the plan."""
    settings = load(
        PlanSettings, arguments, "farm plan", "Say how many contexts it takes, how long, what binds."
    )
    known = run_interruptible(_known(settings)) if _names_a_crawl(settings) else None
    stats, flow, sites = known or (None, Flow(), 0)
    pages = settings.pages or (stats.ledger.open if stats else 0)
    if not pages:
        raise UsageError("There is nothing to plan; give --pages N, or a crawl with URLs left to visit.")
    took_s = settings.page_time or flow.took_s or ASSUMED_S
    source = "given" if settings.page_time else f"measured in {settings.crawl or 'the crawl'}"
    if not settings.page_time and not flow.took_s:
        source = "assumed; give --page-time, or a crawl that has run"
    budget, cores = settings.memory.of(machine_bytes()), core_count()
    contexts = settings.contexts or automatic_contexts(budget, cores)
    wanted = Workload(
        pages=pages,
        took_s=took_s,
        contexts=contexts,
        cores=cores,
        cpu_s=settings.page_cpu,
        context_bytes=CONTEXT_BYTES,
        budget_bytes=budget,
        sites=settings.sites or max(1, sites),
        site_rate=_per_s(settings.rate),
        site_concurrency=settings.site_concurrency or 0,
        global_rate=_per_s(settings.global_rate),
        proxies=_proxies(settings),
        proxy_rate=_per_s(settings.proxy_rate),
        within_s=settings.within or 0.0,
    )
    _show(wanted, plan(wanted), source)
    return 0


def _names_a_crawl(settings: PlanSettings) -> bool:
    return bool({"redis", "crawl", "output"} & settings.model_fields_set)


async def _known(settings: PlanSettings) -> tuple[Stats, Flow, int]:
    """Return what the crawl has measured, its last nodes together."""
    async with open_existing_crawl(settings) as (_, frontier):
        nodes = await frontier.flow.read()
        at_work = [node for node in nodes if node.is_fresh] or nodes[:1]
        stats = await frontier.stats()
        return stats, together(node.flow for node in at_work), stats.sites or len(by_site(nodes))


def _proxies(settings: PlanSettings) -> int:
    if settings.proxies is None:
        return 0
    file = ProxyFile(settings.proxies)
    file.read()
    return len(file.upstreams)


def _per_s(rate: Rate | None) -> float:
    return rate.per_s if rate else 0.0


def _show(wanted: Workload, made: CapacityPlan, source: str) -> None:
    table = Table(title=f"{wanted.pages:,} pages", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("a visit takes (W)", f"{wanted.took_s:.2f} s, {source}")
    table.add_row("a page costs", f"{wanted.cpu_s * 1000:.0f} ms of one core")
    table.add_section()
    for name, limit in sorted(made.limits.items(), key=lambda item: item[1]):
        mark = "  <- binds" if name == made.binding else ""
        table.add_row(NAMES[name], f"{limit:.2f} pages/s{mark}")
    table.add_section()
    table.add_row("rate", f"{made.per_s:.2f} pages/s with one node")
    table.add_row("time", _span(made.lasts_s))
    table.add_row("contexts of use (L)", f"{made.useful}")
    table.add_row("their memory", f"{size(made.memory_bytes)} of {size(wanted.budget_bytes)}")
    if wanted.within_s:
        nodes = str(made.nodes) if made.nodes else f"none: {NAMES[made.binding]} stays what it is"
        table.add_row(f"nodes to end within {_span(wanted.within_s)}", nodes)
    Console().print(table)


def _span(seconds: float) -> str:
    whole = math.ceil(seconds)
    days, rest = divmod(whole, 86_400)
    parts = [(days, "d"), (rest // 3600, "h"), (rest % 3600 // 60, "m"), (rest % 60, "s")]
    told = [f"{count}{unit}" for count, unit in parts if count]
    return " ".join(told[:2]) or "0s"
