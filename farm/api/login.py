"""A login by the user's own code: a function on the browser's page replaces declared steps."""

from collections.abc import Awaitable, Callable

from playwright.async_api import Page as BrowserPage

from farm.api.loading import load_attribute
from farm.browser.login import LoginFlow
from farm.model.errors import LoginFailed, UsageError
from farm.model.secret import Secret
from farm.runtime.user_code import told
from farm.scope.rules import registrable_domain

LoginFunction = Callable[[BrowserPage], Awaitable[None]]


class LoginHook:
    """Calls the function; an exception fails the login, with its line."""

    def __init__(self, function: LoginFunction, app: Callable[[], str | None]) -> None:
        self.function = function
        self._app = app

    async def __call__(self, page: BrowserPage) -> None:
        """Log in."""
        try:
            await self.function(page)
        except Exception as error:
            # It is the user's code: whatever it raises is told with its place.
            raise LoginFailed(told(error)) from error

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
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"@farm.login({url[:80]!r}): write the address of the page on which the login begins."
        )
    if not logged_in or not secret:
        raise UsageError(
            "@farm.login needs logged_in, what only pages of a session show, and secret, what only the nodes of "
            "the crawl know, such as the password: the session in Redis is encrypted by it."
        )
    return LoginFlow(url, logged_in, (), registrable_domain, code=hook, secret=Secret(secret))
