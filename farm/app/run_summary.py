"""What a run came to: `summary.json`, from the last snapshot, the sink and the frontier."""

import asyncio
from datetime import datetime

from farm.app.assembly import Assembly
from farm.app.preflight import RunPlan
from farm.model.ledger import Stats
from farm.monitor.snapshot import Snapshot
from farm.sinks.summary import Summary, write_summary


async def write(
    plan: RunPlan,
    node: str,
    assembly: Assembly,
    snapshot: Snapshot,
    stats: Stats,
    reason: str,
    started_at: datetime,
    finished_at: datetime,
) -> None:
    """Write the summary; raises OutputUnwritable."""
    summary = Summary(
        crawl=plan.crawl,
        started_at=started_at,
        finished_at=finished_at,
        exit_reason=reason,
        ledger=stats.ledger,
        node=node,
        written=assembly.sink.written,
        skipped=assembly.sink.skipped,
        dead=stats.dead_by_reason,
        pages_per_s=snapshot.pages_per_s_overall,
        peak_memory_bytes=snapshot.memory_peak_bytes,
        memory_budget_bytes=plan.budget_bytes,
        recycled={
            "contexts": snapshot.recycled.get("context", 0),
            "engines": snapshot.recycled.get("engine", 0),
        },
        relief={**snapshot.relieved, "freed_bytes": snapshot.relieved_bytes},
        resources=assembly.governor.shortage.summary(),
        duplicate_content=assembly.families.repeated,
        throttled=assembly.pacer.throttled,
        settings=shown_settings(plan),
    )
    await asyncio.to_thread(write_summary, plan.output / "summary.json", summary)


def shown_settings(plan: RunPlan) -> dict[str, object]:
    """Return the settings as they are in force; what must not be read by others is of a type that hides it."""
    shown: dict[str, object] = plan.settings.model_dump(mode="json")
    shown["output"] = str(plan.output)
    shown["crawl"] = plan.crawl
    shown["contexts"] = plan.contexts
    shown["engines"] = plan.engines
    return shown


def sentence(stats: Stats, plan: RunPlan, written: int | None = None) -> str:
    """Say in one line what the crawl came to, over all nodes, and how many records this one wrote."""
    ledger = stats.ledger
    parts = [f"{ledger.done:,} done", f"{ledger.dead:,} dead"]
    if ledger.open:
        parts.append(f"{ledger.open:,} left for the next run")
    path = plan.output / "pages.jsonl"
    if written is None:
        return f"{', '.join(parts)}; the records are in {path}"
    records = "record" if written == 1 else "records"
    return f"{', '.join(parts)}; this node wrote {written:,} {records} to {path}"
