"""Looking at one visit's page from the isolated world: wait until it has settled, read it, act on it.

What always holds: a page may navigate on its own at any moment, and what was asked of it is asked again then; no
answer is waited for longer than the page's deadline. What is evaluated keeps its functions in the world until the
document goes, so they are sent once for each document.
"""

import asyncio
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson
from playwright.async_api import Error

from farm.browser.driver_transport import decoded
from farm.browser.failure import is_navigated, translate
from farm.browser.tab import Tab
from farm.model.errors import RenderError, SlotLost, UsageError
from farm.model.outcome import FailureKind

_JS = files("farm.browser").joinpath("js")
SOURCE, ACT_SOURCE = (
    "\n".join(_JS.joinpath(name).read_text(encoding="utf-8") for name in names)
    for names in (("settle.js", "collect.js", "bounded.js"), ("act.js",))
)
WORLD = "farm"
SETTLE_GRACE_S = 5.0
"""A page's main thread may be busy when the cap falls due; so much later it counts as hung."""
FRAME_S = 3.0
LINK_PARTS = 3
ERROR_CHARS = 2_000
COLLECT_S = 1.0
"""Of a page's time, what is kept for reading it."""


@dataclass(frozen=True, slots=True)
class ReadParams:
    """`wait` is `settle`, `load`, `domcontentloaded` or `css`; caps are characters.

    `link_cap` is a number of links, `links_cap` the characters of all of them together.
    """

    wait: str = "settle"
    selector: str = ""
    settle_timeout_s: float = 10.0
    quiet_ms: int = 50
    html_cap: int = 8_000_000
    text_cap: int = 2_000_000
    link_cap: int = 10_000
    links_cap: int = 2_000_000
    link_text_cap: int = 300
    url_cap: int = 8_000
    """Longer addresses are not visited, and so need not be brought home."""
    title_cap: int = 10_000
    word_cap: int = 1_000
    """Of what is a word or a few: `rel`, `lang`, meta robots."""
    all_cap: int = 20_000_000
    """Characters of all of it, as they are written."""


class Reading:
    """The page of one visit; `ends` is when the visit must be over, by the loop's clock."""

    def __init__(self, tab: Tab, params: ReadParams, ends: float, *, is_page: bool) -> None:
        self.tab = tab
        self.ends = ends
        self._params = params
        self._is_page = is_page
        self._loop = asyncio.get_running_loop()
        self._world: int | None = None
        self._known: set[str] = set()
        self._framed = False
        self._stayed = False
        """Whether the page was kept from a document that did not come."""

    async def settled(self) -> None:
        """Wait until the page has settled, by the rule for all pages, after something was done to it."""
        await self._settle("settle", collect=False)

    async def first_settled(self) -> None:
        """Wait as the user wants it, and do not read yet."""
        await self._settle(self._params.wait, collect=False)

    async def read(self) -> dict[str, Any]:
        """Wait until the page has settled, as the user wants it, and return all that is on it."""
        return await self._settle(self._params.wait, collect=True)

    async def _settle(self, wait: str, *, collect: bool) -> dict[str, Any]:
        settle_ends = min(self._loop.time() + self._params.settle_timeout_s, self.ends - COLLECT_S)
        # The browser answers nothing about a document that it is about to leave for one that does not come.
        staying = self._loop.call_at(settle_ends, self._stay)
        try:
            seen = await self._settle_by(settle_ends, wait, collect=collect)
        finally:
            staying.cancel()
        if self._stayed and wait == "settle":
            seen.update(settled=False, reason="pending")
        return seen

    def _stay(self) -> None:
        if self.tab.leaving:
            self._stayed = True
            self.tab.stay()

    async def _settle_by(self, settle_ends: float, wait: str, *, collect: bool) -> dict[str, Any]:
        """Evaluate until one evaluation survives: the page may navigate on its own while it is looked at."""
        loop = self._loop
        self._framed = False
        while True:
            left_s = max(0.05, settle_ends - loop.time())
            deadline_s = min(left_s + SETTLE_GRACE_S, max(0.05, self.ends - loop.time()))
            try:
                await self._enter(deadline_s)
                expression = self._settling(wait, left_s, collect=collect)
                seen = checked(await self._evaluate(expression, (SOURCE,), deadline_s))
                if seen.get("frame"):
                    await self.tab.frame()
                    self._framed = True
                    continue
            except Error as error:
                self._world = None
                if is_navigated(error) and loop.time() < settle_ends:
                    continue
                if is_navigated(error):
                    # It would do so under the next visit too.
                    raise SlotLost(FailureKind.TIMEOUT, "the page navigates without end") from error
                raise translate(error) from error
            if seen["url"].startswith("chrome-error:"):
                raise RenderError(FailureKind.NETWORK, "the browser shows its own error page")
            if wait == "settle" and self.tab.loading and loop.time() < settle_ends:
                # What is on its way is nothing that a script can know of: a module that another one imports, or
                # the document that the page sends its visitor to.
                await self.tab.loaded(settle_ends - loop.time())
                self._framed = False
                continue
            return seen

    async def act(self, call: str, deadline_s: float) -> Any:
        """Call a function of `act.js`; None where the page navigated under it."""
        deadline_s = min(deadline_s, self.left_s)
        try:
            await self._enter(deadline_s)
            return await self._evaluate(call, (SOURCE, ACT_SOURCE), deadline_s)
        except Error as error:
            self._world = None
            if is_navigated(error):
                return None
            raise translate(error) from error

    async def frame(self) -> None:
        """Let one frame pass, in which observers look at what is in the window now."""
        if self.tab.engine.frames_on_demand:
            await self.tab.frame()
        else:
            await self.act("passed()", FRAME_S)

    @property
    def left_s(self) -> float:
        """How long the visit may still take."""
        return max(0.05, self.ends - self._loop.time())

    async def _enter(self, deadline_s: float) -> None:
        """Have an isolated world in the document that is there now."""
        if self._world is None:
            made = await self.tab.send(
                "Page.createIsolatedWorld", deadline_s, frameId=self.tab.frame_id, worldName=WORLD
            )
            self._world, self._framed = int(made["executionContextId"]), False
            self._known.clear()

    async def _evaluate(self, expression: str, sources: tuple[str, ...], deadline_s: float) -> Any:
        """Evaluate in the isolated world; Playwright's errors pass."""
        answer = await self.tab.send(
            "Runtime.evaluate",
            deadline_s,
            expression="\n".join([*(one for one in sources if one not in self._known), expression]),
            contextId=self._world,
            awaitPromise=True,
            returnByValue=True,
        )
        self._known.update(sources)
        thrown = answer.get("exceptionDetails")
        if thrown is not None:
            raise _failure(thrown)
        return answer["result"].get("value")

    def _settling(self, wait: str, left_s: float, *, collect: bool) -> str:
        params = self._params
        settle = {
            "nonce": self.tab.nonce,
            "wait": wait,
            "selector": params.selector,
            "quietMs": params.quiet_ms,
            "capMs": round(left_s * 1000),
            "framed": self._framed,
            "onDemand": self.tab.engine.frames_on_demand,
        }
        caps = {
            "htmlCap": params.html_cap,
            "textCap": params.text_cap,
            "linkCap": params.link_cap,
            "linksCap": params.links_cap,
            "linkTextCap": params.link_text_cap,
            "isPage": self._is_page,
        }
        bounds = {
            "urlCap": params.url_cap,
            "titleCap": params.title_cap,
            "wordCap": params.word_cap,
            "allCap": params.all_cap,
        }
        read = "JSON.stringify({ url: location.href, ...settled })"
        if collect:
            seen = f"{{ ...collect({orjson.dumps(caps).decode()}), ...settled }}"
            read = f"bounded({seen}, {orjson.dumps(bounds).decode()})"
        # One string passes through browser and driver as it is: both would build every link anew.
        return (
            f"settle({orjson.dumps(settle).decode()}).then((settled) =>"
            f" settled.frame ? JSON.stringify(settled) : {read})"
        )


def checked(said: Any) -> dict[str, Any]:
    """Return what a page's world answered; raises RenderError where it is not of the form that was asked for."""
    try:
        seen = decoded(said)
    except (ValueError, TypeError, RecursionError):
        seen = None
    if not isinstance(seen, dict) or not (seen.get("frame") or _is_whole(seen)):
        raise RenderError(FailureKind.CRASH, "the page could not be read: its answer is none")
    return seen


def _is_whole(seen: dict[str, Any]) -> bool:
    if not all(isinstance(seen.get(name), str) for name in ("url", "reason")) or "settled" not in seen:
        return False
    if "links" not in seen:
        return True  # it was not to be read yet
    links = seen["links"]
    return (
        all(isinstance(seen.get(name), str) for name in ("title", "text", "html", "robots", "lang"))
        and isinstance(seen.get("canonical"), str | None)
        and isinstance(seen.get("truncated"), list)
        and isinstance(links, list)
        and all(isinstance(one, list) and len(one) == LINK_PARTS for one in links)
        and all(isinstance(part, str) for one in links for part in one)
    )


def _failure(thrown: dict[str, Any]) -> RenderError | UsageError:
    text = str(thrown.get("exception", {}).get("description") or thrown.get("text", ""))[:ERROR_CHARS]
    wrong = text.partition("'querySelector")[2].partition(": ")[2].partition("\n")[0]
    if "is not a valid selector" in text and wrong:
        return UsageError(f"{wrong.rstrip('.')}; --wait css: and --click take what CSS calls a selector.")
    return RenderError(FailureKind.CRASH, f"the page could not be read: {text[:200]}")
