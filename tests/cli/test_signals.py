"""What a signal does to a command before it has handlers of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from farm.cli.interruption import ending_on_signals
from farm.cli.signals import run_interruptible
from farm.runtime.control import checkpoint


async def swallowing() -> str:
    """Get a signal, and lose the cancellation as a library may."""
    with suppress(asyncio.CancelledError):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(asyncio.Event().wait(), 20)
    checkpoint()
    return "went on"


def test_a_swallowed_cancellation_is_noticed_at_the_next_checkpoint() -> None:
    """The exit code is the signal's, as if nothing had come between."""
    with pytest.raises(SystemExit) as ended:
        run_interruptible(swallowing())
    assert ended.value.code == 128 + signal.SIGTERM


def test_without_a_signal_a_checkpoint_does_nothing() -> None:
    """Nor after a deadline, which cancels and takes that back."""

    async def work() -> str:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        checkpoint()
        return "done"

    assert run_interruptible(work()) == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_swallowed_before_the_loop_ends_the_command(number: signal.Signals) -> None:
    """As pydantic does with one that comes while a schema is built: nothing seemed to have come."""
    begun: list[bool] = []

    async def work() -> None:
        begun.append(True)

    def command() -> None:
        with ending_on_signals():
            with suppress(BaseException):
                os.kill(os.getpid(), number)
                signal.pause()
            run_interruptible(work())

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 128 + number
    assert not begun
    assert signal.getsignal(number) is before


def test_a_signal_in_the_guise_of_another_error_is_told_as_a_signal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was under way when it came may make an error of its own of it; no failure is reported then."""

    def command() -> None:
        with ending_on_signals():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                signal.pause()
            except KeyboardInterrupt:
                raise RuntimeError("a schema could not be built") from None

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "farm: interrupted.\n"


IMPORTING = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "farm.settings.origin":
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Interrupting())
from farm.cli.main import main
sys.exit(main(["version"]))
"""


def test_a_signal_while_a_command_is_imported_is_told_as_a_signal() -> None:
    """Which takes a tenth of a second: no traceback is shown for Ctrl-C."""
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "farm: interrupted.\n")


def test_an_ignored_signal_stays_ignored() -> None:
    """A shell has what it puts into the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ending_on_signals():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
