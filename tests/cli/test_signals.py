"""What a signal does to a command before it has handlers of its own."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest

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
