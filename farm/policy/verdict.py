"""The verdict on a visit: how its URL is settled, and what the visit says about its site and its proxy.

Pure: the visit gathers an `Attempt`, calls `answer_of`, `outcome_of` and `decide`, and carries out the results.
The rules are checked in one order, and the first that applies decides:

    robots.txt refuses -> no proxy may be used -> no page came -> the page was cut off -> a block
        -> a part is missing -> the status -> the document broke off -> kept

Status codes of robots.txt by RFC 9309 as Google reads it: 2xx are rules; any other answer allows all, except that
a server which is overloaded or broken (429, 5xx) forbids all until it answers again. No answer at all is judged as
a visit that failed in the same way, and the page is not requested.

A redirect may lead to a site of another domain. What that answers, and its robots.txt, put off the URL alone: the
pace of the URL's own site learns nothing from them. A block is the own site's all the same: some are shown there.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from farm.model.egress import AllProxiesBanned, EgressFailure, EgressFault, FetchFailed
from farm.model.handling import PageFailed, PageRetried
from farm.model.outcome import Bury, FailureKind, Judgement, Release, Retry
from farm.model.page import Detection
from farm.model.task import Lease
from farm.policy.proxies import Outcome, after_error, after_fault, after_page
from farm.policy.retry import (
    THROTTLING,
    TOO_MANY_REQUESTS,
    RetryParams,
    after_egress_failure,
    after_failure,
    after_shortage,
    backoff_s,
    by_browser_first,
    put_off,
    requested_settlement,
)

LONGEST_CRAWL_DELAY_S = 60.0
"""A longer crawl-delay is cut to this: some files say a day."""
ROBOTS_RULES_S = 24 * 3600.0
"""The RFC's longest life of a cached file."""
ROBOTS_CLOSED_S = 10.0
ROBOTS_FAILED_S = 5.0
SERVER_ERRORS = range(500, 600)
_REJECTED = frozenset({Outcome.BLOCKED, Outcome.DOUBTED})


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a visit returned no page.

    `on_request` says that the main request failed, and not the slot or the deadline. `innocent` says that the
    URL did not cause the loss of its slot.
    """

    kind: FailureKind
    detail: str
    on_request: bool = False
    innocent: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """The facts of one visit after its end.

    `refusal` is the answer of robots.txt to the address that the visit ended at. Without a page `failed` or
    `all_banned` is set; with one, `status`, what it was detected as, how long a throttling answer puts its URL
    off (`delay_s`), and how its document `broke_off`, if it did. `egress_failure` is the gateway's: of the main
    request where it `failed`, else of a part that the page lacks. `is_taken` says that the page is a cheaper
    renderer's by `--render auto`, and was not compared with the browser's; `is_elsewhere` that its site is of
    another domain than the URL's.
    """

    lease: Lease
    jitter: float
    by_proxy: bool = False
    refusal: Judgement | None = None
    all_banned: AllProxiesBanned | None = None
    failed: Failed | None = None
    egress_failure: EgressFailure | None = None
    status: int = 0
    detection: Detection | None = None
    delay_s: float | None = None
    broke_off: str = ""
    is_taken: bool = False
    is_elsewhere: bool = False

    @property
    def is_of_other_site(self) -> bool:
        """Whether what was answered says nothing about the URL's own site."""
        return self.is_elsewhere and not self.is_blocked

    @property
    def is_blocked(self) -> bool:
        """Whether the site showed a block in place of the page."""
        return self.detection is not None and self.detection.blocks


def answer_of(attempt: Attempt) -> int | None:
    """Return the status from which the site's pace is learnt; 0 without an answer, None if nothing is learnt.

    A block counts as no answer unless it may concern only one of several addresses.
    """
    failed = attempt.failed
    if attempt.all_banned is not None:
        return None
    if failed is None:
        if attempt.is_of_other_site and attempt.status in THROTTLING:
            return None
        is_for_all = attempt.is_blocked and attempt.status not in THROTTLING and not attempt.by_proxy
        return 0 if is_for_all else attempt.status
    if failed.innocent or _egress_failure(attempt, failed) is not None:
        return None
    return 0 if failed.kind in {FailureKind.NETWORK, FailureKind.TIMEOUT} else None


def outcome_of(attempt: Attempt) -> Outcome | None:
    """Return what the visit says about its proxy; None if it used none, or says nothing."""
    failed = attempt.failed
    if not attempt.by_proxy or attempt.refusal is not None or attempt.all_banned is not None:
        return None
    if failed is not None:
        if failed.innocent:
            return None
        failure = _egress_failure(attempt, failed)
        return after_error(failed.kind) if failure is None else after_fault(failure.fault)
    failure = attempt.egress_failure
    if failure is not None and failure.fault is EgressFault.SHORTAGE:
        failure = None
    if failure is not None and failure.fault is not EgressFault.TUNNEL:
        return after_fault(failure.fault)
    outcome = after_page(attempt.status, blocked=attempt.is_blocked)
    # A rejected address says more than a missing part of the rejection. Counted as an incomplete page, which is
    # kept in the end, it would never reach the cap of blocks.
    return outcome if failure is None or outcome in _REJECTED else Outcome.PARTIAL


def needs_new_context(outcome: Outcome | None) -> bool:
    """Return whether the context must be closed: its cookies identify it as blocked to the site."""
    return outcome in _REJECTED


def decide(attempt: Attempt, outcome: Outcome | None, count: int, params: RetryParams) -> Judgement | None:
    """Return how the visit is settled; None if its page is kept.

    `outcome` is that of `outcome_of`, and `count` how many visits of this URL had it, this one included.
    """
    judged = _decided(attempt, outcome, count, params)
    return (
        replace(judged, blocks_site=False)
        if attempt.is_of_other_site and isinstance(judged, Retry)
        else judged
    )


def _decided(attempt: Attempt, outcome: Outcome | None, count: int, params: RetryParams) -> Judgement | None:
    if attempt.refusal is not None:
        return attempt.refusal
    if attempt.all_banned is not None:
        return _after_all_banned(attempt.all_banned, attempt.lease.throttled, params)
    if attempt.failed is not None:
        return _after_no_page(attempt, attempt.failed, count, params)
    judged = _after_incomplete_page(attempt, outcome, count, params)
    return _after_status(attempt, params) if judged is None else judged


def after_user_code(attempt: Attempt, asked: PageRetried | PageFailed, params: RetryParams) -> Retry | Bury:
    """Return the settlement that the user's code requests for a page; its retries count like those of failures."""
    judged = requested_settlement(asked, attempt.lease.attempt, attempt.jitter, params)
    return by_browser_first(judged.detail) if attempt.is_taken and isinstance(judged, Bury) else judged


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


def while_robots_closed(
    status: int, retry_after: float | None, throttled: int, jitter: float, params: RetryParams
) -> Retry | Bury:
    """Delay a visit while robots.txt is unavailable; give the URL up at the throttle cap."""
    detail = f"robots.txt answers with status {status}"
    if throttled >= params.throttle_cap:
        return Bury(FailureKind.THROTTLED, f"{detail}; put off {throttled} times")
    delay_s = max(
        retry_after or 0.0, ROBOTS_CLOSED_S * (1 + jitter), backoff_s(throttled + 1, jitter, params)
    )
    return Retry(FailureKind.THROTTLED, delay_s, detail, throttled=True)


def without_robots(failed: FetchFailed, lease: Lease, jitter: float, params: RetryParams) -> Judgement:
    """Judge a visit whose robots.txt could not be fetched."""
    failure = failed.egress_failure
    if failure is not None and failure.fault is not EgressFault.TUNNEL:
        return after_egress_failure(failure, lease.attempt, jitter, params, throttled=lease.throttled)
    return after_failure(failed.kind, f"robots.txt: {failed.detail}", lease.attempt, jitter, params)


def _egress_failure(attempt: Attempt, failed: Failed) -> EgressFailure | None:
    """Return the gateway's failure where it explains that no page came.

    The browser's own error about TLS says more than that the connection broke. A lost slot and a missed
    deadline have other reasons, unless the gateway cut the visit off or this machine had no descriptor left.
    """
    failure = attempt.egress_failure
    if failure is None or failure.fault in {EgressFault.TOO_LARGE, EgressFault.SHORTAGE}:
        return failure
    return failure if failed.on_request and failed.kind is not FailureKind.TLS else None


def _after_no_page(attempt: Attempt, failed: Failed, count: int, params: RetryParams) -> Judgement:
    if failed.innocent:
        return Release(failed.detail)
    if attempt.is_taken and failed.kind is FailureKind.HANDLER:
        return by_browser_first(failed.detail)
    attempts, jitter = attempt.lease.attempt, attempt.jitter
    failure = _egress_failure(attempt, failed)
    if failure is not None:
        return after_egress_failure(failure, attempts, jitter, params, count, attempt.lease.throttled)
    return after_failure(failed.kind, failed.detail, attempts, jitter, params)


def _after_incomplete_page(
    attempt: Attempt, outcome: Outcome | None, count: int, params: RetryParams
) -> Judgement | None:
    """Judge a page that is a block or incomplete; None if it is kept as it is."""
    failure, lease = attempt.egress_failure, attempt.lease
    if failure is not None and failure.fault is EgressFault.SHORTAGE:
        if lease.throttled < params.throttle_cap:
            return after_shortage(failure, lease.attempt, lease.throttled, attempt.jitter, params)
        failure = None  # in the end the page is better than none
    if failure is not None and failure.fault is not EgressFault.TUNNEL:
        return after_egress_failure(failure, lease.attempt, attempt.jitter, params, count)
    if outcome in _REJECTED:
        block = attempt.detection if outcome is Outcome.BLOCKED else None
        return _after_block(block, attempt.status, count, params)
    if failure is None:
        return None
    # A part that breaks behind every proxy is the page's fault.
    return Release(f"proxy: {failure.detail}") if count <= params.partial_cap else None


def _after_block(
    detection: Detection | None, status: int, count: int, params: RetryParams
) -> Release | Bury | None:
    """Try other addresses a few times; then a recognised block ends the URL.

    A bare refusal (401, 403) is then taken as the site's answer to everyone: the page is kept.
    """
    if detection is None:
        return Release(f"status {status}: another address is tried") if count <= params.doubted_cap else None
    what = f"{detection.by} {detection.finding}"
    if count <= params.blocked_cap:
        return Release(f"{what}: another address is tried")
    return Bury(FailureKind.BLOCKED, f"{what}, {count} times")


def _after_all_banned(all_banned: AllProxiesBanned, throttled: int, params: RetryParams) -> Retry | Bury:
    """Delay a URL until a proxy may try its site again: every one is banned for it now."""
    reason = FailureKind.BLOCKED if all_banned.by_site else FailureKind.PROXY
    detail = "every proxy is banned for this site"
    if throttled >= params.all_banned_cap:
        return Bury(reason, detail)
    return Retry(reason, all_banned.wait_s, detail, throttled=True)


def _after_status(attempt: Attempt, params: RetryParams) -> Retry | Bury | None:
    lease, status = attempt.lease, attempt.status
    if attempt.delay_s is not None:
        return put_off(status, attempt.delay_s, lease.throttled, params)
    if status in SERVER_ERRORS:
        detail = f"status {status}"
        return after_failure(FailureKind.HTTP_5XX, detail, lease.attempt, attempt.jitter, params)
    if attempt.broke_off and lease.attempt <= params.retries:
        # Its links are missing too. In the end it is kept: some servers announce more than they have.
        detail = f"the document broke off: {attempt.broke_off}"
        return after_failure(FailureKind.NETWORK, detail, lease.attempt, attempt.jitter, params)
    return None
