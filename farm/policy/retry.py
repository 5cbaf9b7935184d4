"""When to try again what failed or was refused: visits, throttled URLs, launches, and processes of a node.

Pure: chance comes in as `jitter` in [0, 1), the time as `now`. Delays grow exponentially with equal jitter
("Exponential Backoff and Jitter", M. Brooker, AWS Architecture Blog, 2015), so that URLs that failed together do
not come back together. The breaker is that of "Release It!" (M. Nygard, 2007): consecutive failures open the
circuit, and each one before that lengthens the pause.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from farm.model.egress import EgressFailure, EgressFault
from farm.model.handling import PageFailed, PageRetried
from farm.model.outcome import Bury, FailureKind, Judgement, Release, Retry, SkipReason

TOO_MANY_REQUESTS = 429
SERVICE_UNAVAILABLE = 503
_LONGEST_DATE = 64
_LONGEST = 300
_SECONDS = re.compile(r"\d+(?:\.\d*)?", re.ASCII)
"""Some servers write fractions."""
THROTTLING = frozenset({TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE})
"""The statuses by which a site asks for fewer requests (RFC 6585, RFC 9110)."""


@dataclass(frozen=True, slots=True)
class RetryParams:
    """`retries` visits follow the first; delays double from `base_s` up to `cap_s`.

    `throttle_cap` is how often a site may delay one URL before it is dead; `retry_after_cap_s` is the longest
    Retry-After that is honoured. `broken_cap` is how often a URL is released because a connection through a
    proxy broke, `partial_cap` because a part of its page is missing, `blocked_cap` because of blocks, and
    `doubted_cap` because of refusals that may be meant for every address; `all_banned_cap` is how often it waits
    because every proxy is banned for its site.
    """

    retries: int = 3
    base_s: float = 1.0
    cap_s: float = 60.0
    throttle_cap: int = 20
    retry_after_cap_s: float = 86_400.0
    broken_cap: int = 10
    partial_cap: int = 4
    blocked_cap: int = 5
    doubted_cap: int = 2
    all_banned_cap: int = 4


def backoff_s(attempt: int, jitter: float, params: RetryParams) -> float:
    """Return the delay in seconds after the failure of visit number `attempt` (from 1).

    It is at least half the step, so that a retry never follows its failure at once.
    """
    return _equal_jitter(attempt, jitter, params.base_s, params.cap_s)


def after_failure(
    kind: FailureKind, detail: str, attempt: int, jitter: float, params: RetryParams
) -> Retry | Bury:
    """Return a retry with its delay, or the dead letter once the retries are used up."""
    if attempt > params.retries:
        return Bury(kind, detail)
    return Retry(kind, backoff_s(attempt, jitter, params), detail)


def after_egress_failure(
    failure: EgressFailure,
    attempt: int,
    jitter: float,
    params: RetryParams,
    broken: int = 0,
    throttled: int = 0,
) -> Judgement:
    """Judge a visit whose main request failed in the gateway.

    `broken` counts connections that broke, `throttled` how often the URL was put off.

    A refused address is a late skip, not a failure. A proxy's fault gives the URL back without an attempt: always
    where the proxy itself is down (it is soon banned), and `broken_cap` times where the site may be at fault.
    """
    if failure.fault is EgressFault.REFUSED:
        return SkipReason.PRIVATE_NETWORK
    if failure.fault is EgressFault.TOO_LARGE:
        return Bury(FailureKind.TOO_LARGE, failure.detail)
    if failure.fault is EgressFault.SHORTAGE:
        return after_shortage(failure, attempt, throttled, jitter, params)
    if failure.fault is EgressFault.TUNNEL and broken > params.broken_cap:
        return after_failure(FailureKind.PROXY, failure.detail, attempt, jitter, params)
    if failure.fault in {EgressFault.UPSTREAM, EgressFault.TUNNEL, EgressFault.NOT_NOW}:
        return Release(f"{'' if failure.fault is EgressFault.NOT_NOW else 'proxy: '}{failure.detail}")
    kind = FailureKind.TIMEOUT if failure.fault is EgressFault.TIMEOUT else FailureKind.NETWORK
    return after_failure(kind, failure.detail, attempt, jitter, params)


def after_shortage(
    failure: EgressFailure, attempt: int, throttled: int, jitter: float, params: RetryParams
) -> Retry | Bury:
    """Put a URL off without an attempt, since this machine had no descriptor; at the throttle cap it has failed.

    The delay grows with `throttled`, the number of times that it was put off before; its site is not blocked.
    """
    if throttled >= params.throttle_cap:
        return after_failure(FailureKind.NETWORK, failure.detail, attempt, jitter, params)
    delay_s = backoff_s(throttled + 1, jitter, params)
    return Retry(FailureKind.NETWORK, delay_s, failure.detail, throttled=True, blocks_site=False)


def requested_settlement(
    asked: PageRetried | PageFailed, attempt: int, jitter: float, params: RetryParams
) -> Retry | Bury:
    """Return the settlement that the user's code requests; its retries count like those of failures."""
    if isinstance(asked, PageFailed):
        return Bury(FailureKind.HANDLER, asked.why)
    judged = after_failure(FailureKind.HANDLER, asked.why, attempt, jitter, params)
    if asked.delay_s is None or isinstance(judged, Bury):
        return judged
    return replace(judged, delay_s=asked.delay_s)


def by_browser_first(detail: str) -> Retry:
    """Settle a page that the user's code judges bad and that no browser has rendered: it may be incomplete.

    It is due at once, without consuming an attempt. A URL that was put off is visited by the browser, so that this
    happens once.
    """
    why = f"{detail} (visited again by the browser)"
    return Retry(FailureKind.HANDLER, 0.0, why, throttled=True, blocks_site=False)


def retry_after_s(value: str | None, now: datetime, params: RetryParams) -> float | None:
    """Return the seconds of a Retry-After header (a number or an HTTP date), at most the cap.

    None if it is missing or unreadable.
    """
    if value is None:
        return None
    text = value.strip()[:_LONGEST]
    numbers = [part.strip() for part in text.split(",")]
    if all(map(_SECONDS.fullmatch, numbers)):
        # Of several headers, which are joined by commas, the longest counts: a proxy may have added its own.
        return min(params.retry_after_cap_s, max(map(float, numbers)))
    try:
        moment = parsedate_to_datetime(text[:_LONGEST_DATE])
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait_s = (moment - now).total_seconds()
    except (ValueError, OverflowError, TypeError, IndexError):
        # The last two are bugs of the parser; a year or an offset may be any number.
        return None
    return min(params.retry_after_cap_s, max(0.0, wait_s))


def throttle_delay_s(
    status: int, headers: Mapping[str, str], throttled: int, now: datetime, jitter: float, params: RetryParams
) -> float | None:
    """Return how long an answer delays its URL, in seconds; None if its status does not throttle.

    The site's own Retry-After counts; without one the delay grows with `throttled`, the number of times that
    the URL was put off before. So it does if the site says again that it need not be waited for: its word was
    wrong. The names of the headers are in lower case.
    """
    if status not in THROTTLING:
        return None
    asked_s = retry_after_s(headers.get("retry-after"), now, params)
    if asked_s is None or (asked_s == 0 and throttled):
        return backoff_s(throttled + 1, jitter, params)
    return asked_s


def put_off(status: int, delay_s: float, throttled: int, params: RetryParams) -> Retry | Bury:
    """Settle a URL whose site throttles: visit it later without consuming an attempt, or give it up at the cap."""
    if throttled >= params.throttle_cap:
        return Bury(FailureKind.THROTTLED, f"status {status}, put off {throttled} times")
    detail = f"status {status}"
    if delay_s >= params.retry_after_cap_s:
        detail += f"; Retry-After says {delay_s / 3600:g} hours or more, and {delay_s / 3600:g} are waited"
    return Retry(FailureKind.THROTTLED, delay_s, detail, throttled=True)


@dataclass(frozen=True, slots=True)
class BreakerParams:
    """`failures` in a row open the circuit; the pause doubles from `base_s` to `cap_s`."""

    failures: int = 5
    base_s: float = 0.25
    cap_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """The number of failures since the last success."""

    failed: int = 0

    def is_open(self, params: BreakerParams) -> bool:
        """Return whether to give up."""
        return self.failed >= params.failures

    def pause_s(self, jitter: float, params: BreakerParams) -> float:
        """Return the pause before the next try, jittered; zero when nothing failed."""
        if self.failed == 0:
            return 0.0
        return _equal_jitter(self.failed, jitter, params.base_s, params.cap_s)

    def after(self, *, success: bool) -> "Breaker":
        """Count one more launch."""
        return Breaker(0 if success else self.failed + 1)


WELL_S = 60.0
"""A process that lived this long did not die because of its start."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class RestartState:
    """How many processes have died in a row, each within `WELL_S` seconds of its start."""

    deaths: int = 0


def after_death(state: RestartState, lived_s: float) -> tuple[RestartState, float]:
    """Return the state after the death of a process, and after how many seconds it is replaced."""
    deaths = 1 if lived_s >= WELL_S else state.deaths + 1
    pause_s = 0.0 if deaths == 1 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(deaths - 2, 10))
    return RestartState(deaths), pause_s


def _equal_jitter(number: int, jitter: float, base_s: float, cap_s: float) -> float:
    """Return between half the step and the step, which doubles with each number from 1 up to the cap."""
    return float(min(cap_s, base_s * 2 ** (number - 1))) * (0.5 + 0.5 * jitter)
