"""The frontier against a model: random transitions, a dictionary that says what ought to be, the audit."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import Bundle, consumes, invariant, multiple, rule

from farm.model.outcome import Ack, Bury, FailureKind, Release, Retry, Settled
from farm.model.task import Lease, LeaseRequest
from tests.frontier.model import VISIBILITY_S, Model, url_of

URLS = [f"{site}/{n}" for site in ("a", "b", "c") for n in range(6)]
SLOTS = ["n/1", "n/2", "m/1", "m/2"]
EGRESS = ["", "", "p1", "p2"]

urls = st.lists(st.sampled_from(URLS), max_size=4)


class FrontierMachine(Model):
    """Every rule does one thing to Redis and the same to the dictionary; these are those of URLs."""

    leases = Bundle("leases")

    @rule(new=urls)
    def add(self, new: list[str]) -> None:
        """Add what may be known."""
        self.reclaim_due()
        assert self.run(self.bench.add(*new)) == self.accept(new)

    @rule(
        target=leases,
        slot=st.sampled_from(SLOTS),
        hint=st.sampled_from(["", "a", "b"]),
        out=st.sampled_from(EGRESS),
    )
    def lease(self, slot: str, hint: str, out: str) -> Any:
        """Ask; where nothing is given, something must stand in the way."""
        self.reclaim_due()
        if self.shards > 1 and slot in self.holds:
            return multiple()
        wish = self.bench.wish(slot, site_hint=hint or None, egress=out)
        got = self.run(self.of(slot).lease(wish))
        self.abandon(slot)
        if isinstance(got, Lease):
            assert self.run(self.of(slot).lease(wish)) == got
            return self.leased(slot, got)
        if got.reason == "empty":
            assert set(self.state.values()) <= {"done", "dead"}
        else:
            assert got.reason == "waiting"
            beside = self.held_by(slot.partition("/")[0])
            queued = {
                url[0]
                for url, state in self.state.items()
                if state == "queued" and not (beside and self.is_suspect(url))
            }
            flying = [url_of(lease)[0] for lease in self.holds.values()]
            assert (
                self.shards > 1
                or len(flying) >= 3
                or any(map(self.is_suspect, beside))
                or all(flying.count(s) >= 2 for s in queued)
                or not queued
            )
        return multiple()

    @rule(target=leases, lease=leases, links=urls, seen=urls, following=st.booleans(), rendered=st.booleans())
    def ack(self, lease: Lease, links: list[str], seen: list[str], following: bool, rendered: bool) -> Any:
        """Settle an old or a current lease, twice; perhaps with the next one."""
        self.reclaim_due()
        outcome = Ack(
            links=[self.bench.task(url) for url in links],
            seen=[self.bench.task(url).fingerprint for url in seen],
            rendered=rendered,
        )
        wish: LeaseRequest | None = None
        if following and (self.shards == 1 or self.holds.get(lease.slot) in (None, lease)):
            wish = self.bench.wish(lease.slot, site_hint=lease.task.site)
        verdict, got = self.run(self.of(lease.slot).ack(lease, outcome, wish))
        if self.settle(lease, verdict):
            self.state[url_of(lease)] = "done"
            self.rendered += rendered
            self.seen |= set(seen)
            self.accept(links)
        elif wish is not None:
            self.abandon(lease.slot)
        if isinstance(got, Lease):
            self.leased(lease.slot, got)
        if self.shards > 1:
            self._deliver()
        if verdict is Settled.OK:
            again, same = self.run(self.of(lease.slot).ack(lease, outcome, wish))
            assert again is Settled.DUP
            if isinstance(got, Lease):
                assert same == got
            elif isinstance(same, Lease):
                self.leased(lease.slot, same)
                return same
        return got if isinstance(got, Lease) else multiple()

    def _deliver(self) -> None:
        while self.run(self.bench.frontier.maintain()):
            pass

    @rule(lease=leases, delay_s=st.integers(0, 40), throttled=st.booleans())
    def retry(self, lease: Lease, delay_s: int, throttled: bool) -> None:
        """Put a URL off; an attempt is consumed unless its site requested it."""
        self.reclaim_due()
        outcome = Retry(FailureKind.NETWORK, delay_s, throttled=throttled and self.shards > 1)
        if self.settle(lease, self.run(self.of(lease.slot).nack(lease, outcome))):
            url = url_of(lease)
            self.state[url] = "delayed"
            self.due[url] = self.bench.clock.ms + delay_s * 1000
            self.attempts[url] = self.attempts.get(url, 0) + (not outcome.throttled)
            assert self.run(self.of(lease.slot).nack(lease, outcome)) is Settled.DUP

    @rule(lease=leases, reason=st.sampled_from(list(FailureKind)))
    def bury(self, lease: Lease, reason: FailureKind) -> None:
        """Give a URL up."""
        self.reclaim_due()
        if self.settle(lease, self.run(self.of(lease.slot).nack(lease, Bury(reason, "why")))):
            self.state[url_of(lease)] = "dead"

    @rule(lease=leases)
    def release(self, lease: Lease) -> None:
        """Give a URL back."""
        self.reclaim_due()
        if self.settle(lease, self.run(self.of(lease.slot).nack(lease, Release("drain")))):
            self.state[url_of(lease)] = "queued"

    @rule(lease=consumes(leases))
    def forget(self, lease: Lease) -> None:
        """Make the others likelier."""

    @rule()
    def renew(self) -> None:
        """Renew all that is held, from another client."""
        self.reclaim_due()
        keeper = self.bench.keeper()
        held = list(self.holds.values())
        assert keeper.renew(held) == [True] * len(held)
        keeper.close()
        for slot in self.holds:
            self.deadline[slot] = self.bench.clock.ms + VISIBILITY_S * 1000

    @rule(seconds=st.sampled_from([0.001, 1, 10, 31]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass; what it brings home comes home."""
        self.bench.clock.advance(seconds)
        self.reclaim_due()

    @rule(drop=st.booleans())
    def move_dead(self, drop: bool) -> None:
        """Replay all dead letters, or drop them."""
        self.reclaim_due()
        dead = [url for url, state in self.state.items() if state == "dead"]
        letters = self.bench.frontier.dead
        assert self.run(letters.drop() if drop else letters.replay()) == len(dead)
        for url in dead:
            if drop:
                del self.state[url]
                self.seen.add(url)
            else:
                self.state[url] = "queued"
                self.attempts.pop(url, None)
                self.deaths.pop(url, None)

    @invariant()
    def agrees(self) -> None:
        """Find nothing by audit, and the dictionary in the ledger."""
        assert self.run(self.bench.frontier.audit()) == []
        stats = self.run(self.bench.frontier.stats())
        counted = {
            name: getattr(stats.ledger, name) for name in ("queued", "delayed", "leased", "done", "dead")
        }
        states = list(self.state.values())
        assert counted == {name: states.count(name) for name in counted}
        assert stats.ledger.accepted == len(states)
        assert stats.rendered == self.rendered


class ShardedMachine(FrontierMachine):
    """The same over three shards."""

    shards = 3


@pytest.mark.parametrize("machine", [FrontierMachine, ShardedMachine])
def test_the_frontier_agrees_with_a_dictionary(
    machine: type[FrontierMachine], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is done to it, in whatever order."""
    monkeypatch.setattr(machine, "url", redis_url)
    _run(machine, examples=60)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [FrontierMachine, ShardedMachine])
def test_the_frontier_agrees_with_a_dictionary_at_length(
    machine: type[FrontierMachine], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, more often and longer."""
    monkeypatch.setattr(machine, "url", redis_url)
    _run(machine, examples=300)


def _run(machine: type[FrontierMachine], examples: int) -> None:
    checked = machine.TestCase
    checked.settings = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
    )
    checked().runTest()
