"""Charts of characters."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.model.crawl import Ledger
from farm.monitor.chart import bar_chart, ledger_bar, nice_top
from farm.monitor.figures import ASCII, UNICODE

NUMBERS = st.integers(-5, 10**12)


@pytest.mark.parametrize(
    ("value", "top"),
    [(0.0, 1.0), (0.7, 0.8), (1.0, 1.0), (1.1, 1.5), (13.0, 15.0), (42.0, 50.0), (99.0, 100.0)],
)
def test_the_axis_ends_at_a_round_number(value: float, top: float) -> None:
    """Not below the highest bar."""
    assert nice_top(value) == pytest.approx(top)


def test_the_newest_bar_is_at_the_right_and_the_axis_says_when() -> None:
    """Bars have eighths of a row; the scale is at the left, the time below."""
    lines = [line.plain for line in bar_chart([0.0, 1.0, 2.0, 4.0], 2.0, 31, 6, UNICODE)]
    assert lines[0] == "     4┤" + " " * 21 + "█"
    assert [line[-3:] for line in lines[:4]] == ["  █", "  █", " ██", "███"]
    assert lines[2][:7] == "     2┤"
    assert lines[4] == "     0└──────┴──────────────┴"
    assert lines[5].endswith("now")
    assert "-30s" in lines[5]


@example(values=[float("inf"), 5e-324, 1e308, -1.0], width=80, rows=12)
@given(values=st.lists(st.floats()), width=st.integers(0, 200), rows=st.integers(0, 30))
def test_a_chart_never_leaves_its_place(values: list[float], width: int, rows: int) -> None:
    """Whatever its values are, those of another node's report included."""
    lines = bar_chart(values, 2.0, width, rows, ASCII)
    assert len(lines) <= rows
    assert all(line.cell_len <= width and line.plain.isascii() for line in lines)


@given(counts=st.tuples(*[NUMBERS] * 6), width=st.integers(0, 150))
def test_the_ledgers_bar_has_its_width_and_every_state(counts: tuple[int, ...], width: int) -> None:
    """What there is one of has a cell, as far as there is room."""
    ledger = Ledger(*counts)
    line = ledger_bar(ledger, width, UNICODE)
    assert line.cell_len == width
    states = (ledger.done, ledger.dead, ledger.leased, ledger.delayed, ledger.queued)
    if width >= len(states) and any(one > 0 for one in states):
        for sign, number in zip(UNICODE.states, states, strict=True):
            assert (sign in line.plain) == (number > 0)
