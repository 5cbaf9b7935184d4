"""What becomes of a visit: its verdict from the status or the failure, and the delay before the next try.

Pure: chance comes in as `jitter` in [0, 1). The delay grows exponentially with equal jitter ("Exponential
Backoff and Jitter", M. Brooker, AWS Architecture Blog, 2015), so that URLs that failed together do not
come back together.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from farm.model.detection import Detection
from farm.model.egress import GateFailure, GateFault
from farm.model.outcome import Bury, FailureKind, Release, Retry, SkipReason
from farm.model.proxy import ShutOut

TOO_MANY_REQUESTS = 429
SERVICE_UNAVAILABLE = 503
SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class RetryParams:
    """`retries` visits after the first; delays double from `base_s` up to `cap_s`.

    `throttle_cap` is how often a site may put one URL off before it is dead; `retry_after_cap_s` is the
    longest Retry-After that is believed. `broken_cap` is how often a URL is given back because what came by
    a proxy broke, `partial_cap` because a part of its page did not come, `blocked_cap` because of blocks, and
    `doubted_cap` because of refusals that may be meant for everybody;
    `shut_out_cap` is how often it waits for the time when any proxy may try its site again.
    """

    retries: int = 3
    base_s: float = 1.0
    cap_s: float = 60.0
    throttle_cap: int = 20
    retry_after_cap_s: float = 3600.0
    broken_cap: int = 10
    partial_cap: int = 4
    blocked_cap: int = 5
    doubted_cap: int = 2
    shut_out_cap: int = 4


def backoff_s(attempt: int, jitter: float, params: RetryParams) -> float:
    """Return the delay in seconds after the failure of visit number `attempt` (from 1).

    At least half the step is kept, so that a retry never follows its failure at once.
    """
    step = float(min(params.cap_s, params.base_s * 2 ** (attempt - 1)))
    return step * (0.5 + 0.5 * jitter)


def retry_after_s(value: str | None, now: datetime, params: RetryParams) -> float | None:
    """Read a Retry-After header (seconds or an HTTP date); None where it is missing or garbage."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Cut before converting: a site may send ten thousand digits, which int() would refuse.
        return min(params.retry_after_cap_s, float(text[:12]))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(params.retry_after_cap_s, max(0.0, (moment - now).total_seconds()))


def after_status(
    status: int, retry_after: float | None, attempt: int, throttled: int, jitter: float, params: RetryParams
) -> Retry | Bury | None:
    """Judge a page by its status; None means that it is done and its record is kept."""
    if status in {TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE}:
        if throttled >= params.throttle_cap:
            return Bury(FailureKind.THROTTLED, f"status {status}, put off {throttled} times")
        delay_s = backoff_s(throttled + 1, jitter, params) if retry_after is None else retry_after
        return Retry(FailureKind.THROTTLED, delay_s, f"status {status}", throttled=True)
    if status in SERVER_ERRORS:
        return after_failure(FailureKind.HTTP_5XX, f"status {status}", attempt, jitter, params)
    return None


def after_failure(
    kind: FailureKind, detail: str, attempt: int, jitter: float, params: RetryParams
) -> Retry | Bury:
    """Judge a failed visit by how many there have been."""
    if attempt > params.retries:
        return Bury(kind, detail)
    return Retry(kind, backoff_s(attempt, jitter, params), detail)


def after_gate_failure(
    failure: GateFailure, attempt: int, jitter: float, params: RetryParams, broken: int = 0
) -> Retry | Bury | Release | SkipReason:
    """Judge a visit whose main request did not get through the gateway; `broken` counts what a proxy broke.

    A refused address is a late skip, not a failure. A proxy's fault gives the URL back unblemished: for ever where
    the proxy itself is down (it is soon out), and a few times where the site may have had a part in it.
    """
    if failure.fault is GateFault.REFUSED:
        return SkipReason.PRIVATE_NETWORK
    if failure.fault is GateFault.TOO_LARGE:
        return Bury(FailureKind.TOO_LARGE, failure.detail)
    if failure.fault in {GateFault.UPSTREAM, GateFault.NOT_NOW}:
        return Release(f"{'proxy: ' if failure.fault is GateFault.UPSTREAM else ''}{failure.detail}")
    if failure.fault is GateFault.TUNNEL:
        if broken <= params.broken_cap:
            return Release(f"proxy: {failure.detail}")
        return after_failure(FailureKind.PROXY, failure.detail, attempt, jitter, params)
    kind = FailureKind.TIMEOUT if failure.fault is GateFault.TIMEOUT else FailureKind.NETWORK
    return after_failure(kind, failure.detail, attempt, jitter, params)


def after_shortfall(failure: GateFailure, partial: int, params: RetryParams) -> Release | None:
    """Judge a page of which a part broke behind a proxy: None where it is taken as it is, since it always does."""
    return Release(f"proxy: {failure.detail}") if partial <= params.partial_cap else None


def after_block(
    detection: Detection | None, status: int, blocked: int, params: RetryParams
) -> Release | Bury | None:
    """Judge a page by which a site kept this address out; `blocked` counts them, this one included.

    Another address is tried a few times. Then a block that was recognised ends the URL; a bare refusal is what the
    site says to everybody (None: the page is done).
    """
    if detection is None:
        return (
            Release(f"status {status}: another address is tried") if blocked <= params.doubted_cap else None
        )
    what = f"{detection.by} {detection.finding}"
    if blocked <= params.blocked_cap:
        return Release(f"{what}: another address is tried")
    return Bury(FailureKind.BLOCKED, f"{what}, {blocked} times")


def after_shut_out(shut_out: ShutOut, throttled: int, params: RetryParams) -> Retry | Bury:
    """Put a URL off until a proxy may try its site again; all of them are out for it now."""
    reason = FailureKind.BLOCKED if shut_out.by_site else FailureKind.PROXY
    detail = "every proxy is out for this site"
    if throttled >= params.shut_out_cap:
        return Bury(reason, detail)
    return Retry(reason, shut_out.wait_s, detail, throttled=True)
