"""The browser of pytest-playwright's fixtures, which leave a loop behind that asynchronous tests must not see."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Playwright

from farm.browser.chromium import find_browser


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Run the browser that the farm runs."""
    arguments = ["--no-sandbox"]
    return {**browser_type_launch_args, "executable_path": str(find_browser().path), "args": arguments}


@pytest.fixture(scope="session")
def loops(playwright: Playwright) -> Iterator[list[asyncio.AbstractEventLoop | None]]:
    """Hold the loop of the synchronous Playwright, which counts as running in this thread to the end."""
    assert playwright
    held = [asyncio._get_running_loop()]
    yield held
    asyncio._set_running_loop(held[0])


@pytest.fixture(autouse=True)
def _the_loop_is_there_in_these_tests_alone(loops: list[asyncio.AbstractEventLoop | None]) -> Iterator[None]:
    """Whichever test comes next in this process may run one of its own."""
    asyncio._set_running_loop(loops[0])
    yield
    loops[0] = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
