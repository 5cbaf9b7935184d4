"""What a failed visit or a throttling answer is worth, and when the next visit comes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.egress import EgressFailure, EgressFault
from farm.model.outcome import Bury, FailureKind, Release, Retry, SkipReason
from farm.policy.retry import (
    THROTTLING,
    Breaker,
    BreakerParams,
    RetryParams,
    after_egress_failure,
    after_failure,
    backoff_s,
    put_off,
    retry_after_s,
    throttle_delay_s,
)

PARAMS = RetryParams(retries=3, base_s=1.0, cap_s=60.0)
jitters = st.floats(0, 1, exclude_max=True)


@given(attempt=st.integers(1, 50), jitter=jitters)
def test_a_delay_is_between_half_its_step_and_its_step(attempt: int, jitter: float) -> None:
    """And never above the cap."""
    step = min(60.0, 2.0 ** (attempt - 1))
    assert step / 2 <= backoff_s(attempt, jitter, PARAMS) <= step


def test_failures_are_retried_as_often_as_asked_for() -> None:
    """Three retries are four visits."""
    kinds = [after_failure(FailureKind.NETWORK, "x", attempt, 0.0, PARAMS) for attempt in range(1, 5)]
    assert [type(kind) for kind in kinds] == [Retry, Retry, Retry, Bury]
    assert isinstance(after_failure(FailureKind.CRASH, "x", 1, 0.0, RetryParams(retries=0)), Bury)


def test_a_slot_proxy_failure_is_told_apart() -> None:
    """Refused is a late skip, a proxy's fault blemishes nothing, the rest is the network's."""

    def judged(fault: EgressFault) -> object:
        return after_egress_failure(EgressFailure(fault, "x"), 1, 0.0, PARAMS)

    assert judged(EgressFault.REFUSED) is SkipReason.PRIVATE_NETWORK
    assert isinstance(judged(EgressFault.UPSTREAM), Release)
    timeout, dns = judged(EgressFault.TIMEOUT), judged(EgressFault.DNS)
    assert isinstance(timeout, Retry)
    assert timeout.reason is FailureKind.TIMEOUT
    assert isinstance(dns, Retry)
    assert dns.reason is FailureKind.NETWORK


def test_what_a_proxy_breaks_is_given_back_a_few_times() -> None:
    """Then it counts as a failure, or a site behind a black hole would never end; a dead proxy never does."""
    cap = PARAMS.broken_cap
    broken, down = EgressFailure(EgressFault.TUNNEL, "x"), EgressFailure(EgressFault.UPSTREAM, "x")
    assert isinstance(after_egress_failure(broken, 1, 0.0, PARAMS, cap), Release)
    counted = after_egress_failure(broken, 1, 0.0, PARAMS, cap + 1)
    assert isinstance(counted, Retry)
    assert counted.reason is FailureKind.PROXY
    assert isinstance(after_egress_failure(broken, PARAMS.retries + 1, 0.0, PARAMS, cap + 1), Bury)
    assert isinstance(after_egress_failure(down, 1, 0.0, PARAMS, 10 * cap), Release)


def test_a_visit_that_brings_too_much_is_dead_at_once() -> None:
    """It would bring as much the next time."""
    judged = after_egress_failure(EgressFailure(EgressFault.TOO_LARGE, "x"), 1, 0.0, PARAMS)
    assert judged == Bury(FailureKind.TOO_LARGE, "x")


@given(jitters)
def test_the_breaker_opens_after_failures_in_a_row(jitter: float) -> None:
    """A success closes it; each failure lengthens the pause."""
    params, breaker, pauses = BreakerParams(failures=5), Breaker(), []
    for _ in range(5):
        assert not breaker.is_open(params)
        pauses.append(breaker.pause_s(jitter, params))
        breaker = breaker.after(success=False)
    assert breaker.is_open(params)
    assert pauses == sorted(pauses)
    assert pauses[0] == 0
    assert not breaker.after(success=True).is_open(params)


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 120 ", 120.0),
        ("86000", 86_000.0),
        ("86400, 30", 86_400.0),
        ("1.5", 1.5),
        ("1, soon", None),
        ("1..5", None),
        ("," * 100_000, None),
        ("9" * 10_000, 86_400.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2036 12:00:00 GMT", 86_400.0),
        ("Mon, 01 Jan 99999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2030 99999999999999:00:00 GMT", None),
        ("Mon, 01 Jan 2030 00:00:00 +99999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86_400.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Mon, " * 100_000, None),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_a_date_or_unreadable(value: str | None, seconds: float | None) -> None:
    """Ten years and ten thousand digits are cut to the cap."""
    assert retry_after_s(value, NOW, PARAMS) == seconds


DATES = st.from_regex(
    r"\w{3}, \d{1,20} (Jan|Feb) \d{1,20} \d{1,20}:\d+(:\d+)? ([+-]\d{1,20}|GMT)", fullmatch=True
)


@given(st.text(max_size=60) | DATES)
def test_no_retry_after_breaks_the_farm(value: str) -> None:
    """Whatever a server sends."""
    seconds = retry_after_s(value, NOW, PARAMS)
    assert seconds is None or 0 <= seconds <= PARAMS.retry_after_cap_s


def test_a_date_in_another_zone_counts_from_now() -> None:
    """As RFC 9110 wants dates, and as some servers write them."""
    there = (NOW + timedelta(seconds=60)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    assert retry_after_s(there, NOW, PARAMS) == 60.0


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 425, 500, 502, 504])
def test_other_answers_do_not_throttle(status: int) -> None:
    """Also with a Retry-After: a redirect or an error may have one, and it asks for nothing of the site."""
    assert throttle_delay_s(status, {"retry-after": "9"}, 0, NOW, 0.5, PARAMS) is None


@pytest.mark.parametrize("status", sorted(THROTTLING))
def test_an_answer_that_throttles_says_for_how_long(status: int) -> None:
    """By its Retry-After; without a readable one the delay grows with the times before, up to the cap."""
    assert throttle_delay_s(status, {"retry-after": "7"}, 4, NOW, 0.0, PARAMS) == 7.0
    of_nought = [
        throttle_delay_s(status, {"retry-after": "0"}, times, NOW, 0.0, PARAMS) for times in (0, 1, 4)
    ]
    assert of_nought == [0.0, 1.0, 8.0], "it would be given up within a second"
    delays = [throttle_delay_s(status, {}, before, NOW, 0.0, PARAMS) for before in (0, 1, 4, 50)]
    assert delays == [0.5, 1.0, 8.0, 30.0]
    assert throttle_delay_s(status, {"retry-after": "soon"}, 0, NOW, 0.5, PARAMS) == 0.75


def test_a_url_is_put_off_without_an_attempt_until_the_cap() -> None:
    """A site that throttles for ever ends in the dead letters."""
    put = put_off(429, 7.0, PARAMS.throttle_cap - 1, PARAMS)
    assert put == Retry(FailureKind.THROTTLED, 7.0, "status 429", throttled=True)
    most_s = PARAMS.retry_after_cap_s
    told = "status 503; Retry-After says 24 hours or more, and 24 are waited"
    assert put_off(503, most_s, 0, PARAMS) == Retry(FailureKind.THROTTLED, most_s, told, throttled=True)
    ended = put_off(503, 7.0, PARAMS.throttle_cap, PARAMS)
    assert ended == Bury(FailureKind.THROTTLED, f"status 503, put off {PARAMS.throttle_cap} times")
