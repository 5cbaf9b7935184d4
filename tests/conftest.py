"""What holds for all tests."""

import gc
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair: with its own deadline hypothesis fails where others are busy.
settings.register_profile("farm", deadline=None)
settings.load_profile("farm")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a script a shell has it ignored, and the farms that the tests start would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Likewise under nohup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Nothing of what is imported is garbage: to look through it takes a quarter of the time of the collection.
gc.disable()

FOLDERS_WITH_A_BROWSER = ("tests/e2e/", "tests/plain/")
FIXTURES_WITH_A_BROWSER = {"chromium", "rendering"}
STARTERS = {"browsing", "pool_of_a_module", "one_slot", "Engine", "Pool"}
"""What a module uses that starts browsers by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a browser, and put those with pytest-playwright's synchronous page last.

    Its event loop runs on in the main thread until the session ends, and no other loop can run beside it.
    """
    for item in items:
        if _starts_a_browser(item):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: "tests/plain" in item.nodeid)


def pytest_collection_finish() -> None:
    """Collect garbage from here on, among what the tests make alone."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half surrogates in what a test has logged: such a report could not be sent to the main process."""
    report = yield
    report.sections = [(name, _sendable(text)) for name, text in report.sections]
    if report.longrepr is not None and _sendable(report.longreprtext) != report.longreprtext:
        report.longrepr = _sendable(report.longreprtext)
    return report


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _starts_a_browser(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    module = getattr(item, "module", None)
    return (
        item.nodeid.startswith(FOLDERS_WITH_A_BROWSER)
        or not fixtures.isdisjoint(FIXTURES_WITH_A_BROWSER)
        or not STARTERS.isdisjoint(vars(module) if module is not None else ())
    )
