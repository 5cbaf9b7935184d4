"""A node among the others of its crawl: whether it may begin."""

import logging

import pytest

from farm.model.errors import CrawlHalted
from farm.runtime import presence
from farm.runtime.presence import wait_while_halted


class States:
    """What the crawl is, each time that somebody asks; the last one stays."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)
        self.asked = 0

    async def __call__(self) -> str:
        """Return the next state."""
        self.asked += 1
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


def said(state: str) -> str:
    """Return the sentence."""
    return f"it is {state}"


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_a_node_begins_unless_the_crawl_is_halted(state: str) -> None:
    """It is asked once; whoever is paused has its nodes there already."""
    states = States(state)
    await wait_while_halted(states, said, stays=False, within_s=None)
    assert states.asked == 1


@pytest.mark.parametrize("state", ["draining", "stopped"])
async def test_nobody_begins_in_a_crawl_that_is_halted(state: str) -> None:
    """The sentence says what it is."""
    with pytest.raises(CrawlHalted, match=f"^it is {state}$"):
        await wait_while_halted(States(state), said, stays=False, within_s=None)


async def test_a_node_that_stays_waits_for_the_crawl_to_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, before there is a log."""
    monkeypatch.setattr(presence, "HALTED_EVERY_S", 0.0)
    caplog.set_level(logging.WARNING, "farm.halted")
    states = States("draining", "draining", "stopped", "running")
    await wait_while_halted(states, said, stays=True, within_s=60.0)
    assert states.asked == 4
    assert [record.getMessage() for record in caplog.records] == [
        "farm: it is draining Waiting for that (--stay)."
    ]


async def test_a_node_that_stays_waits_no_longer_than_it_may_run() -> None:
    """Then it ends as one that does not wait."""
    with pytest.raises(CrawlHalted, match=r"^it is stopped$"):
        await wait_while_halted(States("stopped"), said, stays=True, within_s=0.0)
