"""`farm run`: crawl."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime

import uvloop

from farm.build.assembly import assemble
from farm.build.place import open_place
from farm.build.preflight import Plan, preflight
from farm.model.clock import SystemClock
from farm.model.ledger import Ledger
from farm.runtime.control import Control, ExitReason
from farm.runtime.warden import Warden
from farm.settings.commands import RunSettings
from farm.settings.load import load

WORK_LEFT = 5
SIGNALLED = {ExitReason.SIGINT: 130, ExitReason.SIGTERM: 143}


def main(arguments: Sequence[str]) -> int:
    """Crawl until there is an end and return the exit code of it."""
    settings = load(RunSettings, arguments, "farm run", "Crawl from the URLs; join the crawl if it exists.")
    plan = preflight(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_crawl(plan))


async def _crawl(plan: Plan) -> int:
    clock = SystemClock()
    warden = Warden()
    try:
        async with open_place(plan, warden) as place, assemble(plan, place, warden, print, clock) as assembly:
            _obey_signals(assembly.control)
            reason = await assembly.node.run()
            stats = await place.frontier.stats()
            print(stats)
        return exit_code(reason, stats.ledger)
    finally:
        await asyncio.to_thread(warden.close)


def exit_code(reason: ExitReason, ledger: Ledger) -> int:
    """Return what the process ends with: a limit counts only when it left work."""
    if reason in SIGNALLED:
        return SIGNALLED[reason]
    return WORK_LEFT if reason is not ExitReason.FINISHED and ledger.open else 0


def _obey_signals(control: Control) -> None:
    """Drain on the first signal; on the second stop at once, and let the last will clean up."""
    loop = asyncio.get_running_loop()

    def on_signal(reason: ExitReason) -> None:
        if control.reason in SIGNALLED:
            os._exit(SIGNALLED[control.reason])
        control.end(reason)

    loop.add_signal_handler(signal.SIGINT, on_signal, ExitReason.SIGINT)
    loop.add_signal_handler(signal.SIGTERM, on_signal, ExitReason.SIGTERM)
