"""The light engines of a node, from the settings."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from farm import __version__
from farm.browser.collector import Collector
from farm.browser.context import SlotParams
from farm.browser.render import RenderParams
from farm.light.pool import LightPool, LightPoolParams
from farm.light.program import ProgramParams, find_program
from farm.light.render import LightRenderParams
from farm.light.tab import LightTabParams
from farm.model.clock import Clock
from farm.model.errors import BrowserUnavailable
from farm.model.event import Emit
from farm.model.memory import MIB
from farm.runtime.reaper import Reaper
from farm.settings.commands import RunSettings

HEAP_MIB = 256
MOST_BYTES = 512 * MIB
"""Private memory in bytes; an engine with more is replaced when its slots allow it."""


def light_pool(
    settings: RunSettings,
    slots: SlotParams,
    cap_bytes: int,
    folder: Path,
    reaper: Reaper,
    emit: Emit,
    clock: Clock,
    *,
    is_required: bool,
) -> LightPool | None:
    """Return the engines; none is started before a page needs it. `slots` are the browser's parameters.

    Returns None if no engine is installed and none is required; raises BrowserUnavailable if one is.
    An engine serves several slots, so it may use twice the `cap_bytes` of a renderer of the browser.
    """
    try:
        found = find_program()
    except BrowserUnavailable:
        if is_required:
            raise
        return None
    tab, render_for = slots.tab, slots.render_for
    kinds = {"iframe", "worker", *(["image"] if tab.images else [])}
    if "stylesheets" not in settings.block:
        kinds.add("stylesheet")
    program = ProgramParams(
        found,
        user_agent_suffix=f"CrawlFarm/{__version__}" if tab.user_agent is None else "",
        loads=tuple(sorted(kinds)),
        blocked_urls=tab.blocked_urls,
        ca_file=settings.ca_file,
        insecure=tab.insecure,
        locale=tab.locale,
        timezone=tab.timezone,
        heap_mib=min(HEAP_MIB, cap_bytes // MIB),
        data_bytes=2 * cap_bytes,
    )
    scripts = _params_of()

    def rendered(url: str) -> LightRenderParams:
        return scripts(render_for(url) if render_for is not None else slots.render)

    collector = Collector(slots.render, images=True)
    opened = LightTabParams(collector.hook, collector.reading, tab.user_agent, _cookies_for(tab.state_for))
    params = LightPoolParams(
        program,
        opened,
        rendered,
        _why_unfit(slots),
        slots.recycle,
        is_required=is_required,
        most_bytes=min(MOST_BYTES, cap_bytes),
    )
    return LightPool(params, folder, reaper.kill, reaper.free, emit, clock)


def _params_of() -> Callable[[RenderParams], LightRenderParams]:
    """Return the factory of a visit's parameters, which are cached for each combination of options."""

    @cache
    def of(render: RenderParams) -> LightRenderParams:
        return LightRenderParams(
            Collector(render, images=True),
            render.page_timeout_s,
            render.settle_timeout_s,
            refuses_routes=render.find_router,
        )

    return of


def _why_unfit(slots: SlotParams) -> Callable[[str], str]:
    """Return the function that says why this engine cannot render a URL.

    The engine paints nothing, captures no answers, and supports neither headers of single sites nor local storage.
    """
    held, state_for, own_for = slots.tab.intercept, slots.tab.state_for, slots.tab.own_for
    of_all, capture = slots.render, slots.tab.capture
    asked = {
        "it is to be acted on": of_all.act or of_all.consent,
        "its picture is asked for": of_all.pictures,
        "its images are listed": of_all.list_images,
        "what it loads is kept": capture or capture.har or capture.exchanges or held.body_bytes,
    }
    always = next((reason for reason, is_asked in asked.items() if is_asked), "")

    def why(url: str) -> str:
        if always:
            return always
        if held.headers and held.may_see(url):
            return "it gets headers of the user's"
        own = own_for(url) if own_for is not None else None
        if own is not None:
            return "its site has headers or blocks of its own"
        state = state_for(url) if state_for is not None else None
        return "its site has storage of the user's" if state and state["origins"] else ""

    return why


def _cookies_for(
    state_for: Callable[[str], Any] | None,
) -> Callable[[str], Sequence[Mapping[str, Any]]] | None:
    """Return the function that returns the user's cookies for a URL's site, as CDP takes them."""
    if state_for is None:
        return None

    def cookies(url: str) -> Sequence[Mapping[str, Any]]:
        state = state_for(url)
        return state["cookies"] if state else ()

    return cookies
