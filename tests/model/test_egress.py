"""Headers as all renderers read them."""

from time import process_time

import pytest

from farm.model.egress import flat_cdp_headers, flat_headers, media_type_of


def test_values_of_one_name_are_joined() -> None:
    """By commas, but for those whose lines have commas of their own."""
    given = [("A", "1"), ("x-robots-tag", "none"), ("a", "2"), ("X-Robots-Tag", "b: noindex, nofollow")]
    found = {"a": "1, 2", "x-robots-tag": "none\nb: noindex, nofollow"}
    assert flat_headers(given) == found
    assert flat_cdp_headers({"A": "1\n2", "X-Robots-Tag": "none\nb: noindex, nofollow"}) == found


def test_headers_take_time_by_their_number() -> None:
    """A server may write one name 60,000 times: four times as many take some four times as long."""
    took = []
    for count in (50_000, 200_000):
        began = process_time()
        flat_cdp_headers({"a": "b\n" * count})
        took.append(process_time() - began)
    assert took[1] < 10 * took[0] + 0.05


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        ("text/html", "text/html"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("text/html charset=utf-8", "text/html"),
        ("text/html(a comment)", "text/html"),
        ("text/html, charset=utf-8", "text/html"),
        ("text/plain, text/html; charset=utf-8", "text/html"),
        ("application/json, */*", "application/json"),
        ("", ""),
        ("html", ""),
        ("; charset=utf-8", ""),
        ("charset=utf-8", ""),
        ("*/*", ""),
        ("unknown/unknown", ""),
        ("application/unknown; charset=utf-8", ""),
    ],
)
def test_a_media_type_is_read_as_browsers_do(content_type: str, media_type: str) -> None:
    """Sites write it in many ways; what says nothing leaves it to the document's beginning."""
    assert media_type_of(content_type) == media_type
