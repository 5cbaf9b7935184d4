"""`farm plan`: how many contexts and nodes, how long, and the smallest limit, by Little's law."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rich.table import Table

from farm.app.access import crawl_folder, open_existing_crawl
from farm.app.limits import crawl_limits
from farm.cli.last_run import LastRun, compared, last_run
from farm.cli.signals import run_interruptible
from farm.egress.proxy_file import ProxyFile
from farm.frontier.frontier import RedisFrontier
from farm.frontier.nodes import NodeFlow, by_site
from farm.model.errors import UsageError
from farm.model.url import ANY_SUBDOMAIN, site_of
from farm.monitor.figures import counted, size
from farm.monitor.terminal import table_console
from farm.policy.aimd import FIRST_IN_FLIGHT
from farm.policy.capacity import (
    CONTEXT_BYTES,
    CapacityPlan,
    Flow,
    Workload,
    automatic_contexts,
    first_contexts,
    million_pages,
    plan,
    together,
)
from farm.resources.host_load import core_count, usable_cores
from farm.resources.memory import machine_bytes
from farm.settings.commands import PlanSettings
from farm.settings.load import load
from farm.settings.options import EMBEDDED
from farm.settings.origin import flags_of
from farm.settings.sites import SiteTable
from farm.settings.stored import check_shared_settings, stored_tables
from farm.settings.units import Rate

ABOUT = (
    "Say how many contexts and nodes it takes, how long, what binds, and what it costs: from what a crawl has "
    "measured, or from a short probe of the URLs. After a run, say how that compares with what happened."
)
MOST_PACES = 50
"""Of how many sites it is asked what was learnt."""
BUSY = 0.5
"""The share of contexts with a visit under way at any moment, if all have work."""
OTHERS_SHOWN = 0.1
ASSUMED_CPU_S = 0.1
ASSUMED_S = 1.0
"""How long a visit takes where nothing is known of the site."""
ASSUMED_START_S = 3.0
"""After how long the first page of a run begins, where none has been seen."""
NAMES = {
    "contexts": "the number of contexts",
    "memory": "the memory budget",
    "cpu": "the processor",
    "rate": "the sites' rate",
    "site_concurrency": "the places in flight at the sites",
    "global_rate": "the global rate",
    "global_concurrency": "the places in flight in all",
    "proxies": "C_max: the proxies' rate",
    "pace": "the rate that the sites bear, as learnt",
}

_LIMITS = ("rate", "site_concurrency", "global_rate", "global_concurrency", "proxy_rate")


def main(arguments: Sequence[str]) -> int:
    """Print the plan."""
    settings = load(PlanSettings, arguments, "farm plan", ABOUT)
    known = run_interruptible(_known(settings)) if _names_a_crawl(settings) else _Known()
    pages = settings.pages or known.pages
    if not pages and not known.last:
        raise UsageError("There is nothing to plan; give --pages N, or a crawl with URLs left to visit.")
    if settings.urls:
        known = run_interruptible(_probed(settings, known))
    took_s = settings.page_time or known.flow.took_s or ASSUMED_S
    source = "given" if settings.page_time else known.source or f"measured in {settings.crawl or 'the crawl'}"
    if not settings.page_time and not known.flow.took_s:
        source = "assumed; give --page-time, a URL to probe, or a crawl that has run"
    budget, cores = settings.memory.of(machine_bytes()), usable_cores()
    contexts = settings.contexts or automatic_contexts(budget, cores)
    proxies, tables = _proxies(settings), settings.site or known.tables
    allowed = crawl_limits(_agreed(settings, known), tables, has_proxies=proxies > 0)
    if proxies and not allowed.proxy_rate and flags_of({"proxies"}):
        raise UsageError(
            "--proxies has no effect without --proxy-rate; give --proxy-rate RATE too, or leave it out."
        )
    wanted = Workload(
        pages=pages or (known.last.pages if known.last else 0),
        took_s=took_s,
        contexts=contexts,
        cores=max(0.1, cores - known.others),
        cpu_s=settings.page_cpu or known.page_cpu_s or ASSUMED_CPU_S,
        context_bytes=CONTEXT_BYTES,
        budget_bytes=budget,
        sites=_sites(settings, known, tables),
        allowed=allowed,
        proxies=proxies,
        within_s=settings.within or 0.0,
        # Of the last pages each takes half of its time on average after the queue is empty.
        beside_s=(ASSUMED_START_S if known.start_s is None else known.start_s) + took_s / 2,
        ramp_s=settings.ramp_up,
        first_contexts=0 if settings.contexts else first_contexts(cores),
        first_places=0 if known.is_learnt or allowed.places else min(contexts, FIRST_IN_FLIGHT),
        pace=known.pace * max(1, settings.sites or known.sites),
        alone_s=known.alone_s,
    )
    made = plan(wanted)
    if known.last is not None:
        known = replace(known, last=compared(known.last, wanted, automatic_contexts(budget, cores)))
    price, cost = settings.node_price, None
    if price is not None:
        cost = million_pages(price, made.nodes or 1, _rate(wanted, made))
    if settings.as_json:
        print(json.dumps(_plain(wanted, made, known, cost)))
    else:
        _show(wanted, made, source, known, cost)
    return 0


def _rate(wanted: Workload, made: CapacityPlan) -> float:
    """Return the rate of all nodes in the plan."""
    if not wanted.within_s or not made.nodes:
        return made.per_s
    return max(made.per_s, wanted.pages / wanted.within_s)


@dataclass(frozen=True, slots=True)
class _Known:
    """The facts about a crawl: its open `pages`, its measured flow, the number of `sites` and some names."""

    pages: int = 0
    flow: Flow = field(default_factory=Flow)
    sites: int = 0
    names: Sequence[str] = ()
    agreed: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, SiteTable] = field(default_factory=dict)
    page_cpu_s: float = 0.0
    others: float = 0.0
    """How many cores something else uses."""
    start_s: float | None = None
    """After how long the first page of a run begins."""
    pace: float = 0.0
    """The rate that sites like these were throttled to, each on average; 0 where one of them has not throttled."""
    alone_s: float = 0.0
    is_learnt: bool = False
    """Whether nodes have learnt already how much the sites bear."""
    source: str = ""
    last: LastRun | None = None


def _names_a_crawl(settings: PlanSettings) -> bool:
    return bool({"redis", "crawl", "output"} & settings.model_fields_set)


async def _known(settings: PlanSettings) -> _Known:
    """Return the agreed settings of the crawl and its measurements, summed over its last nodes."""
    async with open_existing_crawl(settings) as (crawl, frontier):
        check_shared_settings(crawl, frontier.place, *_LIMITS)
        nodes = await frontier.flow.read()
        at_work = [node for node in nodes if node.is_fresh] or nodes[:1]
        stats = await frontier.stats()
        # A crawl that has not run yet knows its sites where the scope is one of hosts.
        hosts = {site_of(unit) if "://" in unit else unit for unit in await frontier.scope_sites()}
        names = list(by_site(nodes)) or sorted(hosts)
        last = last_run(crawl_folder(settings) / "summary.json") if settings.redis == EMBEDDED else None
        flow = _in_turns(together(node.flow for node in at_work), at_work)
        return _Known(
            stats.ledger.open,
            flow,
            stats.sites or len(names),
            names,
            crawl.settings,
            stored_tables(crawl.settings, frontier.place),
            page_cpu_s=last.page_cpu_s if last is not None else 0.0,
            start_s=max(0.0, last.first_page_s - flow.took_s) if last and last.first_page_s else None,
            pace=await _learnt_pace(frontier, names[:MOST_PACES]),
            is_learnt=bool(nodes),
            last=last,
        )


async def _learnt_pace(frontier: RedisFrontier, sites: Sequence[str]) -> float:
    """Return the mean of the rates that these sites were throttled to; 0 where one of them has no such rate."""
    paces = [(await frontier.paces.read(site)).pace for site in sites]
    rates = [pace.rate if pace is not None else 0.0 for pace in paces]
    return sum(rates) / len(rates) if rates and all(rates) else 0.0


def _in_turns(flow: Flow, nodes: Sequence[NodeFlow]) -> Flow:
    """Return a flow with the time of a context from one page to the next, if all contexts had work.

    Between two visits a page is committed and acknowledged, and a context may be replaced.
    """
    contexts = sum(node.limit for node in nodes)
    is_busy = all(node.binding == "contexts" for node in nodes) and flow.under_way >= BUSY * contexts > 0
    return replace(flow, took_s=max(flow.took_s, contexts / flow.per_s)) if is_busy and flow.per_s else flow


async def _probed(settings: PlanSettings, known: _Known) -> _Known:
    """Return the facts with the measurements of a probe instead of a crawl's."""
    from farm.cli.probe import probe

    found = await probe(settings)
    return replace(
        known,
        flow=Flow(took_s=found.took_s),
        sites=known.sites or 1,
        names=known.names or (found.site,),
        page_cpu_s=found.cpu_s,
        others=found.others,
        start_s=found.start_s,
        pace=found.pace,
        alone_s=found.alone_s,
        is_learnt=False,
        source=f"measured by a probe of {counted(found.pages, 'page')}",
    )


def _agreed(settings: PlanSettings, known: _Known) -> dict[str, Any]:
    """Return the limits in the form of a crawl's: those given, else the crawl's."""
    given = {name: getattr(settings, name, None) for name in _LIMITS}
    texts = {name: value.text if isinstance(value, Rate) else value for name, value in given.items()}
    return {name: text or known.agreed.get(name) for name, text in texts.items()}


def _sites(settings: PlanSettings, known: _Known, tables: Mapping[str, SiteTable]) -> list[str]:
    """Return the names of the sites, empty for one that is not known; without a crawl those that have tables."""
    named = [name for name in tables if not name.startswith(ANY_SUBDOMAIN)]
    names = list(known.names) if known.sites else named
    count = settings.sites or known.sites or max(1, len(names))
    return [*names[:count], *[""] * (count - len(names))]


def _proxies(settings: PlanSettings) -> int:
    if settings.proxies is None:
        return 0
    file = ProxyFile(settings.proxies)
    file.read()
    return len(file.upstreams)


def _show(wanted: Workload, made: CapacityPlan, source: str, known: _Known, cost: float | None) -> None:
    table = Table(title=counted(wanted.pages, "page"), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("a visit takes (W)", f"{wanted.took_s:.2f} s, {source}")
    table.add_row("a page costs", f"{wanted.cpu_s * 1000:.0f} ms of one core")
    if known.others >= OTHERS_SHOWN:
        table.add_row("something else uses", f"{known.others:.1f} of {core_count()} cores")
    table.add_section()
    for name, limit in sorted(made.limits.items(), key=lambda item: item[1]):
        mark = "  <- binds" if name == made.binding else ""
        table.add_row(NAMES[name], f"{limit:.2f} pages/s{mark}")
    table.add_section()
    table.add_row("rate", f"{made.per_s:.2f} pages/s with one node")
    table.add_row("with start and end", f"{wanted.pages / made.lasts_s:.2f} pages/s")
    table.add_row("time", _span(made.lasts_s))
    table.add_row("contexts of use (L)", f"{made.useful}")
    table.add_row("their memory", f"{size(made.memory_bytes)} of {size(wanted.budget_bytes)}")
    if wanted.within_s:
        nodes = str(made.nodes) if made.nodes else f"none: {NAMES[made.binding]} stays what it is"
        table.add_row(f"nodes to end within {_span(wanted.within_s)}", nodes)
    if cost is not None:
        table.add_row(
            "a million pages cost", f"{cost:,.2f}, at {made.nodes or 1} node{'s' * (made.nodes > 1)}"
        )
    if known.last is not None:
        table.add_section()
        last = known.last
        share = f"{last.per_s / last.expected * 100:.0f} % of what was to be expected"
        table.add_row("the last run", f"{last.pages:,} pages, {last.per_s:.2f} pages/s: {share}")
    table_console().print(table)


def _plain(wanted: Workload, made: CapacityPlan, known: _Known, cost: float | None) -> dict[str, Any]:
    return {
        "pages": wanted.pages,
        "page_time_s": wanted.took_s,
        "page_cpu_s": wanted.cpu_s,
        "other_cores": known.others,
        "limits": dict(made.limits),
        "binding": made.binding,
        "per_s": made.per_s,
        "lasts_s": made.lasts_s,
        "overall_per_s": wanted.pages / made.lasts_s,
        "contexts": made.useful,
        "memory_bytes": made.memory_bytes,
        "nodes": made.nodes,
        "million_pages_cost": cost,
        "last_run": asdict(known.last) if known.last is not None else None,
    }


def _span(seconds: float) -> str:
    whole = math.ceil(seconds)
    days, rest = divmod(whole, 86_400)
    parts = [(days, "d"), (rest // 3600, "h"), (rest % 3600 // 60, "m"), (rest % 60, "s")]
    told = [f"{count}{unit}" for count, unit in parts if count]
    return " ".join(told[:2]) or "0s"
