"""Closing leaves nothing behind, whatever is under way."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from farm.egress import AllowedNetwork, Gateway, GatewayParams, Guard

from .callers import calling
from .servers import echo, listening, silent


def others() -> set[str]:
    """Names of the tasks that belong to the gateway."""
    names = {task.get_name() for task in asyncio.all_tasks()}
    return {name for name in names if name.startswith(("egress", "resolve"))}


async def test_closing_ends_every_connection_and_task() -> None:
    """Idle, in a tunnel, waiting for an answer, waiting for a name: all gone when `close` returns."""
    asked = asyncio.Event()

    async def lookup(name: str) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return ()

    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]), GatewayParams(), lookup=lookup)
    await gateway.start()
    slot_proxy = await gateway.open("slot-1")
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(listening(silent))
        idle, tunnel, waiting, naming = [
            await stack.enter_async_context(calling(slot_proxy)) for _ in range(4)
        ]
        await tunnel.tunnel(f"127.0.0.1:{origin.port}")
        tunnel.send(b"x")
        waiting.ask(f"{origin.url}/")
        naming.ask("http://name.example/")
        await asyncio.wait_for(asked.wait(), 5)
        await asyncio.wait_for(origin.came(2), 5)
        assert slot_proxy.connections == 4
        assert others()
        await asyncio.wait_for(gateway.close(), 5)
        assert not others()
        assert slot_proxy.connections == 0
        for caller in (tunnel, waiting, naming, idle):
            assert await caller.rest() == b""
        with pytest.raises(OSError):  # noqa: PT011
            await asyncio.open_connection("127.0.0.1", slot_proxy.port)
        await gateway.close()  # twice is no mistake


async def test_closing_one_slot_proxy_leaves_the_others() -> None:
    """A slot's end is nobody else's."""
    gateway = Gateway(Guard([AllowedNetwork.parse("127.0.0.0/8")]))
    await gateway.start()
    one, two = await gateway.open("slot-1"), await gateway.open("slot-2")
    assert one.port != two.port
    async with listening(echo) as origin, calling(one) as first, calling(two) as second:
        for caller in (first, second):
            assert b" 200 " in await caller.tunnel(f"127.0.0.1:{origin.port}")
        await gateway.close_slot(one)
        assert await first.rest() == b""
        second.send(b"x")
        assert await second.body(1) == b"x"
    await gateway.close()


async def test_a_gateway_that_is_not_running_opens_nothing() -> None:
    """Neither before the start nor after the end."""
    gateway = Gateway(Guard())
    with pytest.raises(RuntimeError):
        await gateway.open("slot-1")


async def test_more_connections_than_the_cap_are_turned_away() -> None:
    """A page that opens connections without end uses up its own slot proxy only."""
    gateway = Gateway(Guard(), GatewayParams(connections=2))
    await gateway.start()
    slot_proxy = await gateway.open("slot-1")
    async with calling(slot_proxy), calling(slot_proxy), calling(slot_proxy) as third:
        assert await third.rest() == b""
        assert slot_proxy.connections == 2
    await gateway.close()
