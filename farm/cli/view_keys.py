"""The commands of a view's keys: pause a crawl, let more or fewer contexts work, read its dead letters."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from farm.frontier.dead import DeadLetter
from farm.frontier.frontier import RedisFrontier
from farm.model.errors import FarmError
from farm.monitor.browse import Act, Browsing, ViewPage
from farm.monitor.snapshot import Snapshot
from farm.monitor.tables import DeadRow

MOST_LETTERS = 500
"""How many dead letters are read; a page of `farm dead list` has them all."""
_MOST_AT_ONCE = 4
"""Keys are ignored while this many commands are running."""
_WITHIN_S = 5.0

Want = Callable[[int, Snapshot, str], Awaitable[str]]
"""Lets one context more or fewer (1, -1) work, of the named node if there is one; returns a sentence about it."""


class KeyCommands:
    """Carries out the commands of keys in the event loop, for which the view's thread never waits.

    Implements the view's port `Steering`. Before `begin` and after `end` keys do nothing.
    """

    def __init__(self, leave: Callable[[], None] = lambda: None) -> None:
        """`leave` is called when the view must end."""
        self.letters: Sequence[DeadRow] | None = None
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._frontier: RedisFrontier | None = None
        self._want: Want | None = None
        self._say: Callable[[str, str], None] = lambda _, __: None
        self._tells_state = True
        self._where = ""

    def begin(
        self,
        frontier: RedisFrontier,
        want: Want,
        say: Callable[[str, str], None],
        *,
        tells_state: bool,
        where: str,
    ) -> None:
        """Accept keys from now on; `say` gets a level and a sentence about the result of each.

        `tells_state` is False if a new state of the crawl is reported anyway; `where` are the flags that name the
        crawl to any command.
        """
        self._frontier, self._want, self._say = frontier, want, say
        self._tells_state, self._where = tells_state, where

    def end(self) -> None:
        """Accept no more keys, and cancel running commands."""
        self._frontier = None
        for task in self._tasks:
            task.cancel()

    @property
    def under_way(self) -> Sequence[asyncio.Task[None]]:
        """The running commands, a few at most."""
        return tuple(self._tasks)

    def act(self, act: Act, place: Browsing, snapshot: Snapshot) -> None:
        """Start the command of a key; may be called from any thread."""
        with suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(self._begin, act, place, snapshot)

    def _begin(self, act: Act, place: Browsing, snapshot: Snapshot) -> None:
        if act is Act.QUIT:
            self._leave()
        elif self._frontier is not None and len(self._tasks) < _MOST_AT_ONCE:
            task = self._loop.create_task(self._do(act, place, snapshot, self._frontier), name=str(act))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, act: Act, place: Browsing, snapshot: Snapshot, frontier: RedisFrontier) -> None:
        try:
            async with asyncio.timeout(_WITHIN_S):
                match act:
                    case Act.PAUSE:
                        await self._pause(frontier)
                    case Act.READ_DEAD:
                        letters = await frontier.dead.page(size=MOST_LETTERS)
                        self.letters = tuple(_row(letter, self._where) for letter in letters)
                    case Act.MORE | Act.FEWER if self._want is not None:
                        node = place.chosen if place.page is ViewPage.NODES else ""
                        self._say("info", await self._want(1 if act is Act.MORE else -1, snapshot, node))
        except FarmError as error:
            self._say("error", f"{act}: {error}")
        except TimeoutError:
            self._say("error", f"{act}: Redis has not answered within {_WITHIN_S:g} s")

    async def _pause(self, frontier: RedisFrontier) -> None:
        is_running = await frontier.state() == "running"
        await frontier.set_state("paused" if is_running else "running")
        if self._tells_state:
            words = "the crawl is paused on all nodes; p resumes it" if is_running else "the crawl goes on"
            self._say("info", words)


def contexts_after(change: int, limit: int, contexts: int) -> int:
    """Return the number of contexts after a request for one more or fewer than may work now."""
    return max(1, min(contexts, limit + change))


def _row(letter: DeadLetter, where: str) -> DeadRow:
    at = letter.at.astimezone().strftime("%H:%M:%S") if letter.at is not None else "-"
    url = letter.task.url if letter.task is not None else ""
    return DeadRow(letter.id, letter.reason, at, letter.attempts, url, letter.detail, where)
