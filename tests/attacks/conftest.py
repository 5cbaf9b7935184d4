"""Every test in here runs on a measured loop, and fails where a turn of it took too long."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.egress.conftest import open_slot_proxy
from tests.longest_turn import MeasuredLoop

__all__ = ["open_slot_proxy"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each asynchronous test on the measured loop."""
    return {"measured": MeasuredLoop}


@pytest.fixture(autouse=True)
async def turns_are_short() -> AsyncIterator[None]:
    """Judge the loop when a test is over."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MeasuredLoop)
    loop.forget()
    yield
    loop.assert_short()
