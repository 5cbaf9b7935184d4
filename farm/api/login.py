"""A login by the user's own code: a function on the browser's page replaces declared steps."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from playwright.async_api import Page as BrowserPage

from farm.api.loading import load_attribute
from farm.browser.login import LoginFlow, login_address
from farm.model.errors import LoginFailed, UsageError
from farm.model.secret import Secret
from farm.runtime.user_code import told, without_exit
from farm.scope.rules import registrable_domain

LoginFunction = Callable[[BrowserPage], Coroutine[Any, Any, None]]
_CALL_LOG = "Call log:"


class LoginHook:
    """Calls the function; an exception fails the login, with its line."""

    def __init__(self, function: LoginFunction, app: Callable[[], str | None]) -> None:
        self.function = function
        self._app = app

    async def __call__(self, page: BrowserPage) -> None:
        """Log in."""
        (failure,) = await asyncio.gather(without_exit(self.function(page)), return_exceptions=True)
        if failure is not None:
            # It is the user's code: whatever it raises is told with its place, but without the log of Playwright's
            # call, which has what was filled in.
            what, log, rest = told(failure).partition(_CALL_LOG)
            raise LoginFailed(f"{what.rstrip()} at {rest.rpartition(' at ')[2]}" if log else what)

    def __reduce__(self) -> tuple[Callable[[str], "LoginHook"], tuple[str]]:
        """Return a reference by which another process of the node imports its Farm: functions are not pickled."""
        app = self._app()
        if app is None:
            raise UsageError(
                "Several processes need the login in a module that each imports; run it by `farm run --app "
                "MODULE:NAME --processes N`."
            )
        return hook_of, (app,)


def hook_of(app: str) -> LoginHook:
    """Return the hook of the Farm that `MODULE:NAME` names. Raises UsageError if it has none."""
    login = getattr(getattr(load_attribute(app), "handlers", None), "login", None)
    if not isinstance(login, LoginFlow) or not isinstance(login.code, LoginHook):
        raise UsageError(f"--app {app}: it has no login; declare one by @farm.login.")
    return login.code


def login_by(hook: LoginHook, url: str, logged_in: str, secret: str) -> LoginFlow:
    """Return the login that a hook carries out. Raises UsageError for what cannot be meant."""
    address = login_address("@farm.login: url", url)
    if not logged_in or not secret:
        raise UsageError(
            "@farm.login needs logged_in, what only pages of a session show, and secret, what only the nodes of "
            "the crawl know, such as the password: the session in Redis is encrypted by it."
        )
    return LoginFlow(address, logged_in, (), registrable_domain, code=hook, secret=Secret(secret))
