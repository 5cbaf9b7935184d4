"""A login that a TOML file declares: steps on the browser's page, and the resulting state.

    url = "https://shop.example/login"
    logged_in = "a[href='/logout']"

    [[step]]
    fill = "input[name=user]"
    with = "me@example.org"

    [[step]]
    fill = "input[name=password]"
    with_env = "SHOP_PASSWORD"

    [[step]]
    click = "button[type=submit]"

No message contains the values that are filled in.
"""

import asyncio
import hashlib
import os
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ada_url
import orjson
from playwright.async_api import Error, Page

from farm.browser.errors import playwright_errors
from farm.browser.site_params import State, state_of_site
from farm.model.errors import LoginFailed, UsageError
from farm.model.secret import Secret, without_secrets
from farm.model.url import site_of
from farm.resources.installation import install_command
from farm.resources.toml_file import read_toml

STEP_S, LONGEST_STEP_S = 15.0, 60.0
MOST_STEPS = 50
MOST_STATE_BYTES = 500_000
LARGEST_BYTES = 1 << 16
_KINDS = ("fill", "click", "wait", "open")
_VALUES = ("with", "with_env")
_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class LoginStep:
    """A step: `fill`, `click` or `wait` for an element that a CSS selector matches, or `open` an address."""

    kind: str
    target: str
    value: Secret = field(default_factory=lambda: Secret(""))


@dataclass(frozen=True, slots=True)
class LoginFlow:
    """The steps of a login, starting at its first page; an element that `logged_in` matches shows a session."""

    url: str
    logged_in: str
    steps: tuple[LoginStep, ...] = field(repr=False)
    domain_of: Callable[[str], str] = field(repr=False)
    step_s: float = STEP_S
    """How long each step may take."""
    code: Callable[[Page], Awaitable[None]] | None = field(default=None, repr=False)
    """The user's own function, instead of declared steps. Raises LoginFailed."""
    secret: Secret = field(default_factory=lambda: Secret(""))
    """A secret that only the nodes of the crawl know, if the steps contain none."""

    @property
    def site(self) -> str:
        """The host, with the port where it is not the scheme's."""
        return site_of(self.url)

    async def run(self, page: Page) -> State:
        """Run the steps on the login's page, and return the storage state of its site.

        Raises LoginFailed with the step.
        """
        if self.code is not None:
            try:
                await self.code(page)
            except LoginFailed as error:
                raise LoginFailed(without_secrets(str(error), [self.secret.reveal()])) from None
        for number, step in enumerate(self.steps, 1):
            with self._failing(f"step {number}, {step.kind} {step.target!r}"):
                await _carry_out(step, page, 1000 * self.step_s)
        with self._failing(f"logged_in, {self.logged_in!r}, after the last step"):
            await page.wait_for_selector(self.logged_in, state="attached", timeout=1000 * self.step_s)
        with self._failing("the session that the site has left"):
            # It is asked of the page, which may be busy for ever: Playwright has no deadline for that.
            async with asyncio.timeout(self.step_s):
                state: Any = await page.context.storage_state()
        own = state_of_site(state, self.domain_of)(self.url)
        if own is None:
            raise LoginFailed("the site has left neither a cookie nor anything in its storage")
        if len(orjson.dumps(own)) > MOST_STATE_BYTES:
            raise LoginFailed(f"the site keeps more than {MOST_STATE_BYTES:,} bytes in the browser")
        return own

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Say what has failed, and why, without the log of Playwright's call, which may have the value."""
        try:
            with playwright_errors():
                yield
        except TimeoutError:
            raise LoginFailed(f"{what}: not within {self.step_s:g} s") from None
        except Error as error:
            first = error.message.partition("\n")[0].partition("Call log")[0]
            why = f"not within {self.step_s:g} s" if "Timeout" in first else first[:_REASON_CHARS]
            raise LoginFailed(f"{what}: {why}") from None

    def seal(self, crawl: str) -> "StateSeal":
        """Return the encryption of states, with a key that only this login has."""
        steps = [[step.kind, step.target, step.value.reveal()] for step in self.steps]
        secrets = orjson.dumps([self.secret.reveal(), steps])
        return StateSeal(secrets, f"farm login {crawl} {self.url}")


async def windows_closed(page: Page) -> None:
    """Return when a person has closed the page, and every window that it has opened."""
    context, closed = page.context, asyncio.Event()

    def look(_: Page) -> None:
        if not context.pages:
            closed.set()

    def watch(opened: Page) -> None:
        opened.on("close", look)
        # Without a listener Playwright answers a question of the page itself.
        opened.on("dialog", lambda _: None)

    for one in context.pages:
        watch(one)
    context.on("page", watch)
    look(page)
    await closed.wait()


async def state_left(page: Page, deadline_s: float) -> State:
    """Return the storage state of the page's context, also once the page is closed. Raises LoginFailed."""
    try:
        with playwright_errors():
            async with asyncio.timeout(deadline_s):
                state: State = await page.context.storage_state()
    except TimeoutError:
        raise LoginFailed(f"the page has not told its state within {deadline_s:g} s") from None
    except Error:
        raise LoginFailed("the browser was ended before its state could be read") from None
    return state


class StateSeal:
    """Encrypts storage states for Redis, with a key derived from the login's own secrets."""

    def __init__(self, secrets: bytes, salt: str) -> None:
        fernet, self._invalid = _fernet()
        key = hashlib.scrypt(secrets, salt=salt.encode(), n=2**14, r=8, p=1, dklen=32)
        self._fernet = fernet(urlsafe_b64encode(key))

    def seal(self, version: str, state: State) -> bytes:
        """Return a session encrypted for storage."""
        sealed: bytes = self._fernet.encrypt(orjson.dumps([version, state]))
        return sealed

    def open(self, sealed: bytes) -> tuple[str, State] | None:
        """Return the session with its version; None if it belongs to another login, or is not a session."""
        try:
            version, state = orjson.loads(self._fernet.decrypt(sealed))
        except (self._invalid, ValueError, TypeError):
            return None
        return str(version), state


def _fernet() -> tuple[Any, type[Exception]]:
    try:
        from cryptography.fernet import Fernet, InvalidToken
    except ImportError:
        raise UsageError(
            f"--login needs a package that is not installed; {install_command('login')} installs it."
        ) from None
    return Fernet, InvalidToken


async def _carry_out(step: LoginStep, page: Page, timeout_ms: float) -> None:
    if step.kind == "open":
        await page.goto(step.target, wait_until="commit", timeout=timeout_ms)
    elif step.kind == "wait":
        await page.wait_for_selector(step.target, state="attached", timeout=timeout_ms)
    elif step.kind == "click":
        await page.locator(step.target).first.click(timeout=timeout_ms)
    else:
        await page.locator(step.target).first.fill(step.value.reveal(), timeout=timeout_ms)


def login_address(where: str, given: Any) -> str:
    """Return the address of a page of a login as a browser writes it: its site is that of the pages then.

    Raises UsageError for anything else, also for one with a user and a password, which messages would show.
    """
    try:
        url = ada_url.URL(given) if isinstance(given, str) else None
    except ValueError:
        url = None
    if url is None or url.protocol not in {"http:", "https:"}:
        raise UsageError(f"{where} is the address of a page of the login, with https:// or http://.")
    if url.username or url.password:
        raise UsageError(f"{where} has a user and a password; give an address without, and fill them in.")
    return str(url.href)


def read_login(path: Path, logged_in: str | None, domain_of: Callable[[str], str]) -> LoginFlow:
    """Read a login from a file; raises UsageError with the file and the key, never with a value.

    `logged_in` overrides the file's.
    """
    _fernet()
    _, content = read_toml("--login", path, LARGEST_BYTES)
    unknown = content.keys() - {"url", "logged_in", "step", "timeout_s"}
    if unknown:
        raise UsageError(
            f"{path}: {min(unknown)!r} is not a key; the keys are url, logged_in, timeout_s and [[step]]."
        )
    url, mark, given = content.get("url"), logged_in or content.get("logged_in"), content.get("step")
    seconds = content.get("timeout_s", STEP_S)
    url = login_address(f"{path}: url", url)
    if not isinstance(mark, str) or not mark:
        raise UsageError(f"{path}: logged_in is a CSS selector of what only pages of a session show.")
    if not isinstance(given, list) or not 0 < len(given) <= MOST_STEPS:
        raise UsageError(f"{path}: write 1 to {MOST_STEPS} steps, each as [[step]].")
    steps = tuple(_step(f"{path}, step {number}", one) for number, one in enumerate(given, 1))
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST_STEP_S:
        raise UsageError(f"{path}: timeout_s is how long a step may take, {LONGEST_STEP_S:g} at most.")
    return LoginFlow(url, mark, steps, domain_of, float(seconds))


def _step(where: str, given: Any) -> LoginStep:
    kinds = [kind for kind in _KINDS if kind in given] if isinstance(given, Mapping) else []
    if len(kinds) != 1 or not isinstance(given[kinds[0]], str) or given.keys() - {*_KINDS, *_VALUES}:
        raise UsageError(f"{where}: write one of {', '.join(_KINDS)} with a selector or an address.")
    kind, values = kinds[0], [name for name in _VALUES if name in given]
    if len(values) != (kind == "fill") or not all(isinstance(given[name], str) for name in values):
        raise UsageError(f"{where}: fill, and no other step, has `with` or `with_env`.")
    if not values:
        target = login_address(f"{where}: open", given[kind]) if kind == "open" else given[kind]
        return LoginStep(kind, target)
    value = given[values[0]]
    if values[0] == "with_env":
        if value not in os.environ:
            raise UsageError(f"{where}: the environment has no {value}; set it to what is to be filled in.")
        value = os.environ[value]
    return LoginStep(kind, given[kind], Secret(value))
