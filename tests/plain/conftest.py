"""The browser of pytest-playwright's fixtures."""

from typing import Any

import pytest

from farm.browser.chromium import find_browser


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Run the browser that the farm runs."""
    arguments = ["--no-sandbox"]
    return {**browser_type_launch_args, "executable_path": str(find_browser().path), "args": arguments}
