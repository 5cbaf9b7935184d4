"""What a signal does to a command before it has handlers of its own."""

import asyncio
import os
import signal
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


def test_an_ignored_signal_stays_ignored() -> None:
    """A shell has what it puts into the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ending_on_signals():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
