"""A run that meets a crawl which is there already: halted until `farm resume`, finished, or not the one meant.

That a crawl is finished is not shown by nothing being queued: sitemaps may not have been read to their end, links
may lie between two shards. So the run that finds the end notes it.
"""

import asyncio
import logging
import shlex
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from farm.app.preflight import RunPlan
from farm.frontier.crawl import contradictions
from farm.frontier.frontier import RedisFrontier
from farm.model.crawl import Stats
from farm.model.errors import CrawlHalted, FarmError, UsageError

log = logging.getLogger("farm.halted")
HALTED = frozenset({"draining", "stopped"})
ASK_EVERY_S = 1.0


async def refuse_or_wait(frontier: RedisFrontier, plan: RunPlan) -> None:
    """Return where the crawl may go on; with `--stay` wait for that, without a browser and without a lease.

    Raises CrawlHalted where nobody waits or the time limit is over.
    """
    state = await frontier.state()
    if state not in HALTED:
        return
    sentence = f"The crawl {plan.crawl!r} is {state}; let it go on with `farm resume {plan.where}`."
    if not plan.settings.stay:
        raise CrawlHalted(sentence)
    # Nobody has set up the log yet; a warning is shown all the same.
    log.warning("farm: %s Waiting for that (--stay).", sentence)
    try:
        async with asyncio.timeout(plan.settings.time_limit):
            while await frontier.state() in HALTED:  # noqa: ASYNC110 - it changes in Redis
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        raise CrawlHalted(sentence) from None


NOTE_S = 2.0


async def is_over(plan: RunPlan, frontier: RedisFrontier) -> bool:
    """Whether this run has nothing to do, and its folder has the summary of one that had."""
    if plan.settings.stay or not (plan.output / "summary.json").is_file():
        return False
    if (await frontier.stats()).ledger.open:
        return False
    return await frontier.is_finished(_fed_by(plan))


async def note_end(plan: RunPlan, frontier: RedisFrontier) -> None:
    """Note that the crawl came to its end; where Redis takes no writes, the next run finds out by itself."""
    with suppress(FarmError, TimeoutError):
        async with asyncio.timeout(NOTE_S):
            await frontier.mark_finished(_fed_by(plan))


def _fed_by(plan: RunPlan) -> str:
    since = plan.settings.sitemap_since
    return f"{plan.settings.sitemap} {since.isoformat() if since else ''}"


def nothing_new(stats: Stats, where: str) -> str:
    """Say that there is nothing to do, and what would bring work."""
    ledger = stats.ledger
    if not stats.rendered and not ledger.dead:
        return (
            f"nothing new: the crawl is finished, and {_all(ledger.done)} refused "
            "(skipped.jsonl says why); --fresh begins again, with other settings if they are given"
        )
    remedy = f"`farm dead replay {where}` tries the dead again, " if ledger.dead else ""
    return (
        f"nothing new: the crawl is finished ({ledger.done:,} done, {ledger.dead:,} dead), no page was fetched; "
        f"give another URL to go on, {remedy}--fresh starts anew"
    )


def another_crawl(plan: RunPlan, stored: Mapping[str, Any], given: Mapping[str, Any]) -> UsageError:
    """Return the error: how the settings differ, and a folder that is free for the other crawl."""
    return UsageError(
        f"The crawl in {plan.output} was begun with {contradictions(stored, given)}: that is another crawl; "
        f"give it a folder of its own with --output {shlex.quote(str(_free(plan.output)))}, leave the option out "
        "to go on with the crawl that is there, or begin it anew with --fresh."
    )


def _free(folder: Path) -> Path:
    """Return the first of `NAME-2`, `NAME-3`, ... beside the folder that is not there."""
    names = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in names if not path.exists())


def _all(urls: int) -> str:
    return "its one URL was" if urls == 1 else f"all of its {urls:,} URLs were"
