"""A run that meets a crawl which was stopped or drained: both last until `farm resume`, whoever starts a node."""

import asyncio
import logging

from farm.app.preflight import RunPlan
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import CrawlHalted

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
    sentence = f"The crawl {plan.crawl!r} is {state}; let it go on with {_resume(plan)}."
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


def _resume(plan: RunPlan) -> str:
    if plan.embedded:
        return f"`farm resume --output {plan.output}`"
    return f"`farm resume --crawl {plan.crawl}` and the same --redis"
