"""The measurement of contexts by memory says why a crawl does not count."""

import pytest

from bench.density import ContextMemory, fault, main
from farm.model.memory import MIB

GIB = 1024 * MIB


def held(**values: object) -> ContextMemory:
    """Return a crawl of two hundred contexts in two gibibytes."""
    given = {
        "renderer": "light",
        "contexts": 200,
        "used": 200,
        "peak_bytes": 2 * GIB,
        "pages": 1200,
        "pages_per_s": 40.0,
    }
    return ContextMemory(**(given | values))  # type: ignore[arg-type]


def test_contexts_are_counted_by_what_all_processes_need() -> None:
    """Those that have rendered a page."""
    assert held().per_gib == 100
    assert held(used=50).per_gib == 25
    assert held(peak_bytes=0.0).per_gib == 0
    assert held().line().split() == ["light", "200", "of", "200", "2,048", "10.2", "100", "1,200", "40.0"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ""),
        ({"failure": "ended with 4"}, "light: ended with 4"),
        ({"used": 199}, "light: 1 contexts have rendered no page"),
        ({"peak_bytes": 4 * GIB}, "light: 4,096 MiB, more than 3,072"),
    ],
)
def test_a_crawl_that_does_not_count_says_why(values: dict[str, object], said: str) -> None:
    """One that failed, one that did not use its contexts, and one that needed more than it may."""
    assert fault(held(**values), 3 * GIB) == said


def test_a_renderer_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured."""
    with pytest.raises(SystemExit):
        main(["--contexts", "steam=3"])
    assert "steam" in capsys.readouterr().err
