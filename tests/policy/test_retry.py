"""What becomes of a visit."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.detection import Detection, Finding
from farm.model.egress import GateFailure, GateFault
from farm.model.outcome import Bury, FailureKind, Release, Retry, SkipReason
from farm.model.proxy import ShutOut
from farm.policy.retry import (
    RetryParams,
    after_block,
    after_failure,
    after_gate_failure,
    after_shortfall,
    after_shut_out,
    after_status,
    backoff_s,
    retry_after_s,
)

PARAMS = RetryParams(retries=3, base_s=1.0, cap_s=60.0)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
jitters = st.floats(0, 1, exclude_max=True)


@given(attempt=st.integers(1, 50), jitter=jitters)
def test_a_delay_is_between_half_its_step_and_its_step(attempt: int, jitter: float) -> None:
    """And never above the cap."""
    step = min(60.0, 2.0 ** (attempt - 1))
    assert step / 2 <= backoff_s(attempt, jitter, PARAMS) <= step


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 120 ", 120.0),
        ("9" * 10_000, 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2036 12:00:00 GMT", 3600.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_a_date_or_garbage(value: str | None, seconds: float | None) -> None:
    """Ten years and ten thousand digits are cut to the cap."""
    assert retry_after_s(value, NOW, PARAMS) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_breaks_the_farm(value: str) -> None:
    """Whatever a server sends."""
    seconds = retry_after_s(value, NOW, PARAMS)
    assert seconds is None or 0 <= seconds <= PARAMS.retry_after_cap_s


@pytest.mark.parametrize("status", [200, 204, 301, 401, 403, 404, 410, 418])
def test_an_answer_is_done(status: int) -> None:
    """Also one that says that there is nothing."""
    assert after_status(status, None, 1, 0, 0.5, PARAMS) is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_site_puts_a_page_off_and_no_attempt_is_consumed(status: int) -> None:
    """For as long as it says, or with a growing delay."""
    verdict = after_status(status, 7.0, 3, 0, 0.5, PARAMS)
    assert verdict == Retry(FailureKind.THROTTLED, 7.0, f"status {status}", throttled=True)
    without = after_status(status, None, 1, 4, 0.0, PARAMS)
    assert isinstance(without, Retry)
    assert without.delay_s == 8.0


def test_a_site_that_is_busy_for_ever_ends_in_the_dead_letters() -> None:
    """A cap on the number of times keeps it finite."""
    verdict = after_status(429, 1.0, 1, PARAMS.throttle_cap, 0.5, PARAMS)
    assert isinstance(verdict, Bury)
    assert verdict.reason is FailureKind.THROTTLED


def test_failures_are_retried_as_often_as_asked_for() -> None:
    """Three retries are four visits."""
    kinds = [after_failure(FailureKind.NETWORK, "x", attempt, 0.0, PARAMS) for attempt in range(1, 5)]
    assert [type(kind) for kind in kinds] == [Retry, Retry, Retry, Bury]
    assert isinstance(after_failure(FailureKind.CRASH, "x", 1, 0.0, RetryParams(retries=0)), Bury)


def test_a_gate_failure_is_told_apart() -> None:
    """Refused is a late skip, a proxy's fault blemishes nothing, the rest is the network's."""

    def judged(fault: GateFault) -> object:
        return after_gate_failure(GateFailure(fault, "x"), 1, 0.0, PARAMS)

    assert judged(GateFault.REFUSED) is SkipReason.PRIVATE_NETWORK
    assert isinstance(judged(GateFault.UPSTREAM), Release)
    timeout, dns = judged(GateFault.TIMEOUT), judged(GateFault.DNS)
    assert isinstance(timeout, Retry)
    assert timeout.reason is FailureKind.TIMEOUT
    assert isinstance(dns, Retry)
    assert dns.reason is FailureKind.NETWORK


def test_what_a_proxy_breaks_is_given_back_a_few_times() -> None:
    """Then it counts as a failure, or a site behind a black hole would never end; a dead proxy never does."""
    cap = PARAMS.broken_cap
    broken, down = GateFailure(GateFault.TUNNEL, "x"), GateFailure(GateFault.UPSTREAM, "x")
    assert isinstance(after_gate_failure(broken, 1, 0.0, PARAMS, cap), Release)
    counted = after_gate_failure(broken, 1, 0.0, PARAMS, cap + 1)
    assert isinstance(counted, Retry)
    assert counted.reason is FailureKind.PROXY
    assert isinstance(after_gate_failure(broken, PARAMS.retries + 1, 0.0, PARAMS, cap + 1), Bury)
    assert isinstance(after_gate_failure(down, 1, 0.0, PARAMS, 10 * cap), Release)


def test_a_page_that_is_never_whole_is_taken_as_it_is() -> None:
    """What breaks behind every proxy is the page's own."""
    broken = GateFailure(GateFault.TUNNEL, "x")
    assert isinstance(after_shortfall(broken, PARAMS.partial_cap, PARAMS), Release)
    assert after_shortfall(broken, PARAMS.partial_cap + 1, PARAMS) is None


def test_a_visit_that_brings_too_much_is_dead_at_once() -> None:
    """It would bring as much the next time."""
    judged = after_gate_failure(GateFailure(GateFault.TOO_LARGE, "x"), 1, 0.0, PARAMS)
    assert judged == Bury(FailureKind.TOO_LARGE, "x")


def test_a_block_is_tried_by_another_address_and_then_ends_the_url() -> None:
    """A refusal of which nobody knows whom it is meant for is done in the end, as the page that it is."""
    block = Detection(Finding.CAPTCHA, "datadome", ("x",))
    assert isinstance(after_block(block, 200, PARAMS.blocked_cap, PARAMS), Release)
    ended = after_block(block, 200, PARAMS.blocked_cap + 1, PARAMS)
    assert isinstance(ended, Bury)
    assert ended.reason is FailureKind.BLOCKED
    assert isinstance(after_block(None, 403, PARAMS.doubted_cap, PARAMS), Release)
    assert after_block(None, 403, PARAMS.doubted_cap + 1, PARAMS) is None


def test_a_site_that_shuts_every_proxy_out_ends() -> None:
    """It is waited for a few times."""
    waits = after_shut_out(ShutOut(60.0, by_site=True), 0, PARAMS)
    assert isinstance(waits, Retry)
    assert (waits.delay_s, waits.throttled) == (60.0, True)
    assert waits.reason is FailureKind.BLOCKED
    ended = after_shut_out(ShutOut(60.0, by_site=False), PARAMS.shut_out_cap, PARAMS)
    assert isinstance(ended, Bury)
    assert ended.reason is FailureKind.PROXY


def test_a_date_in_another_zone_counts_from_now() -> None:
    """As RFC 9110 wants dates, and as some servers write them."""
    there = (NOW + timedelta(seconds=60)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    assert retry_after_s(there, NOW, PARAMS) == 60.0
