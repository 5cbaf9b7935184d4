"""Proxies: which of them may be used, judged by the results of visits, and which one a slot takes.

    available --strikes--> banned --cooldown over--> on trial --success--> available
                                                     on trial --failure--> banned, for twice as long

Pure; a circuit breaker with a half-open state. A proxy has a health, and so has each pair of proxy and site, since
a site can ban an address that works elsewhere. Invariants: visits under way when a ban began do not prolong
it. A new rotation is a member of `Rotation` and its rules below; `--proxy-rotation` takes its names from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b

from farm.model.egress import EgressFault
from farm.model.outcome import ExplainedValue, FailureKind
from farm.policy.retry import THROTTLING


class ProxyState(Enum):
    """Whether a proxy may be used."""

    AVAILABLE = "available"
    ON_TRIAL = "on trial"
    """Its cooldown is over: one visit shows whether it is back."""
    BANNED = "banned"


class Outcome(Enum):
    """What a visit says about its proxy."""

    GOOD = "good"
    UNCLEAR = "unclear"
    """Neither good nor bad: the site throttled, or the page itself failed."""
    SLOW = "slow"
    """It took too long, or the proxy reported that the site cannot be reached."""
    DOUBTED = "doubted"
    """A refusal (401, 403), perhaps because of the proxy's address."""
    PARTIAL = "partial"
    """Some parts of the page are missing."""
    BROKEN = "broken"
    """A connection through it broke; the proxy or the site may be at fault."""
    BLOCKED = "blocked"
    """The site showed a block, a captcha or a challenge."""
    DOWN = "down"
    """The proxy itself could not be reached, or refused the farm."""


_REFUSALS = frozenset({401, 403})


def after_page(status: int, *, blocked: bool) -> Outcome:
    """Return what a page says about its proxy."""
    if status in THROTTLING and not blocked:
        return Outcome.UNCLEAR
    if blocked:
        return Outcome.BLOCKED
    return Outcome.DOUBTED if status in _REFUSALS else Outcome.GOOD


def after_fault(fault: EgressFault) -> Outcome:
    """Return what a failure of the gateway says about the proxy."""
    match fault:
        case EgressFault.UPSTREAM:
            return Outcome.DOWN
        case EgressFault.TUNNEL:
            return Outcome.BROKEN
        case EgressFault.CONNECT | EgressFault.DNS | EgressFault.TIMEOUT:
            return Outcome.SLOW
    return Outcome.UNCLEAR


def after_error(kind: FailureKind) -> Outcome:
    """Return what a failure of the page says about the proxy."""
    return Outcome.SLOW if kind is FailureKind.TIMEOUT else Outcome.UNCLEAR


@dataclass(frozen=True, slots=True)
class ScoreParams:
    """`strikes` failures in a row ban; counts halve every `half_life_s`; a cooldown doubles up to a cap."""

    strikes: float = 3.0
    half_life_s: float = 300.0
    cooldown_s: float = 60.0
    cooldown_cap_s: float = 3600.0
    latency_weight: float = 0.2

    def cooldown(self, bans: int) -> float:
        """Return how long the ban number `bans` in a row lasts, in seconds."""
        return float(min(self.cooldown_cap_s, self.cooldown_s * 2 ** (min(bans, 32) - 1)))


PAIR_WEIGHTS = {
    Outcome.GOOD: 0.0,
    Outcome.SLOW: 0.5,
    Outcome.DOUBTED: 0.5,
    Outcome.PARTIAL: 1.0,
    Outcome.BROKEN: 1.0,
    Outcome.BLOCKED: float("inf"),
}
"""The weight of an outcome for the pair; others change nothing. One block bans: it is never an accident."""
MAY_BE_THE_PAGES = frozenset({Outcome.SLOW, Outcome.DOUBTED, Outcome.PARTIAL, Outcome.BROKEN})
"""Of these one URL weighs once, by whichever proxy: a page can be slow, forbidden or broken for everybody."""
PROXY_WEIGHTS = {Outcome.GOOD: 0.0, Outcome.DOWN: 1.0}
"""The same for the proxy; a ban of one of its pairs weighs 1 as well."""


@dataclass(frozen=True, slots=True)
class Health:
    """`good` and `bad` are decayed counts as of `at`, `failures` the weights since the last success.

    `banned_until` is when the ban ends, or ended; `bans` how many there were without a success in between.
    """

    good: float = 0.0
    bad: float = 0.0
    latency_ms: float = 0.0
    failures: float = 0.0
    at: float = 0.0
    banned_until: float = 0.0
    bans: int = 0

    @property
    def has_failed(self) -> bool:
        """Whether it failed since its last success."""
        return self.bans > 0 or self.failures > 0

    def state(self, now: float) -> ProxyState:
        """Return whether it may be used now."""
        if not self.bans:
            return ProxyState.AVAILABLE
        return ProxyState.BANNED if now < self.banned_until else ProxyState.ON_TRIAL

    def score(self, now: float, params: ScoreParams) -> float:
        """Return a score in [0, 1]: the share of successes, lower for slowness."""
        kept = _decay(now - self.at, params)
        share = (self.good * kept + 1) / ((self.good + self.bad) * kept + 2)
        return share / (1 + self.latency_ms / 10_000)


def step(health: Health, weight: float, latency_ms: float | None, now: float, params: ScoreParams) -> Health:
    """Return the health after one more outcome; a weight of 0 is a success, `latency_ms` may be unknown."""
    state = health.state(now)
    if state is ProxyState.BANNED:
        return health
    kept = _decay(now - health.at, params)
    good, bad = health.good * kept, health.bad * kept
    if weight == 0:
        latency = health.latency_ms
        if latency_ms is not None:
            latency += params.latency_weight * (latency_ms - latency) if health.good else latency_ms - latency
        return Health(good + 1, bad, latency, at=now)
    failures = health.failures + weight
    bad += min(weight, params.strikes)
    if failures < params.strikes and state is ProxyState.AVAILABLE:
        return replace(health, good=good, bad=bad, failures=failures, at=now)
    bans = health.bans + 1
    return Health(good, bad, health.latency_ms, 0.0, now, now + params.cooldown(bans), bans)


def adopt_ban(health: Health, banned_until: float, bans: int) -> Health:
    """Return the health with another node's ban, where that ends later than the one known here."""
    if banned_until <= health.banned_until:
        return health
    return replace(health, banned_until=banned_until, bans=max(bans, health.bans))


def _decay(passed_s: float, params: ScoreParams) -> float:
    return float(0.5 ** (max(0.0, passed_s) / params.half_life_s))


class Rotation(ExplainedValue):
    """When a slot takes another proxy."""

    CONTEXT = "context", "a new context"
    PAGE = "page", "every page"
    SITE = "site", "every site its own"


@dataclass(frozen=True, slots=True)
class Candidate:
    """The properties of a usable proxy that decide whether it is chosen.

    `users` is how many slots use it now, and `used_at` the number of the choice that it was chosen by last. With
    `has_due_trial` a visit must show whether it is back; `is_suspect` after a recent failure, `is_poor` below the
    score from which proxies are equal.
    """

    users: int
    used_at: int
    has_due_trial: bool = False
    is_suspect: bool = False
    is_poor: bool = False


def keeps_proxy(rotation: Rotation, pages: int, most: int) -> bool:
    """Return whether a slot keeps a proxy that has served `pages` pages; a context serves `most`."""
    match rotation:
        case Rotation.CONTEXT:
            return pages < most
        case Rotation.PAGE:
            return pages == 0
        case Rotation.SITE:
            return True


def depends_on_site(rotation: Rotation) -> bool:
    """Return whether the site decides on the proxy, so that none can be named before a URL is leased."""
    match rotation:
        case Rotation.CONTEXT | Rotation.PAGE:
            return False
        case Rotation.SITE:
            return True


def choose_for_site(site: str, labels: Sequence[str]) -> str:
    """Return the label of a site's own proxy; `labels` are those of usable proxies, at least one.

    It is chosen by rendezvous hashing (D. Thaler, C. Ravishankar, 1998): every node chooses the same one, and few
    sites change theirs when the list does.
    """
    return max(labels, key=lambda label: blake2b(f"{site} {label}".encode()).digest())


def choose(rotation: Rotation, candidates: Mapping[str, Candidate]) -> str:
    """Return the label of the proxy to use, whatever the site; `candidates` are the usable ones, at least one."""

    def rank(label: str) -> tuple[bool, bool, int, bool, int]:
        one = candidates[label]
        load = one.used_at if rotation is Rotation.PAGE else one.users
        return not one.has_due_trial, one.is_suspect, load, one.is_poor, one.used_at

    return min(candidates, key=rank)
