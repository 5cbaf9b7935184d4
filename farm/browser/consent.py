"""Cookie banners, answered before a page is read: by DuckDuckGo's autoconsent, in isolated worlds of its own.

The rules are the package's; scripts of theirs for the page's own world are evaluated there, and their results are
trusted no more than the page itself. A context keeps the answer in its cookies: its pages are checked only until a
banner was answered, at most `LOOKS` of them. Only the loss of its tab fails a visit here.
"""

import asyncio
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import orjson
from playwright.async_api import Error, Frame

from farm.browser.driver import decoded, script
from farm.browser.page_frames import CALL_S, Send, below, own_session
from farm.browser.reading import Reading
from farm.browser.tab import Tab
from farm.model.errors import SlotLost, UsageError
from farm.model.outcome import FailureKind
from farm.resources.installation import install_command

Choice = Literal["accept", "reject"]
LOOKS = 2
"""How many pages of a context are checked for a banner."""
CONSENT_S = 10.0
"""How long a banner may take."""
POPUP_S = 2.0
"""How long a banner may take to show where its script is on the page."""
NEWS_S = 0.5
MAIN_WORLD_MS = 500
MOST_FRAMES = 10
MOST_EVALS = 200
MOST_ASKED = 20
"""At once: as many as `js/consent.js` hands over."""
ROUNDS = 2
"""A banner may open a frame with the choices."""
_URL_CHARS = 500
_WORLD = "consent"


@dataclass(frozen=True, slots=True)
class Consent:
    """The result for a banner: `by` names the rule, `answered` says whether it was answered."""

    choice: Choice
    by: str
    answered: bool
    is_intermediate: bool = False
    """Whether the choices themselves are in a frame that is opened now."""

    def told(self) -> dict[str, Any]:
        """Return it in the form of a record."""
        return {"choice": self.choice, "by": self.by, "answered": self.answered}


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of all sites as JSON, and those of single sites by their addresses."""

    generic: str
    special: tuple[tuple[re.Pattern[str], str], ...] = field(repr=False)

    def of(self, url: str) -> str:
        """Return the rules for an address as a list of JSON."""
        special = (rule for pattern, rule in self.special if pattern.search(url[:_URL_CHARS]))
        return f"[{','.join([self.generic, *special])}]"


def check_rules() -> None:
    """Raise UsageError if the package with the rules is missing."""
    _bundle()


@cache
def _bundle() -> tuple[str, _Rules]:
    """Return the script and the rules of the package."""
    try:
        from duckduckgo_autoconsent import bundle, rules_json
    except ImportError:
        raise UsageError(
            f"--consent needs a package that is not installed; {install_command('consent')} installs it."
        ) from None
    generic: list[str] = []
    special: list[tuple[re.Pattern[str], str]] = []
    for rule in orjson.loads(rules_json()):
        text = orjson.dumps(rule).decode()
        pattern = rule.get("runContext", {}).get("urlPattern")
        try:
            compiled = re.compile(pattern) if pattern else None
        except re.error:
            compiled = None
        if compiled is None:
            generic.append(text)
        else:
            special.append((compiled, text))
    return f"{script('consent.js')}\n{bundle()}", _Rules(",".join(generic), tuple(special))


async def answer_banner(reading: Reading, choice: Choice, url: str, ends: float) -> Consent | None:
    """Answer the banner of the settled page; None if there is none, or no answer in time.

    Returns soon after `ends`, by the loop's clock. Raises SlotLost if the tab is lost, RenderError as settling
    does.
    """
    tab, found = reading.tab, None
    ends = min(ends, asyncio.get_running_loop().time() + CONSENT_S)
    for number in range(ROUNDS):
        try:
            async with AsyncExitStack() as opened:
                frames = (await _frames(tab, url, opened))[number > 0 :]
                found = await _first_answer(frames, choice, ends) or found
        except SlotLost as error:
            if error.kind is not FailureKind.TIMEOUT or tab.lost:
                raise
        if found is None or not found.answered:
            return found
        await reading.settled()
        if not found.is_intermediate:
            return found
    return found


async def _first_answer(frames: Sequence["_Frame"], choice: Choice, ends: float) -> Consent | None:
    """Check all frames at the same time; return the result of the first answered banner, else of any."""
    found: Consent | None = None
    looks = [asyncio.create_task(one.answered(choice, ends), name="consent") for one in frames]
    try:
        for look in asyncio.as_completed(looks):
            said = await look
            found = said or found
            if said is not None and said.answered:
                break
    finally:
        for one in looks:
            one.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
    return found


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame of the page; `main` says whether scripts can be evaluated in its own world."""

    tab: Tab
    id: str
    url: str
    send: Send
    main: bool

    @property
    def is_own(self) -> bool:
        """Whether it is that of the page itself."""
        return self.id == self.tab.frame_id

    async def answered(self, choice: Choice, ends: float) -> Consent | None:
        """Look for a banner in the frame and answer it; None if there is none."""
        loop = asyncio.get_running_loop()
        source, rules = _bundle()
        by, detected_at, evals, has_begun = "", None, 0, False
        answer = orjson.dumps({"type": "optIn" if choice == "accept" else "optOut"}).decode()
        try:
            made = await self.send("Page.createIsolatedWorld", CALL_S, frameId=self.id, worldName=_WORLD)
            world = int(made["executionContextId"])
            config = {
                "enabled": True,
                # They wait for a message, which is sent once it is known which frame has the banner.
                "autoAction": False,
                "enablePrehide": False,
                "enableCosmeticRules": True,
                "detectRetries": 1,
                # Where nothing can be refused, a notice is pressed away, and nothing is accepted.
                "heuristicMode": "off" if choice == "accept" else "tier1",
                "logs": {"errors": False},
            }
            begin = orjson.dumps({"type": "initResp", "config": config, "rules": {}}).decode()
            begin = begin.replace('"rules":{}', f'"rules":{{"autoconsent":{rules.of(self.url)}}}')
            await self._evaluate(f"{source}\nautoconsentReceiveMessage({begin}); 0", world)
            while (left_s := ends - loop.time()) > 0:
                news = decoded(await self._evaluate(f"consentNews({1000 * min(NEWS_S, left_s):.0f})", world))
                by = str(news["by"] or by)
                evals += await self._replied(news["asked"], MOST_EVALS - evals, world, ends)
                if news["state"] == "openPopupDetected" and not has_begun:
                    has_begun = True
                    await self._evaluate(f"autoconsentReceiveMessage({answer}); 0", world)
                    continue
                if news["over"]:
                    return await self._ended(str(news["state"]), by, choice, world)
                if news["state"] == "cmpDetected":
                    detected_at = detected_at or loop.time()
                    if loop.time() - detected_at > POPUP_S:
                        return None
        except Error:
            # The frame went: some banners load the page again when they are answered, or another page of theirs.
            return Consent(choice, by, answered=True, is_intermediate=not self.is_own) if by else None
        except SlotLost as error:
            if error.kind is not FailureKind.TIMEOUT or self.tab.lost:
                raise
        except (ValueError, TypeError, KeyError):
            # It is the page's process that answers, and may say anything.
            return None
        return Consent(choice, by, answered=False) if by else None

    async def _replied(self, asked: Sequence[tuple[str, str]], left: int, world: int, ends: float) -> int:
        """Reply to what the rules ask of the page; no more than `left` is evaluated. Return how much was asked."""
        loop, given = asyncio.get_running_loop(), asked[:MOST_ASKED]
        for number, (id_, code) in enumerate(given):
            if loop.time() > ends:
                break
            result = await self._in_main_world(str(code)) if number < left else False
            reply = orjson.dumps({"type": "evalResp", "id": id_, "result": result}).decode()
            await self._evaluate(f"autoconsentReceiveMessage({reply}); 0", world)
        return len(given)

    async def _ended(self, state: str, by: str, choice: Choice, world: int) -> Consent | None:
        if by:
            is_intermediate = state in {"optOutSucceeded", "optInSucceeded"}
            return Consent(choice, by, state == "done" or is_intermediate, is_intermediate)
        if choice == "accept" and self.is_own and await self._evaluate("consentAccept()", world):
            return Consent(choice, "HEURISTIC-ACCEPT", answered=True)
        return None

    async def _evaluate(self, expression: str, world: int) -> Any:
        answer = await self.send(
            "Runtime.evaluate",
            CALL_S,
            expression=expression,
            contextId=world,
            awaitPromise=True,
            returnByValue=True,
        )
        return answer["result"].get("value")

    async def _in_main_world(self, code: str) -> bool:
        """Evaluate a rule's script in the page's own world; return whether its result is true."""
        if not self.main:
            return False
        answer = await self.send(
            "Runtime.evaluate",
            CALL_S,
            expression=f"(() => Boolean({code}))()",
            returnByValue=True,
            timeout=MAIN_WORLD_MS,
        )
        return answer["result"].get("value") is True


async def _frames(tab: Tab, url: str, opened: AsyncExitStack) -> list[_Frame]:
    """Return the frames that can hold a banner, the page's own first; sessions are closed with `opened`."""
    try:
        tree = (await tab.send("Page.getFrameTree", CALL_S))["frameTree"]
    except Error:
        return []
    own = [_Frame(tab, tab.frame_id, url, tab.send, main=True)]
    local = [one for one in below(tree) if one["url"].startswith("http")]
    own += [_Frame(tab, str(one["id"]), str(one["url"]), tab.send, main=False) for one in local]
    known = {one["url"] for one in local}
    others = [one for one in tab.page.frames[1:] if one.url.startswith("http") and one.url not in known]
    for frame in others[: MOST_FRAMES - len(own)]:
        own += await _frame_of_its_own(tab, frame, opened)
    return own[:MOST_FRAMES]


async def _frame_of_its_own(tab: Tab, frame: Frame, opened: AsyncExitStack) -> list[_Frame]:
    """Return a frame that has a process, and so a session, of its own; empty if it has none."""
    own = await own_session(tab, frame, opened)
    return [] if own is None else [_Frame(tab, str(own[1]["frame"]["id"]), frame.url, own[0], main=True)]
