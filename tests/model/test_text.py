"""Texts of pages, which may have halves of surrogate pairs."""

import pytest

from farm.model.text import utf_8, well_formed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("a\0\ufffd\U0001f600", "a\0\ufffd\U0001f600"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00b\ud83d\ud83d\ude00", "\ufffdb\ufffd\U0001f600"),
    ],
)
def test_half_of_a_pair_is_replaced_and_a_pair_in_two_is_joined(text: str, expected: str) -> None:
    """As JavaScript's `toWellFormed` has it."""
    assert well_formed(text) == expected
    assert utf_8(text) == expected.encode()
