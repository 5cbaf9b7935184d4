"""Texts of pages, which may have halves of surrogate pairs."""

import json

import pytest

from farm.model.text import printable_json, utf_8, well_formed


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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\x9b31m\x84", r"a\u009b31m\u0084"),
        ("\u202eevil\u200f\u2066", r"\u202eevil\u200f\u2066"),
        ("\x7f\ue000\U000e0041", r"\u007f\ue000\udb40\udc41"),
        ("Ünï → \U0001f600", "Ünï → \U0001f600"),
    ],
)
def test_json_for_a_terminal_has_the_same_values(value: str, shown: str) -> None:
    """And no character by which the terminal would be moved or turned."""
    text = json.dumps({"text": value}, ensure_ascii=False, indent=2)
    printable = printable_json(text)
    assert shown in printable
    assert json.loads(printable) == {"text": value}
    assert all(line.isprintable() for line in printable.split("\n"))
