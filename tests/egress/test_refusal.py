"""What the guard refuses: no connection, no page, and a slot proxy that knows."""

import asyncio
import sys
from collections.abc import Sequence

import pytest

from farm.egress import GatewayParams, Upstream
from farm.model.egress import EgressFault

from .callers import calling, fault_of, fetch
from .conftest import OpenSlotProxy
from .servers import answering, listening, ok

HOSTS = (
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "0.0.0.0",
    "0",
    "169.254.169.254",
)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("tunnel", [False, True])
async def test_no_notation_leads_inside(open_slot_proxy: OpenSlotProxy, host: str, tunnel: bool) -> None:
    """The listener hears nothing; a tunnel gets 502, a plain request no answer at all."""
    slot_proxy = await open_slot_proxy(allow=())
    async with listening(answering(ok(b"inside"))) as origin:
        url = f"http://{host}:{origin.port}/"
        if tunnel:
            async with calling(slot_proxy) as caller:
                assert b" 502 " in await caller.tunnel(f"{host}:{origin.port}")
        else:
            assert await fetch(slot_proxy, url) == b""
        failure = slot_proxy.failure(url)
        assert origin.connections == 0
    assert failure is not None
    assert failure.fault is EgressFault.REFUSED


async def test_a_redirect_into_the_inside_ends_at_the_guard(open_slot_proxy: OpenSlotProxy) -> None:
    """Each hop is a request of its own, and each is judged."""
    async with listening(answering(ok(b"secret"))) as inside:
        jump = b"HTTP/1.1 302 Found\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n" % inside.url.encode()
        async with listening(answering(jump)) as origin:
            slot_proxy = await open_slot_proxy(allow=(f"127.0.0.1:{origin.port}",))
            answer = await fetch(slot_proxy, origin.url + "/")
            location = next(line[10:] for line in answer.split(b"\r\n") if line.startswith(b"Location: "))
            assert await fetch(slot_proxy, location.decode()) == b""
            failure = slot_proxy.failure(inside.url)
        assert inside.connections == 0
    assert failure is not None
    assert failure.fault is EgressFault.REFUSED
    assert "loopback" in failure.detail


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1.2.3", "localhost", "0.0.0.0", "0.1.2.3", "[::1]", "[::]", "[::ffff:127.0.0.1]"],
)
async def test_nobody_reaches_a_slot_proxy_by_a_slot_proxy(open_slot_proxy: OpenSlotProxy, host: str) -> None:
    """Even where all is opened, one slot's page cannot use its own or another slot's way out, by no name of it."""
    slot_proxy = await open_slot_proxy(allow=("0.0.0.0/0", "::/0"))
    async with calling(slot_proxy) as caller:
        assert b" 502 " in await caller.tunnel(f"{host}:{slot_proxy.port}")
    assert fault_of(slot_proxy, f"http://{host}:{slot_proxy.port}/") is EgressFault.REFUSED


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second loopback address")
async def test_a_name_cannot_be_rebound_after_the_check(open_slot_proxy: OpenSlotProxy) -> None:
    """The connection goes to the address that was judged; the name is asked once for it."""
    asked: list[str] = []

    async def lookup(name: str) -> Sequence[str]:
        asked.append(name)
        return ("127.0.0.2",) if len(asked) == 1 else ("127.0.0.1",)

    async with (
        listening(answering(ok(b"outside")), "127.0.0.2") as outside,
        listening(answering(ok(b"inside")), "127.0.0.1", outside.port) as inside,
    ):
        params = GatewayParams(dns_ttl_s=0)
        slot_proxy = await open_slot_proxy(allow=("127.0.0.2/32",), lookup=lookup, params=params)
        url = f"http://rebind.example:{outside.port}/"
        assert b"outside" in await fetch(slot_proxy, url)
        assert asked == ["rebind.example"]
        assert await fetch(slot_proxy, url) == b""
        assert fault_of(slot_proxy, url) is EgressFault.REFUSED
        assert (outside.connections, inside.connections) == (1, 0)


async def test_of_several_addresses_only_the_allowed_are_tried(open_slot_proxy: OpenSlotProxy) -> None:
    """A name with an address inside and one outside is reached outside."""

    async def lookup(name: str) -> Sequence[str]:
        return ("::1", "10.0.0.1", "127.0.0.1")

    async with listening(answering(ok(b"x"))) as origin:
        slot_proxy = await open_slot_proxy(lookup=lookup)
        assert b"200 OK" in await fetch(slot_proxy, f"http://mixed.example:{origin.port}/")


async def test_a_dead_address_is_passed_over(open_slot_proxy: OpenSlotProxy) -> None:
    """The next address is tried when one refuses."""

    async def lookup(name: str) -> Sequence[str]:
        return ("127.0.0.3", "127.0.0.4", "127.0.0.1")

    async with listening(answering(ok(b"x"))) as origin:
        slot_proxy = await open_slot_proxy(lookup=lookup)
        assert b"200 OK" in await fetch(slot_proxy, f"http://many.example:{origin.port}/")


async def test_an_unknown_name_is_a_dns_failure(open_slot_proxy: OpenSlotProxy) -> None:
    """Neither refused nor the connection's fault."""

    async def lookup(name: str) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    slot_proxy = await open_slot_proxy(lookup=lookup)
    assert await fetch(slot_proxy, "http://nowhere.example/") == b""
    failure = slot_proxy.failure("http://nowhere.example/x")
    assert failure is not None
    assert failure.fault is EgressFault.DNS
    assert "nowhere.example" in failure.detail


async def test_a_resolver_that_hangs_is_given_up(open_slot_proxy: OpenSlotProxy) -> None:
    """The limit holds although the lookup goes on, and closing ends it."""

    async def lookup(name: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    slot_proxy = await open_slot_proxy(lookup=lookup, params=GatewayParams(dns_s=0.05))
    assert await fetch(slot_proxy, "http://slow.example/") == b""
    assert fault_of(slot_proxy, "http://slow.example/") is EgressFault.DNS


@pytest.mark.parametrize("upstream", [None, "http://127.0.0.1:9", "socks5://127.0.0.1:9"])
@pytest.mark.parametrize(
    ("addresses", "is_refused"), [(("93.184.216.34",), True), ((), True), (("127.0.0.1",), False)]
)
async def test_no_server_of_another_protocol_is_spoken_to(
    open_slot_proxy: OpenSlotProxy, addresses: tuple[str, ...], is_refused: bool, upstream: str | None
) -> None:
    """It may take a request for commands, so no browser sends one; an allowed network is the operator's."""

    async def lookup(name: str) -> Sequence[str]:
        if not addresses:
            raise OSError(-2, "Name or service not known")
        return addresses

    by = Upstream.parse(upstream) if upstream is not None else None
    slot_proxy = await open_slot_proxy(lookup=lookup, upstream=by)
    async with calling(slot_proxy) as caller:
        assert b" 502 " in await caller.tunnel("mail.example:25")
    fault = fault_of(slot_proxy, "https://mail.example:25/")
    if upstream is None and not addresses:
        assert fault is EgressFault.DNS
    else:
        assert (fault is EgressFault.REFUSED) is is_refused
