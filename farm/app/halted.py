"""A run that meets a crawl which was stopped or drained: both last until `farm resume`, whoever starts a node."""

import asyncio
import logging
import signal

from farm.app.preflight import Plan
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import CrawlHalted

log = logging.getLogger("farm.halted")
HALTED = frozenset({"draining", "stopped"})
ASK_EVERY_S = 1.0
LIMIT_CODE = 5
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


async def refuse_or_wait(frontier: RedisFrontier, plan: Plan) -> None:
    """Return where the crawl may go on; with `--stay` wait for that, without a browser and without a lease.

    Raises CrawlHalted: with code 5 where nobody waits or the time limit is over, and with a signal's own code.
    """
    state = await frontier.state()
    if state not in HALTED:
        return
    sentence = f"The crawl {plan.crawl!r} is {state}; let it go on with {_resume(plan)}."
    if not plan.settings.stay:
        raise CrawlHalted(sentence, LIMIT_CODE)
    # Nobody has set up the log yet; a warning is shown all the same.
    log.warning("farm: %s Waiting for that (--stay).", sentence)
    loop, told = asyncio.get_running_loop(), asyncio.Queue[int]()
    for number, exit_code in SIGNALS.items():
        loop.add_signal_handler(number, told.put_nowait, exit_code)
    try:
        async with asyncio.timeout(plan.settings.time_limit):
            while await frontier.state() in HALTED:
                code = await _within(told, ASK_EVERY_S)
                if code is not None:
                    raise CrawlHalted("Ended by a signal before the crawl was resumed.", code)
    except TimeoutError:
        raise CrawlHalted(sentence, LIMIT_CODE) from None
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _within(told: asyncio.Queue[int], seconds: float) -> int | None:
    try:
        async with asyncio.timeout(seconds):
            return await told.get()
    except TimeoutError:
        return None


def _resume(plan: Plan) -> str:
    if plan.embedded:
        return f"`farm resume --output {plan.output}`"
    return f"`farm resume --crawl {plan.crawl}` and the same --redis"
