"""A crawl that came to its end and is run again, perhaps by a supervisor that always does: nothing is begun.

That nothing is queued does not show it: sitemaps may not have been read to their end, links may lie between two
shards. So the run that finds the end notes it.
"""

import asyncio
from contextlib import suppress

from farm.app.preflight import RunPlan
from farm.app.session import CrawlSession
from farm.model.crawl import Stats
from farm.model.errors import FarmError

NOTE_S = 2.0


async def is_over(plan: RunPlan, session: CrawlSession) -> bool:
    """Whether this run has nothing to do, and its folder has the summary of one that had."""
    if plan.settings.stay or not (plan.output / "summary.json").is_file():
        return False
    if (await session.frontier.stats()).ledger.open:
        return False
    return await session.frontier.is_finished(_fed_by(plan))


async def note(plan: RunPlan, session: CrawlSession) -> None:
    """Note that the crawl came to its end; where Redis takes no writes, the next run finds out by itself."""
    with suppress(FarmError, TimeoutError):
        async with asyncio.timeout(NOTE_S):
            await session.frontier.mark_finished(_fed_by(plan))


def _fed_by(plan: RunPlan) -> str:
    since = plan.settings.sitemap_since
    return f"{plan.settings.sitemap} {since.isoformat() if since else ''}"


def sentence(stats: Stats, where: str) -> str:
    """Say that there is nothing to do, and what would bring work."""
    ledger = stats.ledger
    if not stats.rendered and not ledger.dead:
        return (
            f"nothing new: the crawl is finished, and all of its {ledger.done:,} URLs were refused "
            "(skipped.jsonl says why); --fresh begins again, with other settings if they are given"
        )
    remedy = f"`farm dead replay {where}` tries the dead again, " if ledger.dead else ""
    return (
        f"nothing new: the crawl is finished ({ledger.done:,} done, {ledger.dead:,} dead), no page was fetched; "
        f"give another URL to go on, {remedy}--fresh starts anew"
    )
