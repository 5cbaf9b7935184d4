"""What a failed visit is worth, and when the next one comes."""

from hypothesis import given
from hypothesis import strategies as st

from farm.model.egress import EgressFailure, EgressFault
from farm.model.outcome import Bury, FailureKind, Release, Retry, SkipReason
from farm.policy.retry import (
    Breaker,
    BreakerParams,
    RetryParams,
    after_egress_failure,
    after_failure,
    backoff_s,
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
