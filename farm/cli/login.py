"""`farm login`: a storage state of a site, by declared steps, in a window of the browser, or at a prompt."""

import asyncio
import select
import sys
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from farm.app.rendering import credentials_of_login
from farm.browser.chromium import has_display
from farm.browser.login import LoginFlow, state_left, windows_closed
from farm.browser.site_params import State, state_of_site
from farm.cli.shell import HeldPage, Prompt, held_page
from farm.cli.streams import print_lines, tell
from farm.model.errors import BrowserUnavailable, LoginFailed, OutputUnwritable, SlotLost, UsageError
from farm.model.secret import without_credentials
from farm.monitor.figures import counted
from farm.resources.files import write_atomically
from farm.runtime.site_login import LOGIN_S
from farm.scope.rules import registrable_domain
from farm.settings.commands import LoginSettings
from farm.settings.load import load

STATE_S, LOOK_S = 20.0, 0.2
NO_DISPLAY = (
    "There is no display for a window (DISPLAY and WAYLAND_DISPLAY are not set); declare the steps with --login "
    "STEPS.toml, log in at a prompt with --prompt, or run this where there is a display, and copy the file."
)
BY_HAND = """\
  live       the page in the browser, as Playwright has it:
             await live.fill("input[name=user]", "me"); await live.click("button[type=submit]"); live.url
             Ctrl-D or exit() saves the state.
"""


def main(arguments: Sequence[str]) -> int:
    """Log in, save the state, and return the exit code."""
    settings = load(
        LoginSettings, arguments, "farm login", "Log in to a site, and save cookies and local storage."
    )
    if settings.save is None:
        raise UsageError("`farm login` needs a file for the state; give --save FILE.")
    flow = credentials_of_login(settings.login, settings.logged_in)
    urls = settings.urls or ((flow.url,) if flow is not None else ())
    if len(urls) != 1:
        raise UsageError(
            "write `farm login URL --save FILE`, or `farm login --login STEPS.toml --save FILE`."
        )
    # The page is to be met as a stranger meets it.
    alone = settings.model_copy(
        update={"login": None, "logged_in": None, "storage_state": None, "urls": urls}
    )
    with ExitStack() as opened:
        if flow is not None:
            state = _by_steps(opened.enter_context(held_page(alone)), flow)
        elif settings.prompt:
            state = _at_prompt(alone, urls[0], opened)
        else:
            state = _in_window(alone, urls[0], opened)
    _save(state, settings.save)
    cookies, origins = counted(len(state["cookies"]), "cookie"), counted(len(state["origins"]), "origin")
    print_lines([f"{cookies} and {origins} are in {settings.save}"])
    return 0


def _by_steps(held: HeldPage, flow: LoginFlow) -> Any:
    if held.loop is None:
        raise LoginFailed("the page is gone")
    try:
        return asyncio.run_coroutine_threadsafe(_carried_out(held, flow), held.loop).result()
    except LoginFailed as error:
        raise LoginFailed(f"The login failed at {error}; correct the steps, or what is filled in.") from None
    except TimeoutError:
        raise LoginFailed(f"The login took more than {LOGIN_S:g} s; see whether the site answers.") from None
    except CancelledError:
        raise LoginFailed("The page of the login was lost; give the command again.") from None


async def _carried_out(held: HeldPage, flow: LoginFlow) -> State:
    """Carry the steps out on the page, within the deadline that a login of a crawl has. Raises TimeoutError."""
    async with asyncio.timeout(LOGIN_S):
        return await flow.run(await held.shown.result().live())


def _in_window(settings: LoginSettings, url: str, opened: ExitStack) -> Any:
    """Show the page in a window, and return the state of its site once the person is done."""
    if not has_display():
        raise UsageError(NO_DISPLAY)
    if "block" not in settings.model_fields_set:
        # A captcha is a picture.
        settings = settings.model_copy(update={"block": ()})
    try:
        held = opened.enter_context(held_page(settings, windowed=True))
    except BrowserUnavailable as error:
        # The browser does not say that it has not found its display.
        why = f"{str(error).rstrip('.')}, and look at DISPLAY or WAYLAND_DISPLAY, by which it finds the display."
        raise BrowserUnavailable(why) from None
    if held.loop is None:
        raise LoginFailed("the page is gone")
    tell("log in in the window; then press Enter here or close the window, and the state is saved.")
    closed = asyncio.run_coroutine_threadsafe(_closed(held), held.loop)
    watched = [sys.stdin]
    while not closed.done() and not held.is_lost:
        ready, _, _ = select.select(watched, (), (), LOOK_S)
        if ready and sys.stdin.readline():
            break
        if ready:
            # The input has ended: nobody presses Enter.
            watched.clear()
    leaving = asyncio.run_coroutine_threadsafe(_left(held), held.loop)
    try:
        state = leaving.result()
    except (LoginFailed, SlotLost, CancelledError) as error:
        why = str(error) or "the page was lost"
        raise LoginFailed(
            f"Nothing was saved, because {why}; give the command again, and end it by Enter."
        ) from None
    finally:
        closed.cancel()
    return _own(state, url)


async def _closed(held: HeldPage) -> None:
    await windows_closed(await held.shown.result().live())


async def _left(held: HeldPage) -> State:
    return await state_left(await held.shown.result().live(), STATE_S)


def _at_prompt(settings: LoginSettings, url: str, opened: ExitStack) -> Any:
    """Open a prompt with the page in the browser, and return the state that is there at its end."""
    prompt = Prompt(settings, opened, names=BY_HAND)
    prompt.open(url)
    prompt.push("live = await page.live()")
    prompt.interact_here()
    # What was left under this name is not the browser's.
    prompt.locals.pop("state", None)
    prompt.push("state = await live.context.storage_state()")
    return _own(prompt.locals.get("state"), url)


def _own(state: Any, url: str) -> State:
    """Return the part of a state that is the site's. Raises LoginFailed if there is none."""
    own = state_of_site(state, registrable_domain)(url) if isinstance(state, dict) else None
    if own is None:
        site = without_credentials(url)
        raise LoginFailed(f"{site} has left neither a cookie nor anything in its storage; nothing was saved.")
    return own


def _save(state: Any, path: Path) -> None:
    try:
        write_atomically(path, orjson.dumps(state, option=orjson.OPT_INDENT_2))
        path.chmod(0o600)
    except OSError as error:
        raise OutputUnwritable(f"{path} cannot be written ({error.strerror}); name another file.") from None
    tell("whoever has this file is logged in: it is for you alone (0600).")
