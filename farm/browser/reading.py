"""Evaluation in the isolated world of one visit's page: wait until it has settled, read it, act on it.

Invariants: a page may navigate on its own at any moment, and the evaluation is then repeated; no answer is awaited
beyond the page's deadline. Functions stay in the world as long as the document, so they are sent once for each
document.
"""

import asyncio
import contextlib
from typing import Any

from playwright.async_api import Error

from farm.browser.collector import PageWait, ReadParams, caps_of, checked, settling
from farm.browser.driver import ACTING_MARK, LISTING_MARK, MARKED, READING_MARK
from farm.browser.errors import is_navigated, translate
from farm.browser.tab import Tab
from farm.model.errors import RenderError, SlotLost, UsageError
from farm.model.outcome import FailureKind

WORLD = "farm"
OVERDUE_S = 1.0
"""How long after the settle timeout a page that has not answered is read without waiting for it to settle."""
BUSY_SHARE = 0.5
"""The share of the remaining time for which a page may be busy before it counts as hung: large pages take long."""
LAST_TRIES = 3
"""How often a page that navigates to another document is read again when its time is over."""
INERT_PAUSE_S = 0.02
BEGIN_S = 1.0
"""How long after a page has left for another document the request may take to appear."""
FRAME_S = GIVE_UP_S = 3.0
ERROR_CHARS = 2_000
COLLECT_S = 1.0
"""The share of a page's time that is reserved for reading it."""


class Reading:
    """The page of one visit; `ends` is when the visit must be over, by the loop's clock."""

    def __init__(self, tab: Tab, params: ReadParams, ends: float, *, is_page: bool) -> None:
        self.tab = tab
        self.ends = ends
        self._params = params
        self._caps = caps_of(params, is_page=is_page)
        self._marks = (READING_MARK, LISTING_MARK) if params.list_images else (READING_MARK,)
        self._loop = asyncio.get_running_loop()
        self._world: int | None = None
        self._known: set[str] = set()
        self._framed = self._stayed = False
        self._misses = 0

    async def settled(self) -> None:
        """Wait until the page has settled after an action, by the rule for all pages."""
        await self._settle("settle", collect=False)

    async def first_settled(self) -> None:
        """Wait by the user's rule, without reading."""
        await self._settle(self._params.wait, collect=False)

    async def read(self) -> dict[str, Any]:
        """Wait by the user's rule, and return the page's contents."""
        return await self._settle(self._params.wait, collect=True)

    async def _settle(self, wait: str, *, collect: bool) -> dict[str, Any]:
        """Evaluate until one evaluation completes: the page may navigate on its own meanwhile."""
        settle_ends = min(self._loop.time() + self._params.settle_timeout_s, self.ends - COLLECT_S)
        self._framed = self._stayed = False
        self._misses = 0
        self.tab.events.on_break = self._give_up
        pause_s = INERT_PAUSE_S
        while True:
            left_s = 0.0 if self.tab.events.broke_off else max(0.0, settle_ends - self._loop.time())
            seen = await self._once(wait, left_s, collect=collect)
            if seen is None:
                continue
            if seen.get("frame"):
                # The frames of an engine take turns, and a page of another slot may hold them up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self.tab.frame()
                self._framed = True
                continue
            if seen.get("leaving") or (
                wait != "css" and left_s > 0 and self.tab.events.main_documents.is_moving
            ):
                self._stayed = await self._followed(left_s)
                continue
            if seen.get("later"):
                await asyncio.sleep(min(pause_s, left_s))
                pause_s *= 1.5
                continue
            if seen["url"].startswith("chrome-error:"):
                raise RenderError(FailureKind.NETWORK, "the browser shows its own error page")
            if wait == "settle" and self.tab.events.loading and left_s > 0:
                # A script is on its way that no script can know of: a module that another one imports.
                await self.tab.loaded(settle_ends - self._loop.time())
                self._framed = False
                continue
            return seen

    def _give_up(self) -> None:
        """End the wait for a document whose connection broke, or keep it from beginning."""
        if self._world is None or self.tab.lost:
            return
        ending = asyncio.ensure_future(
            self.tab.send(
                "Runtime.evaluate",
                GIVE_UP_S,
                expression="typeof memory === 'object' && memory.giveUp()",
                contextId=self._world,
            )
        )
        ending.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _once(self, wait: str, left_s: float, *, collect: bool) -> dict[str, Any] | None:
        """Evaluate once; None if the page navigated or did not answer, so that the evaluation must be repeated.

        Raises SlotLost if there is no time to repeat it.
        """
        grace_s = OVERDUE_S if left_s > 0 else self.left_s * BUSY_SHARE
        deadline_s = min(left_s + grace_s, max(0.05, self.ends - self._loop.time()))
        is_cut = left_s <= 0 and self.tab.events.main_documents.is_moving
        try:
            if is_cut:
                # While another document is loading, the browser delays evaluations in this one.
                await self.tab.send("Page.stopLoading", OVERDUE_S)
            await self._enter(deadline_s)
            # Only now: a document that breaks off before there is a world has nothing that could be woken.
            expression = self._settling(wait, 0.0 if self.tab.events.broke_off else left_s, collect=collect)
            self._framed = self._stayed = False
            seen = checked(await self._evaluate(expression, self._marks, deadline_s))
        except Error as error:
            self._world = None
            self._misses += left_s <= 0
            if is_navigated(error) and self._misses < LAST_TRIES:
                return None
            if is_navigated(error):
                # It would do so under the next visit too.
                raise SlotLost(FailureKind.TIMEOUT, "the page navigates without end") from error
            raise translate(error) from error
        except SlotLost as error:
            if error.kind is FailureKind.TIMEOUT and left_s > 0 and not self.tab.lost:
                return None
            if error.kind is FailureKind.TIMEOUT and not self.tab.lost:
                why = "the page was too busy to be read; give it more time by --page-timeout"
                raise SlotLost(FailureKind.TIMEOUT, why) from error
            raise
        if is_cut:
            seen["reason"] = "navigating"
        return seen

    async def _followed(self, left_s: float) -> bool:
        """Wait until the next document replaces this one, or return True when it has failed."""
        went = asyncio.ensure_future(self._evaluate("new Promise(() => {})", (), left_s))
        stayed = asyncio.ensure_future(self.tab.events.main_documents.stayed(BEGIN_S))
        try:
            await asyncio.wait({went, stayed}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            return stayed.done()
        finally:
            for one in (went, stayed):
                one.cancel()
                # The next evaluation returns the result.
                one.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def act(self, call: str, deadline_s: float) -> Any:
        """Call a function of `act.js`; None if the page navigated meanwhile."""
        deadline_s = min(deadline_s, self.left_s)
        try:
            await self._enter(deadline_s)
            return await self._evaluate(call, (READING_MARK, ACTING_MARK), deadline_s)
        except Error as error:
            self._world = None
            if is_navigated(error):
                return None
            raise translate(error) from error

    async def passing(self, deadline_s: float) -> None:
        """Keep the text in the window, which may be gone when the page is read."""
        await self.act(f"pass({self._caps})", deadline_s)

    async def frame(self) -> None:
        """Wait for one frame, in which observers see the content of the window."""
        if self.tab.engine.frames_on_demand:
            await self.tab.frame()
        else:
            await self.act("passed()", FRAME_S)

    @property
    def left_s(self) -> float:
        """The remaining seconds of the visit."""
        return max(0.05, self.ends - self._loop.time())

    async def _enter(self, deadline_s: float) -> None:
        """Create the isolated world of the current document, if there is none."""
        if self._world is None:
            made = await self.tab.send(
                "Page.createIsolatedWorld", deadline_s, frameId=self.tab.frame_id, worldName=WORLD
            )
            self._world = int(made["executionContextId"])
            self._framed = self._stayed = False
            self._known.clear()

    async def _evaluate(self, expression: str, marks: tuple[str, ...], deadline_s: float) -> Any:
        """Evaluate in the isolated world, with the scripts of the placeholders. Raises Playwright's errors."""
        unknown = [one for one in marks if one not in self._known]
        # Also if no answer arrives in time: the scripts will be evaluated, and must not be declared twice.
        self._known.update(unknown)
        # As it is now: another tab may find out meanwhile, and this one must still repeat its own call.
        marked = self.tab.engine.knows_marks
        whole = "\n".join([*map(MARKED.__getitem__, unknown), expression])
        answer = await self._call("\n".join([*unknown, expression]) if marked else whole, deadline_s)
        thrown = answer.get("exceptionDetails")
        if thrown is not None and unknown and marked and _is_unknown(thrown):
            # A driver that is built differently has sent the marks as they are.
            self.tab.engine.send_whole()
            answer = await self._call(whole, min(deadline_s, self.left_s))
            thrown = answer.get("exceptionDetails")
        if thrown is not None:
            raise _failure(thrown)
        return answer["result"].get("value")

    async def _call(self, expression: str, deadline_s: float) -> dict[str, Any]:
        return await self.tab.send(
            "Runtime.evaluate",
            deadline_s,
            expression=expression,
            contextId=self._world,
            awaitPromise=True,
            returnByValue=True,
        )

    def _settling(self, wait: str, left_s: float, *, collect: bool) -> str:
        state = {
            "framed": self._framed,
            "stayed": self._stayed,
            "inert": self.tab.events.main_documents.is_inert,
            "onDemand": self.tab.engine.frames_on_demand,
        }
        asked = PageWait(self.tab.nonce, wait, self._params.selector, self._params.quiet_ms, left_s)
        return settling(asked, state, self._caps if collect else None)


def _is_unknown(thrown: dict[str, Any]) -> bool:
    return str(thrown.get("exception", {}).get("description")).startswith("ReferenceError: ")


def _failure(thrown: dict[str, Any]) -> RenderError | UsageError:
    text = str(thrown.get("exception", {}).get("description") or thrown.get("text", ""))[:ERROR_CHARS]
    wrong = text.partition("'querySelector")[2].partition(": ")[2].partition("\n")[0]
    if "is not a valid selector" in text and wrong:
        return UsageError(f"{wrong.rstrip('.')}; --wait css:, --click and logged_in take CSS.")
    return RenderError(FailureKind.CRASH, f"the page could not be read: {text[:200]}")
