"""A node of several processes: the work of each, and their supervisor."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from farm.app.assembly import NodeParts, assemble_node, heartbeats
from farm.app.preflight import RunPlan
from farm.app.session import CrawlSession, join_session
from farm.frontier.crawl import Crawl
from farm.model.clock import Clock
from farm.model.crawl import Identity
from farm.model.event import Emit
from farm.monitor.merged import MergedEvents
from farm.policy.capacity import shares
from farm.resources.processes import private_bytes
from farm.runtime.control import Control, ending_from_thread
from farm.runtime.governor import MemoryShares
from farm.runtime.node import Companion, Node, NodeParams
from farm.runtime.node_watch import NodeWatch
from farm.runtime.process_link import Glance, ProcessLink
from farm.runtime.reaper import Reaper
from farm.runtime.supervised import NewsRelay, SupervisedSink
from farm.runtime.supervisor import NodeProcess, ProcessParams, share_wanted
from farm.sinks.output import RecordSink

COMMAND = (sys.executable, "-P", "-m", "farm.cli.process")
"""Modules are not imported from the current folder: it may contain a `farm.py` of the user's."""
END_SHARE = 0.8
"""The share of the drain timeout in which the supervisor's processes must end."""


@dataclass(frozen=True, slots=True)
class ProcessWork:
    """The work of a process: its part of the plan, the crawl, and its name."""

    plan: RunPlan
    crawl: Crawl
    redis_url: str
    identity: Identity


@asynccontextmanager
async def supervise(
    session: CrawlSession,
    sink: RecordSink,
    reaper: Reaper,
    control: Control,
    merged: MergedEvents,
    emit: Emit,
    clock: Clock,
    companions: list[Companion],
) -> AsyncIterator[tuple[Node, Glance]]:
    """Return the node of a supervisor, whose processes are what it runs, and what shows a context of theirs."""
    plan, frontier = session.plan, session.frontier
    frontier.on_outage(emit)
    session.presence.on_drain(ending_from_thread(control, emit, clock))
    processes: list[tuple[NodeProcess, int]] = []
    for part in process_plans(plan):
        number = len(processes) + 1
        params = ProcessParams(
            number,
            f"{session.node}/{number}",
            COMMAND,
            plan.private / f"process-{number}.err",
            _facts(part),
        )
        work = partial(ProcessWork, part, session.crawl, session.redis_url)
        process = NodeProcess(params, work, frontier.nodes, sink, merged, control, reaper, emit, clock)
        processes.append((process, part.contexts))
    memory = MemoryShares(
        plan.budget_bytes,
        [(process.set_budget, contexts) for process, contexts in processes],
        partial(_own_bytes, session, reaper),
        merged.tell_own_memory,
    )
    # Before the first is started: its governor begins with its share.
    memory.share()
    control.on_wanted = partial(share_wanted, processes)
    node = Node(
        [process for process, _ in processes],
        memory,
        frontier,
        session.rules.extend,
        lambda: sink.skipped,
        control,
        emit,
        clock,
        NodeParams(END_SHARE * plan.settings.drain_timeout, plan.settings.time_limit, plan.settings.limit),
        [
            session.presence.run,
            NodeWatch(frontier.seen_nodes, session.node, emit, clock).run,
            *companions,
            *([session.server.keep] if session.server else []),
        ],
    )
    by_number = {str(number): process for number, (process, _) in enumerate(processes, 1)}
    yield node, partial(_glance, by_number)


async def _glance(processes: Mapping[str, NodeProcess], name: str) -> bytes | None:
    """Ask the process for what its slot shows; `name` is that of both, as the view has it."""
    number, _, slot = name.partition("/")
    return await processes[number].glance(slot) if number in processes else None


def process_plans(plan: RunPlan) -> list[RunPlan]:
    """Return the plan of each process: its part of the contexts, engines and memory.

    The first one reads the sitemaps.
    """
    parts = []
    contexts, engines = shares(plan.contexts, plan.processes), shares(plan.engines, plan.processes)
    for number in range(plan.processes):
        reads = plan.settings.sitemap if number == 0 else "off"
        own = {
            "fresh": False,
            "time_limit": None,
            "max_disk": None,
            "sitemap": reads,
            "urls": (),
            "seeds": None,
        }
        parts.append(
            replace(
                plan,
                settings=plan.settings.model_copy(update=own),
                seeds=plan.seeds if reads != "off" else (),
                contexts=contexts[number],
                engines=engines[number],
                budget_bytes=plan.budget_bytes * contexts[number] // plan.contexts,
                warnings=(),
                notes=(),
            )
        )
    return parts


def _facts(plan: RunPlan) -> dict[str, Any]:
    """Return the entry of a process in the list of nodes; it adds its id when it starts."""
    return {"contexts": plan.contexts}


def _own_bytes(session: CrawlSession, reaper: Reaper) -> int:
    """Return the memory of the supervisor, with its reaper and its private Redis, in bytes."""
    own = 0
    for pid in (os.getpid(), reaper.pid, *(session.server.pids() if session.server else ())):
        try:
            own += private_bytes(pid)
        except OSError:
            continue
    return own


@asynccontextmanager
async def assemble_process(
    work: ProcessWork, link: ProcessLink, relay: NewsRelay, control: Control, reaper: Reaper, clock: Clock
) -> AsyncIterator[tuple[NodeParts, SupervisedSink]]:
    """Build what a process of a node runs; on exit it is closed."""
    facts = {**_facts(work.plan), "pid": os.getpid()}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            join_session(work.plan, work.crawl, work.redis_url, work.identity, facts)
        )
        heartbeat = await stack.enter_async_context(heartbeats(session, clock))
        sink = SupervisedSink(link, work.plan.settings.sink_patience)
        parts = await stack.enter_async_context(
            assemble_node(session, reaper, heartbeat, sink, control, relay.emit, clock)
        )
        yield parts, sink
