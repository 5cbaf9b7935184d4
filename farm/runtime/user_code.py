"""Runs the user's code on a page, isolated from other pages.

It is a task with a deadline: code that raises, hangs or does not end when it is cancelled fails only its own
visit. The watchdog logs where code blocks the event loop.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from farm.model.errors import SlotLost
from farm.model.handling import DeadPage, PageHandled, VisitedPage
from farm.model.outcome import Bury, FailureKind
from farm.model.page import Detection, RenderedPage
from farm.model.task import Lease
from farm.policy.verdict import Failed
from farm.runtime.ports import PageHandling, Slot

T = TypeVar("T")
log = logging.getLogger("farm.handlers")
CANCEL_S = 2.0
"""How long code may take to end when it is cancelled."""
LARGE_CHARS = 250_000
"""HTML from this length on counts as large."""
TREE_BYTES = 50
"""What a character of HTML takes at most in a tree of lexbor's or libxml2's; in usual pages it is a third."""
MOST_DETAIL = 1_800
"""Characters of a failure in a dead letter."""
MOST_FRAMES = 12
MOST_AWAITS = 200
_MESSAGE_CHARS = 500
_OWN = Path(__file__).parents[1]
_STANDARD = Path(asyncio.__file__).parents[1]
_FROZEN = "<frozen "
"""What the names of modules begin with that are a part of the interpreter."""


class LargePages:
    """Bounds what pages of large HTML take together while handlers have them, since each may parse its own.

    A page waits for its turn, in order of arrival. All of the pages of less than `LARGE_CHARS` go first.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._most_chars = self._left_chars = memory_bytes // TREE_BYTES
        self._first = asyncio.Lock()
        self._given_back = asyncio.Event()

    @contextlib.asynccontextmanager
    async def turn(self, chars: int, wait_s: float) -> AsyncIterator[None]:
        """Wait for the turn of a page with so many characters, and hold it. Raises TimeoutError after `wait_s`."""
        if chars < LARGE_CHARS:
            yield
            return
        # A page alone has its turn, however large it is.
        chars = min(chars, self._most_chars)
        async with asyncio.timeout(wait_s), self._first:
            while self._left_chars < chars:
                self._given_back.clear()
                await self._given_back.wait()
            self._left_chars -= chars
        try:
            yield
        finally:
            self._left_chars += chars
            self._given_back.set()


class UserCode:
    """Runs the user's code for pages; each call takes at most `deadline_s`, and a moment to end.

    `memory_bytes` bounds the parsed HTML of large pages together.
    """

    def __init__(self, handling: PageHandling, deadline_s: float, memory_bytes: int) -> None:
        self.follows_scope = handling.follows_scope
        self.runs_before = handling.runs_before
        self._handling = handling
        self._deadline_s = deadline_s
        self._large = LargePages(memory_bytes)

    async def before(self, lease: Lease) -> PageHandled | Failed:
        """Run the code before the navigation."""
        visited = VisitedPage(lease, None, None, _not_yet)
        return await self._run(self._handling.before(visited), lease.task.url)

    async def dead(self, lease: Lease, settled: Bury) -> None:
        """Run the code for a URL that was given up; its own failure is logged."""
        if self._handling.runs_on_dead:
            task = lease.task
            page = DeadPage(task.url, str(settled.reason), settled.detail, lease.attempt, task.meta)
            failed = await self._run(self._handling.dead(page), task.url)
            if isinstance(failed, Failed):
                log.warning("%s: the hook for dead letters failed: %s", task.url, failed.detail)

    async def handle(
        self, lease: Lease, page: RenderedPage, detection: Detection | None, slot: Slot
    ) -> PageHandled | Failed:
        """Run the code for the page; if it used the browser's page, that use is ended.

        A large page waits for its turn for as long as code may take, and is given back then.
        """
        try:
            async with self._large.turn(len(page.html), self._deadline_s):
                return await self._handled(lease, page, detection, slot)
        except TimeoutError:
            why = "the handlers have too many large pages at once; give more by --memory, or fewer --contexts"
            return Failed(FailureKind.HANDLER, why, innocent=True)

    async def _handled(
        self, lease: Lease, page: RenderedPage, detection: Detection | None, slot: Slot
    ) -> PageHandled | Failed:
        lost: SlotLost | None = None
        shown: list[Any] = []
        running: list[asyncio.Task[PageHandled]] = []

        def end() -> None:
            running[0].cancel()

        async def live() -> Any:
            # A hook may have asked before the handler does.
            shown[:] = shown or [await slot.live(end)]
            return shown[0]

        visited = VisitedPage(lease, page, detection, live)
        try:
            handled = await self._run(self._handling.handle(visited), lease.task.url, running.append)
        finally:
            if shown:
                lost = slot.end_live(lease.task.url)
        if lost is not None and isinstance(handled, Failed):
            # That its page went away is what the code failed by.
            return Failed(lost.kind, lost.detail, innocent=lost.innocent)
        if shown and isinstance(handled, Failed) and handled.detail.startswith(_HANGS):
            # Code that used the page may still run in it.
            slot.retire()
        return handled

    async def _run(
        self,
        call: Coroutine[Any, Any, PageHandled],
        url: str,
        begun: Callable[[asyncio.Task[PageHandled]], None] = lambda _: None,
    ) -> PageHandled | Failed:
        """Await the call; return how it failed where it did, or was late. `begun` gets its task."""
        task = asyncio.create_task(without_exit(call), name="handler")
        begun(task)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._deadline_s)
            where = "" if done else _where_it_waits(task)
            if not done:
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=CANCEL_S)
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        if where:
            if not done:
                log.error("%s: the handler does not end when it is cancelled, and is left to itself", url)
            return Failed(FailureKind.HANDLER, f"{_HANGS} {self._deadline_s:g} s {where}")
        if task.cancelled():
            return Failed(FailureKind.HANDLER, "the handler was cancelled")
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, SlotLost):
            return Failed(error.kind, error.detail, innocent=error.innocent)
        log.info("%s: the handler failed", url, exc_info=error)
        return Failed(FailureKind.HANDLER, told(error))


_HANGS = "the handler took more than"


async def without_exit(call: Coroutine[Any, Any, T]) -> T:
    """Await the call; `sys.exit` in it is a failure as any other: it would end the event loop with all pages."""
    try:
        return await call
    except SystemExit as error:
        failure = RuntimeError(f"sys.exit({error.code!r}) was called")
        raise failure.with_traceback(error.__traceback__) from None


async def _not_yet() -> Any:
    raise RuntimeError("there is no live page before the navigation; ask for it in a handler")


def told(error: BaseException) -> str:
    """Return an error with its traceback in one line, the innermost frame first, `MOST_DETAIL` characters at most.

    Frames of the farm, of packages and of the standard library are left out; the log has them.
    """
    frames = [
        one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(_FROZEN)
    ]
    own = [one for one in frames if not _is_code_of_others(one)]
    if not own and not isinstance(error, SyntaxError):
        # The message of a syntax error has its place; its frames are those of the import.
        own = frames[-1:]
    # Not by `str`: a class of the user's may fail at that.
    words = traceback.TracebackException(type(error), error, None)
    message = f"{type(error).__name__}: {words}"[:_MESSAGE_CHARS]
    where = " < ".join(_place(one) for one in own[: -MOST_FRAMES - 1 : -1])
    return f"{message} at {where}"[:MOST_DETAIL] if where else message


def _where_it_waits(task: asyncio.Task[Any]) -> str:
    """Return the innermost line of the user's code at which a task waits; a task knows only the outermost."""
    frames: list[tuple[FrameType, int]] = []
    waiting: Any = task.get_coro()
    while len(frames) < MOST_AWAITS and (frame := getattr(waiting, "cr_frame", None)) is not None:
        frames.append((frame, frame.f_lineno))
        waiting = getattr(waiting, "cr_await", None)
    stack = traceback.StackSummary.extract(frames)
    own = [one for one in stack if not _is_code_of_others(one)] or list(stack)
    return f"at {_place(own[-1])}" if own else "somewhere"


def _is_code_of_others(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    return path.is_relative_to(_OWN) or "site-packages" in path.parts or path.is_relative_to(_STANDARD)


def _place(frame: traceback.FrameSummary) -> str:
    path = Path(frame.filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(*path.parts[-2:])
    return f"{shown}:{frame.lineno} {frame.name}"
