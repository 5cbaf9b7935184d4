"""The results of a run: `summary.json` and the report, from the last snapshot, the sink and the frontier."""

import asyncio
from dataclasses import asdict
from datetime import datetime

from farm.app.preflight import RunPlan
from farm.app.rendering import renderer_rules
from farm.app.run_assembly import Assembly
from farm.model.crawl import HALTED, Stats
from farm.monitor.report import RunReport, renderers_of
from farm.monitor.snapshot import Snapshot
from farm.policy.renderers import RenderMode
from farm.scope.links import MOST_ROUTES
from farm.sinks.summary import Summary, write_summary


def summary_of(
    plan: RunPlan,
    node: str,
    assembly: Assembly,
    snapshot: Snapshot,
    stats: Stats,
    reason: str,
    started_at: datetime,
    finished_at: datetime,
    cpu_s: float = 0.0,
) -> Summary:
    """Return the current summary of a run."""
    totals = assembly.totals()
    return Summary(
        crawl=plan.crawl,
        started_at=started_at,
        finished_at=finished_at,
        exit_reason=reason,
        ledger=stats.ledger,
        node=node,
        written=assembly.sink.stores[0].written,
        sinks={store.name: store.written for store in assembly.sink.stores},
        skipped={**assembly.sink.skipped, **queue_full(stats)},
        dead=stats.dead_by_reason,
        pages_per_s=snapshot.pages_per_s_overall,
        first_page_s=snapshot.first_page_s,
        cpu_s=cpu_s,
        peak_memory_bytes=snapshot.memory_peak_bytes,
        memory_budget_bytes=plan.budget_bytes,
        loop_lag_ms={
            "p99": round(1000 * snapshot.loop_lag.p99_s),
            "longest": round(1000 * snapshot.loop_lag.longest_s),
        },
        recycled={
            "contexts": snapshot.recycled.get("context", 0),
            "engines": snapshot.recycled.get("engine", 0),
        },
        relief={**snapshot.relieved, "freed_bytes": snapshot.relieved_bytes},
        resources=totals.resources,
        duplicate_content=totals.duplicate_content,
        throttled=totals.throttled,
        proxy_bytes=asdict(snapshot.proxied),
        renderers=renderers_of(stats) if is_auto(plan) else {},
        settings=shown_settings(plan),
    )


def is_auto(plan: RunPlan) -> bool:
    """Return whether any page of the run has the renderer `auto`."""
    return RenderMode.AUTO in renderer_rules(plan.settings, plan.asked).modes


def queue_full(stats: Stats) -> dict[str, int]:
    """Return how many links did not fit into the queue, over all nodes, with `queue_full` as the reason."""
    return {"queue_full": stats.left_out} if stats.left_out else {}


async def write(plan: RunPlan, summary: Summary, *, is_idle: bool) -> None:
    """Write the summary; raises OutputUnwritable.

    A run that found nothing to do (`is_idle`) keeps the summary of the previous run.
    """
    if not (is_idle and plan.summary.exists()):
        await asyncio.to_thread(write_summary, plan.summary, summary)


def shown_settings(plan: RunPlan) -> dict[str, object]:
    """Return the effective settings; the types of secrets mask them."""
    shown: dict[str, object] = plan.settings.model_dump(mode="json")
    shown["output"] = str(plan.output)
    shown["crawl"] = plan.crawl
    shown["contexts"] = plan.contexts
    shown["processes"] = plan.processes
    shown["engines"] = plan.engines
    return shown


def report_of(plan: RunPlan, assembly: Assembly, snapshot: Snapshot, stats: Stats, reason: str) -> RunReport:
    """Return the report of the run. The dead are those of the crawl, with examples of this run."""
    outcomes, run, sink = assembly.outcomes, f"farm run {plan.where}", assembly.sink
    has_items = sink.items > 0 or plan.declaration is not None or plan.handling is not None
    return RunReport(
        why=reason,
        elapsed_s=snapshot.elapsed_s,
        recorded=outcomes.recorded,
        stored=tuple((store.name, store.written, store.records) for store in sink.stores),
        items=sink.items,
        item_places=tuple(store.item_place for store in sink.stores if has_items and store.item_place),
        bytes_received=snapshot.bytes_received,
        settled=stats.ledger.done + stats.ledger.dead,
        accepted=stats.ledger.accepted,
        page_ms=(snapshot.page_ms_p50, snapshot.page_ms_p95),
        memory_bytes=(snapshot.memory_peak_bytes, plan.budget_bytes),
        failing=snapshot.sites,
        statuses=outcomes.statuses,
        blocked=outcomes.blocked,
        refused={why: (count, outcomes.refused_example[why]) for why, count in outcomes.refused.items()},
        skipped=sink.skipped,
        left_out=stats.left_out,
        redis_is_full=stats.is_full,
        dead={
            why: (count, *outcomes.dead_example.get(why, ("", "")))
            for why, count in stats.dead_by_reason.items()
        },
        renderers=renderers_of(stats) if is_auto(plan) else {},
        without_scripts=outcomes.without_scripts,
        script_hosts={
            host: (count, *outcomes.script_example[host])
            for host, count in outcomes.script_hosts.most_common(1)
        },
        selectors=outcomes.selectors,
        troubles=tuple(outcomes.notes),
        unvisited_routes=assembly.totals().unvisited_routes,
        most_routes=MOST_ROUTES,
        left=stats.ledger.open,
        go_on=f"farm resume {plan.where} && {run}" if stats.state in HALTED else run,
        where=plan.where,
    )
