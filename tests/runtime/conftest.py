"""What the tests of a node's processes share."""

import socket
from collections.abc import AsyncIterator

import pytest

from farm.runtime.process_link import ProcessLink

LinkPair = tuple[ProcessLink, ProcessLink]


@pytest.fixture
async def ends() -> AsyncIterator[LinkPair]:
    """Open both ends of a link: that of a process, and that of its supervisor."""
    one, other = socket.socketpair()
    links = await ProcessLink.open(one), await ProcessLink.open(other)
    yield links
    for link in links:
        link.close()
