"""The output of a run while it works: its log, and the view that fits the terminal."""

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from farm.model.clock import Clock
from farm.monitor.log import Form, start_logging
from farm.monitor.tally import Tally
from farm.monitor.terminal import can_be_shown
from farm.monitor.views import LiveView, PlainView, Steering


class Display:
    """The log and the view of one run. `open` sets both up, `start` shows the view, `close` ends both.

    `live` is `on`, `off`, or `auto`: if the terminal can show it. `stderr` says whether the log is written
    there too, unless the live view has the terminal; `libraries` whether it includes the logs of other packages.
    """

    def __init__(self, live: str, *, level: str, form: Form, stderr: bool, libraries: bool = True) -> None:
        self.is_live = False
        self._live = live
        self._level = level
        self._form = form
        self._stderr = stderr
        self._libraries = libraries
        self._view: LiveView | PlainView | None = None
        self._opened = ExitStack()

    def open(
        self, folder: Path, title: str, tally: Tally, clock: Clock, steering: Steering | None = None
    ) -> None:
        """Start the log in the folder, and choose the view. Raises OutputUnwritable.

        With `steering` the live view accepts keys.
        """
        console = Console()
        self.is_live = self._live == "on" or (self._live == "auto" and can_be_shown(console))
        output = start_logging(
            folder,
            level=self._level,
            form=self._form,
            stderr=self._stderr and not self.is_live,
            libraries=self._libraries,
        )
        self._opened.callback(output.close)
        if self.is_live:
            self._view = LiveView(tally.snapshot, title, clock, console, steering)
        else:
            self._view = PlainView(tally.snapshot, clock)

    def start(self) -> None:
        """Show the view."""
        if self._view is not None:
            self._view.start()
            self._opened.callback(self._view.stop)

    def stop(self) -> None:
        """Stop the view; the log continues."""
        if self._view is not None:
            self._view.stop()

    def close(self) -> None:
        """End the view and the log."""
        self._opened.close()
