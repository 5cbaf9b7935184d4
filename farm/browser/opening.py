"""How a tab comes into being: a context, its page and the session with it, each within a deadline.

A context that does not come is given up, and where not even that works, its engine.
"""

import asyncio

from playwright.async_api import BrowserContext, Error

from farm.browser.driver_errors import DriverExited, playwright_errors
from farm.browser.engine import Engine
from farm.browser.failure import translate
from farm.browser.tab import Tab, TabParams, close_context
from farm.model.errors import BrowserUnavailable, SlotLost
from farm.model.outcome import FailureKind
from farm.resources.memory import limit_growth

OPEN_S = 15.0


async def open_tab(engine: Engine, proxy_url: str, params: TabParams, cap_bytes: int = 0) -> Tab:
    """Open a context on the engine, its renderer capped; raises SlotLost when the engine cannot."""
    context: BrowserContext | None = None
    step = "context"
    try:
        with playwright_errors():
            async with asyncio.timeout(OPEN_S):
                width, height = params.viewport
                context = await engine.browser.new_context(
                    proxy={"server": proxy_url},
                    viewport={"width": width, "height": height},
                    user_agent=params.user_agent or f"{engine.user_agent}{params.user_agent_suffix}",
                    ignore_https_errors=params.insecure,
                    locale=params.locale,
                    timezone_id=params.timezone,
                    accept_downloads=False,
                    service_workers="block",
                )
                # Grants nothing, and thereby denies everything that a page could ask a person for.
                await context.grant_permissions([])
            step = "page"
            page, pid = await engine.open_page(context, OPEN_S)
            step = "session with the page"
            async with asyncio.timeout(OPEN_S):
                tab = Tab(engine, context, page, await context.new_cdp_session(page), params)
                tab.pid = pid
                if pid and cap_bytes and limit_growth(pid, cap_bytes):
                    tab.cap_bytes = cap_bytes
                await tab.prepare(params)
    except TimeoutError as error:
        detail = f"no {step} within {OPEN_S:g} s"
        # A page that does not come may be its own misfortune: the others of the engine are not to pay for it.
        if context is None or not await close_context(context):
            engine.mark_lost(detail)
        engine.opened(detail)
        raise SlotLost(FailureKind.CRASH, detail) from error
    except DriverExited as error:
        engine.mark_lost(error.message)
        raise SlotLost(FailureKind.CRASH, f"{engine.name}: {error.message}") from error
    except Error as error:
        if context is not None:
            await close_context(context)
        raise SlotLost(FailureKind.CRASH, translate(error).detail) from error
    except BrowserUnavailable as error:
        # It died after it was chosen; another one takes its place.
        raise SlotLost(FailureKind.CRASH, str(error)) from error
    engine.opened()
    return tab
