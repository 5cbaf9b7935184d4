"""`Farm`: a crawl from Python, in the caller's event loop or in one of its own."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, Literal, Unpack, cast

from farm.api.early_pages import EarlyPages
from farm.api.following import RunFollower, run_to_end
from farm.api.handlers import NO_PATTERN, D, E, F, Handlers, L
from farm.api.loading import load_attribute
from farm.api.options import Options
from farm.api.records import PageRecord, visited_of
from farm.api.rendering import PageNotRendered, render_plan, rendered
from farm.app.preflight import RunPlan, preflight
from farm.app.running import RunEnd, run_crawl
from farm.model.errors import UsageError
from farm.model.handling import DeadPage, PageHandled
from farm.model.record import Skip
from farm.monitor.log import logged_apart
from farm.runtime.control import ExitReason
from farm.runtime.record_stream import RecordStream
from farm.settings.commands import RunSettings
from farm.settings.load import as_unsaid, load_keywords
from farm.sinks.summary import Summary

Seeds = str | Mapping[str, Any] | Iterable[str | Mapping[str, Any]]
"""The seeds: a URL, or several; each may also be an object of a seeds file, `{"url": ..., "meta": {...}}`."""
STREAM_MOST = 16
"""How many records may wait to be read; no page is started meanwhile."""
EARLY_MOST = 16
"""How many pages wait for their turn in memory; the others wait in a file."""


class Farm:
    """A crawl with its options: every option of `farm run` by its name, with underscores.

    A keyword overrides the environment (`FARM_CONTEXTS`) and `farm.toml`, like a flag. Nothing is printed, and
    there is no live view unless `live` is "on"; the log is in the output folder. A process may have several Farms,
    each with its own output folder. Raises UsageError for a wrong option.

    If the Farm has handlers, links are not followed automatically, unless `follow` is "scope"; without handlers
    that says that a crawl which was created with some may continue without.
    """

    # An option is a keyword: set as an attribute it would have no effect.
    __slots__ = ("__weakref__", "_runs", "_settings", "handlers", "options")

    def __init__(self, *, follow: Literal["scope"] | None = None, **options: Unpack[Options]) -> None:
        if follow not in {None, "scope"}:
            raise UsageError(f'follow={follow!r}: write "scope", or leave it out.')
        self.options: Mapping[str, Any] = {name: one for name, one in options.items() if one is not None}
        """The given keywords: `farm run --app` uses them unless a flag overrides them."""
        if "app" in options:
            raise UsageError(
                "'app' is not an option here: the handlers of a Farm are those that it declares."
            )
        # That of the environment or of `farm.toml` is for `farm run`.
        self._settings = as_unsaid(load_keywords(RunSettings, {"live": "off", **self.options}), {"app": None})
        self.handlers = Handlers(follows_scope=follow == "scope")
        """The declared handlers and hooks."""
        self._runs: set[RunFollower] = set()

    def page(
        self, pattern: str | re.Pattern[str] | None = None, *, label: str | None = None
    ) -> Callable[[F], F]:
        """Declare a handler: a coroutine function that gets a `Page`.

        `pattern` is a glob on the path of the URL, `*` for any text, or a compiled expression that is searched in
        the URL; `label` is the label of followed links. If several patterns match, the first declared one applies.
        """
        if callable(pattern):
            # Without parentheses nothing would be declared.
            raise UsageError(NO_PATTERN)

        def declare(function: F) -> F:
            self.handlers.add(function, pattern, label)
            return function

        return declare

    def default(self, function: F) -> F:
        """Declare the handler of pages without another handler."""
        self.handlers.set_default(function)
        return function

    def login(self, url: str, *, logged_in: str, secret: str) -> Callable[[L], L]:
        """Declare how to log in to a site: a coroutine function that gets the browser's page at `url`.

        It runs once over all nodes, and again when a page lacks what `logged_in`, a CSS selector, matches on pages
        of a session. `secret`, such as the password, encrypts the session in Redis.
        """

        def declare(function: L) -> L:
            self.handlers.set_login(function, url, logged_in, secret)
            return function

        return declare

    def before_navigation(self, function: F) -> F:
        """Declare a hook that is called before each navigation, with a `Page` that has no content yet."""
        self.handlers.add_before(function)
        return function

    def after_settle(self, function: F) -> F:
        """Declare a hook that is called with each page that is kept, error pages too, before its handler."""
        self.handlers.add_after(function)
        return function

    def on_dead(self, function: D) -> D:
        """Declare a hook that is called with each URL that this node gives up."""
        self.handlers.add_on_dead(function)
        return function

    def on_finished(self, function: E) -> E:
        """Declare a hook that is called with the summary at the end of a run; `run` raises its exceptions."""
        self.handlers.add_on_finished(function)
        return function

    async def try_page(self, record: Mapping[str, Any], *, label: str | None = None) -> PageHandled:
        """Run the handler of a page on its record, without a browser, and return its results: for tests.

        `record` is a line of `pages.jsonl`, or the output of `farm fetch --json URL`; `label` is that of the link
        to the page. The items are pairs of kind and fields. Raises the handler's exceptions.
        """
        return await self.handlers.handle(visited_of(record, label))

    async def run(self, seeds: Seeds = ()) -> Summary:
        """Crawl from the seeds to the end and return the summary, which is also in `summary.json`.

        Without seeds it continues the crawl in the output folder, or in Redis. Raises a FarmError if the run
        cannot start or cannot continue. A cancelled task releases the pages under way; `stop` finishes them.
        """
        end = await self._run(lambda: self._plan(seeds))
        await self.handlers.finished(end.summary)
        return end.summary

    def run_sync(self, seeds: Seeds = ()) -> Summary:
        """Like `run`, in an event loop of its own: for scripts.

        In the main thread, after the first SIGINT, SIGTERM or SIGHUP the pages under way are finished, after the
        second they are released; then KeyboardInterrupt is raised, or SystemExit with 128 plus the signal's
        number. If a loop is running, as in a notebook, the run has a thread of its own.
        """
        return run_to_end(lambda: self.run(seeds), self._stop)

    async def stream(self, seeds: Seeds = ()) -> AsyncGenerator[PageRecord, None]:
        """Crawl from the seeds and yield the record of each page when it is durable in the sinks.

        A slow reader slows the crawl down: while `STREAM_MOST` records wait, no page is started. When the reader
        stops, the pages under way are finished and the run ends; `contextlib.aclosing` waits for that. Raises like
        `run`, after all records were read.
        """
        stream = RecordStream(STREAM_MOST)
        ends: list[RunEnd] = []
        try:
            async with aclosing(self._read(lambda: self._plan(seeds, stream), stream, ends)) as taken:
                async for one in taken:
                    if isinstance(one, Mapping):
                        yield cast("PageRecord", one)
        finally:
            # Also where the reader has stopped, since that ends the run.
            for end in ends:
                await self.handlers.finished(end.summary)

    async def render(self, url: str) -> PageRecord:
        """Render one page, without a crawl and without handlers, and return its record.

        Raises PageNotRendered if the page was given up, or must not be visited; other FarmErrors like `run`.
        """
        async with aclosing(self.render_many([url])) as pages:
            async for page in pages:
                if isinstance(page, DeadPage):
                    raise PageNotRendered(page)
                return page
        raise AssertionError("each URL has a record, or a reason why there is none")

    async def render_many(
        self, urls: Iterable[str], *, ordered: bool = False
    ) -> AsyncGenerator[PageRecord | DeadPage, None]:
        """Render pages, without a crawl and without handlers, and yield each when it is complete.

        For each URL there is a record or, if it could not be rendered, a DeadPage with the reason; a repeated URL
        counts once. `ordered` keeps the order of the URLs: of the pages that are too early `EARLY_MOST` wait in
        memory, and the others in the temporary folder, so that a slow page holds up no other. A reader that is
        slow holds them up: while `STREAM_MOST` wait to be read, no page is started. No file is kept. Raises like
        `run`, and OutputUnwritable if the temporary folder is full.
        """
        stream, given = RecordStream(STREAM_MOST), list(urls)
        if not given:
            return
        async with render_plan(self._settings, given, stream, self.handlers.login) as plan:
            turns = deque(dict.fromkeys(seed.url for seed in plan.seeds))
            left = set(turns)
            with closing(EarlyPages(plan.output.parent, EARLY_MOST)) as early:
                async with aclosing(self._read(lambda: plan, stream, [])) as taken:
                    async for one in taken:
                        page = rendered(one)
                        url = page.url if isinstance(page, DeadPage) else page["url"]
                        left.discard(url)
                        if not ordered:
                            yield cast("PageRecord | DeadPage", page)
                            continue
                        await early.put(url, page)
                        while turns and turns[0] in early:
                            yield cast("PageRecord | DeadPage", await early.pop(turns.popleft()))
                # What nobody came to before a stop, or whose end nobody told, does not hold up what waits behind.
                for url in turns:
                    if ordered or url in left:
                        kept = cast("PageRecord | DeadPage | None", await early.pop(url))
                        yield kept or DeadPage(url, "stopped", "the run was stopped before", 0)

    def stop(self) -> None:
        """Finish the pages under way and end the runs, also that of `farm run --app`; from any thread."""
        self._stop(ExitReason.STOPPED)
        self.handlers.stop()

    def _stop(self, reason: ExitReason) -> bool:
        return max([run.stop(reason) for run in tuple(self._runs)], default=False)

    def _plan(self, seeds: Seeds, stream: RecordStream | None = None) -> RunPlan:
        handling, settings = self.handlers or None, self._settings
        if stream is not None or handling is not None:
            if (settings.processes or 1) > 1:
                raise UsageError(
                    "A stream, and handlers that are not given by `farm run --app`, work in one process; leave "
                    "processes out."
                )
            settings = settings.model_copy(update={"processes": 1})
        if self.handlers.wants_scope and not self.handlers.handles_pages:
            # As --app none says it: what was created with handlers is meant to continue without.
            settings = settings.model_copy(update={"app": None})
        is_one = isinstance(seeds, str | Mapping)
        given = cast("Iterable[str | Mapping[str, Any]]", [seeds] if is_one else seeds)
        plan = preflight(settings, given, handling, self.handlers.login)
        return replace(plan, stream=stream)

    async def _read(
        self, make_plan: Callable[[], RunPlan], stream: RecordStream, ends: list[RunEnd]
    ) -> AsyncGenerator[Mapping[str, Any] | Skip | DeadPage, None]:
        """Run a plan, yield the objects of its stream, and add its end to `ends`; end it if the reader stops."""
        follower: list[RunFollower] = []
        running = asyncio.create_task(self._run(make_plan, follower.append), name="farm")
        running.add_done_callback(lambda _: stream.close())
        try:
            while (taken := await stream.next()) is not None:
                yield taken
        except asyncio.CancelledError:
            running.cancel()
            raise
        finally:
            stream.close()
            if not running.done():
                for one in follower:
                    one.stop(ExitReason.STOPPED)
            try:
                ends.append(await asyncio.shield(running))
            except asyncio.CancelledError:
                running.cancel()
                await asyncio.wait([running])
                raise

    async def _run(
        self, make_plan: Callable[[], RunPlan], begun: Callable[[RunFollower], None] = lambda _: None
    ) -> RunEnd:
        run = RunFollower(self._settings)
        begun(run)
        self._runs.add(run)
        try:
            with logged_apart():
                plan = await asyncio.to_thread(make_plan)
                run.is_new = not plan.output.exists()
                end = await run_crawl(plan, run)
        finally:
            self._runs.discard(run)
        if end.failure is not None:
            raise end.failure
        return end


def load_app(name: str) -> Farm:
    """Return the Farm that `MODULE:NAME` names. Raises UsageError if it is none."""
    found = load_attribute(name)
    if not isinstance(found, Farm):
        raise UsageError(f"--app {name}: it is not a Farm; name the object that `Farm()` has made.")
    found.handlers.app = name
    return found
