"""The frontier against a model: random transitions, a dictionary that says what ought to be, the audit."""

import asyncio
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from farm.frontier.connect import connect
from farm.frontier.dead import DeadLetters
from farm.frontier.terms import Politeness, Terms
from farm.model.outcome import Ack, Bury, FailureKind, Release, Retry, Settled
from farm.model.task import Lease, LeaseRequest
from tests.frontier.support import Bench

URLS = [f"{site}/{n}" for site in ("a", "b", "c") for n in range(6)]
SLOTS = ["s1", "s2", "s3", "s4"]
EGRESS = ["", "", "p1", "p2"]
LIVES = 3
VISIBILITY_S = 30
LIMITS = Politeness(in_flight=3, global_in_flight=4, pair_in_flight=2, egress_in_flight=3)

urls = st.lists(st.sampled_from(URLS), max_size=4)


class FrontierMachine(RuleBasedStateMachine):
    """Every rule does one thing to Redis and the same to the dictionary."""

    url = ""
    shards = 1
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bench = self.run(self._open())
        self.state: dict[str, str] = {}  # URL -> queued, delayed, leased, done, dead
        self.seen: set[str] = set()
        self.holds: dict[str, Lease] = {}  # slot -> the lease that counts
        self.deadline: dict[str, int] = {}  # slot -> ms
        self.due: dict[str, int] = {}  # delayed URL -> ms
        self.expiries: dict[str, int] = {}
        self.attempts: dict[str, int] = {}
        self.last_token: dict[int, int] = {}  # shard -> the last one; a URL never leaves its shard
        self.rendered = 0

    async def _open(self) -> Bench:
        client = await connect(self.url, patience_s=5)
        await client.command("FLUSHALL")
        return await Bench.open(
            client,
            self.url,
            terms=Terms(lives=LIVES, visibility_s=VISIBILITY_S),
            politeness=LIMITS,
            shards=self.shards,
        )

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        """Leave nothing open."""
        self.run(self.bench.client.close())
        self.loop.close()

    def _accept(self, new: list[str]) -> int:
        accepted = 0
        for url in new:
            if url not in self.state and url not in self.seen:
                self.state[url] = "queued"
                accepted += 1
        return accepted

    def _bring_home(self) -> None:
        """Do what any call may do on its way: the model at once, the frontier because it is told to."""
        now = self.bench.clock.ms
        self.run(self.bench.frontier.maintain())
        for slot in [slot for slot, at in self.deadline.items() if at <= now]:
            self._expire(slot)
        for url in [url for url, at in self.due.items() if at <= now]:
            del self.due[url]
            self.state[url] = "queued"

    def _expire(self, slot: str) -> None:
        url = _url(self.holds.pop(slot))
        del self.deadline[slot]
        self.expiries[url] = self.expiries.get(url, 0) + 1
        self.state[url] = "dead" if self.expiries[url] >= LIVES else "queued"

    def _leased(self, slot: str, lease: Lease) -> Lease:
        url = _url(lease)
        assert self.state[url] == "queued"
        shard = self.bench.frontier.shards.of(lease.task.site)
        assert lease.token // 1000 > self.last_token.get(shard, 0) // 1000
        assert lease.attempt == self.attempts.get(url, 0) + 1
        self.state[url], self.holds[slot], self.last_token[shard] = "leased", lease, lease.token
        self.deadline[slot] = self.bench.clock.ms + VISIBILITY_S * 1000
        return lease

    def _abandon(self, slot: str) -> None:
        if slot in self.holds:
            self._expire(slot)

    def _settle(self, lease: Lease, verdict: Settled) -> bool:
        """Whether it was the slot's to settle; the frontier must have said the same."""
        holds = self.holds.get(lease.slot) == lease
        assert (verdict is Settled.OK) == holds
        if holds:
            del self.holds[lease.slot], self.deadline[lease.slot]
        return holds

    @rule(new=urls)
    def add(self, new: list[str]) -> None:
        """Add what may be known."""
        self._bring_home()
        assert self.run(self.bench.add(*new)) == self._accept(new)

    @rule(
        target=leases,
        slot=st.sampled_from(SLOTS),
        hint=st.sampled_from(["", "a", "b"]),
        out=st.sampled_from(EGRESS),
    )
    def lease(self, slot: str, hint: str, out: str) -> Any:
        """Ask; where nothing is given, something must stand in the way."""
        self._bring_home()
        if self.shards > 1 and slot in self.holds:
            return multiple()
        wish = self.bench.wish(slot, site_hint=hint or None, egress=out)
        got = self.run(self.bench.frontier.lease(wish))
        self._abandon(slot)
        if isinstance(got, Lease):
            assert self.run(self.bench.frontier.lease(wish)) == got
            return self._leased(slot, got)
        if got.reason == "empty":
            assert set(self.state.values()) <= {"done", "dead"}
        else:
            assert got.reason == "waiting"
            queued = {url[0] for url, state in self.state.items() if state == "queued"}
            flying = [_url(lease)[0] for lease in self.holds.values()]
            assert (
                self.shards > 1 or len(flying) >= 3 or all(flying.count(s) >= 2 for s in queued) or not queued
            )
        return multiple()

    @rule(target=leases, lease=leases, links=urls, seen=urls, following=st.booleans(), rendered=st.booleans())
    def ack(self, lease: Lease, links: list[str], seen: list[str], following: bool, rendered: bool) -> Any:
        """Settle an old or a current lease, twice; perhaps with the next one."""
        self._bring_home()
        outcome = Ack(
            links=[self.bench.task(url) for url in links],
            seen=[self.bench.task(url).fingerprint for url in seen],
            rendered=rendered,
        )
        wish: LeaseRequest | None = None
        if following and (self.shards == 1 or self.holds.get(lease.slot) in (None, lease)):
            wish = self.bench.wish(lease.slot, site_hint=lease.task.site)
        verdict, got = self.run(self.bench.frontier.ack(lease, outcome, wish))
        if self._settle(lease, verdict):
            self.state[_url(lease)] = "done"
            self.rendered += rendered
            self.seen |= set(seen)
            self._accept(links)
        elif wish is not None:
            self._abandon(lease.slot)
        if isinstance(got, Lease):
            self._leased(lease.slot, got)
        if self.shards > 1:
            self._deliver()
        if verdict is Settled.OK:
            again, same = self.run(self.bench.frontier.ack(lease, outcome, wish))
            assert again is Settled.DUP
            if isinstance(got, Lease):
                assert same == got
            elif isinstance(same, Lease):
                self._leased(lease.slot, same)
                return same
        return got if isinstance(got, Lease) else multiple()

    def _deliver(self) -> None:
        while self.run(self.bench.frontier.maintain()):
            pass

    @rule(lease=leases, delay_s=st.integers(0, 40), throttled=st.booleans())
    def retry(self, lease: Lease, delay_s: int, throttled: bool) -> None:
        """Put a URL off; an attempt is consumed unless its site asked for it."""
        self._bring_home()
        outcome = Retry(FailureKind.NETWORK, delay_s, throttled=throttled and self.shards > 1)
        if self._settle(lease, self.run(self.bench.frontier.nack(lease, outcome))):
            url = _url(lease)
            self.state[url] = "delayed"
            self.due[url] = self.bench.clock.ms + delay_s * 1000
            self.attempts[url] = self.attempts.get(url, 0) + (not outcome.throttled)
            assert self.run(self.bench.frontier.nack(lease, outcome)) is Settled.DUP

    @rule(lease=leases, reason=st.sampled_from(list(FailureKind)))
    def bury(self, lease: Lease, reason: FailureKind) -> None:
        """Give a URL up."""
        self._bring_home()
        if self._settle(lease, self.run(self.bench.frontier.nack(lease, Bury(reason, "why")))):
            self.state[_url(lease)] = "dead"

    @rule(lease=leases)
    def release(self, lease: Lease) -> None:
        """Give a URL back."""
        self._bring_home()
        if self._settle(lease, self.run(self.bench.frontier.nack(lease, Release("drain")))):
            self.state[_url(lease)] = "queued"

    @rule(lease=consumes(leases))
    def forget(self, lease: Lease) -> None:
        """Make the others likelier."""

    @rule()
    def renew(self) -> None:
        """Renew all that is held, from another client."""
        self._bring_home()
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
        self._bring_home()

    @rule(drop=st.booleans())
    def exhume(self, drop: bool) -> None:
        """Replay all dead letters, or drop them."""
        self._bring_home()
        dead = [url for url, state in self.state.items() if state == "dead"]
        letters = DeadLetters(self.bench.frontier)
        assert self.run(letters.drop() if drop else letters.replay()) == len(dead)
        for url in dead:
            if drop:
                del self.state[url]
                self.seen.add(url)
            else:
                self.state[url] = "queued"
                self.attempts.pop(url, None)
                self.expiries.pop(url, None)

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


def _url(lease: Lease) -> str:
    return lease.task.url.removeprefix("http://")


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
