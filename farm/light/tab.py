"""A tab of the light engine: a connection of its own, with one context, one page, and the slot's way out.

It serves one site, as a browser's context does. Invariants: all that its page sends goes by the proxy that
it was opened with, or nowhere; every call has a deadline; closing the connection ends the page, whatever it does.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from farm.light.connection import LightConnection, Refused
from farm.light.documents import VisitedDocuments, part_of
from farm.light.engine import LightEngine
from farm.model.errors import SlotLost
from farm.model.outcome import FailureKind

OPEN_S = 10.0
WORLD = "farm"
GONE = "context was destroyed"


def _script(name: str) -> str:
    """Return a file of `js/` without comments and indentation."""
    text = files("farm.light").joinpath("js", name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


PAGE = _script("page.js")
BEFORE, AFTER = _script("world.js"), _script("styles.js") + "\n" + _script("text.js")


@dataclass(frozen=True, slots=True)
class LightTabParams:
    """What a tab is opened with; `cookies_for` returns what the user gave for a URL's site, as CDP has it."""

    hook: Callable[[str], str]
    """Returns what runs in a page before its scripts, by the name of the events that it tells by."""
    reading: str
    """The scripts that a page is read by."""
    user_agent: str | None = None
    cookies_for: Callable[[str], Sequence[Mapping[str, Any]]] | None = None


class LightTab:
    """One open tab. `site` and `served` are kept by the slot that owns it."""

    def __init__(self, engine: LightEngine, connection: LightConnection, reading: str) -> None:
        self.engine = engine
        self.site: str | None = None
        self.served = 0
        self.nonce = secrets.token_hex(8)
        self.documents = VisitedDocuments("")
        self._connection = connection
        self._session = ""
        self._frame_id = ""
        self._reading = f"{BEFORE}\n{reading}\n{AFTER}\n"
        self._known = 0
        """The isolated world that has the scripts already: they cannot be declared twice."""

    async def prepare(self, proxy_url: str, params: LightTabParams, url: str) -> None:
        """Make the context and its page ready for the first visit; raises SlotLost, Refused."""
        call = self._connection.call
        context = await call("Target.createBrowserContext", OPEN_S, proxyServer=proxy_url)
        target = await call(
            "Target.createTarget", OPEN_S, url="about:blank", browserContextId=context["browserContextId"]
        )
        self._frame_id = str(target["targetId"])
        attached = await call("Target.attachToTarget", OPEN_S, targetId=self._frame_id, flatten=True)
        self._session = str(attached["sessionId"])
        self.documents = VisitedDocuments(self._frame_id)
        self._connection.listeners.update(
            {
                b"Network.requestWillBeSent": self.documents.asked,
                b"Network.responseReceived": self.documents.answered,
                b"Network.loadingFailed": self.documents.failed,
                b"Page.frameNavigated": self.documents.shown,
            }
        )
        await self.call("Page.enable", OPEN_S)
        await self.call("Network.enable", OPEN_S)
        source = PAGE.replace('"NONCE"', f'"{self.nonce}"') + "\n" + params.hook(self.nonce)
        await self.call("Page.addScriptToEvaluateOnNewDocument", OPEN_S, source=source)
        if params.user_agent:
            await self.call("Network.setUserAgentOverride", OPEN_S, userAgent=params.user_agent)
        cookies = params.cookies_for(url) if params.cookies_for is not None else ()
        if cookies:
            await self.call("Network.setCookies", OPEN_S, cookies=[dict(one) for one in cookies])

    async def call(self, method: str, deadline_s: float, **params: Any) -> dict[str, Any]:
        """Call CDP on the page; raises Refused, and SlotLost when nothing answers in time."""
        return await self._connection.call(method, deadline_s, self._session, **params)

    def begin_visit(self) -> None:
        """Start a visit: what the one before brought is not this one's."""
        self._connection.begin_visit()
        self.documents.forget()

    async def evaluate(self, expression: str, deadline_s: float) -> Any:
        """Evaluate in the isolated world; None if the page navigated under it.

        Raises SlotLost at the deadline, and if the engine cannot evaluate it.
        """
        shown = self.documents.count
        asking = asyncio.ensure_future(self._evaluated(expression, deadline_s))
        try:
            while not asking.done() and self.documents.count == shown:
                change = asyncio.ensure_future(self.documents.changed())
                try:
                    await asyncio.wait({asking, change}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
            if self.documents.count != shown:
                return None
            return asking.result()
        finally:
            asking.cancel()
            # An answer that arrives too late is dropped.
            asking.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _evaluated(self, expression: str, deadline_s: float) -> Any:
        try:
            world = await self.call(
                "Page.createIsolatedWorld", deadline_s, frameId=self._frame_id, worldName=WORLD
            )
            context = _context_of(world)
            known, self._known = self._known, context
            answer = await self.call(
                "Runtime.evaluate",
                deadline_s,
                expression=expression if known == context else self._reading + expression,
                contextId=context,
                awaitPromise=True,
                returnByValue=True,
            )
        except Refused as error:
            if GONE in str(error):
                return None
            raise SlotLost(FailureKind.CRASH, f"the light engine refused: {error}") from error
        if answer.get("exceptionDetails") is not None:
            thrown = part_of(answer, "exceptionDetails")
            text = str(part_of(thrown, "exception").get("description") or thrown.get("text", ""))
            raise SlotLost(FailureKind.CRASH, f"the page could not be read: {text[:200]}")
        return part_of(answer, "result").get("value")

    @property
    def is_lost(self) -> bool:
        """Whether its connection or its engine is gone."""
        return self._connection.lost.done() or self.engine.lost.done()

    def close(self, why: str = "closed") -> None:
        """Close the connection, and with it the page and all that it has stored."""
        self._connection.close(why)


def _context_of(world: Mapping[str, Any]) -> int:
    """Return the context of an isolated world; raises SlotLost if the engine has made none."""
    context = world.get("executionContextId")
    if not isinstance(context, int):
        raise SlotLost(FailureKind.CRASH, "the light engine made no world to read the page in")
    return context


async def open_light_tab(engine: LightEngine, proxy_url: str, params: LightTabParams, url: str) -> LightTab:
    """Open a tab on the engine for the site of this URL; raises SlotLost if the engine cannot."""
    connection = await engine.connect()
    tab = LightTab(engine, connection, params.reading)
    try:
        async with asyncio.timeout(OPEN_S):
            await tab.prepare(proxy_url, params, url)
    except (Refused, KeyError, TimeoutError) as error:
        connection.close("it could not be opened")
        raise SlotLost(
            FailureKind.CRASH, f"no tab of the light engine: {str(error) or 'too slow'}"
        ) from error
    except BaseException:
        # Also when cancelled: the engine would keep the connection, and what was opened by it.
        connection.close("it was not opened")
        raise
    return tab
