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

import hashlib
import os
import tomllib
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from playwright.async_api import Error, Page

from farm.browser.site_params import State, state_of_site
from farm.model.errors import LoginFailed, UsageError
from farm.model.secret import Secret
from farm.model.url import hostname_of, site_of

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
            await self.code(page)
        for number, step in enumerate(self.steps, 1):
            try:
                await _carry_out(step, page, 1000 * self.step_s)
            except Error as error:
                raise LoginFailed(f"step {number}, {step.kind} {step.target!r}: {self._why(error)}") from None
        try:
            await page.wait_for_selector(self.logged_in, state="attached", timeout=1000 * self.step_s)
            state: Any = await page.context.storage_state()
        except Error as error:
            raise LoginFailed(
                f"logged_in, {self.logged_in!r}, after the last step: {self._why(error)}"
            ) from None
        own = state_of_site(state, self.domain_of)(self.url)
        if own is None:
            raise LoginFailed("the site has left neither a cookie nor anything in its storage")
        if len(orjson.dumps(own)) > MOST_STATE_BYTES:
            raise LoginFailed(f"the site keeps more than {MOST_STATE_BYTES:,} bytes in the browser")
        return own

    def _why(self, error: Error) -> str:
        """Return why a step failed, without the log of Playwright's call, which may have the value."""
        first = error.message.partition("\n")[0].partition("Call log")[0]
        return f"not within {self.step_s:g} s" if "Timeout" in first else first[:_REASON_CHARS]

    def seal(self, crawl: str) -> "StateSeal":
        """Return the encryption of states, with a key that only this login has."""
        steps = [[step.kind, step.target, step.value.reveal()] for step in self.steps]
        secrets = orjson.dumps([self.secret.reveal(), steps])
        return StateSeal(secrets, f"farm login {crawl} {self.url}")


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
            "--login needs a package that is not installed; `pip install 'crawl-farm[login]'` installs it."
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


def read_login(path: Path, logged_in: str | None, domain_of: Callable[[str], str]) -> LoginFlow:
    """Read a login from a file; raises UsageError with the file and the key, never with a value.

    `logged_in` overrides the file's.
    """
    _fernet()
    try:
        data = path.read_bytes()
        content = tomllib.loads(data[:LARGEST_BYTES].decode())
    except OSError as error:
        raise UsageError(f"--login {path} cannot be read ({error.strerror}); give a TOML file.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {str(error).partition('(')[0].strip()}; correct the TOML.") from None
    unknown = content.keys() - {"url", "logged_in", "step", "timeout_s"}
    if unknown:
        raise UsageError(
            f"{path}: {min(unknown)!r} is not a key; the keys are url, logged_in, timeout_s and [[step]]."
        )
    url, mark, given = content.get("url"), logged_in or content.get("logged_in"), content.get("step")
    seconds = content.get("timeout_s", STEP_S)
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or hostname_of(url) is None:
        raise UsageError(f"{path}: url is the address of the page on which the login begins.")
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
        return LoginStep(kind, given[kind])
    value = given[values[0]]
    if values[0] == "with_env":
        if value not in os.environ:
            raise UsageError(f"{where}: the environment has no {value}; set it to what is to be filled in.")
        value = os.environ[value]
    return LoginStep(kind, given[kind], Secret(value))
