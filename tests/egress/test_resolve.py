"""Names to addresses."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from farm.egress import GatewayParams
from farm.egress.authority import Unreachable
from farm.egress.hosts import MAX_LOOKUPS, Resolver, system_lookup
from farm.model.egress import EgressFault
from tests.turns import turns

from .callers import calling, fetch
from .conftest import OpenSlotProxy
from .servers import answering, listening, ok


async def test_a_name_is_asked_for_once_at_a_time_and_then_remembered() -> None:
    """Many connections to one host cost one lookup, now and for the next seconds."""
    asked: list[str] = []
    asking, go = asyncio.Event(), asyncio.Event()

    async def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        asking.set()
        await go.wait()
        return ("192.0.2.1", "2001:db8::1")

    resolver = Resolver(ttl_s=30, limit_s=5, lookup=lookup)
    waiting = [asyncio.create_task(resolver.resolve("busy.example")) for _ in range(10)]
    await asking.wait()
    waiting[0].cancel()  # who gives up does not spoil it for the others
    go.set()
    answers = await asyncio.gather(*waiting[1:])
    assert [str(ip) for ip in answers[0]] == ["192.0.2.1", "2001:db8::1"]
    assert await resolver.resolve("busy.example") == answers[0]
    assert asked == ["busy.example"]
    await resolver.close()


async def test_a_memory_of_no_length_asks_every_time() -> None:
    """Nothing is remembered past its time."""
    answers = ["192.0.2.1", "192.0.2.2"]

    async def lookup(name: str) -> Sequence[str]:
        return (answers.pop(0),)

    resolver = Resolver(ttl_s=0, limit_s=5, lookup=lookup)
    assert str((await resolver.resolve("a.example"))[0]) == "192.0.2.1"
    assert str((await resolver.resolve("a.example"))[0]) == "192.0.2.2"


async def test_names_that_hang_do_not_hold_up_the_others() -> None:
    """Each lookup of the system's resolver has a thread of its own."""
    asking = 0
    all_asking, go = asyncio.Event(), asyncio.Event()

    async def lookup(name: str) -> Sequence[str]:
        nonlocal asking
        asking += 1
        if asking == MAX_LOOKUPS:
            all_asking.set()
        if name.startswith("dead"):
            await go.wait()
        return ("192.0.2.1",)

    resolver = Resolver(ttl_s=30, limit_s=5, lookup=lookup)
    dead = [asyncio.create_task(resolver.resolve(f"dead{n}.example")) for n in range(MAX_LOOKUPS - 1)]
    assert await resolver.resolve("alive.example")
    await all_asking.wait()
    with pytest.raises(Unreachable):
        await resolver.resolve("dead0.example", limit_s=0)
    go.set()
    await asyncio.gather(*dead)
    await resolver.close()


async def test_the_system_knows_this_machine() -> None:
    """The lookup that is used outside of tests."""
    assert set(await system_lookup("localhost")) & {"127.0.0.1", "::1"}


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..b"])
async def test_what_has_no_address_is_a_dns_failure(name: str) -> None:
    """Names that the system's resolver cannot be asked for included."""
    with pytest.raises(Unreachable) as raised:
        await Resolver(ttl_s=0, limit_s=20, lookup=system_lookup).resolve(name)
    assert raised.value.failure.fault is EgressFault.DNS


async def test_an_answer_without_addresses_is_a_dns_failure() -> None:
    """An empty list is not an address."""

    async def lookup(name: str) -> Sequence[str]:
        return ()

    with pytest.raises(Unreachable) as raised:
        await Resolver(ttl_s=0, limit_s=5, lookup=lookup).resolve("empty.example")
    assert raised.value.failure.fault is EgressFault.DNS


async def test_a_page_with_names_that_hang_holds_up_no_document(open_slot_proxy: OpenSlotProxy) -> None:
    """Parts of pages have places of their own, also in a retry; a document's name does not wait among them."""
    all_asking, never = asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    async def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        if len(asked) == MAX_LOOKUPS:
            all_asking.set()
        if name.startswith("dead"):
            await never.wait()
        return ("127.0.0.1",)

    params = GatewayParams(connections=2 * MAX_LOOKUPS)
    slot_proxy = await open_slot_proxy(lookup=lookup, params=params)
    async with listening(answering(ok(b"x"))) as site, AsyncExitStack() as stack:
        slot_proxy.begin("http://shop.example/", is_retry=True)
        for number in range(MAX_LOOKUPS + 1):
            caller = await stack.enter_async_context(calling(slot_proxy))
            name = "news.example" if number == MAX_LOOKUPS else f"dead{number}.example"
            caller.ask(f"http://{name}:{site.port}/", "Upgrade-Insecure-Requests: 1")
            await turns(5)
        await asyncio.wait_for(all_asking.wait(), 20)
        assert "news.example" not in asked
        slot_proxy.begin("http://news.example/")
        assert (await fetch(slot_proxy, f"http://news.example:{site.port}/")).endswith(b"x")
