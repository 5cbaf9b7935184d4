"""The style sheets of a node are kept within bounds, and by site."""

from farm.fetch.sheets import MOST_BYTES, MOST_SHEETS, SheetCache


def test_the_sheets_that_are_kept_have_a_bound() -> None:
    """The oldest go first, by their number and by their size."""
    cache = SheetCache()
    for number in range(MOST_SHEETS + 1):
        cache.keep("a.example", str(number), b"x")
    assert cache.missing("a.example", ["0", "1", "1"]) == ["0"]
    assert cache.expected("a.example") == {"1": b"x"}
    cache.keep("a.example", "large", bytes(MOST_BYTES))
    assert cache.missing("a.example", ["1", "large"]) == ["1"]
    cache.keep("a.example", "2", b"x")
    assert cache.missing("a.example", ["2", "large"]) == ["large"]
    assert cache.missing("b.example", ["2"]) == ["2"]
