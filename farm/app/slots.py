"""The slots of a node: the browser's contexts, and the cheaper renderers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from farm.app.fetching import fetch_renderer
from farm.app.light import light_pool
from farm.app.preflight import RunPlan
from farm.app.records import PageParsers, compared_fields
from farm.app.rendering import renderer_rules, slot_params
from farm.app.session import CrawlSession
from farm.browser.context import SlotParams
from farm.browser.engine import EngineParams
from farm.browser.pool import Pool, PoolParams
from farm.detect import detect
from farm.egress import SlotProxy
from farm.light.pool import LightPool
from farm.model.clock import Clock
from farm.model.errors import UsageError
from farm.model.event import Emit
from farm.model.page import Renderer
from farm.model.url import HashRoutes
from farm.policy.renderers import RendererRules, RenderMode
from farm.policy.tiers import TierParams
from farm.resources.memory import ProcessInventory, heap_mib, machine_bytes
from farm.runtime.audited_slot import COMPARED_PAGES, RENDERINGS, AuditedSlot
from farm.runtime.ports import Slot, SlotPool
from farm.runtime.reaper import Reaper
from farm.runtime.site_login import SiteLogin
from farm.runtime.template_book import TemplateBook
from farm.runtime.tiered_slot import CheapRenderer, MissingBrowser, TieredPool, TieredSlot
from farm.settings.units import parse_hash_routes

Cheap = Callable[[str, SlotProxy], CheapRenderer]
"""Makes the renderer of a slot, by its name and its port."""


@dataclass(frozen=True, slots=True)
class NodeSlots:
    """The factory of a node's slots; `pool` is None if no page needs a browser."""

    pool: Pool | None
    rules: RendererRules
    cheap: Mapping[Renderer, Cheap] = field(default_factory=dict)
    light: LightPool | None = None
    only_requested: bool = False
    """Whether the browser renders only URLs that ask for it."""
    missing: MissingBrowser = field(default_factory=MissingBrowser)
    tiered: list[TieredSlot] = field(default_factory=list)
    audited: Callable[[TieredSlot], Slot] | None = None
    """Makes a slot that chooses the renderer by `--render auto`; None if there is no choice."""

    @property
    def renderings(self) -> int:
        """The maximum number of renderings in one visit."""
        if self.audited is not None:
            return RENDERINGS
        return 2 if self.cheap and self.pool is not None else 1

    @property
    def for_governor(self) -> SlotPool:
        """All slots and engines."""
        if self.pool is not None and not self.cheap:
            return self.pool
        return TieredPool(self.pool, self.tiered, self.light)

    def open(self, name: str, slot_proxy: SlotProxy) -> Slot:
        """Return a slot whose traffic leaves through this port."""
        browser = self.pool.slot(name, slot_proxy.proxy_url) if self.pool is not None else None
        if browser is not None and not self.cheap:
            return browser
        slot = TieredSlot(
            name,
            browser,
            {renderer: make(name, slot_proxy) for renderer, make in self.cheap.items()},
            lambda lease: self.rules.of_task(lease.task).renderer,
            detect,
            slot_proxy,
            self.missing,
            only_requested=self.only_requested,
        )
        self.tiered.append(slot)
        return slot if self.audited is None else self.audited(slot)

    async def glance(self, name: str) -> bytes | None:
        """Return a picture of what a slot's browser context shows; None if it has none."""
        return await self.pool.glance(name) if self.pool is not None else None

    async def close(self) -> None:
        """Close the resources of the slots, and end the engines."""
        for slot in self.tiered:
            slot.close()
        for one in (self.light, self.pool):
            if one is not None:
                await one.close()

    def inventory(self) -> ProcessInventory:
        """Return the processes of the engines."""
        of_browsers = self.pool.inventory() if self.pool is not None else ProcessInventory()
        return of_browsers if self.light is None else replace(of_browsers, light=self.light.pids)


def site_login(session: CrawlSession, clock: Clock) -> SiteLogin | None:
    """Return the login of a site, shared by the nodes; None without one."""
    flow, frontier = session.plan.secrets.login, session.frontier
    if flow is None:
        return None
    return SiteLogin(flow, frontier.cache, flow.seal(session.plan.crawl), frontier.block, clock)


def node_slots(
    session: CrawlSession,
    parsers: PageParsers | None,
    cap_bytes: int,
    folder: Path,
    reaper: Reaper,
    emit: Emit,
    clock: Clock,
    login: SiteLogin | None = None,
) -> NodeSlots:
    """Return the factory of the slots; nothing is started before a page needs it."""
    plan = session.plan
    rules, params = renderer_rules(plan.settings, plan.asked), _slot_params(session, login)
    pool = _pool(plan, params, cap_bytes, folder, reaper, emit, clock)
    cheap: dict[Renderer, Cheap] = {}
    if Renderer.FETCH in rules.named and parsers is not None:
        agent = (lambda: pool.user_agent) if pool is not None and not plan.only_requested else None
        cheap[Renderer.FETCH] = fetch_renderer(plan, params, parsers.pages, agent, emit, clock)
    light = None
    if Renderer.LIGHT in rules.named:
        is_required = any(mode.renderer is Renderer.LIGHT for mode in rules.modes)
        light = light_pool(
            plan.settings, params, cap_bytes, folder, reaper, emit, clock, is_required=is_required
        )
    if light is not None:
        lights = light
        cheap[Renderer.LIGHT] = lambda name, port: lights.slot(name, port.proxy_url)
    audited = _audited(session, rules, cheap, parsers)
    return NodeSlots(pool, rules, cheap, light, plan.only_requested, audited=audited)


def _audited(
    session: CrawlSession,
    rules: RendererRules,
    cheap: Mapping[Renderer, Cheap],
    parsers: PageParsers | None,
) -> Callable[[TieredSlot], Slot] | None:
    """Return the factory of slots for `--render auto`, which learn from the answers to acknowledgements."""
    usable = [one for one in rules.cheap if one in cheap]
    if RenderMode.AUTO not in rules.modes or not usable:
        return None
    book = TemplateBook(usable, TierParams(), rules)
    session.frontier.tiers.tell = book.heard
    compare_s = COMPARED_PAGES * session.plan.settings.page_timeout
    return partial(
        AuditedSlot, book=book, detect=detect, compare_s=compare_s, fields=compared_fields(parsers)
    )


def hash_routes(session: CrawlSession) -> HashRoutes:
    """Return which hash routes are pages of the crawl."""
    return parse_hash_routes(session.crawl.settings["hash_routes"])


def _pool(
    plan: RunPlan,
    slots: SlotParams,
    cap_bytes: int,
    folder: Path,
    reaper: Reaper,
    emit: Emit,
    clock: Clock,
) -> Pool | None:
    """Return the engines; both engines and slots need to know whether images are loaded, and what is captured."""
    if plan.binary is None:
        return None
    engine = EngineParams(
        plan.binary,
        plan.sandbox,
        plan.settings.ca_file,
        heap_mib=heap_mib(cap_bytes),
        images=slots.tab.images,
        windowed=plan.windowed,
        requests=slots.tab.capture.requests,
    )
    # A little faster than the ramp, so that the time that the first launch takes is caught up.
    params = PoolParams(
        plan.engines, open_every_s=0.8 * plan.settings.ramp_up / plan.contexts, cap_bytes=cap_bytes
    )
    return Pool(params, engine, slots, folder, reaper.kill, reaper.free, emit, clock)


def _slot_params(session: CrawlSession, login: SiteLogin | None) -> SlotParams:
    plan, settings = session.plan, session.plan.settings
    seeds = plan.origins or [f"https://{host}/" for host in session.rules.hosts]
    if plan.secrets.headers and not seeds:
        raise UsageError(
            "--header goes to the seeds' own hosts alone, and no seed is known here; give a URL."
        )
    params = slot_params(
        settings,
        plan.secrets,
        seeds,
        machine_bytes(),
        hash_routes(session),
        plan.declaration,
        whole_html=plan.handling is not None,
        login_state=login.state_for if login is not None else None,
    )
    return replace(params, tab=replace(params.tab, windowed=plan.windowed))
