"""A tab: one browser context with its one page and the CDP session through which it is driven.

The context uses the slot's own egress and leaks nothing between sites, because it never serves two. Every call has
a deadline, and ends at once when the page crashes or the engine dies. A context that does not open is given up,
and if it cannot be closed either, so is its engine.
"""

import asyncio
import contextlib
import secrets
from base64 import b64decode
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from playwright.async_api import BrowserContext, CDPSession, Error, Page

from farm.browser.collector import hook
from farm.browser.engine import CLOSE_S, Engine, close_context
from farm.browser.errors import DriverExited, ending, playwright_errors, translate
from farm.browser.events import PageEvents
from farm.browser.har import HarLog
from farm.browser.intercept import Interceptor, InterceptParams
from farm.browser.resources import Resources
from farm.browser.responses import CaptureParams, Responses
from farm.model.errors import BrowserUnavailable, SlotLost
from farm.model.memory import over_cap
from farm.model.outcome import FailureKind
from farm.resources.memory import limit_growth

T = TypeVar("T")
StateFor = Callable[[str], Any]
AS_IT_IS = "_pw_impl_instance_"
"""Where Playwright stores the wrapper of a listener: a listener stored there itself gets events unchanged."""
NEAR_CAP = 0.5
"""Readings are half a second apart, in which a page allocates a quarter of a gigabyte."""
CHUNK_BYTES = 2**20
OPEN_S = 15.0
LATE_S = 15.0
"""If endless loops occupy both cores, a healthy browser may take this long to close a context."""
FRAME_S = 3.0
"""A page whose layout takes longer is hung, and blocks the frames of its engine's other pages."""


@dataclass(frozen=True, slots=True)
class OwnParams:
    """The parameters of a context for its site; `blocked_urls` replaces the common ones unless None."""

    blocked_urls: tuple[str, ...] | None = None
    headers: tuple[InterceptParams, ...] = ()
    """Added to the common headers; of two with one name the later applies."""


@dataclass(frozen=True, slots=True)
class TabParams:
    """The parameters of a new context; `user_agent_suffix` is added to the browser's own."""

    viewport: tuple[int, int] = (1280, 800)
    user_agent: str | None = None
    user_agent_suffix: str = ""
    blocked_urls: tuple[str, ...] = ()
    images: bool = True
    windowed: bool = False
    """Whether a person sees the page: it is as large as its window, and may open others."""
    insecure: bool = False
    locale: str | None = None
    timezone: str | None = None
    intercept: InterceptParams = field(default_factory=InterceptParams)
    capture: CaptureParams = field(default_factory=CaptureParams)
    state_for: StateFor | None = None
    """Returns the part of the user's storage state for a context that serves this URL's site."""
    own_for: Callable[[str], OwnParams | None] | None = None
    """Returns the other parameters of a context that serves this URL's site."""


class Tab:
    """One open context. `site` and `served` are kept by the slot that owns it, `banner_looks` by visits."""

    def __init__(
        self, engine: Engine, context: BrowserContext, page: Page, cdp: CDPSession, params: TabParams
    ) -> None:
        self.engine = engine
        self.page = page
        self.cdp = cdp
        self.frame_id = ""
        self.pid = 0
        """The renderer process; 0 if unknown."""
        self.cap_bytes = self.used_bytes = 0
        """The renderer's memory cap, 0 if it has none, and its memory at the last reading."""
        self.nonce = secrets.token_hex(8)
        self.site: str | None = None
        self.served = self.banner_looks = 0
        self.events = PageEvents()
        self.intercept = Interceptor(params.intercept, self)
        self.responses: Responses | None = None
        self.har: HarLog | None = None
        self.resources: Resources | None = None
        self._state_for = params.state_for
        self._own_for = params.own_for
        self._context = context
        self._crashed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        page.on("crash", lambda _: self._crash(self._why_crashed()))
        if not params.windowed:
            context.on("page", self._close_stranger)

    async def prepare(self, params: TabParams) -> None:
        """Prepare a new tab for its first visit: install counters, blocking and listeners."""
        self.frame_id = (await self.cdp.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        # By Playwright, not by the session of our own: there it would need the Page domain and all its events.
        source = hook(self.nonce, on_demand=self.engine.frames_on_demand, images=params.images)
        await self.page.add_init_script(source)
        # Blocking works only while the domain is enabled; without the caps Blink would keep every body for us.
        await self.cdp.send("Network.enable", params.capture.buffers)
        await self.cdp.send("Network.setBlockedURLs", {"urls": list(params.blocked_urls)})
        on = {**self.events.listeners(self.frame_id), "Fetch.requestPaused": self.intercept.paused}
        if params.capture:
            self.responses = Responses(params.capture, self, self.frame_id)
            on = self.responses.beside(on)
        if params.capture.har:
            self.har = HarLog(self.frame_id)
            on = self.har.beside(on)
        if params.capture.exchanges:
            self.resources = Resources(self, self.frame_id)
            on = self.resources.beside(on)

        def note(event: dict[str, Any]) -> None:
            if (method := on.get(event["method"])) is not None:
                method(event["params"])

        # Playwright would look through every event for objects of its own, a hundred times a page.
        setattr(note, AS_IT_IS, note)
        self.cdp.on("event", note)
        await self.intercept.start(self.frame_id)

    async def prepare_for(self, url: str, deadline_s: float) -> None:
        """Before its first visit, apply the user's parameters for this site to the context; raises SlotLost."""
        if self.served > 0:
            return
        if self._own_for is not None:
            await self._apply_own(self._own_for(url), deadline_s)
        if self._state_for is not None:
            await self._apply_state(self._state_for(url), deadline_s)

    async def _apply_own(self, own: OwnParams | None, deadline_s: float) -> None:
        if own is None:
            return
        try:
            if own.blocked_urls is not None:
                await self.send("Network.setBlockedURLs", deadline_s, urls=list(own.blocked_urls))
            await self.intercept.add(own.headers)
        except Error as error:
            raise SlotLost(FailureKind.CRASH, f"the site's settings were refused: {error.message}") from error

    async def _apply_state(self, state: Any, deadline_s: float) -> None:
        if state is None:
            return
        try:
            await self.guard(self._context.set_storage_state(state), deadline_s, "the storage state")
        except Error as error:
            raise SlotLost(FailureKind.CRASH, f"the storage state was refused: {error.message}") from error

    async def loaded(self, deadline_s: float) -> None:
        """Wait until nothing is loading, but no longer than the deadline; raises SlotLost with the page."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self.guard(self.events.loaded(), deadline_s + 1.0, "a script")

    async def frame(self) -> None:
        """Make one frame, without drawing it; it completes even if the caller is cancelled."""
        making = asyncio.ensure_future(self._make_frame())
        making.add_done_callback(lambda made: made.cancelled() or made.exception())
        await asyncio.shield(making)

    async def _make_frame(self) -> None:
        async with self.engine.frames:
            await self.send("HeadlessExperimental.beginFrame", FRAME_S, noDisplayUpdates=True)

    def forget_visit(self) -> None:
        """Start a visit: drop the events of the previous one."""
        self.events.forget()
        self.intercept.forget()
        for one in (self.responses, self.har, self.resources):
            if one is not None:
                one.forget()

    def document_answer(self) -> dict[str, Any] | None:
        """Return the last answer to the main request, as CDP gives it, even if no document followed."""
        return self.events.main_documents.answer or self.intercept.answer

    async def send(self, method: str, deadline_s: float, **params: Any) -> dict[str, Any]:
        """Call CDP. Raises Playwright's Error, and SlotLost if there is no answer."""
        result: dict[str, Any] = await self.guard(self.cdp.send(method, params), deadline_s, method)
        return result

    async def read_stream(self, stream: str, cap_bytes: int, deadline_s: float) -> bytes | None:
        """Read a stream of CDP (a body, a PDF) to its end and close it; None if it has more than `cap_bytes`."""
        content, cut = await self.read_beginning(stream, cap_bytes, deadline_s)
        if cut == "time":
            raise SlotLost(FailureKind.TIMEOUT, "IO.read did not answer in time")
        return content if not cut else None

    async def read_beginning(self, stream: str, cap_bytes: int, deadline_s: float) -> tuple[bytes, str]:
        """Read a stream of CDP and close it; return what came, and whether `length` or `time` has cut it."""
        parts: list[bytes] = []
        size = 0
        ends = asyncio.get_running_loop().time() + deadline_s
        cut = "length"
        while size <= cap_bytes:
            left_s = ends - asyncio.get_running_loop().time()
            try:
                part = await self.send("IO.read", left_s, handle=stream, size=CHUNK_BYTES)
            except SlotLost as error:
                if error.kind is not FailureKind.TIMEOUT or self.lost:
                    raise
                cut = "time"
                break
            parts.append(b64decode(part["data"]) if part.get("base64Encoded") else part["data"].encode())
            size += len(parts[-1])
            if part["eof"]:
                cut = "length" if size > cap_bytes else ""
                break
        with contextlib.suppress(Error):
            await self.send("IO.close", CLOSE_S, handle=stream)
        return b"".join(parts)[:cap_bytes], cut

    async def guard(self, call: Coroutine[Any, Any, T], deadline_s: float, what: str) -> T:
        """Await a browser call, but no longer than the deadline, the page or the engine lasts."""
        task: asyncio.Future[T] = asyncio.ensure_future(call)
        watched: list[asyncio.Future[Any]] = [task, self._crashed, self.engine.lost]
        try:
            await asyncio.wait(watched, timeout=max(0.0, deadline_s), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return self._result(task)
            if self.engine.lost.done():
                raise SlotLost(FailureKind.CRASH, f"{self.engine.name}: {self.engine.lost.result()}")
            if self._crashed.done():
                raise SlotLost(FailureKind.CRASH, self._crashed.result())
            raise SlotLost(FailureKind.TIMEOUT, f"{what} did not answer in time")
        finally:
            if not task.done():
                task.cancel()
                # The reply may still arrive as an error without a reader, which asyncio must not report.
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def _result(self, task: asyncio.Future[T]) -> T:
        try:
            with playwright_errors():
                return task.result()
        except DriverExited as error:
            self.engine.mark_lost(error.message)
            raise SlotLost(FailureKind.CRASH, f"{self.engine.name}: {error.message}") from error
        except Error as error:
            # The calls that a crash ends fail at the moment when the crash is reported.
            if self._crashed.done():
                raise SlotLost(FailureKind.CRASH, self._crashed.result()) from error
            raise

    @property
    def lost(self) -> bool:
        """Whether the page or its engine is gone."""
        return self._crashed.done() or self.engine.lost.done()

    async def close(self) -> None:
        """Close the context; an engine that cannot close one is lost, as its processes would pile up."""
        self._crash("closed")
        if self.engine.lost.done():
            return
        closing = asyncio.ensure_future(close_context(self._context, LATE_S))
        try:
            watched: list[asyncio.Future[Any]] = [closing, self.engine.lost]
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if closing.done() and not closing.result():
                self.engine.mark_lost(f"a context did not close within {LATE_S:g} s")
        finally:
            closing.cancel()

    def _why_crashed(self) -> str:
        """Return why the page crashed; the browser does not report a failed allocation.

        So a page that crashes with the larger part of its cap in use is assumed to have exceeded the cap.
        """
        why = self.engine.why_crashed(self.frame_id)
        if why is None and self.cap_bytes and self.used_bytes >= NEAR_CAP * self.cap_bytes:
            why = f"the page needed {over_cap(self.cap_bytes)}"
        return why or "the page crashed"

    def mark_doomed(self, reason: str) -> None:
        """Record why the page is about to be killed, so that its visit ends with that reason."""
        self._crash(reason)

    def _crash(self, reason: str) -> None:
        if not self._crashed.done():
            self._crashed.set_result(reason)

    async def _close_stranger(self, page: Page) -> None:
        """Close a window that the page opened: a slot has one page, and nothing would read another."""
        with ending():
            async with asyncio.timeout(CLOSE_S):
                await page.close()


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
                    viewport=None if params.windowed else {"width": width, "height": height},
                    no_viewport=params.windowed,
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
