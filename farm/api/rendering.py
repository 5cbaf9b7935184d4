"""Pages without a crawl: each URL is rendered once, in a run with only these URLs and a temporary folder."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from farm.app.preflight import RunPlan, preflight
from farm.browser.login import LoginFlow
from farm.model.errors import FarmError, UsageError
from farm.model.handling import DeadPage, PageHandled, VisitedPage
from farm.model.record import Skip
from farm.runtime.record_stream import RecordStream
from farm.scope.rules import ScopeKind
from farm.settings.commands import RunSettings
from farm.settings.load import as_unsaid
from farm.settings.options import EMBEDDED
from farm.sinks.address import DEFAULT

FILES = ("screenshot", "pdf", "download", "har", "bodies", "warc_all")
OF_A_CRAWL: Mapping[str, Any] = {
    "redis": EMBEDDED,
    "redis_ca_file": None,
    "keep_for": None,
    "crawl": "",
    "fresh": False,
    "stay": False,
    "sink": (DEFAULT,),
    "live": "off",
    "seeds": None,
    "sitemap": "off",
    "sitemap_since": None,
    "scope": ScopeKind.PAGE,
    "depth": None,
    "limit": 0,
    "time_limit": None,
    "processes": 1,
    "app": None,
    "include": (),
    "exclude": (),
    "ramp_up": 0.0,
    "extract": None,
    "webhook": None,
    "webhook_secret_file": None,
    "metrics_port": None,
    "metrics_host": "127.0.0.1",
    "token_file": None,
}
"""Options without use for a single page, and their replacements."""


class PageNotRendered(FarmError):
    """The requested page was given up, or must not be visited."""

    def __init__(self, page: DeadPage) -> None:
        super().__init__(f"{page.url}: {page.reason}{': ' if page.detail else ''}{page.detail}")
        self.page = page


class DeadReporter:
    """Adds each URL that is given up to a stream, and runs no code on pages: a `PageHandling`."""

    handles_pages = False
    follows_scope = True
    digest = ""
    runs_before = False
    runs_on_dead = True

    def __init__(self, stream: RecordStream) -> None:
        self._stream = stream

    def running(self, _stop: Callable[[], None]) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    async def dead(self, page: DeadPage) -> PageHandled:
        """Add it to the stream."""
        self._stream.put_dead(page)
        return PageHandled()

    async def before(self, _visited: VisitedPage) -> PageHandled:
        """Do nothing."""
        return PageHandled()

    async def handle(self, _visited: VisitedPage) -> PageHandled:
        """Do nothing."""
        return PageHandled()


@asynccontextmanager
async def render_plan(
    settings: RunSettings, urls: Sequence[str], stream: RecordStream, login: LoginFlow | None = None
) -> AsyncGenerator[RunPlan, None]:
    """Yield the plan of a run that renders these pages, for as long as its folder is there.

    Files are read and written in threads, since the loop is the caller's. Raises UsageError.
    """
    for name in FILES:
        if getattr(settings, name, False):
            raise UsageError(f"{name} makes files, and `render` keeps none; use `run` for it.")
    held = await asyncio.to_thread(TemporaryDirectory, prefix="farm-render-", ignore_cleanup_errors=True)
    try:
        yield await asyncio.to_thread(_plan, settings, urls, stream, Path(held.name) / "crawl", login)
    finally:
        await asyncio.to_thread(held.cleanup)


def _plan(
    settings: RunSettings, urls: Sequence[str], stream: RecordStream, output: Path, login: LoginFlow | None
) -> RunPlan:
    whole = as_unsaid(settings, {**OF_A_CRAWL, "output": output})
    plan = preflight(whole, urls, DeadReporter(stream), login)
    contexts = min(plan.contexts, max(1, len(plan.seeds)))
    engines = min(plan.engines, contexts)
    return replace(plan, contexts=contexts, engines=engines, is_temporary=True, stream=stream)


def rendered(taken: Mapping[str, Any] | Skip | DeadPage) -> Mapping[str, Any] | DeadPage:
    """Return the result for a URL: its record, or why there is none."""
    return DeadPage(taken.url, str(taken.reason), taken.detail, 1) if isinstance(taken, Skip) else taken
