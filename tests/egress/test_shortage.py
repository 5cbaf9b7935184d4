"""No descriptor is left: the failure is this machine's, whoever met it."""

import logging
import os
import resource
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from farm.egress import AllowedNetwork, Gateway, Guard, Upstream
from farm.egress.authority import Unreachable
from farm.egress.document_client import DocumentClient
from farm.egress.fetch import Fetcher, FetchParams
from farm.egress.hosts import Resolver, system_lookup
from farm.egress.shortage import SAY_EVERY_S, SHORTAGE, Shortages, is_short
from farm.model.egress import EgressFault, FetchFailed
from farm.model.errors import RenderError
from tests.clock import ManualClock

from .callers import calling, fetch
from .conftest import LOOPBACK, OpenSlotProxy
from .servers import answering, listening, ok


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_shortage_is_seen_while_it_lasts() -> None:
    """And not afterwards."""
    with no_descriptor_left():
        assert is_short()
    assert not is_short()


@pytest.mark.parametrize("upstream", [None, "http://127.0.0.1:9", "socks5://127.0.0.1:9"])
async def test_what_cannot_be_dialled_for_want_of_a_descriptor(
    open_slot_proxy: OpenSlotProxy, upstream: str | None
) -> None:
    """Neither the site's failure nor the proxy's; the next visit knows nothing of it."""
    slot_proxy = await open_slot_proxy(upstream=Upstream.parse(upstream) if upstream else None)
    async with listening(answering(ok(b"x"))) as origin:
        slot_proxy.begin(origin.url)
        async with calling(slot_proxy) as caller:
            caller.ask(f"{origin.url}/")
            with no_descriptor_left():
                assert await caller.rest() == b""
        assert slot_proxy.failure(origin.url) == SHORTAGE
        assert slot_proxy.shortfall("http://other.example/") == SHORTAGE
        slot_proxy.switch(None)
        slot_proxy.begin(origin.url)
        assert b"200" in await fetch(slot_proxy, f"{origin.url}/")
        assert slot_proxy.failure(origin.url) is None
        assert slot_proxy.shortfall(origin.url) is None


async def test_a_name_that_cannot_be_looked_up_for_want_of_a_descriptor() -> None:
    """The system's resolver says only that there is no such name."""
    resolver = Resolver(ttl_s=30, limit_s=20, lookup=system_lookup)
    with no_descriptor_left(), pytest.raises(Unreachable) as short:
        await resolver.resolve("a.invalid")
    assert short.value.failure == SHORTAGE
    with pytest.raises(Unreachable) as unknown:
        await resolver.resolve("a.invalid")
    assert unknown.value.failure.fault is EgressFault.DNS
    await resolver.close()


async def test_the_farms_own_request_says_so_too() -> None:
    """As for robots.txt: it opens a port first."""
    gateway = Gateway(Guard([AllowedNetwork.parse(text) for text in LOOPBACK]))
    await gateway.start()
    fetcher = Fetcher(gateway, FetchParams("x"))
    async with listening(answering(ok(b"x"))) as origin:
        with no_descriptor_left():
            failed = await fetcher.fetch(f"{origin.url}/robots.txt", 100)
    assert isinstance(failed, FetchFailed)
    assert failed.egress_failure == SHORTAGE
    await gateway.close()


async def test_a_client_without_a_descriptor_does_not_blame_the_site(open_slot_proxy: OpenSlotProxy) -> None:
    """The gateway hears nothing of such a request; the visit has the failure all the same."""
    slot_proxy = await open_slot_proxy()
    client = DocumentClient(slot_proxy, lambda _: ssl.create_default_context())
    url = "http://127.0.0.1:9/"
    slot_proxy.begin(url)
    with no_descriptor_left(), pytest.raises(RenderError):
        await client.get(url, (), 100)
    assert slot_proxy.failure(url) == SHORTAGE
    slot_proxy.begin(url)
    assert slot_proxy.failure(url) is None


async def test_a_connection_that_could_not_be_accepted(open_slot_proxy: OpenSlotProxy) -> None:
    """Nothing is recorded, but none can be accepted now either."""
    slot_proxy = await open_slot_proxy()
    slot_proxy.begin("http://127.0.0.1:9/")
    with no_descriptor_left():
        assert slot_proxy.failure("http://127.0.0.1:9/") == SHORTAGE


def test_the_log_says_it_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """With the remedy, however many visits fail."""
    clock = ManualClock()
    shortages = Shortages(clock.monotonic)
    with caplog.at_level(logging.WARNING, "farm.egress"):
        for _ in range(100):
            assert shortages.note() == SHORTAGE
        assert len(caplog.messages) == 1
        clock.now += SAY_EVERY_S
        shortages.note()
    assert len(caplog.messages) == 2
    assert "ulimit -n" in caplog.messages[0]
    assert shortages.count == 101
