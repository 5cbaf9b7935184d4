"""What every view is: a thread that shows snapshots until it is stopped; nothing waits for it without end."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from farm.model.clock import Clock
from farm.monitor.snapshot import Snapshot

Source = Callable[[float], Snapshot]
"""Makes a snapshot of this moment, given in seconds of the monotonic clock."""


class View(ABC):
    """Shows the snapshots that `source` makes; used as a context manager, or by `start` and `stop`."""

    def __init__(self, source: Source, clock: Clock, name: str) -> None:
        self._source = source
        self._clock = clock
        self._ended = threading.Event()
        # A daemon: a terminal or pipe that takes no output must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
