"""How well a proxy does: decayed counts, strikes in a failures, and the way out, back on trial, and in again.

    free --strikes--> out --cooldown over--> on trial --success--> free
                                             on trial --failure--> out, for twice as long

Pure. The same health is kept for a proxy and for a pair of proxy and site, because a site can shut out an address
that is fine everywhere else. What always holds: who is out is not hurt further by what was still under way.
"""

from dataclasses import dataclass, replace
from enum import Enum

from farm.model.egress import EgressFault
from farm.model.outcome import FailureKind
from farm.policy.throttling import THROTTLING


class ProxyState(Enum):
    """Whether a proxy may be used."""

    AVAILABLE = "available"
    ON_TRIAL = "on trial"
    """Its cooldown is over: one visit shows whether it is back."""
    BANNED = "banned"


class Outcome(Enum):
    """What a visit says of the proxy that it went by."""

    GOOD = "good"
    UNCLEAR = "unclear"
    """Says nothing: the site asked for time, or the page failed by itself."""
    SLOW = "slow"
    """It took too long, or a proxy said of a site that it cannot be reached."""
    DOUBTED = "doubted"
    """A refusal (401, 403) of which nobody knows whether it was meant for the address."""
    PARTIAL = "partial"
    """The page came, but not all that belongs to it."""
    BROKEN = "broken"
    """What came by way of it broke; the site may have had a part in it."""
    BLOCKED = "blocked"
    """The site showed a block, a captcha or a challenge."""
    DOWN = "down"
    """The proxy itself was not reached, or did not let us in."""


_REFUSALS = frozenset({401, 403})


def after_page(status: int, *, blocked: bool) -> Outcome:
    """Say what a page means for the proxy that brought it."""
    if status in THROTTLING and not blocked:
        return Outcome.UNCLEAR
    if blocked:
        return Outcome.BLOCKED
    return Outcome.DOUBTED if status in _REFUSALS else Outcome.GOOD


def after_fault(fault: EgressFault) -> Outcome:
    """Say what a visit that the gateway did not get through means for its proxy."""
    match fault:
        case EgressFault.UPSTREAM:
            return Outcome.DOWN
        case EgressFault.TUNNEL:
            return Outcome.BROKEN
        case EgressFault.CONNECT | EgressFault.DNS | EgressFault.TIMEOUT:
            return Outcome.SLOW
    return Outcome.UNCLEAR


def after_error(kind: FailureKind) -> Outcome:
    """Say what a page's own failure means for the proxy."""
    return Outcome.SLOW if kind is FailureKind.TIMEOUT else Outcome.UNCLEAR


@dataclass(frozen=True, slots=True)
class ScoreParams:
    """`strikes` in a failures end it; counts halve every `half_life_s`; a cooldown doubles up to its cap."""

    strikes: float = 3.0
    half_life_s: float = 300.0
    cooldown_s: float = 60.0
    cooldown_cap_s: float = 3600.0
    latency_weight: float = 0.2

    def cooldown(self, bans: int) -> float:
        """Return how long the ban number `bans` in a failures lasts."""
        return float(min(self.cooldown_cap_s, self.cooldown_s * 2 ** (min(bans, 32) - 1)))


PAIR_WEIGHTS = {
    Outcome.GOOD: 0.0,
    Outcome.SLOW: 0.5,
    Outcome.DOUBTED: 0.5,
    Outcome.PARTIAL: 1.0,
    Outcome.BROKEN: 1.0,
    Outcome.BLOCKED: float("inf"),
}
"""What an outcome weighs for the pair; one that is not here changes nothing. A block is no matter of luck."""
MAY_BE_THE_PAGES = frozenset({Outcome.SLOW, Outcome.DOUBTED, Outcome.PARTIAL, Outcome.BROKEN})
"""Of these one URL weighs once, by whichever proxy: a page can be slow, forbidden or broken for everybody."""
PROXY_WEIGHTS = {Outcome.GOOD: 0.0, Outcome.DOWN: 1.0}
"""The same for the proxy; that a pair of it goes out weighs 1 as well."""


@dataclass(frozen=True, slots=True)
class Health:
    """`good` and `bad` are decayed counts as of `at`, `failures` the strikes since the last success.

    `banned_until` is when the ban ends, or ended; `bans` how many there were without a success in between.
    """

    good: float = 0.0
    bad: float = 0.0
    latency_ms: float = 0.0
    failures: float = 0.0
    at: float = 0.0
    banned_until: float = 0.0
    bans: int = 0

    def state(self, now: float) -> ProxyState:
        """Say whether it may be used now."""
        if not self.bans:
            return ProxyState.AVAILABLE
        return ProxyState.BANNED if now < self.banned_until else ProxyState.ON_TRIAL

    def score(self, now: float, params: ScoreParams) -> float:
        """Return between 0 and 1 how good it is: the share of successes, less for slowness."""
        kept = _decay(now - self.at, params)
        share = (self.good * kept + 1) / ((self.good + self.bad) * kept + 2)
        return share / (1 + self.latency_ms / 10_000)


def step(health: Health, weight: float, latency_ms: float | None, now: float, params: ScoreParams) -> Health:
    """Return the health after one more outcome of that weight; 0 is a success, and no latency says nothing."""
    standing = health.state(now)
    if standing is ProxyState.BANNED:
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
    if failures < params.strikes and standing is ProxyState.AVAILABLE:
        return replace(health, good=good, bad=bad, failures=failures, at=now)
    bans = health.bans + 1
    return Health(good, bad, health.latency_ms, 0.0, now, now + params.cooldown(bans), bans)


def adopt_ban(health: Health, banned_until: float, bans: int) -> Health:
    """Take over a ban that another node has found, where it ends later than what is known here."""
    if banned_until <= health.banned_until:
        return health
    return replace(health, banned_until=banned_until, bans=max(bans, health.bans))


def _decay(passed_s: float, params: ScoreParams) -> float:
    return float(0.5 ** (max(0.0, passed_s) / params.half_life_s))
