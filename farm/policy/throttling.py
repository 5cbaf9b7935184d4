"""Throttling answers: how a site asks for fewer requests, and how long a URL is put off for it.

Pure: the time comes in as `now`, chance as `jitter` in [0, 1). The delay of an answer is computed once per
visit: the block of the site and the settlement of the URL use the same one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from farm.model.outcome import Bury, FailureKind, Retry
from farm.policy.retry import RetryParams, backoff_s

TOO_MANY_REQUESTS = 429
SERVICE_UNAVAILABLE = 503
_LONGEST_DATE = 64
THROTTLING = frozenset({TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE})
"""The statuses by which a site asks for fewer requests (RFC 6585, RFC 9110)."""


def retry_after_s(value: str | None, now: datetime, params: RetryParams) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number or an HTTP date), at most the cap.

    None where it is missing or unreadable.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Cut before converting: a site may send ten thousand digits, which int() would refuse.
        return min(params.retry_after_cap_s, float(text[:12]))
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
    """Return how long an answer puts its URL off, in seconds; None where its status does not throttle.

    The site's own Retry-After counts; without one the delay grows with `throttled`, the number of times that
    the URL was put off before. The names of the headers are in lower case.
    """
    if status not in THROTTLING:
        return None
    asked_s = retry_after_s(headers.get("retry-after"), now, params)
    return backoff_s(throttled + 1, jitter, params) if asked_s is None else asked_s


def put_off(status: int, delay_s: float, throttled: int, params: RetryParams) -> Retry | Bury:
    """Settle a URL whose site throttles: visit it later without consuming an attempt, or give it up at the cap."""
    if throttled >= params.throttle_cap:
        return Bury(FailureKind.THROTTLED, f"status {status}, put off {throttled} times")
    return Retry(FailureKind.THROTTLED, delay_s, f"status {status}", throttled=True)
