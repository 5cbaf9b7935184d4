"""What holds for all tests."""

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair: with its own deadline hypothesis fails where others are busy.
settings.register_profile("farm", deadline=None)
settings.load_profile("farm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests with pytest-playwright's synchronous page last.

    Its event loop runs on in the main thread until the session ends, and no other loop can run beside it.
    """
    items.sort(key=lambda item: "tests/plain" in item.nodeid)
