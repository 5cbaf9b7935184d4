"""A login that all nodes of a crawl share: one of them logs in, and the others reuse its session.

Invariants: a URL that was visited without a session is released without consuming an attempt; there is one login
at a time over all nodes, guarded by a claim in Redis that expires; a page that seems logged out right after a
login is recorded as it is. A failed login delays its site, and after `MOST_FAILURES` in a row the run ends.
"""

import asyncio
import logging
import re
import uuid
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from farm.model.clock import Clock
from farm.model.errors import LoginFailed, RenderError, SlotLost
from farm.model.outcome import FailureKind
from farm.model.page import RenderedPage
from farm.model.task import Lease, UrlTask
from farm.model.url import path_of, relative_url_of, site_of
from farm.runtime.ports import SharedCache, Slot, SlotEgress

log = logging.getLogger("farm.login")
LOGIN_S = 90.0
"""How long a login may take, from opening its page."""
CLAIM_S = LOGIN_S + 15.0
"""How long no other node logs in: what ends a login at its deadline must not end the claim of another."""
WAIT_S = 2 * LOGIN_S
"""How long a visit waits for the login of another node."""
POLL_S = 0.5
SESSION_S = 30 * 86_400.0
MOST_FAILURES = 3
PAUSE_S = 0.5
"""How long the site is delayed after a failure; doubled with each."""
MOST_SUSPECTS = 1_000
FALSE_ALARMS = 3
"""After so many pages with a sign of the end in a session that is new, this sign says nothing any more."""
_LEAVES = re.compile(
    r"[/?&=:](?:user)?(?:log|sign)[-_]?(?:out|off)\b|[/=](?:abmelden|deconnexion)\b", re.IGNORECASE
)
"""In the path, or in the query: `wp-login.php?action=logout`, `index.php?title=Special:UserLogout`."""
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
State = Mapping[str, Any]
Session = tuple[str, State]
"""A storage state, and its version, which distinguishes it from earlier ones."""


class LoginSteps(Protocol):
    """How to log in."""

    @property
    def url(self) -> str:
        """The address of the login's first page."""
        ...

    async def run(self, page: Any) -> State:
        """Log in on the browser's page and return the site's storage state; raises LoginFailed."""
        ...


class Seal(Protocol):
    """Encrypts sessions for storage in Redis."""

    def seal(self, version: str, state: State) -> bytes:
        """Return a session encrypted for storage."""
        ...

    def open(self, sealed: bytes) -> tuple[str, State] | None:
        """Return a stored session; None if it is not valid."""
        ...


class SiteLogin:
    """The session of one site."""

    def __init__(
        self,
        steps: LoginSteps,
        cache: SharedCache,
        seal: Seal,
        block: Callable[[str, float], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self.site = site_of(steps.url)
        self._steps = steps
        self._cache = cache
        self._seal = seal
        self._block = block
        self._clock = clock
        self._key = f"login {steps.url}"
        self._session: Session | None = None
        self._ended = ""
        """The version of the session that has ended."""
        self._used: dict[str, str] = {}
        self._suspects: OrderedDict[str, str] = OrderedDict()
        self._false_alarms: Counter[str] = Counter()
        self._failures = 0
        self._one_at_a_time = asyncio.Lock()

    def state_for(self, url: str) -> State | None:
        """Return the state of a context that serves a URL's site; None for another site."""
        return self._session[1] if self._session is not None and site_of(url) == self.site else None

    def leads_out(self, task: UrlTask) -> bool:
        """Whether a URL would end the session."""
        return task.site == self.site and _LEAVES.search(relative_url_of(task.url)) is not None

    async def ready(self, slot: Slot, egress: SlotEgress) -> bool:
        """Ensure that the slot's next page of the site has a session, by logging in if necessary.

        Returns False if there is none yet: the URL must be released. Raises LoginFailed if there will be none.
        """
        async with self._one_at_a_time:
            session = self._session or await self._obtained(slot, egress)
        if session is None:
            return False
        version = session[0]
        if self._used.get(slot.name) != version:
            # Its context has another session, or none.
            slot.retire()
            self._used[slot.name] = version
        return True

    def has_ended(self, lease: Lease, slot: Slot, page: RenderedPage) -> bool:
        """Return whether a page shows that its session has ended; the next visit then logs in."""
        sign = self._sign_of_end(lease.task, page) if lease.task.site == self.site else ""
        if not sign:
            return False
        version, id_ = self._used.get(slot.name, ""), lease.id
        if self._suspects.get(id_, version) != version:
            # It was met so before, by another session.
            self._false_alarms[sign] += 1
            if self._false_alarms[sign] == FALSE_ALARMS:
                log.warning(
                    "%s: %d pages lack the session (%s) although it was new; this sign is ignored from now on",
                    self.site,
                    FALSE_ALARMS,
                    sign,
                )
            return False
        self._suspects[id_] = version
        if len(self._suspects) > MOST_SUSPECTS:
            self._suspects.popitem(last=False)
        if self._session is not None and self._session[0] == version:
            log.info("%s: the session has ended", self.site)
            self._session, self._ended = None, version
        return True

    def _sign_of_end(self, task: UrlTask, page: RenderedPage) -> str:
        """Return the sign that a page's session has ended; empty without one that counts."""
        login = path_of(self._steps.url)
        signs = {
            "a refusal": page.status in _REFUSED,
            "it leads to the login": path_of(page.final_url) == login != path_of(task.url),
            "logged_in does not match": page.logged_in is False,
        }
        return next((sign for sign, is_there in signs.items() if is_there and self._counts(sign)), "")

    def _counts(self, sign: str) -> bool:
        return self._false_alarms[sign] < FALSE_ALARMS

    async def _obtained(self, slot: Slot, egress: SlotEgress) -> Session | None:
        """Use the session of another node, or log in."""
        ends = self._clock.monotonic() + WAIT_S
        while self._clock.monotonic() < ends:
            session = await self._shared()
            if session is None and await self._cache.claim(self._key, CLAIM_S):
                # Another node may have logged in since.
                session = await self._shared()
                if session is not None:
                    await self._cache.yield_claim(self._key)
                elif (session := await self._logged_in(slot, egress)) is None:
                    return None
            if session is not None:
                self._session, self._failures = session, 0
                return session
            await asyncio.sleep(POLL_S)
        return None

    async def _shared(self) -> Session | None:
        """Return the shared session; None if there is none, or it has ended."""
        stored = await self._cache.read(self._key)
        shared = self._seal.open(stored) if stored is not None else None
        return None if shared is None or shared[0] == self._ended else shared

    async def _logged_in(self, slot: Slot, egress: SlotEgress) -> Session | None:
        """Log in and share the session; a failure delays the site. Raises LoginFailed after several."""
        is_shared = False
        try:
            async with asyncio.timeout(LOGIN_S):
                state = await self._log_in(slot, egress)
            session = uuid.uuid4().hex, state
            await self._cache.write(self._key, self._seal.seal(*session), SESSION_S)
            is_shared = True
        except (LoginFailed, RenderError, SlotLost, TimeoutError) as error:
            await self._failed(str(error) or f"not within {LOGIN_S:g} s")
            return None
        finally:
            if not is_shared:
                await self._cache.yield_claim(self._key)
        log.info("%s: logged in", self.site)
        return session

    async def _log_in(self, slot: Slot, egress: SlotEgress) -> State:
        slot.retire()
        egress.begin(self._steps.url)
        page = await slot.render(Lease(UrlTask(self._steps.url, self.site, ""), slot.name, 0))
        if page.status >= HTTPStatus.BAD_REQUEST:
            raise LoginFailed(f"{self._steps.url} answered {page.status}")
        steps: list[asyncio.Task[State]] = []

        def on_lost() -> None:
            for one in steps:
                one.cancel()

        shown = await slot.live(on_lost)
        try:
            steps.append(asyncio.create_task(self._steps.run(shown), name="login"))
            await asyncio.wait(steps)
            if steps[0].cancelled():
                raise SlotLost(FailureKind.CRASH, "the page of the login was lost")
            return steps[0].result()
        finally:
            on_lost()
            slot.end_live(self._steps.url)
            slot.retire()

    async def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            raise LoginFailed(
                f"The login at {self._steps.url} failed {self._failures} times, at last: {why.rstrip('.')}; "
                "correct the steps, or the values that they fill in, and run it again: nothing is lost."
            )
        log.warning("%s: the login failed: %s", self.site, why)
        await self._block(self.site, PAUSE_S * 2**self._failures)
