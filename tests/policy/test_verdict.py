"""The verdict on a visit, as tables: what is known of it, and what becomes of its URL."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.egress import AllProxiesBanned, EgressFailure, EgressFault, FetchFailed
from farm.model.outcome import Bury, FailureKind, Judgement, Release, Retry, SkipReason
from farm.model.page import Detection, Finding
from farm.model.task import Lease, UrlTask
from farm.policy.proxies import Outcome
from farm.policy.retry import RetryParams
from farm.policy.verdict import (
    Attempt,
    Failed,
    answer_of,
    decide,
    needs_new_context,
    outcome_of,
    without_robots,
)

PARAMS = RetryParams(retries=3, base_s=1.0, cap_s=60.0)
LEASE = Lease(UrlTask("http://a.example/1", "a.example", "f"), "01", 1)
PAGE = Attempt(LEASE, 0.0, status=200)
BY_PROXY = replace(PAGE, by_proxy=True)
CAPTCHA = Detection(Finding.CAPTCHA, "datadome", ("x",))
LOGIN = Detection(Finding.LOGIN_WALL, "", ("x",))
FAULT = {fault: EgressFailure(fault, "why") for fault in EgressFault}
SLOT, DEADLINE = Failed(FailureKind.CRASH, "crashed"), Failed(FailureKind.TIMEOUT, "too long")
REQUEST = Failed(FailureKind.NETWORK, "net::ERR", on_request=True)
INNOCENT = Failed(FailureKind.CRASH, "the engine died", innocent=True)


def lost(failed: Failed, fault: EgressFault | None = None) -> Attempt:
    """Return a visit by a proxy that brought no page."""
    return Attempt(LEASE, 0.0, by_proxy=True, failed=failed, egress_failure=FAULT[fault] if fault else None)


def short(fault: EgressFault, status: int = 200, detection: Detection | None = None) -> Attempt:
    """Return a visit by a proxy whose page lacks a part."""
    return replace(BY_PROXY, status=status, detection=detection, egress_failure=FAULT[fault])


def judged(attempt: Attempt, count: int = 1) -> Judgement | None:
    """Decide as the worker does."""
    return decide(attempt, outcome_of(attempt), count, PARAMS)


def again(kind: FailureKind, detail: str) -> Retry:
    """Return the first retry, without jitter."""
    return Retry(kind, 0.5, detail)


@pytest.mark.parametrize("status", [200, 204, 301, 401, 403, 404, 410, 418])
def test_an_answer_is_kept(status: int) -> None:
    """Also one that says that there is nothing, and a block that no other address could get around."""
    for detection in (None, LOGIN, CAPTCHA):
        assert judged(replace(PAGE, status=status, detection=detection)) is None
    assert judged(replace(BY_PROXY, status=200, detection=LOGIN)) is None


PUT_OFF = Retry(FailureKind.NETWORK, 0.5, "why", throttled=True, blocks_site=False)
WITHOUT_PAGE = [
    (lost(REQUEST), Outcome.UNCLEAR, again(FailureKind.NETWORK, "net::ERR"), 0),
    (lost(DEADLINE), Outcome.SLOW, again(FailureKind.TIMEOUT, "too long"), 0),
    (lost(SLOT), Outcome.UNCLEAR, again(FailureKind.CRASH, "crashed"), None),
    (lost(INNOCENT), None, Release("the engine died"), None),
    (lost(INNOCENT, EgressFault.UPSTREAM), None, Release("the engine died"), None),
    (lost(REQUEST, EgressFault.REFUSED), Outcome.UNCLEAR, SkipReason.PRIVATE_NETWORK, None),
    (lost(REQUEST, EgressFault.DNS), Outcome.SLOW, again(FailureKind.NETWORK, "why"), None),
    (lost(REQUEST, EgressFault.CONNECT), Outcome.SLOW, again(FailureKind.NETWORK, "why"), None),
    (lost(REQUEST, EgressFault.TIMEOUT), Outcome.SLOW, again(FailureKind.TIMEOUT, "why"), None),
    (lost(REQUEST, EgressFault.UPSTREAM), Outcome.DOWN, Release("proxy: why"), None),
    (lost(REQUEST, EgressFault.TUNNEL), Outcome.BROKEN, Release("proxy: why"), None),
    (lost(REQUEST, EgressFault.NOT_NOW), Outcome.UNCLEAR, Release("why"), None),
    # What this machine lacks is put off, whatever the visit says of itself.
    (lost(REQUEST, EgressFault.SHORTAGE), Outcome.UNCLEAR, PUT_OFF, None),
    (lost(SLOT, EgressFault.SHORTAGE), Outcome.UNCLEAR, PUT_OFF, None),
    (lost(DEADLINE, EgressFault.SHORTAGE), Outcome.UNCLEAR, PUT_OFF, None),
    (lost(REQUEST, EgressFault.TOO_LARGE), Outcome.UNCLEAR, Bury(FailureKind.TOO_LARGE, "why"), None),
    # A slot that was lost and a deadline have reasons of their own, unless the gateway cut the visit off.
    (lost(SLOT, EgressFault.TUNNEL), Outcome.UNCLEAR, again(FailureKind.CRASH, "crashed"), None),
    (lost(DEADLINE, EgressFault.CONNECT), Outcome.SLOW, again(FailureKind.TIMEOUT, "too long"), 0),
    (lost(SLOT, EgressFault.TOO_LARGE), Outcome.UNCLEAR, Bury(FailureKind.TOO_LARGE, "why"), None),
    (lost(DEADLINE, EgressFault.TOO_LARGE), Outcome.UNCLEAR, Bury(FailureKind.TOO_LARGE, "why"), None),
    # The browser's word about a certificate says more than that the connection was closed.
    (
        lost(Failed(FailureKind.TLS, "cert", on_request=True), EgressFault.TUNNEL),
        Outcome.UNCLEAR,
        again(FailureKind.TLS, "cert"),
        None,
    ),
]


@pytest.mark.parametrize(("attempt", "outcome", "settlement", "answer"), WITHOUT_PAGE)
def test_a_visit_without_a_page(
    attempt: Attempt, outcome: Outcome | None, settlement: Judgement, answer: int | None
) -> None:
    """What it says of the proxy, what becomes of the URL, and what the site's pace learns."""
    assert outcome_of(attempt) is outcome
    assert judged(attempt) == settlement
    assert answer_of(attempt) == answer
    direct = replace(attempt, by_proxy=False)
    assert outcome_of(direct) is None
    assert judged(direct, 0) == settlement
    assert answer_of(direct) == answer


def test_what_this_machine_lacks_is_put_off_so_often() -> None:
    """Ever longer; then a visit without a page has failed, and a page that lacks a part is kept."""
    cap = PARAMS.throttle_cap
    failed, part = lost(REQUEST, EgressFault.SHORTAGE), short(EgressFault.SHORTAGE)
    for attempt in (failed, part):
        delays_s = []
        for throttled in range(cap):
            put_off = judged(replace(attempt, lease=replace(LEASE, throttled=throttled)))
            assert isinstance(put_off, Retry)
            assert (put_off.throttled, put_off.blocks_site) == (True, False)
            delays_s.append(put_off.delay_s)
        assert delays_s == sorted(delays_s)
        assert delays_s[-1] == PARAMS.cap_s / 2
    at_cap = replace(LEASE, throttled=cap)
    assert judged(replace(failed, lease=at_cap)) == again(FailureKind.NETWORK, "why")
    assert judged(replace(part, lease=at_cap)) is None
    assert outcome_of(part) is Outcome.GOOD
    unread = FetchFailed(FailureKind.NETWORK, "x", FAULT[EgressFault.SHORTAGE])
    assert without_robots(unread, LEASE, 0.0, PARAMS) == PUT_OFF
    assert without_robots(unread, at_cap, 0.0, PARAMS) == again(FailureKind.NETWORK, "why")


@pytest.mark.parametrize("failed", [REQUEST, SLOT, DEADLINE])
def test_a_failure_is_retried_as_often_as_asked_for(failed: Failed) -> None:
    """Three retries are four visits."""
    tried = [replace(lost(failed), lease=replace(LEASE, attempt=number)) for number in range(1, 5)]
    assert [type(judged(attempt)) for attempt in tried] == [Retry, Retry, Retry, Bury]


def test_what_a_proxy_breaks_is_given_back_a_few_times() -> None:
    """Then it counts as a failure, or a site behind a black hole would never end; a dead proxy never does."""
    broken, down = lost(REQUEST, EgressFault.TUNNEL), lost(REQUEST, EgressFault.UPSTREAM)
    assert judged(broken, PARAMS.broken_cap) == Release("proxy: why")
    assert judged(broken, PARAMS.broken_cap + 1) == again(FailureKind.PROXY, "why")
    assert judged(down, 10 * PARAMS.broken_cap) == Release("proxy: why")


PAGES = [
    (BY_PROXY, Outcome.GOOD, None),
    (replace(BY_PROXY, status=404), Outcome.GOOD, None),
    (replace(BY_PROXY, status=500), Outcome.GOOD, again(FailureKind.HTTP_5XX, "status 500")),
    (
        replace(BY_PROXY, status=429, delay_s=7.0),
        Outcome.UNCLEAR,
        Retry(FailureKind.THROTTLED, 7.0, "status 429", throttled=True),
    ),
    (
        replace(BY_PROXY, status=429, delay_s=7.0, detection=CAPTCHA),
        Outcome.BLOCKED,
        Release("datadome captcha: another address is tried"),
    ),
    (replace(BY_PROXY, status=403), Outcome.DOUBTED, Release("status 403: another address is tried")),
    (
        replace(BY_PROXY, detection=CAPTCHA),
        Outcome.BLOCKED,
        Release("datadome captcha: another address is tried"),
    ),
    (short(EgressFault.TUNNEL), Outcome.PARTIAL, Release("proxy: why")),
    (short(EgressFault.UPSTREAM), Outcome.DOWN, Release("proxy: why")),
    (short(EgressFault.TOO_LARGE), Outcome.UNCLEAR, Bury(FailureKind.TOO_LARGE, "why")),
    (short(EgressFault.TOO_LARGE, 403, CAPTCHA), Outcome.UNCLEAR, Bury(FailureKind.TOO_LARGE, "why")),
    (
        short(EgressFault.TUNNEL, 200, CAPTCHA),
        Outcome.BLOCKED,
        Release("datadome captcha: another address is tried"),
    ),
    (short(EgressFault.TUNNEL, 403), Outcome.DOUBTED, Release("status 403: another address is tried")),
]


@pytest.mark.parametrize(("attempt", "outcome", "settlement"), PAGES)
def test_a_page_that_a_proxy_brought(
    attempt: Attempt, outcome: Outcome, settlement: Judgement | None
) -> None:
    """What it says of the proxy, and what becomes of the URL the first time."""
    assert outcome_of(attempt) is outcome
    assert judged(attempt) == settlement


def test_a_visit_that_was_cut_off_is_dead_without_a_proxy_too() -> None:
    """It would bring as much the next time."""
    cut = replace(short(EgressFault.TOO_LARGE), by_proxy=False)
    assert outcome_of(cut) is None
    assert judged(cut, 0) == Bury(FailureKind.TOO_LARGE, "why")


def test_a_block_is_tried_by_other_addresses_and_then_ends_the_url() -> None:
    """A refusal that may be meant for every address is kept in the end as the page that it is."""
    block, refused = replace(BY_PROXY, detection=CAPTCHA), replace(BY_PROXY, status=403)
    assert isinstance(judged(block, PARAMS.blocked_cap), Release)
    times = PARAMS.blocked_cap + 1
    assert judged(block, times) == Bury(FailureKind.BLOCKED, f"datadome captcha, {times} times")
    assert isinstance(judged(refused, PARAMS.doubted_cap), Release)
    assert judged(refused, PARAMS.doubted_cap + 1) is None


def test_a_page_that_is_never_whole_is_taken_as_it_is() -> None:
    """What breaks behind every proxy is the page's own; its status still counts."""
    partial = short(EgressFault.TUNNEL)
    assert judged(partial, PARAMS.partial_cap) == Release("proxy: why")
    assert judged(partial, PARAMS.partial_cap + 1) is None
    error = judged(replace(partial, status=502), PARAMS.partial_cap + 1)
    assert error == again(FailureKind.HTTP_5XX, "status 502")


def test_a_document_that_breaks_off_is_visited_again_and_in_the_end_taken_as_it_is() -> None:
    """Its links are missing too; a server that always announces more than it has is no reason to lose the rest."""
    broken = replace(PAGE, broke_off="net::ERR")
    assert judged(broken) == again(FailureKind.NETWORK, "the document broke off: net::ERR")
    last = replace(broken, lease=replace(LEASE, attempt=PARAMS.retries + 1))
    assert judged(last) is None
    assert isinstance(judged(replace(last, status=500)), Bury)


@pytest.mark.parametrize(("detection", "status"), [(CAPTCHA, 200), (None, 403)])
def test_a_rejection_that_is_never_whole_ends_as_well(detection: Detection | None, status: int) -> None:
    """Counted as an incomplete page alone it was released for ever: an incomplete page is kept in the end."""
    assert not isinstance(judged(short(EgressFault.TUNNEL, status, detection), 1000), Release)


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_a_context_that_the_site_rejected_is_replaced(outcome: Outcome | None) -> None:
    """Its cookies would give the next address away; nothing else costs a context."""
    assert needs_new_context(outcome) is (outcome in {Outcome.BLOCKED, Outcome.DOUBTED})


REFUSALS: list[Judgement] = [SkipReason.ROBOTS, Retry(FailureKind.THROTTLED, 9.0), Release("crawl-delay")]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(
    "attempt", [BY_PROXY, replace(BY_PROXY, detection=CAPTCHA), short(EgressFault.TUNNEL)]
)
def test_what_robots_txt_refuses_comes_first(attempt: Attempt, refusal: Judgement) -> None:
    """The page that a redirect led to was not to be visited: it says nothing of the proxy either."""
    refused = replace(attempt, refusal=refusal)
    assert judged(refused) == refusal
    assert outcome_of(refused) is None


def test_a_site_that_shuts_every_proxy_out_ends() -> None:
    """It is waited for a few times."""
    waits = Attempt(LEASE, 0.0, all_banned=AllProxiesBanned(60.0, by_site=True))
    detail = "every proxy is banned for this site"
    assert judged(waits) == Retry(FailureKind.BLOCKED, 60.0, detail, throttled=True)
    assert answer_of(waits) is None
    assert outcome_of(waits) is None
    often = replace(LEASE, throttled=PARAMS.all_banned_cap)
    assert judged(replace(waits, lease=often)) == Bury(FailureKind.BLOCKED, detail)
    by_proxies = replace(waits, lease=often, all_banned=AllProxiesBanned(60.0, by_site=False))
    assert judged(by_proxies) == Bury(FailureKind.PROXY, detail)


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        (PAGE, 200),
        (replace(PAGE, status=503), 503),
        (replace(PAGE, detection=LOGIN), 200),
        (replace(PAGE, detection=CAPTCHA), 0),
        (replace(PAGE, status=429, detection=CAPTCHA), 429),
        (replace(BY_PROXY, detection=CAPTCHA), 200),
    ],
)
def test_what_the_pace_of_a_site_learns_from_a_page(attempt: Attempt, answer: int) -> None:
    """A block is as good as no answer, unless it may be meant for one address, or says what is requested."""
    assert answer_of(attempt) == answer


ELSEWHERE = replace(PAGE, is_elsewhere=True)


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        (replace(ELSEWHERE, status=429, delay_s=7.0), None),
        (replace(ELSEWHERE, status=500), 500),
        (replace(ELSEWHERE, refusal=Retry(FailureKind.THROTTLED, 9.0, throttled=True)), 200),
    ],
)
def test_another_site_that_a_redirect_led_to_puts_off_the_url_alone(
    attempt: Attempt, answer: int | None
) -> None:
    """A block there is the own site's answer: some show theirs at an address of their vendor."""
    judgement = judged(attempt)
    assert isinstance(judgement, Retry)
    assert not judgement.blocks_site
    assert answer_of(attempt) == answer
    own = judged(replace(attempt, is_elsewhere=False))
    assert own == replace(judgement, blocks_site=True)
    blocked = replace(ELSEWHERE, status=429, delay_s=7.0, detection=CAPTCHA)
    assert judged(blocked) == Retry(FailureKind.THROTTLED, 7.0, "status 429", throttled=True)
    assert answer_of(blocked) == 429


attempts = st.builds(
    Attempt,
    lease=st.builds(
        Lease, st.just(LEASE.task), st.just("01"), st.just(1), st.integers(1, 9), st.integers(0, 30)
    ),
    jitter=st.floats(0, 1, exclude_max=True),
    by_proxy=st.booleans(),
    refusal=st.none() | st.sampled_from(REFUSALS),
    all_banned=st.none() | st.builds(AllProxiesBanned, st.floats(1, 60), st.booleans()),
    failed=st.none()
    | st.builds(Failed, st.sampled_from(FailureKind), st.just("x"), st.booleans(), st.booleans()),
    egress_failure=st.none() | st.sampled_from(list(FAULT.values())),
    status=st.integers(200, 599),
    detection=st.sampled_from([None, LOGIN, CAPTCHA]),
    delay_s=st.none() | st.floats(0, 60),
)


@given(attempts, st.integers(0, 100))
def test_whatever_is_known_of_a_visit_it_is_judged(attempt: Attempt, count: int) -> None:
    """Without a page nothing is ever kept, and no delay is less than nothing."""
    settlement = judged(attempt, count)
    if attempt.refusal is not None or attempt.all_banned is not None or attempt.failed is not None:
        assert settlement is not None
    if isinstance(settlement, Retry):
        assert settlement.delay_s >= 0


@given(attempts)
def test_nothing_is_given_back_for_ever(attempt: Attempt) -> None:
    """Of what the URL or its site can cause: only a dead proxy, a turn that did not come or an innocent loss."""
    settlement = judged(attempt, 1000)
    if isinstance(settlement, Release):
        innocent = attempt.failed is not None and attempt.failed.innocent
        fault = attempt.egress_failure.fault if attempt.egress_failure else None
        assert (
            innocent or settlement == attempt.refusal or fault in {EgressFault.UPSTREAM, EgressFault.NOT_NOW}
        )
