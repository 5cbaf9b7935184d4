"""The views of a run: a full screen, or a line of progress at intervals.

Each shows snapshots from a thread of its own until it is stopped. A terminal or a pipe that does not accept its
output blocks only this thread; it is a daemon, and stopping it has a deadline.

The live view is drawn twice a second while there is work, and once a key is pressed. While it is on nothing
else may write to the terminal: the log goes to its file alone. Lines of progress are log records.
"""

import contextlib
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import copy_context
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from farm.model.clock import Clock
from farm.monitor.browse import Act, Browsing, pressed
from farm.monitor.figures import amount, by_proxies, clock, counted, lapse, one_line, rate, size, span
from farm.monitor.pages import listing
from farm.monitor.screen import frame
from farm.monitor.snapshot import Snapshot
from farm.monitor.tables import DeadRow
from farm.monitor.terminal import FullScreen, Keyboard, Terminal

_EVERY_S = 0.5
"""The interval of drawing: the numbers change once a second."""
_IDLE_EVERY_S = 1.0
"""The interval without a visit under way, when only the clock changes."""
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
        """Show the end and release the output; after the deadline it is abandoned."""
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


class Screen:
    """A snapshot as rich draws it, in whatever size the terminal has at the moment."""

    def __init__(self, snapshot: Snapshot, title: str, place: Browsing | None = None) -> None:
        self._snapshot = snapshot
        self._title = title
        self._place = place

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        lines = frame(self._snapshot, width, height, self._title, self._place, unicode=not options.ascii_only)
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line.render(console)


class Steering(Protocol):
    """The commands of keys beyond the view; called from its thread, and must not wait."""

    @property
    def letters(self) -> Sequence[DeadRow] | None:
        """The dead letters that were read last; None before."""
        ...

    def act(self, act: Act, place: Browsing, snapshot: Snapshot) -> None:
        """Start the command of a key."""
        ...


class LiveView(View):
    """Draws the snapshots on the whole terminal. With `steering` it accepts keys, if there is a keyboard."""

    def __init__(
        self,
        source: Source,
        title: str,
        clock: Clock,
        console: Console | None = None,
        steering: Steering | None = None,
    ) -> None:
        super().__init__(source, clock, "live-view")
        self._title = title
        self._console = console or Terminal()
        self._steering = steering
        self._keyboard = Keyboard.open() if steering is not None else None
        self._place = Browsing()
        self._snapshot_shown = self._snapshot()

    @property
    def is_shown(self) -> bool:
        """Whether there is still a terminal that shows it."""
        return self._thread.is_alive()

    def stop(self, deadline_s: float = 1.0) -> None:
        """Restore the terminal; after the deadline only the keyboard."""
        self._ended.set()
        if self._keyboard is not None:
            self._keyboard.wake()
        super().stop(deadline_s)
        if self._keyboard is not None:
            self._keyboard.close()

    def _run(self) -> None:
        if self._keyboard is not None:
            self._keyboard.attach()
        # The terminal may go (a closed window, a lost connection); the crawl goes on without a view.
        with contextlib.suppress(OSError), FullScreen(self._console) as screen:
            self._draw(screen)
            while not self._ended.is_set():
                pause_s = _EVERY_S if self._snapshot_shown.at_work else _IDLE_EVERY_S
                if self._keyboard is None:
                    self._ended.wait(pause_s)
                else:
                    keys, is_new = self._keyboard.wait(pause_s)
                    for key in keys:
                        self._press(key)
                    if is_new:
                        screen.forget()
                if not self._ended.is_set():
                    self._draw(screen)

    def _press(self, key: str) -> None:
        steering = self._steering
        if steering is None:
            return
        rows = listing(self._snapshot_shown, self._place, steering.letters).keys
        self._place, act = pressed(self._place, key, rows)
        if act is not None:
            steering.act(act, self._place, self._snapshot_shown)

    def _draw(self, screen: FullScreen) -> None:
        self._snapshot_shown = self._snapshot()
        width, height = screen.size()
        place = self._place if self._keyboard is not None else None
        letters = self._steering.letters if self._steering is not None else None
        is_ascii = self._console.options.ascii_only
        screen.draw(
            frame(self._snapshot_shown, width, height, self._title, place, letters, unicode=not is_ascii)
        )


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
    """Return the progress of a crawl in one line."""
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
        others = counted(len(snapshot.nodes) - lost, "other node")
        parts.append(f"{others}{f', {lost} lost' if lost else ''}")
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
