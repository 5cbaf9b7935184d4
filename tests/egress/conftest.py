"""Both loops for every test: the farm runs on uvloop, and on asyncio's own where there is none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
import uvloop

from farm.egress import AllowedNetwork, Gateway, GatewayParams, Guard, SlotProxy, Upstream
from farm.egress.hosts import Lookup, system_lookup
from tests.fixtures.conftest import chromium

__all__ = ["chromium", "open_slot_proxy"]

LOOPBACK = ("127.0.0.0/8",)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each asynchronous test once per loop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


OpenSlotProxy = Callable[..., Awaitable[SlotProxy]]


@pytest.fixture
async def open_slot_proxy() -> AsyncIterator[OpenSlotProxy]:
    """Open slot proxies, each of a gateway of its own, that reach loopback unless told otherwise."""
    gateways: list[Gateway] = []

    async def opened(
        *,
        allow: tuple[str, ...] = LOOPBACK,
        params: GatewayParams | None = None,
        lookup: Lookup = system_lookup,
        upstream: Upstream | None = None,
    ) -> SlotProxy:
        guard = Guard([AllowedNetwork.parse(text) for text in allow])
        gateway = Gateway(guard, params, lookup=lookup)
        gateways.append(gateway)
        await gateway.start()
        return await gateway.open("slot-1", upstream)

    yield opened
    for gateway in gateways:
        await gateway.close()
