"""`farm top`: the live view of a crawl and all its nodes, from anywhere."""

import asyncio
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from farm.app.access import check_at_work, crawl_flags, crawl_folder, open_existing_crawl
from farm.cli.signals import run_interruptible
from farm.cli.streams import print_lines
from farm.cli.view_keys import KeyCommands, contexts_after
from farm.frontier.frontier import RedisFrontier
from farm.model.clock import Clock, SystemClock
from farm.model.crawl import NodeSeen, crawl_state
from farm.model.errors import CrawlGone, FrontierUnavailable, UsageError
from farm.model.event import Notice
from farm.monitor.snapshot import Snapshot
from farm.monitor.terminal import Terminal, can_be_shown
from farm.monitor.views import LiveView
from farm.monitor.whole import WholeCrawl
from farm.settings.commands import TopSettings
from farm.settings.load import load
from farm.settings.options import EMBEDDED

EVERY_S = 1.0
_AT_WORK = frozenset({"running", "draining"})
_ABOUT = "Show a crawl and all its nodes live, from anywhere. `?` in it lists the keys; q leaves it."


def main(arguments: Sequence[str]) -> int:
    """Show the view until the user leaves it, or its crawl is deleted; return 0."""
    settings = load(TopSettings, arguments, "farm top", _ABOUT)
    if not can_be_shown(Console()):
        raise UsageError("`farm top` needs a terminal; `farm status` prints the numbers once.")
    check_at_work(settings)
    last = run_interruptible(_watch(settings))
    if last:
        print_lines([last])
    return 0


async def _watch(settings: TopSettings) -> str:
    """Show the view until the user leaves it; return a last message, if there is one."""
    clock = SystemClock()
    left = asyncio.Event()
    async with open_existing_crawl(settings) as (crawl, frontier):
        whole, keys = WholeCrawl(clock.monotonic()), KeyCommands(left.set)
        keys.begin(
            frontier,
            partial(_want_contexts, frontier),
            lambda level, text: whole.say(Notice(clock.monotonic(), level, text)),
            tells_state=True,
            where=_where(settings, crawl.name),
        )
        await look(frontier, whole, clock)
        # The socket of a private Redis says nothing to anybody.
        place = crawl_folder(settings) if settings.redis == EMBEDDED else frontier.place
        try:
            with LiveView(whole.snapshot, f"{crawl.name} · {place}", clock, Terminal(), keys) as view:
                while not left.is_set() and view.is_shown:
                    try:
                        await look(frontier, whole, clock)
                    except FrontierUnavailable:
                        if settings.redis == EMBEDDED:
                            return "The run has ended, and its private Redis with it."
                        whole.away(clock.monotonic())
                    try:
                        async with asyncio.timeout(EVERY_S):
                            await left.wait()
                    except TimeoutError:
                        continue
        except CrawlGone as error:
            return str(error)
        finally:
            keys.end()
    return ""


def _where(settings: TopSettings, crawl: str) -> str:
    """Return the flags that name the crawl to any command."""
    output = crawl_folder(settings) if settings.redis == EMBEDDED else settings.output
    return crawl_flags(settings, crawl, output)


async def look(frontier: RedisFrontier, whole: WholeCrawl, clock: Clock) -> None:
    """Read the crawl once, for a view of the whole of it. Raises FrontierUnavailable, CrawlGone."""
    seen = await frontier.seen_nodes()
    at_work = [node for node in seen if node.state in _AT_WORK]
    stats = await frontier.stats()
    state = crawl_state(stats, is_fed=await frontier.feeders.any(), is_worked=bool(at_work))
    reports = await frontier.reports.read([node.name for node in at_work])
    proxied = await frontier.proxy_bytes.read()
    whole.note(clock.monotonic(), stats, proxied, _worth_showing(seen), reports, state=state)


def _worth_showing(seen: Sequence[NodeSeen]) -> list[NodeSeen]:
    """Return the live nodes, and those that were lost."""
    return [node for node in seen if node.state != "ended"]


async def _want_contexts(frontier: RedisFrontier, change: int, snapshot: Snapshot, chosen: str) -> str:
    """Request one context more or fewer of the chosen node, or of each; return a sentence about the result."""
    nodes = [node for node in snapshot.node_views if node.state in _AT_WORK and node.contexts]
    nodes = [node for node in nodes if node.name == chosen] or nodes
    told = []
    for node in nodes:
        wanted = contexts_after(change, node.limit, node.contexts)
        await frontier.reports.want(node.name, wanted)
        told.append(f"{node.name} {wanted} of {node.contexts}")
    return f"contexts that may work: {', '.join(told)}" if told else "no node is at work"
