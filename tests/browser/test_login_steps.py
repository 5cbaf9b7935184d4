"""Steps of a login on a real page: each within its deadline, and no message with what was filled in."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page as BrowserPage

from farm import Farm
from farm.browser.login import LoginFlow, LoginStep, state_left, windows_closed
from farm.browser.render import RenderParams
from farm.browser.tab import TabParams
from farm.model.errors import LoginFailed
from farm.model.secret import Secret
from farm.scope.rules import registrable_domain
from fixtures.pages import served_by
from tests.browser.conftest import Browsing, pool_of_a_module, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse battery"
STEP_S = 1.0
FORM = """<!doctype html><link rel="icon" href="data:,"><input id=closed disabled>"""

PARAMS = RenderParams(page_timeout_s=20.0, settle_timeout_s=2.0)
pool = pool_of_a_module(PARAMS)
windowed = pool_of_a_module(PARAMS, TabParams(windowed=True))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[str]:
    """Serve the form."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=FORM, content_type="text/html")

    async with served_by(answer) as origin:
        yield origin


async def failed(pool: Browsing, site: str, login: LoginFlow) -> str:
    """Carry the login out on the form; return how it failed."""
    slot = await pool.slot(f"{login.steps}{login.code}")
    await visit(slot, f"{site}/")
    shown = await slot.live(lambda: None)
    try:
        with pytest.raises(LoginFailed) as told:
            await login.run(shown)
    finally:
        slot.end_live(f"{site}/")
        slot.retire()
    assert told.value.__cause__ is None
    assert PASSWORD not in str(told.value)
    return str(told.value)


def flow(site: str, *steps: LoginStep) -> LoginFlow:
    """Return a login of these steps."""
    return LoginFlow(f"{site}/", "#out", steps, registrable_domain, STEP_S)


def by_code(function: Callable[[BrowserPage], Coroutine[Any, Any, None]]) -> LoginFlow:
    """Return a login by this function."""
    farm = Farm()
    farm.login("http://127.0.0.1/", logged_in="#out", secret=PASSWORD)(function)
    assert farm.handlers.login is not None
    return farm.handlers.login


async def test_a_field_that_cannot_be_filled_is_told_without_its_value(pool: Browsing, site: str) -> None:
    """Playwright's log of the call has it."""
    step = LoginStep("fill", "#closed", Secret(PASSWORD))
    assert await failed(pool, site, flow(site, step)) == "step 1, fill '#closed': not within 1 s"


async def test_what_code_could_not_fill_in_is_told_without_its_value(pool: Browsing, site: str) -> None:
    """With its line; neither the log of the call nor what it raises itself has the secret."""

    async def fill(page: BrowserPage) -> None:
        await page.fill("#closed", PASSWORD, timeout=500)

    async def fill_another(page: BrowserPage) -> None:
        await page.fill("#closed", "me@example.org", timeout=500)

    async def complain(page: BrowserPage) -> None:
        raise ValueError(f"{PASSWORD} is refused")

    words = {fill: "Timeout 500ms", fill_another: "Timeout 500ms", complain: "*** is refused"}
    for function, expected in words.items():
        said = await failed(pool, site, by_code(function))
        assert expected in said
        assert "example.org" not in said
        assert said.endswith(f" {function.__name__}")


async def test_code_that_leaves_the_program_fails_its_login_alone(pool: Browsing, site: str) -> None:
    """It would end the event loop, with every page in it."""

    async def leave(page: BrowserPage) -> None:
        sys.exit(3)

    assert "sys.exit(3) was called" in await failed(pool, site, by_code(leave))


class Answering:
    """A page on which the mark of a session is looked for, and that is asked for its state."""

    def __init__(self, mark: Exception | None = None) -> None:
        self._mark = mark
        self.context = self

    async def wait_for_selector(self, *_: object, **__: object) -> None:
        """Find it, or fail."""
        if self._mark is not None:
            raise self._mark

    async def storage_state(self) -> None:
        """Never answer, as a page whose script never ends."""
        await asyncio.Event().wait()


async def told(login: LoginFlow, page: Answering) -> str:
    """Return how the login fails on this page."""
    async with asyncio.timeout(60):
        with pytest.raises(LoginFailed) as failure:
            await login.run(cast("BrowserPage", page))
    return str(failure.value)


async def test_a_page_that_is_busy_for_ever_ends_its_login() -> None:
    """What it has stored is asked of the page, and Playwright waits for the answer without end."""
    login = replace(flow("http://127.0.0.1"), step_s=0.05)
    assert await told(login, Answering()) == "the session that the site has left: not within 0.05 s"


async def test_a_driver_that_has_died_fails_its_login() -> None:
    """It says so by an error that is not Playwright's own, which would end the node."""
    dead = RuntimeError("unable to perform operation on <UnixTransport>; the handler is closed")
    assert "the handler is closed" in await told(flow("http://127.0.0.1"), Answering(dead))


async def test_what_a_person_does_ends_with_the_last_window(windowed: Browsing, site: str) -> None:
    """One that the page has opened counts too; the state is still there then."""
    slot = await windowed.slot("person")
    await visit(slot, f"{site}/")
    page = await slot.live(lambda: None)
    closed = asyncio.create_task(windows_closed(page))
    try:
        async with asyncio.timeout(60):
            await page.evaluate(
                "() => { document.cookie = 'session=1'; document.onclick = () => open('/other') }"
            )
            async with page.context.expect_page() as opening:
                await page.mouse.click(300, 300)
            other = await opening.value
            await page.close()
            # An answer of the other one: whatever the browser had to tell of the first has come by then.
            assert await other.evaluate("document.cookie") == "session=1"
            assert not closed.done()
            await other.close()
            await closed
            state = await state_left(page, 20.0)
    finally:
        closed.cancel()
        slot.end_live(f"{site}/")
        slot.retire()
    assert [(one["name"], one["value"]) for one in state["cookies"]] == [("session", "1")]


async def test_a_state_that_nobody_tells_has_a_deadline() -> None:
    """Playwright has none."""
    async with asyncio.timeout(60):
        with pytest.raises(LoginFailed, match=r"not told its state within 0\.05 s"):
            await state_left(cast("BrowserPage", Answering()), 0.05)
