"""A driver that died, as Playwright tells of it: the one place that knows its words.

Most calls raise Playwright's Error then. A call that is sent before Playwright has noticed raises what the loop
says of the closed pipe; a start that is under way raises a bare Exception. The same two reach the loop's exception
handler, from a future that Playwright never reads and from its callbacks, and would be told to the user. The
engine notices the death by itself and is replaced: there is nothing in them to be told.
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
"""Of uvloop, for a write to a pipe that it has closed; asyncio's own loop says nothing."""


class DriverExited(Error):
    """What a dead driver's callers get, as an Error like the others."""


def is_driver_exit(error: BaseException) -> bool:
    """Whether Playwright raises this, or leaves it behind, because its driver is gone: by type and words."""
    if isinstance(error, RuntimeError):
        return PIPE_WORDS in str(error)
    return type(error) is Exception and str(error).startswith(WORDS)


def _is_of_playwright(error: BaseException) -> bool:
    """Whether it was raised in Playwright, or nowhere: an exception that was only put into a future."""
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return not frames or any("/playwright/" in name for name in frames)


@contextmanager
def playwright_errors() -> Iterator[None]:
    """Make an Error of all that a dead driver's callers get; all else passes as it is."""
    try:
        yield
    except Exception as error:
        if not is_driver_exit(error):
            raise
        raise DriverExited(str(error)) from error


@contextmanager
def ending() -> Iterator[None]:
    """For calls that end something, under a deadline: it is gone already, or is killed after this."""
    try:
        with playwright_errors():
            yield
    except (Error, TimeoutError) as error:
        log.debug("not closed politely: %s", str(error).partition("\n")[0] or "no answer in time")


def ignore_driver_exit(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the future that nobody reads from the user; whatever else the loop complains of goes where it went."""
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and is_driver_exit(error) and _is_of_playwright(error):
            log.debug("a driver died: %s", error)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
