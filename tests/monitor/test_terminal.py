"""Lines on a terminal and keys from one, in a pseudo-terminal of the kernel's."""

import io
import os
import pty
import re
import termios
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.text import Text

from farm.monitor.screen import frame
from farm.monitor.terminal import FullScreen, Keyboard, Terminal, keys_of

from .simulated import simulated


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"abc", ["a", "b", "c"]),
        (b"\x1b[A\x1b[B\x1bOC", ["up", "down", "right"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[F", ["pgup", "pgdn", "home", "end"]),
        (b"\r\t\x7f", ["enter", "tab", "backspace"]),
        (b"\x1b", ["esc"]),
        (b"\x1b\x1b[A", ["esc", "up"]),
        (b"q\x1b[Ap", ["q", "up", "p"]),
        ("ä²".encode(), ["ä", "²"]),
        (b"\x1b[1;5Cx\x1b[200~y", ["x", "y"]),
        (b"\x1b[" + b"9" * 1000, []),
        (b"\xff\xfe\x00\x01z", ["z"]),
        (b"", []),
    ],
)
def test_keys_are_told_by_name(data: bytes, keys: list[str]) -> None:
    """What is not known, or no text, is left out."""
    assert keys_of(data) == keys


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a terminal: that of whoever types, and the program's."""
    here, there = pty.openpty()
    yield here, there
    os.close(here)
    os.close(there)


def in_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say that the program has the terminal: that of a test is none that controls it."""
    monkeypatch.setattr("farm.monitor.terminal.os.tcgetpgrp", lambda _: os.getpgrp())


def test_keys_come_one_by_one_and_the_terminal_is_set_back(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an echo and without Enter; Ctrl-C stays a signal."""
    in_foreground(monkeypatch)
    here, there = ends
    before = termios.tcgetattr(there)
    keyboard = Keyboard(there, is_own=False)
    assert keyboard.wait(0.0) == ([], True)
    modes = termios.tcgetattr(there)[3]
    assert not modes & (termios.ICANON | termios.ECHO)
    assert modes & termios.ISIG
    os.write(here, b"p\x1b[A")
    keys: list[str] = []
    while len(keys) < 2:
        keys += keyboard.wait(20.0)[0]
    assert keys == ["p", "up"]
    keyboard.close()
    assert termios.tcgetattr(there) == before
    keyboard.close()


def test_a_terminal_that_the_shell_has_set_back_is_taken_again(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-Z and `fg`: what is on the screen is not the view's then."""
    in_foreground(monkeypatch)
    _, there = ends
    before = termios.tcgetattr(there)
    keyboard = Keyboard(there, is_own=False)
    assert keyboard.wait(0.0)[1]
    assert not keyboard.wait(0.0)[1]
    termios.tcsetattr(there, termios.TCSANOW, before)
    assert keyboard.wait(0.0)[1]
    keyboard.close()


def test_in_the_background_nothing_is_read_and_nothing_changed(ends: tuple[int, int]) -> None:
    """A program that reads there would be stopped; this terminal is not the test's own."""
    here, there = ends
    before = termios.tcgetattr(there)
    keyboard = Keyboard(there, is_own=False)
    os.write(here, b"p\n")
    assert keyboard.wait(0.0) == ([], False)
    assert termios.tcgetattr(there) == before
    keyboard.close()


def test_whoever_waits_for_a_key_can_be_woken(ends: tuple[int, int]) -> None:
    """The end of a run does not wait for one."""
    keyboard = Keyboard(ends[1], is_own=False)
    waits = threading.Thread(target=keyboard.wait, args=(600.0,))
    waits.start()
    keyboard.wake()
    waits.join(20)
    assert not waits.is_alive()
    keyboard.close()


def test_what_is_no_terminal_has_no_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under systemd or in a container without `-t`."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("farm.monitor.terminal._TTY", "/nowhere")
    assert Keyboard.open() is None


def test_only_what_has_changed_is_written() -> None:
    """At its place, and to the end of its line; after a change of the size all of it."""
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, width=20, height=3, color_system=None)
    screen = FullScreen(console)
    assert screen.size() == (20, 3)
    screen.draw([Text("one"), Text("two")])
    told.seek(0)
    told.truncate()
    screen.draw([Text("one"), Text("new")])
    assert told.getvalue() == "\x1b[2;1Hnew\x1b[0K"
    told.seek(0)
    told.truncate()
    console.size = (30, 3)
    screen.size()
    screen.draw([Text("one"), Text("new")])
    assert "one" in told.getvalue()


def test_a_terminal_without_colours_gets_none() -> None:
    """By `NO_COLOR`, whatever the terminal can; bold and dim stay."""
    told = io.StringIO()
    console = Terminal(
        file=told,
        width=160,
        height=50,
        force_terminal=True,
        color_system="256",
        _environ={"NO_COLOR": "1", "TERM": "xterm-256color"},
    )
    screen = FullScreen(console)
    width, height = screen.size()
    screen.draw(frame(simulated(40, 30, sites=3).snapshot(130.0), width, height, "shops"))
    assert "\x1b[1m" in told.getvalue()
    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", told.getvalue()) for code in found.split(";")}
    assert codes <= {"0", "1", "2"}
