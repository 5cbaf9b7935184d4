"""`farm shell`: a prompt with a rendered page, which stays open in the browser meanwhile.

The prompt has the main thread, so that Ctrl-C ends a line and not the page; the run that rendered the page
has an event loop in a thread of its own, and awaitables at the prompt are awaited there.
"""

import ast
import asyncio
import code
import inspect
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import uvloop

from farm.api import Page
from farm.api.following import RunFollower
from farm.app.preflight import RunPlan
from farm.app.running import RunEnd, run_crawl
from farm.cli.fetch import page_plan
from farm.cli.streams import print_lines, tell
from farm.model.errors import FarmError, NothingRecorded, UsageError
from farm.model.handling import DeadPage, PageHandled, VisitedPage
from farm.model.url import HashRoutes
from farm.monitor.figures import escaped
from farm.monitor.report import nothing_recorded
from farm.runtime.control import ExitReason
from farm.scope.seeds import given_seeds
from farm.settings.commands import OnePageSettings, ShellSettings
from farm.settings.load import load

LONGEST_S = 7 * 86_400.0
"""How long a page may stay open at the prompt."""
NAMES = """\
  page                  the page, as a handler gets it: page.css("h1"), page.xpath("//h1"), page.links, page.text
  await page.live()     the same in the browser, as Playwright has it
  fetch(url)            another page in its place
"""
_OWN = str(Path(__file__).parents[1])
_AWAIT = compile("__await__()", "<prompt>", "exec")


def main(arguments: Sequence[str]) -> int:
    """Render the page, run the prompt to its end, and return the exit code."""
    settings = load(ShellSettings, arguments, "farm shell", "Render one page and open a prompt with it.")
    if len(settings.urls) != 1:
        raise UsageError(f"{len(settings.urls)} URLs were given; write `farm shell URL`.")
    with ExitStack() as opened:
        prompt = Prompt(settings, opened)
        prompt.open(settings.urls[0])
        prompt.interact_here()
    return 0


class HeldPage:
    """The one page of a run, held open by its handler until it is released. Implements the port `PageHandling`."""

    handles_pages = True
    follows_scope = runs_before = runs_on_dead = False
    digest = ""

    def __init__(self) -> None:
        self.shown: Future[Page] = Future()
        """The page, once it is rendered."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self._let_go: asyncio.Event | None = None
        self._is_over = False
        self.is_lost = False
        """Whether the page went away by itself."""
        self._follower: RunFollower | None = None

    async def run(self, plan: RunPlan) -> RunEnd:
        """Run the plan with this object as its code for pages."""
        self.loop = asyncio.get_running_loop()
        self._follower = RunFollower(plan.settings)
        if self._is_over:
            self._follower.stop(ExitReason.STOPPED)
        return await run_crawl(plan, self._follower)

    def end(self) -> None:
        """Let the page go and end the run; from any thread."""
        # A page that is rendered only now is for nobody: what is to let it go has been asked for already.
        self._is_over = True
        with suppress(RuntimeError):
            # The loop is closed: the run has ended.
            if self._follower is not None:
                self._follower.stop(ExitReason.STOPPED)
            if self.loop is not None and self._let_go is not None:
                self.loop.call_soon_threadsafe(self._let_go.set)

    async def handle(self, visited: VisitedPage) -> PageHandled:
        """Hold the page open; a second visit, after the page was lost, is ignored."""
        if not self.shown.done():
            self._let_go = asyncio.Event()
            self.shown.set_result(Page(visited, frozenset()))
            try:
                if not self._is_over:
                    await self._let_go.wait()
            finally:
                self.is_lost = not self._is_over
        return PageHandled()

    def running(self, _stop: Callable[[], None]) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    async def before(self, _visited: VisitedPage) -> PageHandled:
        """Do nothing."""
        return PageHandled()

    async def dead(self, _page: DeadPage) -> PageHandled:
        """Do nothing."""
        return PageHandled()


@contextmanager
def held_page(settings: OnePageSettings, *, windowed: bool = False) -> Iterator[HeldPage]:
    """Render the page of the settings and hold it open, in a window if asked; raises a FarmError if none came."""
    held = HeldPage()
    with (
        tempfile.TemporaryDirectory(prefix="farm-shell-", ignore_cleanup_errors=True) as folder,
        ThreadPoolExecutor(1, "farm") as threads,
    ):
        plan = page_plan(settings, Path(folder) / "crawl", {}, held, windowed=windowed)
        plan = replace(plan, handler_s=LONGEST_S)
        for warning in plan.warnings:
            tell(warning)
        running = threads.submit(_in_own_loop, held, plan)
        try:
            either: set[Future[Any]] = {running, held.shown}
            wait(either, return_when=FIRST_COMPLETED)
            if not held.shown.done():
                raise _why_none(running.result())
            yield held
        finally:
            held.end()


def _in_own_loop(held: HeldPage, plan: RunPlan) -> RunEnd:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(held.run(plan))


def _why_none(end: RunEnd) -> FarmError:
    """Return why a run returned no page."""
    if end.failure is not None:
        return end.failure
    why = nothing_recorded(end.report) if end.report is not None else "the page was not rendered"
    return NothingRecorded(f"{why}.")


class Prompt(code.InteractiveConsole):
    """A prompt with a page, at which `await` works; resources in `opened` are closed with the next page."""

    def __init__(self, settings: OnePageSettings, opened: ExitStack, names: str = NAMES) -> None:
        super().__init__({"__name__": "__console__", "__doc__": None})
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._settings = settings
        self._told = names
        self._opened = opened
        self._loop: asyncio.AbstractEventLoop | None = None
        self.locals["fetch"] = self.fetch

    def open(self, url: str) -> None:
        """Replace the page by another one; raises a FarmError if it cannot be rendered.

        For what is no URL the page stays.
        """
        given_seeds([url], None, hash_routes=HashRoutes.ON, keep_params=())
        self._opened.close()
        self.locals["page"] = self._loop = None
        held = self._opened.enter_context(held_page(self._settings.model_copy(update={"urls": (url,)})))
        self.locals["page"] = page = held.shown.result()
        self._loop = held.loop
        print_lines([f"{page.status} {escaped(page.final_url)} {escaped(page.title)}"])

    def fetch(self, url: str) -> None:
        """Replace the page by another one, and print what it is, or why there is none."""
        try:
            self.open(url)
        except FarmError as error:
            tell(str(error))

    def interact_here(self) -> None:
        """Read and run lines until the end of the input, or `exit()`."""
        # Ctrl-C ends a line, each time, and not the prompt.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            if sys.stdin.isatty():
                _complete(self.locals)
                self.interact(self._told, exitmsg="")
            else:
                self.interact("", exitmsg="")
        except SystemExit:
            return

    def raw_input(self, prompt: str = "") -> str:
        """Return the next line; the prompt is shown only in a terminal."""
        if sys.stdin.isatty():
            return super().raw_input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    def showtraceback(self) -> None:
        """Print the traceback of a line, without the lines of the farm's own code."""
        _, error, frames = sys.exc_info()
        if error is None or frames is None:
            return
        told = traceback.TracebackException(type(error), error, frames.tb_next)
        waiting = [told]
        while waiting:
            one = waiting.pop()
            one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_OWN)]
            waiting += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        self.write("".join(told.format()))

    def write(self, data: str) -> None:
        """Write a traceback or a syntax error, without terminal control characters."""
        sys.stderr.write("\n".join(map(escaped, data.split("\n"))))

    def runcode(self, code: CodeType) -> None:
        """Run a line; if it awaits something, in the loop of the page."""
        if code.co_flags & inspect.CO_COROUTINE:
            self.locals["__await__"] = partial(self._awaited, FunctionType(code, self.locals))
            code = _AWAIT
        super().runcode(code)

    def _awaited(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        if self._loop is None:
            raise RuntimeError("there is no page")
        task = asyncio.run_coroutine_threadsafe(function(), self._loop)
        try:
            task.result()
        finally:
            task.cancel()


def _complete(names: dict[str, Any]) -> None:
    """Complete names with the tab key, if Python has readline."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
