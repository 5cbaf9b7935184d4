"""What keys of a view do to a crawl in a real Redis."""

import asyncio
from collections.abc import Callable

import pytest

from farm.cli.run import _want_contexts
from farm.cli.view_keys import KeyCommands, contexts_after
from farm.frontier.frontier import RedisFrontier
from farm.model.event import AdmissionSet, Phase, SlotPhase
from farm.model.outcome import FailureKind
from farm.monitor.browse import Act, Browsing
from farm.monitor.snapshot import Snapshot
from farm.monitor.tally import Tally
from farm.runtime.control import Control
from tests.cli.outside import Outside

SAID_S = 30.0


def at_work(contexts: int, limit: int) -> Snapshot:
    """Return a node of which so many contexts may work."""
    tally = Tally(0.0)
    for number in range(contexts):
        tally.fold(SlotPhase(0.0, f"{number}", Phase.IDLE))
    tally.fold(AdmissionSet(0.0, limit, "memory"))
    return tally.snapshot(1.0)


class Pressed:
    """Keys of a node with four contexts, of which three may work, and what was said."""

    def __init__(self, frontier: RedisFrontier) -> None:
        self.control = Control()
        self.left: list[str] = []
        self.keys = KeyCommands(lambda: self.left.append("left"))
        self._said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

        async def want(change: int, snapshot: Snapshot, node: str) -> str:
            return await _want_contexts(self.control, change, snapshot, node)

        say: Callable[[str, str], None] = lambda level, text: self._said.put_nowait((level, text))  # noqa: E731
        self.keys.begin(frontier, want, say, tells_state=True, where="--crawl shop")

    async def press(self, act: Act) -> tuple[str, str]:
        """Ask for something as the view's thread does; return the level and the words that came of it."""
        await asyncio.to_thread(self.keys.act, act, Browsing(), at_work(4, 3))
        async with asyncio.timeout(SAID_S):
            return await self._said.get()


def test_a_crawl_is_paused_and_goes_on(outside: Outside) -> None:
    """By the same key; also one that was stopped by a command."""

    async def pressed(frontier: RedisFrontier) -> list[str]:
        pressed = Pressed(frontier)
        states = []
        for _ in range(2):
            await pressed.press(Act.PAUSE)
            states.append(await frontier.state())
        await frontier.set_state("stopped")
        assert await pressed.press(Act.PAUSE) == ("info", "the crawl goes on")
        return [*states, await frontier.state()]

    assert outside.frontier(pressed) == ["paused", "running", "running"]


def test_more_and_fewer_contexts_are_wanted(outside: Outside) -> None:
    """One at a time, from how many may work now."""

    async def pressed(frontier: RedisFrontier) -> None:
        pressed = Pressed(frontier)
        assert await pressed.press(Act.FEWER) == ("info", "2 of 4 contexts may work")
        assert pressed.control.wanted == 2
        assert await pressed.press(Act.MORE) == ("info", "4 of 4 contexts may work")

    outside.frontier(pressed)


@pytest.mark.parametrize(
    ("change", "limit", "wanted"), [(1, 3, 4), (1, 4, 4), (-1, 4, 3), (-1, 1, 1), (-1, 0, 1)]
)
def test_there_is_always_one_context_and_never_one_too_many(change: int, limit: int, wanted: int) -> None:
    """Of four."""
    assert contexts_after(change, limit, 4) == wanted


def test_dead_letters_are_read(outside: Outside) -> None:
    """With all that a page of them shows."""
    ids = outside.bury([FailureKind.TIMEOUT, FailureKind.NETWORK])

    async def pressed(frontier: RedisFrontier) -> set[tuple[str, str, str, str]]:
        keys = Pressed(frontier).keys
        keys.act(Act.READ_DEAD, Browsing(), at_work(4, 3))
        await asyncio.sleep(0)
        [reading] = keys.under_way
        await reading
        return {(one.id, one.reason, one.detail, one.where) for one in keys.letters or []}

    assert outside.frontier(pressed) == {
        (ids[0], "timeout", "said so", "--crawl shop"),
        (ids[1], "network", "said so", "--crawl shop"),
    }


def test_after_the_end_keys_do_nothing(outside: Outside) -> None:
    """Nor does a loop that is closed mind them; leaving is always possible before."""

    async def pressed(frontier: RedisFrontier) -> Pressed:
        pressed = Pressed(frontier)
        pressed.keys.act(Act.QUIT, Browsing(), at_work(4, 3))
        await asyncio.sleep(0)
        pressed.keys.end()
        pressed.keys.act(Act.PAUSE, Browsing(), at_work(4, 3))
        await asyncio.sleep(0)
        assert pressed.left == ["left"]
        assert await frontier.state() == "running"
        return pressed

    outside.frontier(pressed).keys.act(Act.PAUSE, Browsing(), at_work(4, 3))


def test_what_fails_is_said(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence, and the view goes on; what takes too long is given up."""

    async def pressed(frontier: RedisFrontier) -> tuple[str, str]:
        pressed = Pressed(frontier)

        async def late() -> str:
            await asyncio.Event().wait()
            return ""

        monkeypatch.setattr("farm.cli.view_keys._WITHIN_S", 0.01)
        monkeypatch.setattr(frontier, "state", late)
        return await pressed.press(Act.PAUSE)

    assert outside.frontier(pressed) == ("error", "pause: Redis has not answered within 0.01 s")
