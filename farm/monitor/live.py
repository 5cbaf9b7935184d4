"""The live view: a full screen, four times a second while there is work, from a thread of its own.

The thread takes a snapshot, makes lines of it and writes them over the ones before: nothing is cleared, so
nothing flickers. A terminal that does not take its output holds up this thread and nothing else; it is a
daemon, and stopping it has a deadline.

While the view is on nothing else may write to the terminal: the log goes to its file alone.
"""

import contextlib

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment

from farm.model.clock import Clock
from farm.monitor.screen import frame
from farm.monitor.snapshot import Snapshot
from farm.monitor.view import Source, View

_EVERY_S = 0.25
_IDLE_EVERY_S = 1.0
"""Without a visit under way only the clock moves."""


def can_be_shown(console: Console) -> bool:
    """Whether the console is a terminal that a full screen can be drawn on."""
    return console.is_terminal and not console.is_dumb_terminal


class Terminal(Console):
    """A console that tells of a closed terminal as any file does, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        """Let the error pass that is being handled."""
        raise  # noqa: PLE0704


class Screen:
    """A snapshot as rich draws it, in whatever size the terminal has at the moment."""

    def __init__(self, snapshot: Snapshot, title: str) -> None:
        self._snapshot = snapshot
        self._title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        lines = frame(self._snapshot, width, height, self._title, unicode=not options.ascii_only)
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line.render(console)


class LiveView(View):
    """Draws the snapshots on the whole terminal."""

    def __init__(self, source: Source, title: str, clock: Clock, console: Console | None = None) -> None:
        super().__init__(source, clock, "live-view")
        self._title = title
        self._console = console or Terminal()
        self._pause_s = _EVERY_S

    def _run(self) -> None:
        live = Live(
            self._screen(),
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        # The terminal may go (a closed window, a lost connection); the crawl goes on without a view.
        with contextlib.suppress(OSError), live:
            while not self._ended.wait(self._pause_s):
                live.update(self._screen(), refresh=True)

    def _screen(self) -> Screen:
        snapshot = self._snapshot()
        self._pause_s = _EVERY_S if snapshot.at_work else _IDLE_EVERY_S
        return Screen(snapshot, self._title)
