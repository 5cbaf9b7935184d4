"""Recognises how Playwright reports a driver that died.

Most calls then raise Playwright's Error. A call that is sent before Playwright has noticed raises the event loop's
error of a closed pipe; a start under way raises a bare Exception. The same two reach the loop's exception handler,
from a future that Playwright never reads and from its callbacks, and would be shown to the user. They carry no
information: the engine detects the death by itself and is replaced.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from playwright.async_api import Error

log = logging.getLogger("farm.browser")
WORDS = "Connection closed"
PIPE_WORDS = "the handler is closed"
"""uvloop's message for a write to a closed pipe; asyncio's own loop has none."""


class DriverExited(Error):
    """A call to a dead driver failed; an Error like Playwright's others."""


def is_driver_exit(error: BaseException) -> bool:
    """Return whether the error means that the driver has exited, by its type and message."""
    if isinstance(error, RuntimeError):
        return PIPE_WORDS in str(error)
    return type(error) is Exception and str(error).startswith(WORDS)


def _is_of_playwright(error: BaseException) -> bool:
    """Return whether the error was raised in Playwright, or only set on a future (no traceback)."""
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return not frames or any("/playwright/" in name for name in frames)


def _is_unread_pipe(context: dict[str, Any], error: BaseException) -> bool:
    """Return whether this is the end of a pipe to a process, which asyncio keeps for a caller who need not come.

    Before 3.11.4 it complained of it. The error of a task would have been raised below the task's own frames.
    """
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return (
        isinstance(error, BrokenPipeError | ConnectionResetError)
        and "future" in context
        and all("/asyncio/" in name for name in frames)
    )


@contextmanager
def playwright_errors() -> Iterator[None]:
    """Translate the errors of a dead driver into DriverExited; others pass unchanged."""
    try:
        yield
    except Exception as error:
        if not is_driver_exit(error):
            raise
        raise DriverExited(str(error)) from error


@contextmanager
def ending() -> Iterator[None]:
    """Ignore errors and timeouts of a closing call: its target is gone already, or is killed afterwards."""
    try:
        with playwright_errors():
            yield
    except (Error, TimeoutError) as error:
        log.debug("not closed cleanly: %s", str(error).partition("\n")[0] or "no answer in time")


def ignore_driver_exit(loop: asyncio.AbstractEventLoop) -> None:
    """Install an exception handler that ignores a dead driver's errors; others go to the previous handler."""
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and is_driver_exit(error) and _is_of_playwright(error):
            log.debug("a driver died: %s", error)
        elif error is not None and _is_unread_pipe(context, error):
            log.debug("a process died that was being written to: %s", error)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
