"""The proxies of a node: which one each slot uses, and what visits say about them.

Invariants: a slot changes its proxy between visits only; a banned proxy serves no slot, and one on trial
serves one slot until a visit shows whether it is available, or that slot has no work for it. `policy.proxies`
decides about health and which proxy comes next; here is who uses which. Lives on the event loop.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from typing import Any, Protocol

from farm.model.clock import Clock
from farm.model.egress import AllProxiesBanned, Ban, ProxyUse
from farm.model.errors import AllProxiesDown
from farm.model.event import Emit, Notice, ProxiesRead
from farm.policy.proxies import (
    MAY_BE_THE_PAGES,
    PAIR_WEIGHTS,
    PROXY_WEIGHTS,
    Candidate,
    Health,
    Outcome,
    ProxyState,
    Rotation,
    ScoreParams,
    adopt_ban,
    choose,
    choose_for_site,
    depends_on_site,
    step,
)

REMEMBERED = 50_000
POOR = 0.4
"""Of proxies with equally many users, those with a lower score come last; the others take turns."""
EVERY_S = 1.0
TOLD_EVERY = 2
"""After how many exchanges of bans the state of the proxies is reported."""
ANEW_EVERY = 60
"""After how many exchanges all bans are read, and not the new ones alone: of some this node may not have heard."""
MOST_TOLD = 50
PAIRS_SEEN = 5_000
"""How many pairs of proxy and site are examined to count a proxy's bans by site: the ones used last."""
_UNKNOWN = Health()


@dataclass(frozen=True, slots=True)
class ProxyParams:
    """`pages` is how many a context serves; `patience_s` how long to wait while no proxy is available."""

    rotation: Rotation = Rotation.CONTEXT
    pages: int = 100
    patience_s: float = 300.0
    score: ScoreParams = field(default_factory=ScoreParams)


class ProxySource(Protocol):
    """The list of proxies."""

    @property
    def upstreams(self) -> Mapping[str, object]:
        """The proxies by label."""
        ...

    def refresh(self) -> bool:
        """Read the list again if it has changed; return whether it has. Blocks, for a thread."""
        ...


class BanExchange(Protocol):
    """The bans of all nodes."""

    async def exchange(self, news: Sequence[Ban], /, *, anew: bool = False) -> Sequence[Ban]:
        """Store new bans and return those that began since the last call; `anew` every one in force."""
        ...


class ProxyPool:
    """All proxies of a node, by label; labels contain no credentials."""

    def __init__(self, labels: Sequence[str], params: ProxyParams, emit: Emit, clock: Clock) -> None:
        self.params = params
        self._emit = emit
        self._clock = clock
        self._proxies = dict.fromkeys(labels, _UNKNOWN)
        self._pairs: OrderedDict[tuple[str, str], Health] = OrderedDict()
        self._users: dict[str, str] = {}
        self._used_at: dict[str, int] = {}
        self._turn = 0
        self._counts: OrderedDict[tuple[str, Outcome], int] = OrderedDict()
        self._incomplete: OrderedDict[str, set[str]] = OrderedDict()
        self._blocking_sites: OrderedDict[str, None] = OrderedDict()
        self._changes: dict[tuple[str, str | None], Ban] = {}
        self._down_since: float | None = None

    def replace(self, labels: Sequence[str]) -> None:
        """Use another list of proxies; the health of those that stay is kept."""
        self._proxies = {label: self._proxies.get(label, _UNKNOWN) for label in labels}
        self._users = {slot: label for slot, label in self._users.items() if label in self._proxies}

    # -- which slot uses which

    def usable(self, label: str, site: str | None, slot: str) -> bool:
        """Return whether the slot may use this proxy, for this site if one is given."""
        health = self._proxies.get(label)
        if health is None:
            return False
        pair = self._pairs.get((label, site), _UNKNOWN) if site is not None else _UNKNOWN
        if not health.bans and not pair.bans:  # as nearly all of them, of which there may be thousands
            return True
        states = {one.state(self._clock.monotonic()) for one in (health, pair)}
        if ProxyState.BANNED in states:
            return False
        taken = any(user != slot and used == label for user, used in self._users.items())
        return not (taken and ProxyState.ON_TRIAL in states)

    def pick(self, slot: str, site: str | None) -> str | None:
        """Choose a proxy for the slot and return its label; None if none is usable."""
        self._users.pop(slot, None)
        usable = [label for label in self._proxies if self.usable(label, site, slot)]
        if not usable:
            return None
        if site is not None and depends_on_site(self.params.rotation):
            chosen = choose_for_site(site, usable)
        else:
            users = Counter(self._users.values())
            candidates = {label: self._candidate(label, site, users) for label in usable}
            chosen = choose(self.params.rotation, candidates)
        self._users[slot] = chosen
        self._turn += 1
        self._used_at[chosen] = self._turn
        return chosen

    def has_due_trial(self, site: str | None) -> bool:
        """Return whether a proxy that failed may be tried again, and no slot uses it."""
        used, of_site = set(self._users.values()), site or ""
        return any(
            label not in used and self.is_on_trial(label, site) and self.usable(label, site, "")
            for label, health in self._proxies.items()
            if health.has_failed or self._pairs.get((label, of_site), _UNKNOWN).has_failed
        )

    def is_on_trial(self, label: str, site: str | None) -> bool:
        """Return whether the proxy failed, for this site or at all, and its cooldown is over."""
        now, score = self._clock.monotonic(), self.params.score
        known = (self._proxies[label], self._pairs.get((label, site or ""), _UNKNOWN))
        return any(
            one.state(now) is ProxyState.ON_TRIAL or (one.failures > 0 and one.at + score.cooldown_s <= now)
            for one in known
        )

    def release(self, slot: str) -> None:
        """Note that the slot uses no proxy for now."""
        self._users.pop(slot, None)

    def all_banned(self, site: str) -> AllProxiesBanned:
        """Return after how many seconds a proxy may be used for the site again, and whether the site blocks."""
        now = self._clock.monotonic()
        ends = [
            max(health.banned_until, self._pairs.get((label, site), _UNKNOWN).banned_until)
            for label, health in self._proxies.items()
        ]
        return AllProxiesBanned(max(1.0, min(ends, default=now) - now), by_site=site in self._blocking_sites)

    def _candidate(self, label: str, site: str | None, users: Counter[str]) -> Candidate:
        health, now, score = self._proxies[label], self._clock.monotonic(), self.params.score
        pair, number = self._pairs.get((label, site or ""), _UNKNOWN), users.get(label, 0)
        has_failed, recent = health.has_failed or pair.has_failed, now - score.cooldown_s
        # After a failure the other proxies are tried first for a while; only a ban excludes one.
        return Candidate(
            number,
            self._used_at.get(label, 0),
            has_failed and not number and self.is_on_trial(label, site),
            has_failed and any(known.failures > 0 and known.at > recent for known in (health, pair)),
            health is not _UNKNOWN and health.score(now, score) < POOR,
        )

    # -- the outcomes of visits

    def report(self, label: str, url_id: str, site: str, outcome: Outcome, latency_ms: float | None) -> int:
        """Learn from a visit; return how many visits of the URL had this outcome, 0 if that is not counted."""
        now, score = self._clock.monotonic(), self.params.score
        if outcome is Outcome.GOOD:
            self._is_up()
        if self._is_always_incomplete(label, site, outcome):
            return REMEMBERED
        if self._is_the_pages_own(url_id, outcome):
            return self._count(url_id, outcome)
        if outcome in PAIR_WEIGHTS:
            pair = self._pairs.pop((label, site), Health())
            after = step(pair, PAIR_WEIGHTS[outcome], latency_ms, now, score)
            self._pairs[label, site] = after
            if outcome is Outcome.BLOCKED:
                self._blocking_sites[site] = None
            _forget(self._pairs, self._blocking_sites)
            if self._tell(label, site, pair, after, outcome) and label in self._proxies:
                self._judge(label, 1.0, None, outcome)
        if outcome in PROXY_WEIGHTS and label in self._proxies:
            self._judge(label, PROXY_WEIGHTS[outcome], latency_ms, outcome)
        return 0 if outcome in {Outcome.GOOD, Outcome.UNCLEAR} else self._count(url_id, outcome)

    def _count(self, url_id: str, outcome: Outcome) -> int:
        count = self._counts.pop((url_id, outcome), 0) + 1
        self._counts[url_id, outcome] = count
        _forget(self._counts)
        return count

    def _is_the_pages_own(self, url_id: str, outcome: Outcome) -> bool:
        """Return whether the URL had this outcome before, with any proxy: one page must not ban all of them.

        A proxy that is at fault fails for several pages.
        """
        return outcome in MAY_BE_THE_PAGES and (url_id, outcome) in self._counts

    def _is_always_incomplete(self, label: str, site: str, outcome: Outcome) -> bool:
        """Return whether most proxies return incomplete pages of the site: then it is not the proxies' fault."""
        known, is_partial = self._incomplete, outcome is Outcome.PARTIAL
        incomplete = known.setdefault(site, set()) if is_partial else known.get(site)
        if incomplete is None:
            return False
        _forget(self._incomplete)
        if outcome is Outcome.GOOD:
            incomplete.discard(label)
        elif is_partial:
            incomplete.add(label)
            return len(incomplete) > max(1, len(self._proxies) // 2)
        return False

    def _judge(self, label: str, weight: float, latency_ms: float | None, outcome: Outcome) -> None:
        before = self._proxies[label]
        after = step(before, weight, latency_ms, self._clock.monotonic(), self.params.score)
        self._proxies[label] = after
        self._tell(label, None, before, after, outcome)

    def _tell(self, label: str, site: str | None, before: Health, after: Health, outcome: Outcome) -> bool:
        """Report a change to the user and to the other nodes; return True if a ban began."""
        now = self._clock.monotonic()
        left_s = after.banned_until - now
        where = "" if site is None else f" for {site}"
        if after.bans > before.bans:
            self._changes[label, site] = Ban(label, site, left_s, after.bans)
            text = f"proxy {label} is banned{where} for {left_s:.0f} s: {outcome.value}"
            self._emit(Notice(now, "warning", text))
            return True
        if before.bans and not after.bans:
            self._changes[label, site] = Ban(label, site, 0.0, 0)
            self._emit(Notice(now, "info", f"proxy {label} works again{where}"))
        return False

    # -- when no proxy is available

    @property
    def working(self) -> int:
        """How many proxies are not banned."""
        now = self._clock.monotonic()
        return sum(health.state(now) is not ProxyState.BANNED for health in self._proxies.values())

    @property
    def limits(self) -> Mapping[str, int]:
        """The limit for admission: while no proxy is available, one slot is enough to try."""
        return {} if self._down_since is None else {"proxies": 1}

    def wait_or_fail(self) -> None:
        """Note that a slot found no usable proxy. Raises AllProxiesDown after `patience_s` without one."""
        now, count = self._clock.monotonic(), len(self._proxies)
        if self._down_since is None:
            self._down_since = now
            patience = f"waiting up to {self.params.patience_s:g} s"
            self._emit(Notice(now, "warning", f"none of the {count} proxies is available; {patience}"))
        elif now - self._down_since > self.params.patience_s:
            raise AllProxiesDown(
                f"None of the {count} proxies has worked for {self.params.patience_s:g} s; "
                "check them and their credentials, or give more time with --proxy-patience."
            )

    def _is_up(self) -> None:
        if self._down_since is not None:
            self._down_since = None
            self._emit(Notice(self._clock.monotonic(), "info", "a proxy is available again"))

    # -- what nodes tell each other

    async def follow(self, source: ProxySource, bans: BanExchange) -> None:
        """Update the list of proxies and exchange bans with the other nodes, every second until cancelled."""
        turn = 0
        while True:
            is_new = await asyncio.to_thread(source.refresh)
            if is_new:
                self.replace(tuple(source.upstreams))
            anew = is_new or turn % ANEW_EVERY == 0
            self.adopt_bans(await bans.exchange(self.take_changes(), anew=anew))
            if turn % TOLD_EVERY == 0:
                self._emit(self.reading())
            turn += 1
            await asyncio.sleep(EVERY_S)

    def reading(self) -> ProxiesRead:
        """Return the state of the proxies: the banned ones first, then those that most slots use."""
        now, users = self._clock.monotonic(), Counter(self._users.values())
        states = {label: health.state(now) for label, health in self._proxies.items()}
        newest = islice(reversed(self._pairs.items()), PAIRS_SEEN)
        sites = Counter(label for (label, _), pair in newest if pair.state(now) is ProxyState.BANNED)
        ordered = nsmallest(
            MOST_TOLD,
            self._proxies,
            key=lambda label: (states[label] is ProxyState.AVAILABLE, -sites[label], -users[label], label),
        )
        told = tuple(
            ProxyUse(
                label,
                states[label].value,
                round(self._proxies[label].score(now, self.params.score), 3),
                users[label],
                self._proxies[label].bans,
                max(0.0, self._proxies[label].banned_until - now),
                sites[label],
                self._proxies[label].latency_ms,
            )
            for label in ordered
        )
        return ProxiesRead(now, Counter(state.value for state in states.values()), told)

    def take_changes(self) -> Sequence[Ban]:
        """Return the bans that began or ended here since the last call."""
        changed, self._changes = tuple(self._changes.values()), {}
        return changed

    def adopt_bans(self, bans: Sequence[Ban]) -> None:
        """Adopt bans of other nodes, as Redis has them."""
        now = self._clock.monotonic()
        for ban in bans:
            if ban.site is not None:
                pair = self._pairs.get((ban.proxy, ban.site), _UNKNOWN)
                self._pairs[ban.proxy, ban.site] = adopt_ban(pair, now + ban.left_s, ban.bans)
            elif ban.proxy in self._proxies:
                self._proxies[ban.proxy] = adopt_ban(self._proxies[ban.proxy], now + ban.left_s, ban.bans)
        _forget(self._pairs)


def _forget(*known: OrderedDict[Any, Any]) -> None:
    """Drop the oldest entries beyond the bound."""
    for one in known:
        while len(one) > REMEMBERED:
            one.popitem(last=False)
