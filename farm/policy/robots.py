"""What robots.txt decides about a visit: go, skip, or put it off.

Status codes by RFC 9309 as Google reads it: 2xx are rules; any other answer allows all, except that a server which
is overloaded or broken (429, 5xx) forbids all until it answers again. No answer at all is judged as a visit that
failed in the same way, and the page is not requested.
"""

from enum import StrEnum

from farm.model.egress import EgressFault, FetchFailed
from farm.model.outcome import Bury, FailureKind, Judgement, Retry
from farm.policy.retry import TOO_MANY_REQUESTS, RetryParams, after_egress_failure, after_failure, backoff_s

LONGEST_CRAWL_DELAY_S = 60.0
"""A longer crawl-delay is cut to this: some files ask for a day."""
RULES_S = 24 * 3600.0
"""The RFC's longest life of a cached file."""
CLOSED_S = 10.0
FAILED_S = 5.0


class RobotsAnswer(StrEnum):
    """The meaning of a status of robots.txt."""

    RULES = "rules"
    OPEN = "open"
    CLOSED = "closed"


def robots_answer(status: int) -> RobotsAnswer:
    """Return the meaning of the last answer's status, a redirect's where there were too many."""
    if 200 <= status < 300:  # noqa: PLR2004
        return RobotsAnswer.RULES
    if status >= 500 or status == TOO_MANY_REQUESTS:  # noqa: PLR2004
        return RobotsAnswer.CLOSED
    return RobotsAnswer.OPEN


def crawl_delay_s(asked: float | None) -> float:
    """Return the spacing of visits in seconds for a crawl-delay; 0 without one."""
    return min(asked or 0.0, LONGEST_CRAWL_DELAY_S)


def while_closed(
    status: int, retry_after: float | None, throttled: int, jitter: float, params: RetryParams
) -> Retry | Bury:
    """Put a visit off while robots.txt is unavailable; give the URL up at the throttle cap."""
    detail = f"robots.txt answers with status {status}"
    if throttled >= params.throttle_cap:
        return Bury(FailureKind.THROTTLED, f"{detail}; put off {throttled} times")
    delay_s = max(retry_after or 0.0, CLOSED_S * (1 + jitter), backoff_s(throttled + 1, jitter, params))
    return Retry(FailureKind.THROTTLED, delay_s, detail, throttled=True)


def without_answer(failed: FetchFailed, attempt: int, jitter: float, params: RetryParams) -> Judgement:
    """Judge a visit whose robots.txt could not be fetched."""
    if failed.egress_failure is not None and failed.egress_failure.fault is not EgressFault.TUNNEL:
        return after_egress_failure(failed.egress_failure, attempt, jitter, params)
    return after_failure(failed.kind, f"robots.txt: {failed.detail}", attempt, jitter, params)
