"""A crawl that came to its end and is run again, perhaps by a supervisor that always does: nothing is begun.

That nothing is queued does not show it: sitemaps may not have been read to their end, links may lie between two
shards. So the run that finds the end notes it.
"""

import asyncio
from contextlib import suppress

from farm.app.preflight import RunPlan
from farm.app.session import CrawlSession
from farm.frontier.crawl import is_finished, mark_finished
from farm.model.errors import FarmError

NOTE_S = 2.0


async def is_over(plan: RunPlan, session: CrawlSession) -> bool:
    """Whether this run has nothing to do, and its folder has the summary of one that had."""
    if plan.settings.stay or not (plan.output / "summary.json").is_file():
        return False
    if (await session.frontier.stats()).ledger.open:
        return False
    return await is_finished(session.frontier.shards.client, session.crawl, _fed_by(plan))


async def note(plan: RunPlan, session: CrawlSession) -> None:
    """Note that the crawl came to its end; where Redis takes no writes, the next run finds out by itself."""
    with suppress(FarmError, TimeoutError):
        async with asyncio.timeout(NOTE_S):
            await mark_finished(session.frontier.shards.client, session.crawl, _fed_by(plan))


def _fed_by(plan: RunPlan) -> str:
    since = plan.settings.sitemap_since
    return f"{plan.settings.sitemap} {since.isoformat() if since else ''}"
