"""Hosts that were not reached: remembered for a time that grows, tried again by one, never against a page."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.egress import AllowedNetwork, Gateway, GatewayParams, Guard, SlotProxy
from farm.egress.hosts import MOST_HOSTS, DeadHosts
from farm.model.egress import EgressFailure, EgressFault
from fixtures.ports import free_port
from tests.clock import ManualClock

from .callers import calling, fetch
from .servers import answering, listening, ok

FAILURE = EgressFailure(EgressFault.DNS, "cdn.example: Name or service not known")
FIRST_S, LONGEST_S, PROBE_S = 30.0, 300.0, 15.0
CDN = "cdn.example"


def table() -> DeadHosts:
    """Return an empty table."""
    return DeadHosts(FIRST_S, LONGEST_S, PROBE_S)


def test_a_failure_is_remembered_for_a_time_that_grows_to_its_bound() -> None:
    """Each time that the one who tries again finds it as it was."""
    dead, now = table(), 100.0
    assert dead.recall(CDN, now) is None
    for spell_s in (30.0, 60.0, 120.0, 240.0, 300.0, 300.0):
        dead.failed(CDN, FAILURE, now, now, certain=True)
        assert dead.recall(CDN, now) == dead.recall(CDN, now + spell_s - 0.1) == FAILURE
        now += spell_s
        assert dead.recall(CDN, now) is None
    dead.reached(CDN)
    dead.failed(CDN, FAILURE, now, now, certain=True)
    assert dead.recall(CDN, now + 29.0) == FAILURE
    assert dead.recall(CDN, now + 30.0) is None


def test_one_tries_while_the_others_are_told_at_once() -> None:
    """And another one, where nothing is heard of the first."""
    dead = table()
    dead.failed(CDN, FAILURE, 0.0, 0.0, certain=True)
    assert [dead.recall(CDN, 30.0) for _ in range(3)] == [None, FAILURE, FAILURE]
    assert dead.recall(CDN, 30.0 + PROBE_S - 0.1) == FAILURE
    assert dead.recall(CDN, 30.0 + PROBE_S) is None


def test_what_may_pass_is_remembered_from_the_second_time_on() -> None:
    """In a row; what was begun before the first was over is part of it."""
    dead = table()
    for ended in (5.0, 5.1, 6.0):
        dead.failed(CDN, FAILURE, 0.0, ended, certain=False)
        assert dead.recall(CDN, ended) is None
    dead.failed(CDN, FAILURE, 7.0, 12.0, certain=False)
    assert dead.recall(CDN, 12.0) == FAILURE
    dead.reached(CDN)
    dead.failed(CDN, FAILURE, 13.0, 18.0, certain=False)
    assert dead.recall(CDN, 18.0) is None


def test_connections_that_fail_together_are_one_failure() -> None:
    """A browser opens six, and each that fails would double the time."""
    dead = table()
    for ended in (1.0, 1.1, 1.2):
        dead.failed(CDN, FAILURE, 0.5, ended, certain=True)
    assert dead.recall(CDN, 30.9) == FAILURE
    assert dead.recall(CDN, 31.0) is None


def test_the_table_has_a_bound() -> None:
    """The one that was not requested longest goes."""
    dead = table()
    for number in range(MOST_HOSTS):
        dead.failed(f"h{number}", FAILURE, 0.0, 0.0, certain=True)
    assert dead.recall("h0", 1.0) == FAILURE
    for number in range(10):
        dead.failed(f"more{number}", FAILURE, 0.0, 1.0, certain=True)
    assert len(dead) == MOST_HOSTS
    assert dead.recall("h0", 1.0) == FAILURE
    assert dead.recall("h1", 1.0) is None


STEP = st.tuples(
    st.sampled_from(("recall", "failed", "unsure", "reached")),
    st.sampled_from((0.0, 1.0, 20.0, 200.0, 400.0)),
)


@example([("failed", 0.0), ("recall", 400.0), ("recall", 0.0), ("recall", 0.0)])
@given(st.lists(STEP, max_size=60))
def test_a_memory_ends_whatever_happens(steps: Sequence[tuple[str, float]]) -> None:
    """It answers only after a failure, no longer than its bound after the last one, and never after a success."""
    dead, now, last = table(), 0.0, None
    for what, passed_s in steps:
        now += passed_s
        if what == "reached":
            dead.reached(CDN)
            last = None
        elif what != "recall":
            dead.failed(CDN, FAILURE, now, now, certain=what == "failed")
            last = now
        elif dead.recall(CDN, now) is not None:
            assert last is not None
            # Asked of a copy: whoever is told to try makes the others wait.
            assert now < last + LONGEST_S or deepcopy(dead).recall(CDN, now + PROBE_S) is None


class Names:
    """A resolver that counts; what it does not know does not exist, or gives no answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known: dict[str, str] = {}
        self.error = socket.EAI_NONAME

    async def lookup(self, name: str) -> Sequence[str]:
        """Return the address; raises OSError where there is none."""
        self.asked.append(name)
        if name not in self.known:
            raise socket.gaierror(self.error, "no such name")
        return (self.known[name],)


@asynccontextmanager
async def visiting(names: Names, clock: ManualClock) -> AsyncIterator[SlotProxy]:
    """Open a slot proxy on a manual clock."""
    guard = Guard([AllowedNetwork.parse("127.0.0.0/8")])
    params = GatewayParams(dns_ttl_s=0.0)
    gateway = Gateway(guard, params, lookup=names.lookup, now=clock.monotonic)
    await gateway.start()
    try:
        yield await gateway.open("slot-1")
    finally:
        await gateway.close()


async def refused(slot_proxy: SlotProxy, authority: str) -> EgressFailure:
    """Ask for a tunnel that there is none to; return why."""
    async with calling(slot_proxy) as caller:
        assert b" 502 " in await caller.tunnel(authority)
    failure = slot_proxy.failure(f"https://{authority}/")
    assert failure is not None
    return failure


async def test_the_next_page_does_not_ask_for_a_name_that_there_is_not() -> None:
    """Until its time is over; then one does, and where the name is there again all get it."""
    names, clock = Names(), ManualClock()
    async with visiting(names, clock) as slot_proxy, listening(answering(ok(b"here"))) as origin:
        found = []
        for _ in range(3):
            slot_proxy.begin("https://shop.example/")
            found.append(await refused(slot_proxy, f"{CDN}:443"))
        assert {one.fault for one in found} == {EgressFault.DNS}
        assert all("no such name" in one.detail for one in found)
        assert [one.detail.endswith("(remembered)") for one in found] == [False, True, True]
        assert names.asked == [CDN]
        clock.now += 30.0
        names.known[CDN] = "127.0.0.1"
        for _ in range(2):
            assert b"here" in await fetch(slot_proxy, f"http://{CDN}:{origin.port}/")
        assert names.asked == [CDN, CDN, CDN]


async def test_a_name_without_an_answer_is_asked_for_twice() -> None:
    """The servers that know it may answer the next time."""
    names, clock = Names(), ManualClock()
    names.error = socket.EAI_AGAIN
    async with visiting(names, clock) as slot_proxy:
        slot_proxy.begin("https://shop.example/")
        for _ in range(4):
            await refused(slot_proxy, f"{CDN}:443")
            clock.now += 1.0
    assert names.asked == [CDN, CDN]


@pytest.mark.parametrize("own", ["https://cdn.example/", "http://www.cdn.example:8080/", ""])
async def test_a_page_is_not_judged_by_what_is_remembered_of_its_own_host(own: str) -> None:
    """Its retries must be able to succeed; the farm's own requests too."""
    names, clock = Names(), ManualClock()
    async with visiting(names, clock) as slot_proxy:
        slot_proxy.begin("https://shop.example/")
        await refused(slot_proxy, f"{CDN}:443")
        slot_proxy.begin(own)
        await refused(slot_proxy, f"{CDN}:443")
        await refused(slot_proxy, f"{CDN}:443")
        assert names.asked == [CDN] * 3
        slot_proxy.begin("https://shop.example/")
        await refused(slot_proxy, f"{CDN}:443")
        assert names.asked == [CDN] * 3


async def test_a_retry_tries_every_host_itself() -> None:
    """Its document may have been redirected to a host that is remembered."""
    names, clock = Names(), ManualClock()
    async with visiting(names, clock) as slot_proxy:
        slot_proxy.begin("https://shop.example/")
        await refused(slot_proxy, f"{CDN}:443")
        slot_proxy.begin("https://shop.example/", is_retry=True)
        await refused(slot_proxy, f"{CDN}:443")
    assert names.asked == [CDN] * 2


async def test_a_document_in_plain_http_is_not_answered_by_memory() -> None:
    """There it can be told from a part of a page, also behind a redirect."""
    names, clock = Names(), ManualClock()
    async with visiting(names, clock) as slot_proxy:
        slot_proxy.begin("http://shop.example/")
        assert await fetch(slot_proxy, f"http://{CDN}/a.js") == b""
        assert await fetch(slot_proxy, f"http://{CDN}/a.js") == b""
        assert names.asked == [CDN]
        assert await fetch(slot_proxy, f"http://{CDN}/", "Upgrade-Insecure-Requests: 1") == b""
    assert names.asked == [CDN] * 2


async def test_a_port_that_refuses_is_remembered_and_its_neighbours_are_not() -> None:
    """The host is there: another port of it may answer, and this one once it listens again."""
    names, clock = Names(), ManualClock()
    names.known[CDN] = "127.0.0.1"
    async with visiting(names, clock) as slot_proxy:
        port = free_port()
        slot_proxy.begin("https://shop.example/")
        first = await refused(slot_proxy, f"{CDN}:{port}")
        assert first.fault is EgressFault.CONNECT
        async with (
            listening(answering(ok(b"here")), port=port) as again,
            listening(answering(ok(b"x"))) as other,
        ):
            assert (await refused(slot_proxy, f"{CDN}:{port}")).detail == f"{first.detail} (remembered)"
            assert again.connections == 0
            assert b"x" in await fetch(slot_proxy, f"http://{CDN}:{other.port}/")
            clock.now += 30.0
            found = await asyncio.gather(*(fetch(slot_proxy, f"http://{CDN}:{port}/") for _ in range(3)))
            assert any(b"here" in one for one in found)
            assert b"here" in await fetch(slot_proxy, f"http://{CDN}:{port}/")
