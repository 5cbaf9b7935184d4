"""Renewal: whose leases, until when, and what is said of those that were lost."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from farm.model.crawl import Identity, NodeState
from farm.model.errors import FarmError, FrontierRefused, FrontierUnavailable, UsageError
from farm.model.task import Lease, UrlTask
from farm.runtime.heartbeat import CERTAIN_S, Heartbeat
from tests.clock import ManualClock

ME = Identity("n", "i1")


@dataclass
class Renewer:
    """Renews all leases but those of the given fingerprints."""

    refused: set[str] = field(default_factory=set)
    renewed: list[list[str]] = field(default_factory=list)
    states: list[NodeState] = field(default_factory=list)

    def heartbeat(self, node: Identity) -> NodeState:
        """Answer as the test has set."""
        assert node == ME
        return self.states.pop(0)

    def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
        """Note what is renewed."""
        self.renewed.append([lease.id for lease in leases])
        return [lease.id not in self.refused for lease in leases]


def lease(number: int, token: int = 1) -> Lease:
    """Return a lease."""
    return Lease(UrlTask(f"http://shop.example/{number}", "shop.example", f"{number:016x}"), "01", token)


def heartbeat(clock: ManualClock, renewer: Renewer) -> Heartbeat:
    """Return a heartbeat that is beaten by hand."""
    return Heartbeat(lambda: renewer, 30.0, clock)


def test_held_leases_are_renewed_in_one_batch() -> None:
    """One call, however many there are; none when there is none."""
    clock, renewer = ManualClock(), Renewer()
    heart = heartbeat(clock, renewer)
    assert heart.beat(renewer) == 0
    heart.hold(lease(1), 60)
    heart.hold(lease(2), 60)
    assert heart.beat(renewer) == 2
    heart.drop(lease(1))
    assert heart.beat(renewer) == 1
    assert renewer.renewed == [[lease(1).id, lease(2).id], [lease(2).id]]


def test_a_hung_worker_does_not_hold_its_lease_for_ever() -> None:
    """Past the moment that was named, nothing is renewed."""
    clock, renewer = ManualClock(), Renewer()
    heart = heartbeat(clock, renewer)
    heart.hold(lease(1), 60)
    clock.now = 59.0
    assert heart.beat(renewer) == 1
    clock.now = 60.0
    assert heart.beat(renewer) == 0
    heart.hold(lease(1), 30)
    assert heart.beat(renewer) == 1, "a phase of its own moves the end"


def test_a_refused_renewal_is_told_and_not_repeated() -> None:
    """Until the worker has let go of it."""
    clock, renewer = ManualClock(), Renewer(refused={lease(1).id})
    heart = heartbeat(clock, renewer)
    heart.hold(lease(1), 60)
    heart.beat(renewer)
    assert heart.is_lost(lease(1))
    assert not heart.is_lost(lease(1, token=2))
    assert heart.beat(renewer) == 0
    heart.drop(lease(1))
    assert not heart.is_lost(lease(1))


def test_a_lease_of_which_nobody_could_be_asked_is_held_on(caplog: pytest.LogCaptureFixture) -> None:
    """One master of several is unavailable: the state of its leases is unknown; the next beat asks again."""
    clock = ManualClock()

    class Halved(Renewer):
        def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
            return [None if kept else False for kept in super().renew(leases)]

    renewer = Halved(refused={lease(1).id})
    heart = heartbeat(clock, renewer)
    heart.hold(lease(1), 60)
    heart.hold(lease(2), 60)
    heart.beat(renewer)
    assert heart.is_lost(lease(1))
    assert not heart.is_lost(lease(2))
    assert "1 of 2 leases could not be renewed" in caplog.text
    assert heart.beat(renewer) == 1


@pytest.mark.parametrize("error", [FrontierUnavailable("away"), FrontierRefused("gone"), UsageError("odd")])
def test_the_thread_goes_on_after_a_beat_that_failed(error: FarmError) -> None:
    """Redis away for one beat, or the crawl in it while another node starts it anew; back for the next."""
    clock, beaten = ManualClock(), threading.Event()

    class Flaky(Renewer):
        def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
            super().renew(leases)
            if len(self.renewed) == 1:
                raise error
            beaten.set()
            return [True] * len(leases)

    renewer = Flaky()
    heart = Heartbeat(lambda: renewer, 0.03, clock)
    heart.hold(lease(1), 60)
    heart.start()
    assert beaten.wait(10)
    heart.close()


def test_closing_a_heart_that_never_beat_is_harmless() -> None:
    """A start that failed half-way."""
    heartbeat(ManualClock(), Renewer()).close()


@pytest.mark.parametrize("held", [True, False])
def test_a_lease_that_was_dropped_while_it_was_renewed_is_not_lost(*, held: bool) -> None:
    """It was settled by its holder, which is why the frontier knows it no more."""
    clock = ManualClock()

    class Slow(Renewer):
        def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
            if not held:
                heart.drop(leases[0])
            return [False] * len(leases)

    renewer = Slow()
    heart = heartbeat(clock, renewer)
    heart.hold(lease(1), 60)
    heart.beat(renewer)
    assert heart.is_lost(lease(1)) is held


def test_a_holder_hears_of_its_loss_once_and_is_not_held_again() -> None:
    """Also after it was held longer without saying again whom to tell; other leases go on."""
    clock, renewer, calls = ManualClock(), Renewer(), list[str]()
    heart = heartbeat(clock, renewer)
    heart.hold(lease(1), 60, lambda: calls.append("one"))
    heart.hold(lease(2), 60, lambda: calls.append("two"))
    heart.hold(lease(1), 90)
    heart.beat(renewer)
    assert calls == []
    renewer.refused = {lease(1).id}
    heart.beat(renewer)
    heart.hold(lease(1), 60)
    assert heart.is_lost(lease(1))
    assert heart.beat(renewer) == 1
    assert calls == ["one"]


def test_a_holder_that_has_let_go_hears_nothing() -> None:
    """Its lease is settled: that is why the renewal was refused."""
    clock, calls = ManualClock(), list[str]()

    class Slow(Renewer):
        def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
            heart.drop(leases[0])
            return [False] * len(leases)

    renewer = Slow()
    heart = heartbeat(clock, renewer)
    heart.hold(lease(1), 60, lambda: calls.append("one"))
    heart.beat(renewer)
    assert calls == []


def test_a_node_says_that_it_is_alive_and_hears_once_that_it_was_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Considered dead, it logs so and goes on; where another has its name, it sends no heartbeat any more."""
    calls: list[str] = []
    renewer = Renewer(states=[NodeState.ALIVE, NodeState.RETURNED, NodeState.REPLACED])
    heart = Heartbeat(
        lambda: renewer, 30.0, ManualClock(), node=ME, replaced=lambda: calls.append("replaced")
    )
    heart.send(renewer)
    assert not caplog.text
    heart.send(renewer)
    assert "considered dead" in caplog.text
    assert not calls
    heart.send(renewer)
    heart.send(renewer)
    assert (calls, renewer.states) == (["replaced"], [])


def test_the_thread_says_more_often_that_the_node_lives_than_it_renews(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several times in the silence after which a node is considered dead; leases last longer."""
    renewed = threading.Event()

    class Noting(Renewer):
        def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
            renewed.set()
            return super().renew(leases)

    renewer = Noting(states=[NodeState.ALIVE] * 1000)
    monkeypatch.setattr("farm.runtime.heartbeat.ALIVE_EVERY_S", 0.01)
    heart = Heartbeat(lambda: renewer, 0.09, ManualClock(), node=ME)
    heart.hold(lease(1), 60)
    heart.start()
    assert renewed.wait(20)
    heart.close()
    assert 1000 - len(renewer.states) >= 3


def test_a_node_that_was_taken_for_dead_learns_at_once_what_it_has_lost() -> None:
    """Not at the next renewal, seconds later: a record of what another node visits must not be written."""
    renewer = Renewer(refused={lease(1).id}, states=[NodeState.RETURNED])
    heart = Heartbeat(lambda: renewer, 30.0, ManualClock(), node=ME)
    heart.hold(lease(1), 60)
    heart.hold(lease(2), 60)
    heart.send(renewer)
    assert heart.is_lost(lease(1))
    assert not heart.is_lost(lease(2))


async def test_after_a_long_silence_a_lease_is_asked_about_before_it_counts() -> None:
    """A process that was stopped goes on where it was, and has heard of nothing that happened meanwhile."""
    clock, renewer = ManualClock(), Renewer(states=[NodeState.RETURNED, NodeState.ALIVE])
    heart = Heartbeat(lambda: renewer, 3600.0, clock, node=ME)
    heart.hold(lease(1), 60)
    heart.hold(lease(2), 60)
    heart.start()
    assert await heart.confirm(lease(1), 20)
    assert renewer.renewed == []
    renewer.refused = {lease(1).id}
    clock.now += CERTAIN_S
    assert not await heart.confirm(lease(1), 20)
    assert await heart.confirm(lease(2), 20)
    assert len(renewer.states) == 1
    heart.close()


async def test_a_lease_that_nobody_can_vouch_for_counts_as_lost() -> None:
    """Redis is away for longer than it is waited for: the URL comes back by itself, and who asked is forgotten."""
    clock, begun = ManualClock(), threading.Semaphore(0)

    class Away(Renewer):
        def heartbeat(self, node: Identity) -> NodeState:
            begun.release()
            raise FrontierUnavailable("away")

    heart = Heartbeat(Away, 3600.0, clock, node=ME)
    heart.hold(lease(1), 60)
    heart.start()
    clock.now += CERTAIN_S
    for _ in range(3):
        assert not await heart.confirm(lease(1), 0.05)
        assert await asyncio.to_thread(begun.acquire, timeout=20)
    assert len(heart._asked) <= 1
    heart.close()


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And the next one again: an hour of Redis away is a thousand beats."""
    clock, beaten = ManualClock(), threading.Event()
    answers = [False, False, False, True, False, False]

    class Flaky(Renewer):
        def renew(self, leases: Sequence[Lease]) -> list[bool | None]:
            turn = len(self.renewed)
            super().renew(leases)
            if turn < len(answers) and not answers[turn]:
                raise FrontierUnavailable("away")
            if turn >= len(answers):
                beaten.set()
            return [True] * len(leases)

    renewer = Flaky()
    heart = Heartbeat(lambda: renewer, 0.01, clock)
    heart.hold(lease(1), 60)
    with caplog.at_level(logging.INFO, "farm"):
        heart.start()
        assert beaten.wait(10)
        heart.close()
    told = [record for record in caplog.records if "could not be renewed" in record.getMessage()]
    assert len(told) == 2


def test_a_node_that_is_asked_to_end_is_told_once() -> None:
    """By the answer to its heartbeat; it goes on to say that it is alive while it ends."""
    told: list[str] = []
    renewer = Renewer(states=[NodeState.ALIVE, NodeState.DRAINED, NodeState.DRAINED])
    heart = Heartbeat(lambda: renewer, 30.0, ManualClock(), node=ME, drained=lambda: told.append("drained"))
    for _ in range(3):
        heart.send(renewer)
    assert told == ["drained"]
    assert renewer.states == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("is_waiting", [True, False])
async def test_a_thread_that_breaks_ends_the_run(*, is_waiting: bool) -> None:
    """Nobody renews any more: each lease would be lost, and each visit repeated, for ever."""
    clock, may_break = ManualClock(), threading.Event()

    class Broken(Renewer):
        def heartbeat(self, node: Identity) -> NodeState:
            assert may_break.wait(5)
            raise LookupError("a bug")

    heart = Heartbeat(Broken, 0.001, clock, node=ME)
    heart.start()
    clock.now += CERTAIN_S
    if is_waiting:
        confirming = asyncio.create_task(heart.confirm(lease(1), 60.0))
        await asyncio.wait([confirming], timeout=0)
        may_break.set()
    else:
        may_break.set()
        await asyncio.to_thread(heart._thread.join, 5)
        confirming = asyncio.create_task(heart.confirm(lease(1), 60.0))
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="nobody renews the leases"):
            await confirming
    heart.close()
