"""What stands before a proxy: the guard, and the choice of another one."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from farm.egress import GatewayParams, Upstream
from farm.model.egress import EgressFault
from farm.model.errors import UsageError
from fixtures.ports import free_port

from .behind import KINDS, SITE, behind, home, public
from .callers import calling, fault_of, fetch
from .conftest import OpenSlotProxy
from .proxies import Log, http_proxy, socks5_proxy
from .servers import answering, listening, ok, silent

INSIDE = ("127.0.0.1", "localhost", "a.localhost", "2130706433", "[::1]", "[::ffff:10.0.0.1]", "10.0.0.1")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("host", INSIDE)
async def test_the_guard_stands_before_the_proxy_too(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path, kind: str, host: str
) -> None:
    """Addresses inside and localhost names are not even asked of the proxy."""
    log = Log()
    async with behind(kind, open_slot_proxy, tmp_path, log) as slot_proxy:
        url = f"http://{host}:8080/"
        assert await fetch(slot_proxy, url) == b""
        failure = slot_proxy.failure(url)
    assert log.asked == []
    assert failure is not None
    assert failure.fault is EgressFault.REFUSED


@pytest.mark.parametrize(
    ("addresses", "reached"),
    [(("10.0.0.1",), False), (("93.184.216.34", "10.0.0.1"), False), (("93.184.216.34",), True), ((), True)],
)
async def test_names_that_resolve_inside_are_refused_where_that_can_be_seen(
    open_slot_proxy: OpenSlotProxy, addresses: tuple[str, ...], reached: bool
) -> None:
    """Any address inside is enough, since the proxy chooses; an unknown name is left to the proxy."""

    async def lookup(name: str) -> Sequence[str]:
        if not addresses:
            raise OSError(-2, "Name or service not known")
        return addresses

    async with listening(answering(ok(b"x"))) as site, listening(http_proxy(Log(), hosts=home)) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(allow=(), lookup=lookup, upstream=upstream)
        url = f"http://{SITE}:{site.port}/"
        assert (b"200 OK" in await fetch(slot_proxy, url)) is reached
        failure = slot_proxy.failure(url)
    if reached:
        assert failure is None
    else:
        assert failure is not None
        assert failure.fault is EgressFault.REFUSED


@pytest.mark.parametrize("tunnels", [True, False])
async def test_plain_http_connections_to_a_proxy_are_kept(
    open_slot_proxy: OpenSlotProxy, tunnels: bool
) -> None:
    """Requests to a site share the connection to the proxy; that it makes no tunnels is asked once."""
    log = Log()
    proxy_talk = http_proxy(log, hosts=home, tunnels=tunnels)
    async with listening(answering(ok(b"x"))) as site, listening(proxy_talk) as proxy:
        upstream = Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        slot_proxy = await open_slot_proxy(lookup=public, upstream=upstream)
        for _ in range(2):
            async with calling(slot_proxy) as caller:
                for _ in range(3):
                    caller.ask(f"http://{SITE}:{site.port}/")
                    await caller.head()
                    assert await caller.body(1) == b"x"
        tried = [head.split()[0] for head in log.heads]
        assert tried == ([b"CONNECT"] * 2 if tunnels else [b"CONNECT", *[b"GET"] * 6])
        assert proxy.connections == (2 if tunnels else 3)


async def test_the_proxys_error_page_is_not_the_sites(open_slot_proxy: OpenSlotProxy) -> None:
    """A site that the proxy cannot reach gives no page, over plain HTTP either."""
    gone = free_port()
    async with listening(http_proxy(Log(), hosts=home)) as proxy:
        slot_proxy = await open_slot_proxy(
            lookup=public, upstream=Upstream.parse(f"http://127.0.0.1:{proxy.port}")
        )
        assert await fetch(slot_proxy, f"http://{SITE}:{gone}/") == b""
        assert fault_of(slot_proxy, f"http://{SITE}:{gone}/") is EgressFault.CONNECT


async def test_a_switch_closes_what_the_old_proxy_carried(open_slot_proxy: OpenSlotProxy) -> None:
    """A tunnel, an idle connection and one under way end; what follows goes by the new proxy."""
    old, new = Log(), Log()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(listening(answering(ok(b"x"))))
        hangs = await stack.enter_async_context(listening(silent))
        first = await stack.enter_async_context(listening(socks5_proxy(old, hosts=home)))
        second = await stack.enter_async_context(listening(http_proxy(new, hosts=home)))
        slot_proxy = await open_slot_proxy(
            lookup=public, upstream=Upstream.parse(f"socks5://127.0.0.1:{first.port}")
        )
        tunnel, idle, waiting = [await stack.enter_async_context(calling(slot_proxy)) for _ in range(3)]
        await tunnel.tunnel(f"{SITE}:{site.port}")
        idle.ask(f"http://{SITE}:{site.port}/")
        await idle.head()
        await idle.body(1)
        waiting.ask(f"http://{SITE}:{hangs.port}/")
        await asyncio.wait_for(hangs.came(1), 5)
        slot_proxy.begin()
        slot_proxy.switch(Upstream.parse(f"http://127.0.0.1:{second.port}"))
        for caller in (tunnel, idle, waiting):
            assert await caller.rest() == b""
        assert len(old.asked) == 3
        assert b"200 OK" in await fetch(slot_proxy, f"http://{SITE}:{site.port}/")
        assert (len(old.asked), len(new.asked)) == (3, 1)
        assert slot_proxy.failure(f"http://{SITE}:{hangs.port}/") is None
        kept = await stack.enter_async_context(calling(slot_proxy))
        await kept.tunnel(f"{SITE}:{site.port}")
        slot_proxy.switch(Upstream.parse(f"http://127.0.0.1:{second.port}"))  # the same: nothing is closed
        kept.send(b"GET / HTTP/1.1\r\n\r\n")
        assert (await kept.head()).startswith(b"HTTP/1.1 200")


async def test_a_switch_ends_a_handshake_with_the_old_proxy(open_slot_proxy: OpenSlotProxy) -> None:
    """A connection that is still being made by the old proxy is never used."""
    for kind in KINDS:
        async with listening(silent) as proxy:
            slot_proxy = await open_slot_proxy(
                lookup=public, upstream=Upstream.parse(f"{kind}://127.0.0.1:{proxy.port}")
            )
            async with calling(slot_proxy) as caller:
                caller.ask(f"http://{SITE}/")
                await asyncio.wait_for(proxy.came(1), 5)
                slot_proxy.switch(None)
                assert await caller.rest() == b""
                assert slot_proxy.connections == 0


async def test_an_unreadable_ca_file_is_said_at_the_start(
    open_slot_proxy: OpenSlotProxy, tmp_path: Path
) -> None:
    """Not at the first page."""
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(UsageError, match=name):
            await open_slot_proxy(params=GatewayParams(ca_file=tmp_path / name))
