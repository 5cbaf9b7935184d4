"""What a page shows, compared by its hash."""

import unicodedata
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from farm.model.page import _LONG_RUN, ContentHash


def test_the_hash_is_that_of_the_normalised_text() -> None:
    """So that anybody who has a record can compute it."""
    assert ContentHash.of("one\n two\t\u00a0three ") == ContentHash(sha256(b"one two three").hexdigest(), 13)
    assert ContentHash.of("").hex is ContentHash.of(" \n").hex is None
    assert ContentHash.of("a").hex != ContentHash.of("b").hex


@given(st.text(max_size=30))
def test_it_is_the_same_for_what_reads_the_same(text: str) -> None:
    """Composed or decomposed, with any white space; and the same when it is normalised again."""
    found = ContentHash.of(text)
    expected = " ".join(unicodedata.normalize("NFC", text).split())
    assert found == ContentHash(sha256(expected.encode()).hexdigest() if expected else None, len(expected))
    assert found == ContentHash.of(unicodedata.normalize("NFD", text.replace(" ", "\n  ")))
    assert found == ContentHash.of(expected)


def test_half_of_a_surrogate_pair_counts_as_what_a_sink_writes_for_it() -> None:
    """Whoever has only the record comes to the same."""
    assert ContentHash.of("a\ud800b") == ContentHash.of("a\ufffdb")


def test_marks_without_end_are_left_in_their_order() -> None:
    """To order a million of them takes twenty minutes; a run within Unicode's bound is ordered."""
    unordered = "a" + "\u0315\u0300" * 10_000
    assert ContentHash.of(unordered).hex == sha256(unordered.encode()).hexdigest()
    bounded = ("a" + "\u0315\u0300" * 15) * 1_000
    expected = unicodedata.normalize("NFC", bounded)
    assert expected != bounded
    assert ContentHash.of(bounded).hex == sha256(expected.encode()).hexdigest()


def test_no_run_of_marks_is_missed() -> None:
    """Whatever their script."""
    marks = [mark for mark in map(chr, range(0x110000)) if unicodedata.combining(mark)]
    assert len(marks) > 900
    assert [hex(ord(mark)) for mark in marks if not _LONG_RUN.match(mark * 31)] == []
    assert not any(map(_LONG_RUN.search, ("─" * 40, "😀" * 40, "漢" * 40, "é" * 40, "…" * 40)))
