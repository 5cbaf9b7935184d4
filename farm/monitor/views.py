"""The views of a run while it goes on: a full screen, or a line of progress now and then.

Each shows snapshots from a thread of its own until it is stopped. A terminal or a pipe that does not take its
output holds up this thread and nothing else; it is a daemon, and stopping it has a deadline.

The live view is drawn four times a second while there is work. Its lines are written over the ones before: nothing
is cleared, so nothing flickers. While it is on nothing else may write to the terminal: the log goes to its file
alone. Lines of progress are log records.
"""

import contextlib
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment

from farm.model.clock import Clock
from farm.monitor.figures import amount, by_proxies, clock, lapse, one_line, rate, size, span
from farm.monitor.screen import frame
from farm.monitor.snapshot import Snapshot

_EVERY_S = 0.25
_IDLE_EVERY_S = 1.0
"""Without a visit under way only the clock moves."""
_progress = logging.getLogger("farm.progress")

Source = Callable[[float], Snapshot]
"""Makes a snapshot of this moment, given in seconds of the monotonic clock."""


class View(ABC):
    """Shows the snapshots that `source` makes; used as a context manager, or by `start` and `stop`."""

    def __init__(self, source: Source, clock: Clock, name: str) -> None:
        self._source = source
        self._clock = clock
        self._ended = threading.Event()
        # A daemon: a terminal or pipe that takes no output must not keep the program from ending.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=name, daemon=True)

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def stop(self, deadline_s: float = 1.0) -> None:
        """Show the end and give the output back; after the deadline it is left as it is."""
        self._ended.set()
        self._thread.join(deadline_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _snapshot(self) -> Snapshot:
        return self._source(self._clock.monotonic())

    @abstractmethod
    def _run(self) -> None:
        """Show until `_ended` is set."""


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


class PlainView(View):
    """Logs a progress line every `every_s` seconds, the first after that time, and one at the end."""

    def __init__(self, source: Source, clock: Clock, every_s: float = 10.0) -> None:
        super().__init__(source, clock, "progress")
        self._every_s = every_s

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(self._every_s)
            snapshot = self._snapshot()
            _progress.info(progress_line(snapshot), extra={"facts": _facts(snapshot)})


def progress_line(snapshot: Snapshot) -> str:
    """Return how a crawl goes, in one line."""
    ledger = snapshot.stats.ledger
    parts = [
        clock(snapshot.elapsed_s),
        f"{amount(ledger.done)} done",
        f"{amount(ledger.dead)} dead",
        f"{amount(ledger.queued)} queued",
        f"{amount(ledger.delayed)} delayed",
        f"{amount(ledger.leased)} leased",
        rate(snapshot.pages_per_s),
        f"page {lapse(snapshot.page_ms_p50)}",
        f"{snapshot.at_work} of {len(snapshot.slots)} contexts at work",
    ]
    flow, memory = snapshot.flow, snapshot.memory
    if flow.per_s:
        parts.append(f"L {flow.under_way:.1f} = {rate(flow.per_s)} x {lapse(flow.took_s * 1000)}")
    if memory.budget_bytes:
        parts.append(f"{size(memory.used_bytes)} of {size(memory.budget_bytes)}")
    if carried := by_proxies(snapshot.proxied):
        parts.append(f"{carried} by proxies")
    if snapshot.nodes:
        lost = sum(node.state == "lost" for node in snapshot.nodes)
        others = amount(len(snapshot.nodes) - lost)
        parts.append(f"{others} other nodes{f', {lost} lost' if lost else ''}")
    # Where nothing is queued, nothing waits for a further context.
    if snapshot.admission.limit < len(snapshot.slots) and ledger.queued:
        parts.append(f"held back by {snapshot.admission.binding}")
    if snapshot.is_ending:
        parts.append("stopping")
    elif snapshot.stats.state != "running":
        parts.append(snapshot.stats.state)
    if snapshot.away_since is not None:
        parts.append(f"Redis away for {span(snapshot.now - snapshot.away_since)}, leasing paused")
    parts += [
        f"waiting for {one_line(store)} since {span(snapshot.now - since)}"
        for store, since in snapshot.sinks_away.items()
    ]
    return " · ".join(parts)


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    ledger = snapshot.stats.ledger
    return {
        **{name: getattr(ledger, name) for name in ledger.__slots__},
        "pages_per_s": round(snapshot.pages_per_s, 2),
        "memory_used_bytes": snapshot.memory.used_bytes,
    }
