"""An open crawl: the output folder with its lock, Redis, and the crawl in it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from farm.app.access import add_seeds, another_crawl, redis_url, short_patience_s
from farm.app.limits import limits_in_force, politeness_of, site_terms, terms_of
from farm.app.preflight import RunPlan, check_renderers
from farm.app.rendering import needs_browser, run_browser
from farm.extract.declaration import Declaration
from farm.frontier.client import RedisClient
from farm.frontier.connect import connect
from farm.frontier.crawl import Crawl, Dedup, contradictions, find_crawl, open_crawl
from farm.frontier.embedded import EmbeddedRedis
from farm.frontier.faults import unreadable
from farm.frontier.frontier import RedisFrontier
from farm.frontier.node_status import node_of
from farm.frontier.retention import expire_crawl, keep_crawl
from farm.model.crawl import Identity
from farm.model.errors import BrowserUnavailable, FarmError, NoSuchCrawl, UsageError
from farm.policy.renderers import RenderMode
from farm.resources.files import FolderLock
from farm.runtime.presence import Presence, check_code, node_facts, register, wait_while_halted
from farm.runtime.reaper import Reaper
from farm.scope.rules import ScopeRules
from farm.scope.seeds import reparsed
from farm.settings.stored import DECLARATION, adopted, check_headers, check_shared_settings, joined
from farm.settings.units import parse_hash_routes
from farm.sinks.address import check_sinks

FEED_STARTS_S = 60.0
NOTE_S = 2.0
LET_END_S = 20.0
"""For a crawl with very many keys, each of which is given a time to live."""


@dataclass(frozen=True, slots=True)
class CrawlSession:
    """An open crawl; `plan` includes the settings taken from it, `server` is its private Redis, if it has one."""

    plan: RunPlan
    crawl: Crawl
    frontier: RedisFrontier
    rules: ScopeRules
    redis_url: str
    server: EmbeddedRedis | None
    presence: Presence
    warnings: tuple[str, ...]

    @property
    def feeder(self) -> str:
        """This node's name as a feeder of the crawl: that of the node, not of one of its processes."""
        return node_of(self.node)

    @property
    def node(self) -> str:
        """This node's name among the crawl's."""
        return self.presence.identity.name


@asynccontextmanager
async def open_session(plan: RunPlan, reaper: Reaper) -> AsyncIterator[CrawlSession]:
    """Open the crawl of a plan, creating it if it does not exist; on exit nothing is left running.

    Raises FrontierUnavailable, FrontierRefused, UsageError or OutputUnwritable. A Redis of the user's is asked
    before the output folder is made, so that a wrong address leaves no folder behind.
    """
    async with AsyncExitStack() as stack:
        lock = FolderLock(plan.private / "lock")
        stack.callback(lock.release)
        server = None
        if plan.embedded:
            lock.take()
            server = _private_redis(plan.private / "redis", reaper, stack)
            url = await server.start()
        else:
            url = redis_url(plan.settings)
        client = await connect(
            url,
            first_patience_s=short_patience_s(plan.settings),
            patience_s=plan.settings.redis_patience,
            is_private=plan.embedded,
        )
        stack.push_async_callback(client.close)
        crawl = await _open(plan, client)
        frontier = RedisFrontier(client, crawl)
        if not crawl.created:
            await wait_while_halted(
                frontier.state,
                lambda state: (
                    f"The crawl {plan.crawl!r} is {state}; continue it with `farm resume {plan.where}`."
                ),
                stays=plan.settings.stay,
                within_s=plan.settings.time_limit,
            )
        if not plan.embedded:
            lock.take()
        code = plan.handling.digest if plan.handling is not None else ""
        facts = node_facts(plan.contexts, plan.processes, crawl.settings, code)
        presence = await register(frontier.nodes, plan.settings.node, plan.private, facts)
        # After the node has unregistered: the last node of a finished crawl lets its keys expire.
        stack.push_async_callback(_let_end, plan, client, frontier)
        stack.push_async_callback(presence.leave)
        # Once more: the last node of a finished crawl may have seen nobody just before this one registered.
        await keep_crawl(client, plan.crawl)
        name = presence.identity.name
        check_code(code, await _codes_of_others(frontier, name))
        await wait_while_halted(
            partial(_node_state, frontier, name),
            lambda _: (
                f"The node {name} is drained; continue it with `farm resume --node {name} {plan.where}`."
            ),
            stays=plan.settings.stay,
            within_s=plan.settings.time_limit,
        )
        if plan.settings.sitemap != "off":
            # Before there is anything that could be done: another node might find the crawl finished.
            await frontier.feeders.hold(presence.identity.name, FEED_STARTS_S)
        routes, kept = parse_hash_routes(crawl.settings["hash_routes"]), crawl.settings["keep_params"]
        if (routes, {*kept}) != (plan.settings.hash_routes, {*plan.settings.keep_params}):
            # They were read before the crawl was known, which says how URLs are written.
            plan = replace(plan, seeds=reparsed(plan.seeds, hash_routes=routes, keep_params=kept))
        plan = replace(
            plan,
            settings=adopted(plan.settings, crawl, client.place),
            declaration=_declaration(crawl, client.place),
        )
        limits = "" if crawl.created else limits_in_force(crawl.settings, plan.settings.site)
        plan = replace(plan, notes=(*plan.notes, *([limits] if limits else [])))
        check_sinks(plan.settings.sink, have_items=plan.declaration is not None or plan.handling is not None)
        await frontier.paces.limit_sites(site_terms(plan.settings.site))
        rules, _ = await add_seeds(crawl, frontier, plan.seeds)
        plan = await asyncio.to_thread(_with_renderers, plan, await frontier.tiers.asked())
        # Adding many seeds takes longer than the silence after which a node is considered dead.
        await presence.confirm()
        yield CrawlSession(plan, crawl, frontier, rules, url, server, presence, client.warnings)


async def _codes_of_others(frontier: RedisFrontier, name: str) -> dict[str, str]:
    """Return the digest of each other node's handlers; a process of a node has its node's."""
    return {
        entry.name: str(entry.facts["app"])
        for entry in await frontier.nodes.list()
        if entry.is_alive and entry.name != name and "app" in entry.facts
    }


async def _node_state(frontier: RedisFrontier, name: str) -> str:
    return "draining" if await frontier.nodes.is_drained(name) else "running"


@asynccontextmanager
async def join_session(
    plan: RunPlan, crawl: Crawl, url: str, identity: Identity, facts: Mapping[str, Any]
) -> AsyncIterator[CrawlSession]:
    """Open the crawl for one process of a node, whose supervisor has opened it and has registered the process."""
    patience_s = plan.settings.redis_patience
    async with AsyncExitStack() as stack:
        client = await connect(
            url, first_patience_s=patience_s, patience_s=patience_s, is_private=plan.embedded
        )
        stack.push_async_callback(client.close)
        frontier = RedisFrontier(client, crawl)
        presence = Presence(frontier.nodes, identity, facts)
        await presence.confirm()
        stack.push_async_callback(presence.leave)
        rules, _ = await add_seeds(crawl, frontier, ())
        yield CrawlSession(plan, crawl, frontier, rules, url, None, presence, ())


def _with_renderers(plan: RunPlan, asked: frozenset[RenderMode]) -> RunPlan:
    """Return the plan with the renderers of the crawl's own settings, and those that all its seeds `asked` for.

    One of the latter that this machine lacks, or that the settings exclude, is left out with a warning.
    """
    plan = _with_browser(plan, plan.asked)
    for mode in sorted(asked - plan.asked):
        try:
            check_renderers(plan.settings, plan.asked | {mode}, plan.declaration)
            plan = _with_browser(plan, plan.asked | {mode})
        except (UsageError, BrowserUnavailable) as error:
            warning = (
                f'URLs of earlier seeds with "render": "{mode}" are visited by another renderer. {error}'
            )
            plan = replace(plan, warnings=(*plan.warnings, warning))
    return plan


def _with_browser(plan: RunPlan, asked: frozenset[RenderMode]) -> RunPlan:
    """Return the plan for URLs that ask for these renderers; raises UsageError or BrowserUnavailable."""
    has_one = plan.binary is not None and not plan.only_requested
    if needs_browser(plan.settings, asked) == has_one:
        return replace(plan, asked=asked)
    found = run_browser(plan.settings, asked, may_ask=plan.handling is not None)
    return replace(
        plan,
        asked=asked,
        binary=found.binary,
        sandbox=found.sandbox,
        only_requested=found.only_requested,
        warnings=tuple(dict.fromkeys([*plan.warnings, *found.warnings])),
    )


def _declaration(crawl: Crawl, place: str) -> Declaration | None:
    """Return the declaration of items that a crawl was created with; anybody may have written to Redis."""
    if DECLARATION not in crawl.settings:
        return None
    try:
        return Declaration.of_stored(crawl.settings[DECLARATION])
    except ValueError:
        raise unreadable(place, "its declaration of items is none") from None


def _private_redis(folder: Path, reaper: Reaper, stack: AsyncExitStack) -> EmbeddedRedis:
    """Return a server, not yet started, that the stack stops, or the reaper if this process is killed."""
    owned: list[int] = []

    def own(pid: int, socket_folder: Path) -> None:
        reaper.folder(socket_folder)
        reaper.terminate(pid)
        if owned:
            # It is started again because the one before has ended; it is stopped where that one would have been.
            reaper.free(owned.pop())
        else:
            # Runs after the server was stopped: until then its end is the reaper's too.
            stack.callback(lambda: reaper.free(owned[0]))
            stack.push_async_callback(server.stop)
        owned.append(pid)

    server = EmbeddedRedis(folder, own)
    return server


async def _open(plan: RunPlan, client: RedisClient) -> Crawl:
    """Create or join the crawl; settings that the user did not give are the crawl's, conflicts are refused."""
    agreed = dict(plan.agreed)
    await keep_crawl(client, plan.crawl)
    if not plan.settings.fresh:
        try:
            found = await find_crawl(client, plan.crawl)
        except NoSuchCrawl:
            if not plan.seeds:
                raise UsageError(
                    f"There is no URL to start from and no crawl named {plan.crawl!r} to join; give a URL."
                ) from None
        else:
            check_shared_settings(found, client.place)
            said = {*plan.settings.model_fields_set, *({DECLARATION} & agreed.keys())}
            agreed = joined(agreed, found.settings, frozenset(said))
            check_headers(agreed, found.settings)
            if plan.embedded and contradictions(found.settings, agreed):
                raise another_crawl(plan.output, found.settings, agreed)
    crawl = await open_crawl(
        client,
        plan.crawl,
        agreed,
        fresh=plan.settings.fresh,
        terms=terms_of(agreed),
        politeness=politeness_of(agreed),
        dedup=Dedup(agreed["dedup"]),
        with_handlers=plan.handling is not None and plan.handling.handles_pages,
    )
    if not crawl.created:
        _check_handlers(plan, crawl)
    return crawl


def _check_handlers(plan: RunPlan, crawl: Crawl) -> None:
    """Raise UsageError if only the crawl or only this run has handlers, so that other links would be followed.

    `--app none` says that a run without is meant; handlers that follow the scope too may join any crawl.
    """
    handling, settings = plan.handling, plan.settings
    is_meant = settings.app is None and "app" in settings.model_fields_set
    if handling is None or not handling.handles_pages:
        if crawl.with_handlers and not is_meant:
            raise UsageError(
                "This crawl was created with handlers, and this run has none; give them again, or --app none (in "
                'Python follow="scope") to continue without.'
            )
    elif crawl.with_handlers is False and not handling.follows_scope:
        another = "--output" if plan.embedded else "--crawl"
        raise UsageError(
            "This crawl was created without handlers, and those of this run do not follow the links in its scope; "
            f'give their Farm follow="scope" to continue with both, or use another {another}, or --fresh.'
        )


async def is_over(plan: RunPlan, frontier: RedisFrontier) -> bool:
    """Whether this run has nothing to do, and its folder has the summary of a run that had.

    An empty queue does not prove it: sitemaps may not have been read to their end, links may be on their way
    between two shards. So the run that finds the end notes it.
    """
    if plan.settings.stay or not plan.summary.is_file():
        return False
    return not (await frontier.stats()).ledger.open and await frontier.is_finished(_fed_by(plan))


async def note_end(plan: RunPlan, frontier: RedisFrontier) -> None:
    """Note that the crawl is finished; if Redis accepts no writes, the next run finds out."""
    with suppress(FarmError, TimeoutError):
        async with asyncio.timeout(NOTE_S):
            await frontier.mark_finished(_fed_by(plan))


async def _let_end(plan: RunPlan, client: RedisClient, frontier: RedisFrontier) -> None:
    """Let Redis delete a finished crawl after `--keep-for`, unless another node still works on it."""
    after_s = plan.settings.keep_for
    if after_s is None:
        return
    with suppress(FarmError, TimeoutError):
        async with asyncio.timeout(LET_END_S):
            is_over = not (await frontier.stats()).ledger.open and await frontier.is_finished(_fed_by(plan))
            if is_over and not await _is_worked_on(frontier):
                await expire_crawl(client, plan.crawl, after_s)
                if await _is_worked_on(frontier):
                    # It came in the middle of this, and would find a part of the crawl gone.
                    await keep_crawl(client, plan.crawl)


async def _is_worked_on(frontier: RedisFrontier) -> bool:
    return any(node.is_alive for node in await frontier.nodes.list())


def _fed_by(plan: RunPlan) -> str:
    since = plan.settings.sitemap_since
    return f"{plan.settings.sitemap} {since.isoformat() if since else ''}"
