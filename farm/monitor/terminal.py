"""The terminal: lines that replace the previous ones, and the keys that are pressed.

Only lines that have changed are written, and nothing is cleared, so nothing flickers. Keys are read one by one
(`cbreak`), as long as the program is in the foreground; Ctrl-C stays a signal. The terminal's settings are always
restored, also by another thread than the one that draws.
"""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

_TTY = "/dev/tty"
_READ_BYTES = 1024
_LONGEST_ROW = 100_000
_KEYS = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"\x1b[5~": "pgup",
    b"\x1b[6~": "pgdn",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1bOH": "home",
    b"\x1bOF": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
}
_SINGLE = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace"}
_STOPS = {signal.SIGTTIN, signal.SIGTTOU}


def can_be_shown(console: Console) -> bool:
    """Whether the console is a terminal that a full screen can be drawn on."""
    return console.is_terminal and not console.is_dumb_terminal


def table_console() -> Console:
    """Return a console for tables on standard output; in a pipe or a file a row is one line, however long."""
    console = Console()
    return console if console.is_terminal else Console(width=_LONGEST_ROW)


class Terminal(Console):
    """A console that raises the error of a closed terminal, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        """Let the error pass that is being handled."""
        raise  # noqa: PLE0704


class _Drawn:
    """The lines of a frame that differ from those on the screen, each with its position."""

    def __init__(self, lines: Sequence[Text], before: Sequence[Text]) -> None:
        self._lines = lines
        self._before = before

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row, line in enumerate(self._lines):
            if row < len(self._before) and self._before[row] == line:
                continue
            yield Control.move_to(0, row).segment
            yield from line.render(console)
            yield Control((ControlType.ERASE_IN_LINE, 0)).segment


class FullScreen:
    """The whole terminal, as long as it is entered; the cursor is hidden meanwhile."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: Sequence[Text] = ()
        self._size = (0, 0)

    def __enter__(self) -> Self:
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._console.show_cursor(True)
        self._console.set_alt_screen(False)

    def size(self) -> tuple[int, int]:
        """Return its width and height now; after a change everything is drawn anew."""
        size = self._console.size
        if size != self._size:
            self._size = size
            self.forget()
        return self._size

    def forget(self) -> None:
        """Draw everything the next time: another program may have written on the screen."""
        self._lines = ()

    def draw(self, lines: Sequence[Text]) -> None:
        """Show the lines, as many as it is high; raises OSError if the terminal is gone."""
        whole = [*lines, *[Text()] * (self._size[1] - len(lines))]
        self._console.print(_Drawn(whole, self._lines), end="", crop=False, no_wrap=True)
        self._lines = whole


class Keyboard:
    """The keys of a terminal, one by one. `open` returns None if there is no terminal to read from."""

    def __init__(self, fd: int, *, is_own: bool) -> None:
        self._fd = fd
        self._is_own = is_own
        self._before = termios.tcgetattr(fd)
        self._is_open = True
        self._left, self._woken = os.pipe()

    @classmethod
    def open(cls) -> Self | None:
        """Return the keyboard of standard input, or else of the controlling terminal."""
        is_own = not (sys.stdin is not None and sys.stdin.isatty())
        try:
            fd = os.open(_TTY, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC) if is_own else sys.stdin.fileno()
        except OSError:
            return None
        try:
            return cls(fd, is_own=is_own)
        except termios.error:
            return None

    @staticmethod
    def attach() -> None:
        """Let this thread, which will `wait`, get an error instead of a stop when it reads in the background."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)

    def wait(self, longest_s: float) -> tuple[list[str], bool]:
        """Return the keys pressed within this time, and whether another program had the terminal before.

        Returns early if a key is pressed, or `wake` is called. Only the drawing thread may call it.
        """
        is_new = False
        watched = [self._left]
        with suppress(OSError, termios.error):
            if self._is_open and os.tcgetpgrp(self._fd) == os.getpgrp():
                watched.append(self._fd)
                if termios.tcgetattr(self._fd)[3] & termios.ICANON:
                    # At the beginning, and after Ctrl-Z: the shell has set it back.
                    tty.setcbreak(self._fd, termios.TCSANOW)
                    is_new = True
        ready, _, _ = select.select(watched, [], [], longest_s)
        if self._fd not in ready:
            return [], is_new
        try:
            data = os.read(self._fd, _READ_BYTES)
        except OSError:
            return [], is_new
        if not data:
            # The terminal is gone: it would be ready for ever.
            self._is_open = False
        return keys_of(data), is_new

    def wake(self) -> None:
        """Let `wait` return."""
        with suppress(OSError):
            os.write(self._woken, b"!")

    def close(self) -> None:
        """Restore the terminal; may be called from any thread, any number of times."""
        was_open, self._is_open = self._is_open, False
        with suppress(OSError, termios.error):
            # From the background it would stop the program; there the shell has done it.
            if was_open and os.tcgetpgrp(self._fd) == os.getpgrp():
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)


def keys_of(data: bytes) -> list[str]:
    """Return the keys that a terminal has sent: names of special ones (`up`, `enter`), else the characters.

    Unknown sequences and bytes that are not text are left out.
    """
    found: list[str] = []
    while data:
        name = next((key for key in _KEYS if data.startswith(key)), None)
        if name is not None:
            found.append(_KEYS[name])
            data = data[len(name) :]
        elif data.startswith((b"\x1b[", b"\x1bO")) and len(data) > 2:  # noqa: PLR2004 - the two and an end
            end = next((at for at in range(2, len(data)) if 0x40 <= data[at] <= 0x7E), len(data) - 1)  # noqa: PLR2004
            data = data[end + 1 :]
        elif data[:1] == b"\x1b":
            found.append("esc")
            data = data[1:]
        else:
            end = data.find(b"\x1b")
            part, data = (data, b"") if end < 0 else (data[:end], data[end:])
            text = part.decode(errors="ignore")
            found += [_SINGLE.get(char, char) for char in text if char.isprintable() or char in _SINGLE]
    return found
