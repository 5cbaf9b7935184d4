"""One process of a node: started by its supervisor, with the number of the socket to it as its only argument."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

import uvloop

from farm.app.processes import ProcessWork, assemble_process
from farm.app.running import GARBAGE_AFTER
from farm.cli.failure_report import begun, report
from farm.cli.signals import REASONS, run_interruptible
from farm.model.clock import SystemClock
from farm.model.errors import FarmError
from farm.monitor.log import LOG_NAME, level_of
from farm.resources.files import umask_of
from farm.runtime.control import Control
from farm.runtime.process_link import SEND_S, ErrorText, LinkClosed, ProcessEnd, ProcessLink
from farm.runtime.reaper import Reaper
from farm.runtime.supervised import NewsRelay, RelayedLog, follow, patience_with_supervisor_s
from farm.runtime.watchdog import LoopWatchdog, Signals


def main(arguments: Sequence[str]) -> int:
    """Run until the supervisor ends the process; return 0."""
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    try:
        return run_interruptible(_process(socket.socket(fileno=int(arguments[0]))), uvloop.new_event_loop)
    except Exception as error:  # noqa: BLE001 - whatever is left is a fault of the farm's own
        # Its sentence becomes the process's last words, which the supervisor tells.
        return report(error, ["process"])


async def _process(end: socket.socket) -> int:
    link = await ProcessLink.open(end)
    try:
        work: ProcessWork = await link.receive()
    except LinkClosed:
        return 0
    except FarmError as error:
        # Such as one in the user's module: a successor could not read it either.
        return await _ended(link, ProcessEnd(None, ErrorText.of(error)))
    begun(work.plan)
    settings = work.plan.settings
    os.umask(umask_of(settings.file_mode))
    relay = NewsRelay(link)
    handler = RelayedLog(relay)
    logging.getLogger().addHandler(handler)
    logging.getLogger("farm").setLevel(level_of(settings.log_level))
    telling = asyncio.create_task(relay.run(), name="news")
    reaper = Reaper()
    try:
        ended = await _run(work, link, relay, reaper)
    except FarmError as error:
        ended = ProcessEnd(None, ErrorText.of(error))
    finally:
        await asyncio.to_thread(reaper.close)
        telling.cancel()
        logging.getLogger().removeHandler(handler)
    relay.tell()
    return await _ended(link, ended, patience_with_supervisor_s(settings.sink_patience))


async def _ended(link: ProcessLink, ended: ProcessEnd, within_s: float = SEND_S) -> int:
    """Send the results of the process to the supervisor, and return its exit code."""
    # Without a supervisor there is no receiver.
    with suppress(LinkClosed):
        await link.finish(ended, within_s)
    return 0


async def _run(work: ProcessWork, link: ProcessLink, relay: NewsRelay, reaper: Reaper) -> ProcessEnd:
    """Run the node's part to its end, and close it."""
    clock, control, watchdog = SystemClock(), Control(staying=work.plan.settings.stay), LoopWatchdog()

    def on_signal(number: int) -> None:
        control.end(REASONS[signal.Signals(number)])

    reaper.log_to((work.plan.output / LOG_NAME).absolute(), work.plan.settings.log_format)
    watchdog.start()
    signals = Signals(reaper, watchdog, on_signal, leave_s=work.plan.settings.drain_timeout)
    signals.start()
    try:
        async with assemble_process(work, link, relay, control, reaper, clock) as (parts, sink):
            watchdog.report_lag(relay.emit)
            running = asyncio.create_task(parts.node.run(), name="node")
            following = asyncio.create_task(
                follow(link, sink, control, parts.set_budget, parts.glance, running), name="supervisor"
            )
            try:
                await asyncio.wait([running, following], return_when=asyncio.FIRST_COMPLETED)
                if not running.done():
                    # The supervisor is gone, or has said what cannot be: the leases go back.
                    running.cancel()
                await asyncio.wait([running])
            finally:
                following.cancel()
            totals = parts.totals()
            reason = control.reason if running.cancelled() else running.result()
        return ProcessEnd(reason, None, totals)
    finally:
        signals.close()
        watchdog.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
