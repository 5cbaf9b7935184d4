"""How a site asks for fewer requests, and what a URL is put off by."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.outcome import Bury, FailureKind, Retry
from farm.policy.retry import RetryParams
from farm.policy.throttling import THROTTLING, put_off, retry_after_s, throttle_delay_s

PARAMS = RetryParams(retries=3, base_s=1.0, cap_s=60.0)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 120 ", 120.0),
        ("9" * 10_000, 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2036 12:00:00 GMT", 3600.0),
        ("Mon, 01 Jan 99999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2030 99999999999999:00:00 GMT", None),
        ("Mon, 01 Jan 2030 00:00:00 +99999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 3600.0),
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
    assert throttle_delay_s(status, {"retry-after": "0"}, 4, NOW, 0.0, PARAMS) == 0.0
    delays = [throttle_delay_s(status, {}, before, NOW, 0.0, PARAMS) for before in (0, 1, 4, 50)]
    assert delays == [0.5, 1.0, 8.0, 30.0]
    assert throttle_delay_s(status, {"retry-after": "soon"}, 0, NOW, 0.5, PARAMS) == 0.75


def test_a_url_is_put_off_without_an_attempt_until_the_cap() -> None:
    """A site that throttles for ever ends in the dead letters."""
    put = put_off(429, 7.0, PARAMS.throttle_cap - 1, PARAMS)
    assert put == Retry(FailureKind.THROTTLED, 7.0, "status 429", throttled=True)
    ended = put_off(503, 7.0, PARAMS.throttle_cap, PARAMS)
    assert ended == Bury(FailureKind.THROTTLED, f"status 503, put off {PARAMS.throttle_cap} times")
