"""How many block pages are found, and how many honest pages are taken for one: 60 of each.

Half of each were written before the rules were read (`blind`), half with knowledge of them (`informed`).
"""

from collections.abc import Mapping

import pytest

from farm.detect import detect
from farm.model.page import Detection
from tests.detect.static import rendered, written_pages

HALVES = ("blind", "informed")
LEAST_FOUND = 55
MOST_ALARMS = 1


def judged(kind: str) -> dict[str, Detection | None]:
    """Return what the pages of both halves of a kind are taken for, by name."""
    pages = [page for half in HALVES for page in written_pages(f"{kind}_{half}")]
    assert len({page.name for page in pages}) == len(pages) == 60
    return {page.name: detect(rendered(page)) for page in pages}


def those_that_block(found: Mapping[str, Detection | None]) -> set[str]:
    """Return the names of the pages that are taken for a block."""
    return {name for name, detection in found.items() if detection is not None and detection.blocks}


def test_block_pages_are_found_and_honest_pages_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, with the names of those that are judged wrongly."""
    blocked, honest = judged("blocked"), judged("honest")
    missed = sorted(blocked.keys() - those_that_block(blocked))
    alarms = sorted(name for name, detection in honest.items() if detection is not None)
    found = len(blocked) - len(missed)
    with capsys.disabled():
        print(f"\nfound: {found} of {len(blocked)}; missed: {', '.join(missed) or 'none'}")  # noqa: T201
        print(f"alarms: {len(alarms)} of {len(honest)}; {', '.join(alarms) or 'none'}")  # noqa: T201
    assert found >= LEAST_FOUND
    assert len(alarms) <= MOST_ALARMS


def test_a_block_that_is_found_is_put_down_to_its_vendor() -> None:
    """The name is what users count by."""
    expected = {page.name: page.by for half in HALVES for page in written_pages(f"blocked_{half}")}
    found = judged("blocked")
    named = {name: found[name].by for name in those_that_block(found)}  # type: ignore[union-attr]
    assert named == {name: expected[name] for name in named}
